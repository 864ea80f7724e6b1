"""The equilibrium without training: reference samples reweighted, chosen, accepted or exported.

By T3 the optimal policy is pi0(y) nu*(a(y)) / nu0(a(y)): the weight nu*/nu0 of a sample's answer is all
that a sampler, a selection rule or a weighted fine-tuning needs
(docs/theory/lm-certificate.md#training-free-use).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypedDict, Unpack

import numpy as np

from ..errors import InvalidGame, OutputError, SamplesError
from ..files.output import check_file, replacing
from ..numerics.arrays import to_numpy
from ..samples import Samples
from ..samples.equilibria import ObjectiveOf, SampleEquilibria
from ..samples.files.reading import read_frame
from ..samples.partition import Partition
from ..samples.worth import solved_by, solved_column
from ..show.tables import Rows, Shown

if TYPE_CHECKING:
    import polars as pl

Source: TypeAlias = "Samples | SampleEquilibria | pl.DataFrame | str | Path"


@dataclass(frozen=True, eq=False, repr=False)
class EquilibriumWeights(Shown):
    """What the equilibrium makes of each of N reference samples, in the order of the rows.

    weight (N,): nu*(z)/nu0(z) of the sample's answer z, mean 1 over the samples of each context;
    mass (N,): nu*(z). Both 0 for rows that left the counts. context (N,): number of the row's context
    (prompt), over all classes, -1 for such rows; answered (N,): whether z is an answer; frame: the rows.
    """

    frame: pl.DataFrame
    weight: np.ndarray
    mass: np.ndarray
    context: np.ndarray
    answered: np.ndarray

    def _rows(self) -> Rows:
        counted = self.context >= 0
        weight = self.weight[counted]
        ends = f"{weight.min():.3g} to {weight.max():.3g}" if len(weight) else "none"
        return [
            ("rows", f"{len(self.weight):,}, {int(counted.sum()):,} counted"),
            ("contexts", f"{len(np.unique(self.context[counted])):,}"),
            ("weight", f"{ends}, mean 1 in each context; 0 for {int((weight == 0).sum()):,} rows"),
            ("answered", f"{int(self.answered.sum()):,}"),
        ]


@dataclass(frozen=True, eq=False, repr=False)
class Accepted(Shown):
    """Rows kept by rejection: `index` (kept,), `rate` their share per context (contexts,)."""

    index: np.ndarray
    rate: np.ndarray

    def _rows(self) -> Rows:
        mean = f"{self.rate.mean():.3g}" if len(self.rate) else "none"
        return [
            ("kept", f"{len(self.index):,} rows"),
            ("rate", f"{mean} on average over {len(self.rate):,} contexts"),
        ]


class How(TypedDict, total=False):
    """What `equilibrium_weights` needs beside its source."""

    objective: ObjectiveOf
    beta: float
    class_by: str | Sequence[str]
    context_by: str | Sequence[str]


def equilibrium_weights(
    source: Source,
    objective: ObjectiveOf | None = None,
    *,
    beta: float | None = None,
    class_by: str | Sequence[str] | None = None,
    context_by: str | Sequence[str] | None = None,
) -> EquilibriumWeights:
    """The weight nu*/nu0 of each sample under the equilibrium of the empirical answers (T3).

    Args:
        source: `dagame.Samples` (of `read` or `from_answers`), which are solved; what `Samples.solve` gave;
            or what was written of it, samples.parquet of `dagame solve --out`, as a path or a polars frame
            of all its rows, whose weights are read.
        objective: of `Samples`: Phi for all classes, or a function of a `Bucket` where it has tables.
        beta: of `Samples`: coefficient of KL(pi || pi0).
        class_by, context_by: of a table: the columns that named classes and contexts when it was solved;
            a file written by this version knows them.

    Raises:
        SamplesError: a class has no equilibrium (infeasible), it is named; a table that was not solved, or
            whose weights do not average to 1 over the samples of each context.
    """
    if isinstance(source, Samples):
        if objective is None or beta is None:
            raise SamplesError("samples are not solved yet; name objective= and beta=.")
        return _of_solved(source.solve(objective, beta=beta))
    if objective is not None or beta is not None:
        raise SamplesError(
            "objective and beta are those of the solve that made these weights; leave them out, or give "
            "dagame.Samples."
        )
    if isinstance(source, SampleEquilibria):
        return _of_solved(source)
    return _of_table(source, class_by, context_by)


def _of_solved(found: SampleEquilibria) -> EquilibriumWeights:
    if found.summary["infeasible"]:
        raise SamplesError(
            f"class {found.summary['infeasible'][0]!r} has no equilibrium: no answer is possible in "
            "all its contexts; drop it or use a soft objective."
        )
    partition = found.samples.partition
    weight = partition.lookup([to_numpy(s.weights_on_traces()) for s in found.solutions])
    mass = partition.lookup([to_numpy(s.marginals) for s in found.solutions])
    return _made(found.samples.frame, partition, weight, mass)


def _of_table(
    source: pl.DataFrame | str | Path,
    class_by: str | Sequence[str] | None,
    context_by: str | Sequence[str] | None,
) -> EquilibriumWeights:
    """The weights that a table of solved samples has, and nu* = weight nu0 from its rows."""
    import polars as pl

    frame = source
    if isinstance(source, str | Path):
        known = solved_by(source)
        frame, _ = read_frame(source)
        class_by = class_by or known.get("class_by")
        context_by = context_by or known.get("context_by")
    if not isinstance(frame, pl.DataFrame):
        raise SamplesError(
            f"weights are of dagame.Samples, of what their solve gave, or of its table (a path or a polars "
            f"frame), not of {type(source).__name__}."
        )
    weight, answer = _solved_columns(frame)
    if class_by is None:
        raise SamplesError(
            "the table does not say which columns named its classes and contexts; name class_by= and "
            "context_by=, as when it was solved."
        )
    names = _listed(class_by), _listed(context_by)
    require_columns(frame, [*names[0], *names[1]])
    return _of_columns(frame.with_columns(pl.col(weight).cast(pl.Float64)), weight, answer, *names)


def _solved_columns(frame: pl.DataFrame) -> tuple[str, str]:
    """The columns of the weights and of the answers of a table of `dagame solve`."""
    weight, normalised, answer = (
        solved_column(frame.columns, name) for name in ("weight", "weight_normalised", "answer")
    )
    if not {weight, normalised, answer} <= set(frame.columns):
        raise SamplesError(
            "the table has no weights of dagame solve (answer, weight, weight_normalised); give its "
            "samples.parquet, or dagame.Samples.read(file, ...) with objective= and beta=."
        )
    return weight, answer


def _of_columns(
    frame: pl.DataFrame, weight: str, answer: str, classes: list[str], contexts: list[str]
) -> EquilibriumWeights:
    """The weights of a table by its columns, which must average to 1 in every context."""
    kept = frame[weight].is_not_null()
    rows = frame.filter(kept)
    if not len(rows):
        raise SamplesError("no row of the table has a weight; look at the status of its classes.")
    of_contexts = rows.select(contexts) if contexts else None
    partition = Partition.build(rows.select(classes), of_contexts, rows[answer], None)
    at = np.flatnonzero(kept.to_numpy())
    ratio, mass = frame[weight].fill_null(0.0).to_numpy(), np.zeros(len(frame))
    mass[at] = ratio[at] * partition.lookup([b.reference for b in partition.buckets()])
    made = _made(frame, partition, ratio, mass, at)
    mean = np.bincount(made.context[at], made.weight[at]) / np.bincount(made.context[at])
    if not np.allclose(mean, 1, atol=1e-4):
        raise SamplesError(
            f"the weights of a context average to {mean[np.abs(mean - 1).argmax()]:.3g}, not to 1: rows are "
            "missing, or class_by and context_by are not those of the solve."
        )
    return made


def _made(
    frame: pl.DataFrame,
    partition: Partition,
    weight: np.ndarray,
    mass: np.ndarray,
    at: np.ndarray | None = None,
) -> EquilibriumWeights:
    """at: the rows of the frame that the partition is of; None: all."""
    start = np.concatenate([[0], np.cumsum(partition.contexts_per_class)])
    number = np.where(partition.counted, start[partition.row_class] + partition.row_context, -1)
    silent = partition.row_answer == partition.no_answer_index[partition.row_class]
    context, answered = np.full(len(frame), -1), np.zeros(len(frame), dtype=bool)
    place = slice(None) if at is None else at
    context[place], answered[place] = number, partition.counted & ~silent
    return EquilibriumWeights(frame, np.nan_to_num(weight), np.nan_to_num(mass), context, answered)


def _listed(names: str | Sequence[str] | None) -> list[str]:
    return [names] if isinstance(names, str) else list(names or ())


def _weights(source: EquilibriumWeights | Source, how: How) -> EquilibriumWeights:
    if isinstance(source, EquilibriumWeights):
        return source
    return equilibrium_weights(source, **how)


def best_of_n(
    weights: EquilibriumWeights | Source, *, by: str = "mode", seed: int = 0, **how: Unpack[How]
) -> np.ndarray:
    """One row for each context (contexts,): a sample whose answer the equilibrium favours.

    by "mode": the answer of the largest nu*(z), what the optimal policy says most often; "weight":
    the largest nu*(z)/nu0(z), what it says more often than the reference did. Ties, such as samples
    of the same answer, are drawn by `seed`. "No answer" is chosen only where there is no other.

    weights: of `equilibrium_weights`, or a source of it: samples, a path or a frame; how: its arguments.
    """
    weights = _weights(weights, how)
    if by not in ("mode", "weight"):
        raise InvalidGame(f'by is {by!r}; choose "mode" or "weight".')
    score = np.round(weights.mass if by == "mode" else weights.weight, 12)
    rows = np.flatnonzero(weights.context >= 0)
    tie = np.random.default_rng(seed).random(len(rows))
    context = weights.context[rows]
    order = np.lexsort((tie, score[rows], weights.answered[rows], context))
    last = np.append(np.diff(context[order]) != 0, True)
    return rows[order[last]]


def rejection_sample(
    weights: EquilibriumWeights | Source, *, seed: int = 0, **how: Unpack[How]
) -> Accepted:
    """Keep each sample with probability weight / (largest weight in its context).

    As nu0 is the empirical answer distribution, the kept samples' answers follow nu* and their
    reasoning given the answer that of the reference: samples of pi*. The expected rate is
    1 / max_z nu*(z)/nu0(z). weights, how: as in `best_of_n`.
    """
    weights = _weights(weights, how)
    rows = np.flatnonzero(weights.context >= 0)
    context, weight = weights.context[rows], weights.weight[rows]
    largest = np.zeros(int(context.max(initial=-1)) + 1)
    np.maximum.at(largest, context, weight)
    kept = np.random.default_rng(seed).random(len(rows)) * largest[context] < weight
    rate = np.bincount(context, kept) / np.bincount(context)
    return Accepted(rows[kept], rate)


def weighted_sft_rows(
    weights: EquilibriumWeights | Source,
    path: str | Path | None = None,
    *,
    prompt: str = "prompt",
    completion: str = "completion",
    min_weight: float = 0.0,
    **how: Unpack[How],
) -> pl.DataFrame:
    """Rows prompt, completion, weight for fine-tuning by weighted likelihood, whose optimum is pi*.

    sum_i weight_i log pi(y_i|x) estimates -KL(pi* || pi) up to a constant. Rows of weight at most
    `min_weight` are left out. `path`: write them as JSONL or Parquet, by the suffix. weights, how: as in
    `best_of_n`.

    Raises:
        SamplesError: the samples lack one of the columns.
        OutputError: the path has another suffix or cannot be written.
    """
    import polars as pl

    weights = _weights(weights, how)
    frame = weights.frame
    require_columns(frame, (prompt, completion))
    rows = pl.DataFrame(
        {"prompt": frame[prompt], "completion": frame[completion], "weight": weights.weight}
    ).filter(pl.col("weight") > min_weight)
    if path is not None:
        write_rows(rows, Path(path))
    return rows


def require_columns(frame: pl.DataFrame, names: Sequence[str]) -> None:
    """`SamplesError` unless the samples have these columns."""
    for name in names:
        if name not in frame.columns:
            raise SamplesError(
                f"the samples have no column {name!r}; the columns are {', '.join(frame.columns)}."
            )


def write_rows(rows: pl.DataFrame, path: Path) -> None:
    """JSONL or Parquet, by the suffix, whole or not at all."""
    if path.suffix not in (".jsonl", ".parquet"):
        raise OutputError(f"{path} has the suffix {path.suffix!r}; name a .jsonl or .parquet file.")
    with replacing(check_file(path)) as temporary:
        if path.suffix == ".jsonl":
            rows.write_ndjson(temporary)
        else:
            rows.write_parquet(temporary)
