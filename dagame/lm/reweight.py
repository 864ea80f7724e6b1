"""The equilibrium without training: reference samples reweighted, chosen, accepted or exported.

By T3 the optimal policy is pi0(y) nu*(a(y)) / nu0(a(y)): the weight nu*/nu0 of a sample's answer is all
that a sampler, a selection rule or a weighted fine-tuning needs
(docs/theory/lm-certificate.md#training-free-use).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InvalidGame, OutputError, SamplesError
from ..files.output import check_file, replacing
from ..numerics.arrays import to_numpy
from ..samples import Samples
from ..samples.equilibria import ObjectiveOf
from ..show.tables import Rows, Shown

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False, repr=False)
class EquilibriumWeights(Shown):
    """What the equilibrium makes of each of N reference samples, in the order of the rows.

    weight (N,): nu*(z)/nu0(z) of the sample's answer z, mean 1 over the samples of each context;
    mass (N,): nu*(z). Both 0 for rows that left the counts. context (N,): number of the row's context
    (prompt), over all classes, -1 for such rows; answered (N,): whether z is an answer.
    """

    samples: Samples
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


def equilibrium_weights(
    samples: Samples, objective: ObjectiveOf, *, beta: float
) -> EquilibriumWeights:
    """Solve the game on the samples' empirical answers and weight each sample by nu*/nu0 (T3).

    Args:
        samples: of the reference, see `dagame.Samples.read` and `from_answers`.
        objective: Phi for all classes, or a function of a `Bucket` where it has tables.
        beta: coefficient of KL(pi || pi0).

    Raises:
        SamplesError: a class has no equilibrium (infeasible); it is named.
    """
    found = samples.solve(objective, beta=beta)
    if found.summary["infeasible"]:
        raise SamplesError(
            f"class {found.summary['infeasible'][0]!r} has no equilibrium: no answer is possible in "
            "all its contexts; drop it or use a soft objective."
        )
    partition = samples.partition
    weight = partition.lookup([to_numpy(s.weights_on_traces()) for s in found.solutions])
    mass = partition.lookup([to_numpy(s.marginals) for s in found.solutions])
    start = np.concatenate([[0], np.cumsum(partition.contexts_per_class)])
    counted = partition.counted
    context = np.where(counted, start[partition.row_class] + partition.row_context, -1)
    silent = partition.row_answer == partition.no_answer_index[partition.row_class]
    return EquilibriumWeights(
        samples, np.nan_to_num(weight), np.nan_to_num(mass), context, counted & ~silent
    )


def _check(weights: object, function: str) -> None:
    """`SamplesError` unless these are weights with their samples, which a table alone does not tell."""
    if not isinstance(weights, EquilibriumWeights):
        raise SamplesError(
            f"{function} takes the result of dagame.lm.equilibrium_weights(samples, objective, beta=...), "
            f"with samples = dagame.Samples.read(file, ...), not a {type(weights).__name__}."
        )


def best_of_n(weights: EquilibriumWeights, *, by: str = "mode", seed: int = 0) -> np.ndarray:
    """One row for each context (contexts,): a sample whose answer the equilibrium favours.

    by "mode": the answer of the largest nu*(z), what the optimal policy says most often; "weight":
    the largest nu*(z)/nu0(z), what it says more often than the reference did. Ties, such as samples
    of the same answer, are drawn by `seed`. "No answer" is chosen only where there is no other.
    """
    _check(weights, "best_of_n")
    if by not in ("mode", "weight"):
        raise InvalidGame(f'by is {by!r}; choose "mode" or "weight".')
    score = np.round(weights.mass if by == "mode" else weights.weight, 12)
    rows = np.flatnonzero(weights.context >= 0)
    tie = np.random.default_rng(seed).random(len(rows))
    context = weights.context[rows]
    order = np.lexsort((tie, score[rows], weights.answered[rows], context))
    last = np.append(np.diff(context[order]) != 0, True)
    return rows[order[last]]


def rejection_sample(weights: EquilibriumWeights, *, seed: int = 0) -> Accepted:
    """Keep each sample with probability weight / (largest weight in its context).

    As nu0 is the empirical answer distribution, the kept samples' answers follow nu* and their
    reasoning given the answer that of the reference: samples of pi*. The expected rate is
    1 / max_z nu*(z)/nu0(z).
    """
    _check(weights, "rejection_sample")
    rows = np.flatnonzero(weights.context >= 0)
    context, weight = weights.context[rows], weights.weight[rows]
    largest = np.zeros(int(context.max(initial=-1)) + 1)
    np.maximum.at(largest, context, weight)
    kept = np.random.default_rng(seed).random(len(rows)) * largest[context] < weight
    rate = np.bincount(context, kept) / np.bincount(context)
    return Accepted(rows[kept], rate)


def weighted_sft_rows(
    weights: EquilibriumWeights,
    path: str | Path | None = None,
    *,
    prompt: str = "prompt",
    completion: str = "completion",
    min_weight: float = 0.0,
) -> pl.DataFrame:
    """Rows prompt, completion, weight for fine-tuning by weighted likelihood, whose optimum is pi*.

    sum_i weight_i log pi(y_i|x) estimates -KL(pi* || pi) up to a constant. Rows of weight at most
    `min_weight` are left out. `path`: write them as JSONL or Parquet, by the suffix.

    Raises:
        SamplesError: the samples lack one of the columns.
        OutputError: the path has another suffix or cannot be written.
    """
    import polars as pl

    _check(weights, "weighted_sft_rows")
    frame = weights.samples.frame
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
