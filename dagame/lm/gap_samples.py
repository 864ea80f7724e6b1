"""Rows of samples -> the tables of `dagame.lm.gap`: classes, contexts, answers and random halves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..answers import Samples
from ..answers.partition import Bucket, Partition
from ..errors import SamplesError
from .gap import SampleTables

if TYPE_CHECKING:
    import polars as pl


class Placed(NamedTuple):
    """Rows of one bucket: their numbers, cell in its (B, m, n) tables, half, and whose they are."""

    rows: np.ndarray
    cell: np.ndarray
    half: np.ndarray
    is_policy: np.ndarray


def sample_tables(
    policy: pl.DataFrame, reference: pl.DataFrame | None, seed: int
) -> tuple[Partition, list[tuple[Bucket, SampleTables]]]:
    """Tables of the classes, grouped by their shape; one partition for the samples of both models.

    Columns class, context, answer, of the policy also log_policy and log_reference, and perhaps
    correct. `reference` None: its tables are sums of pi0/pi over the policy's samples.

    Raises:
        SamplesError: clashing columns, log-probabilities that are not finite, too few samples.
    """
    log_ratio = (policy["log_policy"] - policy["log_reference"]).to_numpy().astype(float)
    if not np.isfinite(log_ratio).all():
        row = int(np.flatnonzero(~np.isfinite(log_ratio))[0]) + 1
        raise SamplesError(f"log(policy / reference) is not finite in row {row} of the policy.")
    joined = _joined(policy, reference)
    known = "correct" if "correct" in joined.columns else None
    partition = Samples.from_answers(joined, "class", "context", correct=known).partition
    half, is_policy = _halves(partition, len(policy), seed)
    made = []
    for bucket in partition.buckets():
        placed = _placed(partition, bucket, half, is_policy)
        tables = _tables(bucket, placed, log_ratio, reference is None)
        _check_sizes(partition, bucket, tables)
        made.append((bucket, tables))
    return partition, made


def columns(rows: Any, names: dict[str, str]) -> pl.DataFrame:
    """The columns `names` (theirs: ours) of a frame, a dictionary of columns, or a list of rows."""
    import polars as pl

    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, infer_schema_length=None)
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise SamplesError(
            f"the samples have no column {missing[0]!r}; the columns are {', '.join(frame.columns)}."
        )
    chosen = frame.select(pl.col(old).alias(new) for old, new in names.items())
    return chosen.with_columns(pl.col("answer").cast(pl.String))


def _joined(policy: pl.DataFrame, reference: pl.DataFrame | None) -> pl.DataFrame:
    import polars as pl

    policy = policy.drop("log_policy", "log_reference")
    if reference is None:
        return policy
    try:
        return pl.concat([policy, reference])
    except pl.exceptions.PolarsError as error:
        raise SamplesError(
            f"columns of the policy's and the reference's samples differ in type: {error}."
        ) from None


def _halves(partition: Partition, policy_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Half of each row (0 or 1), even within context and model, and whether it is the policy's."""
    total = len(partition.row_class)
    is_policy = np.arange(total) < policy_rows
    start = np.concatenate([[0], np.cumsum(partition.contexts_per_class)])
    group = 2 * (start[partition.row_class] + partition.row_context) + is_policy
    order = np.lexsort((np.random.default_rng(seed).random(total), group))
    first = np.searchsorted(group[order], group[order])
    half = np.empty(total, dtype=np.int64)
    half[order] = (np.arange(total) - first) % 2
    return half, is_policy


def _placed(
    partition: Partition, bucket: Bucket, half: np.ndarray, is_policy: np.ndarray
) -> Placed:
    place = np.full(len(partition), -1)
    place[bucket.classes] = np.arange(len(bucket.classes))
    rows = np.flatnonzero(place[partition.row_class] >= 0)
    _, m, n = bucket.counts.shape
    context = place[partition.row_class[rows]] * m + partition.row_context[rows]
    return Placed(rows, context * n + partition.row_answer[rows], half[rows], is_policy[rows])


def _tables(bucket: Bucket, placed: Placed, log_ratio: np.ndarray, weighted: bool) -> SampleTables:
    shape = (2, *bucket.counts.shape)
    index = placed.half * bucket.counts.size + placed.cell
    ours = placed.is_policy
    theirs = ours if weighted else ~ours

    def summed(chosen: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(index[chosen], values, math.prod(shape)).astype(float).reshape(shape)

    ratio = log_ratio[placed.rows[ours]]
    weights = np.exp(-ratio) if weighted else None
    return SampleTables(
        reference=summed(theirs, weights),
        reference_squares=summed(theirs, None if weights is None else weights**2),
        reference_sizes=summed(theirs).sum(-1),
        policy=summed(ours),
        log_ratio=summed(ours, ratio).sum(0),
        log_ratio_squares=summed(ours, ratio**2).sum((0, -1)),
        answers=bucket.answer_mask,
        weighted=weighted,
    )


def _check_sizes(partition: Partition, bucket: Bucket, tables: SampleTables) -> None:
    sizes = {"reference": tables.reference_sizes.sum(0), "policy": tables.policy.sum((0, -1))}
    for model, size in sizes.items():
        if (size < 4).any():
            k, x = np.argwhere(size < 4)[0]
            c = int(bucket.classes[k])
            raise SamplesError(
                f"class {partition.class_names[c][0]!r}, context "
                f"{partition.context_names(c)[x][0]!r} has {int(size[k, x])} samples of the {model}; "
                "draw at least 4 of each model for each context."
            )
