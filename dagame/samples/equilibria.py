"""Every class of a samples file solved at once: metrics, summary, and what each sample is worth."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SamplesError, nearest
from ..games.solution import Solution
from ..numerics.arrays import to_numpy
from ..show.progress import Progress
from .facts import Facts, summary_of
from .games import Game, solve_partition
from .games import ObjectiveOf as ObjectiveOf
from .lazy import pl
from .metrics import accuracy, agreement, majority_accuracy
from .partition import Bucket, Partition, name_text
from .verdict import Found
from .worth import beside, finite, said_of_rows, worth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .calibration import Calibration
    from .how_read import HowRead
    from .samples import Samples


@dataclass(frozen=True, eq=False, repr=False)
class SampleEquilibria(Found):
    """The equilibria of all classes of a samples file.

    `classes`: one row per class (names, sizes, value, gap, status, and the metrics:
    agreement = mean over pairs of contexts of <nu_x, nu_x'>, accuracy = E[correct] under the
    marginals averaged over contexts, majority = argmax of the averaged reference marginal without
    "no answer", ties sharing the credit). `summary`: one dictionary, made of `facts`. `rows`: answer, reward,
    weight nu*/nu0 and the weight divided by its mean over the context's samples, per input row.
    `calibration`: of `calibrate`, which adds columns to both tables; None without.
    """

    samples: Samples
    buckets: list[Bucket]
    solutions: list[Solution]
    classes: pl.DataFrame
    summary: dict[str, Any]
    facts: Facts
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
        worths = worth(self.samples.partition, self.buckets, self.solutions)
        columns = {"answer": self.answer_column(), **worths}
        if self.calibration is not None:
            columns |= {
                "reliability": self._of_rows(self.calibration.p_values),
                "in_set": self._of_rows(self.calibration.inside),
            }
        table = finite(pl.DataFrame(columns))
        if "in_set" in table.columns:
            table = table.with_columns(pl.col("in_set").cast(pl.Boolean))
        return beside(self.samples.frame, table)

    def class_parts(self, size: int = 20_000) -> Iterator[pl.DataFrame]:
        """The table of classes, so many rows at a time."""
        yield from self.classes.iter_slices(size)

    def write_rows(self, path: str | Path, progress: Progress | None = None) -> None:
        """`rows` as a Parquet file."""
        partition = self.samples.partition
        names = [
            [c for c in t.columns if c[:1] != "#"] for t in (partition.classes, partition.contexts)
        ]
        with Path(path).open("wb") as stream:
            self.rows.write_parquet(stream, metadata=said_of_rows(*names))

    def _read(self) -> HowRead:
        return self.samples.reading

    def plot(
        self,
        question: int | str | None = None,
        *,
        ax: Any = None,
        title: str | None = None,
        legend: bool = True,
    ) -> Figure:
        """Answer marginals of one class before and after: see `dagame.show.plots.equilibrium`.

        Args:
            question: a row of `classes` or the class's name; default the class that moved most.
            ax, title, legend: as in `Solution.plot`; the title is by default the class's name.

        Raises:
            SamplesError: there is no such class.
        """
        from ..show.plots import equilibrium

        partition = self.samples.partition
        names = [name_text(name) for name in partition.class_names]
        most = int(self.classes["moved"].arg_max() or 0)
        index = most if question is None else _place(question, names)
        b = next(b for b, bucket in enumerate(self.buckets) if index in bucket.classes)
        k = int(np.flatnonzero(self.buckets[b].classes == index)[0])
        answers = ["no answer" if key is None else key for key in partition.answer_keys(index)]
        tables = self.buckets[b].reference[k], to_numpy(self.solutions[b].marginals)[k]
        before, after = (table[:, : len(answers)] for table in tables)
        contexts = [name_text(name) or "all" for name in partition.context_names(index)]
        shown = names[index] if title is None else title
        return equilibrium(before, after, answers, contexts, shown, ax=ax, legend=legend)

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
        partition = self.samples.partition
        start = partition.answers_start[partition.row_class]
        place = pl.Series(start + partition.row_answer)
        counted = pl.DataFrame({"place": place, "counted": partition.counted})
        place = counted.select(pl.when(pl.col("counted")).then(pl.col("place")))["place"]
        return partition.answers["answer"].gather(place)


def _place(question: int | str, names: list[str]) -> int:
    """The number of a class; `SamplesError` where there is none."""
    if isinstance(question, str):
        if question not in names:
            raise SamplesError(f"class {question!r} is not in the file; {nearest(question, names)}")
        return names.index(question)
    if not 0 <= question < len(names):
        raise SamplesError(f"class {question} is not among the {len(names)}; count from 0.")
    return question


def solve_samples(samples: Samples, game: Game, progress: Progress | None) -> SampleEquilibria:
    """Solve every class on its empirical reference (docs/theory/game.md#t3-lifting); see `Samples.solve`.

    Classes that no policy can satisfy have status INFEASIBLE and leave the averages.
    """
    started = time.perf_counter()
    partition = samples.partition
    buckets, solutions = solve_partition(partition, game, progress)
    table = class_table(partition, buckets, solutions)
    facts = Facts.of(partition, buckets, solutions, table)
    summary = summary_of(facts, samples, game.beta, time.perf_counter() - started)
    return SampleEquilibria(samples, buckets, solutions, table, summary, facts)


def class_table(
    partition: Partition, buckets: Sequence[Bucket], solutions: Sequence[Solution]
) -> pl.DataFrame:
    """Names, sizes, value, gap, status and metrics, one row for each class."""
    parts = [_columns(*solved) for solved in zip(buckets, solutions, strict=True)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    table = pl.DataFrame(columns).sort("class").drop("class")
    known = pl.when(pl.col(pl.Float64).is_nan()).then(None).otherwise(pl.col(pl.Float64))
    classes = partition.classes.drop("#class")
    clash = {c: f"{c} (class)" for c in classes.columns if c in table.columns}
    return pl.concat(
        [classes.rename(clash), table.with_columns(known.name.keep())], how="horizontal"
    )


def _columns(bucket: Bucket, solution: Solution) -> dict[str, Any]:
    """What the table says of the classes of a bucket."""
    tables = {"reference": bucket.reference, "equilibrium": to_numpy(solution.marginals)}
    empty = bucket.no_answer[:, None, :]
    columns: dict[str, Any] = {
        "class": bucket.classes,
        "contexts": np.full(len(bucket.classes), bucket.counts.shape[1]),
        "samples": bucket.counts.sum((1, 2)).astype(int),
        "answers": bucket.answer_mask.sum(-1),
        "value": to_numpy(solution.value),
        "gap": to_numpy(solution.gap),
        "status": [status.name.lower() for status in solution.statuses],
    }
    for name, nu in tables.items():
        columns[f"no_answer_{name}"] = (nu * empty).sum(-1).mean(-1)
        columns[f"agreement_{name}"] = agreement(nu)
        columns[f"accuracy_{name}"] = accuracy(nu, bucket.correct)
    moved = np.abs(tables["equilibrium"] - tables["reference"]).sum(-1).mean(-1) / 2
    return columns | {"majority_accuracy": majority_accuracy(bucket), "moved": moved}
