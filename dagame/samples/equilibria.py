"""Every class of a samples file solved at once: metrics, summary, and what each sample is worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SamplesError
from ..games.game import AlignmentGame
from ..games.solution import Solution, Status
from ..numerics.arrays import to_numpy
from ..objectives import Objective
from ..show.progress import Progress, silent
from ..show.tables import Shown
from ..solvers import solve
from .metrics import accuracy, agreement, majority_accuracy
from .partition import Bucket, Partition, name_text

if TYPE_CHECKING:
    import polars as pl

    from .calibration import Calibration
    from .held_out import HeldOut
    from .how_read import HowRead
    from .samples import Samples

ObjectiveOf = Objective | Callable[[Bucket], Objective]


@dataclass(frozen=True, eq=False, repr=False)
class SampleEquilibria(Shown):
    """The equilibria of all classes of a samples file.

    `classes`: one row per class (names, sizes, value, gap, status, and the metrics:
    agreement = mean over pairs of contexts of <nu_x, nu_x'>, accuracy = E[correct] under the
    marginals averaged over contexts, majority = argmax of the averaged reference marginal without
    "no answer", ties sharing the credit). `summary`: one dictionary. `rows`: answer, reward,
    weight nu*/nu0 and the weight divided by its mean over the context's samples, per input row.
    `calibration`: of `calibrate`, which adds columns to both tables; None without.
    """

    samples: Samples
    buckets: list[Bucket]
    solutions: list[Solution]
    classes: pl.DataFrame
    summary: dict[str, Any]
    calibration: Calibration | None = None

    def calibrate(
        self,
        alpha: float = 0.1,
        *,
        seed: int = 0,
        score: str = "1 - nu",
        entropy: float = 0.0,
        marginals: str = "samples",
    ) -> SampleEquilibria:
        """The same with conformal prediction sets: how far each answer can be trusted.

        Of the questions whose right answer is known (the correctness of every answer given) one half
        calibrates the other, and all calibrate the rest. A set holds the right answer with probability at
        least 1 - alpha, over questions drawn alike
        (docs/theory/conformal.md#the-guarantee). `classes` gets set, set_size, whole_set, flag (empty,
        single, several), covered, p_value (of the commonest answer) and p_value_right; `rows` get
        reliability (the p-value of the row's answer) and in_set. An answer is right if its mean
        correctness is above 0.5; of several right ones the commonest counts.

        Args:
            alpha: allowed share of sets without the right answer.
            seed: of the halves.
            score: "1 - nu" | "-log nu", see `dagame.conformal.scores`.
            entropy: strength of its entropy term; not to be tuned on these questions.
            marginals: frequencies in the "samples", or at the "equilibrium" of an objective without
                labels.

        Raises:
            CalibrationError: no right answers are known, or too few for alpha; labels in the objective.
        """
        from .calibration import calibrated

        options = {"score": score, "entropy": entropy, "marginals": marginals}
        return calibrated(self, alpha, seed, **options)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The input rows with answer, reward, weight, weight_normalised (and reliability, in_set)."""
        import polars as pl

        partition = self.samples.partition
        reward = partition.lookup([to_numpy(s.rewards) for s in self.solutions])
        ratio = partition.lookup([to_numpy(s.weights_on_traces()) for s in self.solutions])
        columns = {
            "answer": self.answer_column(),
            "reward": reward,
            "weight": ratio,
            "weight_normalised": _normalised(partition, ratio),
        }
        if self.calibration is not None:
            columns |= {
                "reliability": self._of_rows(self.calibration.p_values),
                "in_set": self._of_rows(self.calibration.inside),
            }
        number = pl.col(pl.Float64)
        worth = pl.DataFrame(columns).with_columns(
            pl.when(number.is_finite()).then(number).otherwise(None).name.keep()
        )
        if "in_set" in worth.columns:
            worth = worth.with_columns(pl.col("in_set").cast(pl.Boolean))
        taken = [c for c in worth.columns if c in self.samples.frame.columns]
        worth = worth.rename({c: f"dagame_{c}" for c in taken})
        return pl.concat([self.samples.frame, worth], how="horizontal")

    @cached_property
    def reading(self) -> HowRead:
        """How the answers were read, with the warnings of the solved game added."""
        from .verdict import game_cautions

        read = self.samples.reading
        return replace(read, warnings=(*read.warnings, *game_cautions(self)))

    @cached_property
    def verdict(self) -> str:
        """What it amounts to, in one sentence."""
        from .verdict import verdict

        return verdict(self)

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95% bootstrap intervals over classes of the means in these samples, and of their gains.

        Of other questions; that other samples of these would agree less is in `held_out`.
        """
        from .verdict import intervals

        return intervals(self)

    @cached_property
    def held_out(self) -> HeldOut:
        """The same measures on samples that were left out of the fit, with their intervals."""
        from .held_out import held_out

        return held_out(self.buckets, self.solutions)

    def provenance(self) -> dict[str, Any]:
        """Command, date, versions, file, and how answers were read and compared."""
        from ..provenance import provenance

        read = self.samples.reading
        files = {
            "source": self.samples.source,
            "extract": read.extract,
            "canonical": read.canonical,
        }
        return provenance() | files

    def _rows(self) -> list[tuple[str, str]]:
        s = self.summary
        rows = [
            ("classes", f"{s['classes']:,}, {s['contexts']:,} contexts, {s['answers']:,} answers"),
            ("samples", f"{s['samples']:,}"),
            ("game", f"{s['objective']}, beta={s['beta']:g}"),
            ("solved", f"{s['solved']:,}, {len(s['infeasible']):,} infeasible"),
            ("largest gap", "none" if s["max_gap"] is None else f"{s['max_gap']:.3g}"),
        ]
        for name, before, after in (
            ("accuracy", s["accuracy_reference"], s["accuracy_equilibrium"]),
            ("agreement", s["agreement_reference"], s["agreement_equilibrium"]),
            ("no answer", s["no_answer"], s["no_answer_equilibrium"]),
        ):
            if before is not None and after is not None:
                rows.append((name, f"{before:.4f} in the samples, {after:.4f} at equilibrium"))
        rows += [("verdict", self.verdict), *self.reading.told()[:2]]
        return rows + [("warning", caution.sentence) for caution in self.reading.warnings]

    def _of_rows(self, tables: Sequence[np.ndarray]) -> np.ndarray:
        """What tables (B, n) of answers say of each input row, NaN where it left the counts."""
        wide = [
            np.broadcast_to(t[:, None, :], b.counts.shape)
            for t, b in zip(tables, self.buckets, strict=True)
        ]
        return self.samples.partition.lookup(wide)

    def answer_column(self) -> pl.Series:
        """The answer key of each input row; null for "no answer"."""
        import polars as pl

        partition = self.samples.partition
        frame = pl.DataFrame({"class": partition.row_class, "index": partition.row_answer})
        keys = partition.answers.cast({"class": pl.Int64, "index": pl.Int64})
        return frame.join(keys, on=["class", "index"], how="left", maintain_order="left")["answer"]


def batched_game(samples: Samples, objective: ObjectiveOf, beta: float) -> AlignmentGame:
    """All classes as one padded game; `SamplesError` if they differ in their contexts."""
    buckets = samples.partition.buckets()
    contexts = sorted({b.counts.shape[1] for b in buckets})
    if len(contexts) > 1:
        raise SamplesError(
            f"classes have {contexts[0]} to {contexts[-1]} contexts, so they are no single game; "
            "use samples.solve, which groups them."
        )
    width = max(b.counts.shape[2] for b in buckets)
    order = np.argsort(np.concatenate([b.classes for b in buckets]))
    padded = [
        np.pad(b.reference, ((0, 0), (0, 0), (0, width - b.counts.shape[2]))) for b in buckets
    ]
    made = objective if isinstance(objective, Objective) else None
    if made is None:
        raise SamplesError("samples.game takes an objective; a function of buckets needs solve.")
    return AlignmentGame(np.concatenate(padded)[order], made, beta=beta)


def solve_samples(
    samples: Samples,
    objective: ObjectiveOf,
    beta: float,
    method: str = "auto",
    tol: float = 1e-12,
    progress: Progress | None = None,
    device: str | None = None,
) -> SampleEquilibria:
    """Solve every class on its empirical reference (docs/theory/game.md#t3-lifting); see `Samples.solve`.

    `objective` is one objective for all classes, or a function of a `Bucket` where it has tables.
    Classes that no policy can satisfy have status INFEASIBLE and leave the averages.
    """
    started = time.perf_counter()
    say = progress or silent
    buckets = samples.partition.buckets()
    solutions = []
    for k, bucket in enumerate(buckets):
        say(f"solving {len(bucket.classes)} classes ({k + 1}/{len(buckets)})")
        made = objective if isinstance(objective, Objective) else objective(bucket)
        game = AlignmentGame(_placed(bucket.reference, device), made, beta=beta)
        solutions.append(solve(game, method, tol=tol, throw=False))
    table = _class_table(samples.partition, buckets, solutions)
    seconds = time.perf_counter() - started
    summary = _summary(samples, table, solutions, beta, seconds)
    return SampleEquilibria(samples, buckets, solutions, table, summary)


def _placed(reference: np.ndarray, device: str | None) -> Any:
    if device is None:
        return reference
    from ..scale import resolve_device, to_device

    return to_device(reference, resolve_device(device))


def _class_table(
    partition: Partition, buckets: Sequence[Bucket], solutions: Sequence[Solution]
) -> pl.DataFrame:
    import polars as pl

    parts: dict[str, list[np.ndarray]] = {}

    def put(name: str, values: Any) -> None:
        parts.setdefault(name, []).append(np.asarray(values))

    for bucket, solution in zip(buckets, solutions, strict=True):
        before, after = bucket.reference, to_numpy(solution.marginals)
        empty = bucket.no_answer[:, None, :]
        put("class", bucket.classes)
        put("contexts", np.full(len(bucket.classes), before.shape[1]))
        put("samples", bucket.counts.sum((1, 2)).astype(int))
        put("answers", bucket.answer_mask.sum(-1))
        put("value", to_numpy(solution.value))
        put("gap", to_numpy(solution.gap))
        put("status", [s.name.lower() for s in solution.statuses])
        for name, nu in (("reference", before), ("equilibrium", after)):
            put(f"no_answer_{name}", (nu * empty).sum(-1).mean(-1))
            put(f"agreement_{name}", agreement(nu))
            put(f"accuracy_{name}", accuracy(nu, bucket.correct))
        put("majority_accuracy", majority_accuracy(bucket))
        put("moved", np.abs(after - before).sum(-1).mean(-1) / 2)
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    table = pl.DataFrame(columns).sort("class")
    table = table.with_columns(
        pl.when(pl.col(pl.Float64).is_nan()).then(None).otherwise(pl.col(pl.Float64)).name.keep()
    )
    table = table.drop("class")
    names = partition.classes.drop("#class")
    clash = [c for c in names.columns if c in table.columns]
    names = names.rename({c: f"{c} (class)" for c in clash})
    return pl.concat([names, table], how="horizontal")


def _summary(
    samples: Samples,
    table: pl.DataFrame,
    solutions: Sequence[Solution],
    beta: float,
    seconds: float,
) -> dict[str, Any]:
    partition = samples.partition
    infeasible = table["status"] == Status.INFEASIBLE.name.lower()
    used = table.filter(~infeasible)

    def mean(column: str) -> float | None:
        value: Any = used[column].mean()
        return None if value is None else float(value)

    names = [name_text(name) for name in partition.class_names]
    unsolved = used["status"] != Status.SOLVED.name.lower()
    return {
        "classes": len(partition),
        "contexts": int(partition.contexts_per_class.sum()),
        "samples": int(partition.counted.sum()),
        "answers": int(partition.answers_per_class.sum()),
        "no_answer": mean("no_answer_reference"),
        "no_answer_reference": mean("no_answer_reference"),
        "no_answer_equilibrium": mean("no_answer_equilibrium"),
        "mean_value": mean("value"),
        "max_gap": None if not len(used) else float(used["gap"].max()),  # type: ignore[arg-type]
        "accuracy_reference": mean("accuracy_reference"),
        "accuracy_equilibrium": mean("accuracy_equilibrium"),
        "majority_accuracy": mean("majority_accuracy"),
        "agreement_reference": mean("agreement_reference"),
        "agreement_equilibrium": mean("agreement_equilibrium"),
        "solved": int((table["status"] == Status.SOLVED.name.lower()).sum()),
        "infeasible": [names[i] for i in infeasible.arg_true()],
        "unsolved": int(unsolved.sum()),
        "lost_classes": [name_text(name) for name in partition.lost_classes],
        "rows": len(partition.row_class),
        "no_answer_rows": int(
            (partition.row_answer == partition.no_answer_index[partition.row_class]).sum()
            if partition.counted.all()
            else (~partition.counted).sum()
        ),
        "skipped_lines": len(samples.skipped_lines),
        "timed_out_rows": samples.timed_out,
        "notes": list(samples.notes),
        "objective": _described(solutions[0].game.objective),
        "beta": beta,
        "conditions": list(
            dict.fromkeys(c for s in solutions for c in map(str, s.game.conditions))
        ),
        "method": sorted({s.method for s in solutions}),
        "seconds": seconds,
    }


def _described(objective: Objective) -> str:
    """The objective's text, tables of classes left out."""
    parts = [(f, type(o).__name__ if o.tables else repr(o)) for f, o in objective.terms()]
    return " + ".join(name if f == 1 else f"{f:g} * {name}" for f, name in parts)


def _normalised(partition: Partition, ratio: np.ndarray) -> np.ndarray:
    """The ratio over its mean in the row's context: mean 1 over the samples of each context."""
    counted = partition.counted
    start = np.concatenate([[0], np.cumsum(partition.contexts_per_class)])
    context = start[partition.row_class[counted]] + partition.row_context[counted]
    total = np.bincount(context, ratio[counted], start[-1])
    mean = total / np.maximum(np.bincount(context, minlength=start[-1]), 1)
    out = np.full(len(ratio), np.nan)
    per_row = mean[context]
    out[counted] = np.divide(ratio[counted], per_row, out=np.zeros_like(per_row), where=per_row > 0)
    return out
