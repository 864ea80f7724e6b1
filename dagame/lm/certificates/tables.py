"""Rows of samples -> the tables of `certificates.bounds`: classes, contexts, answers and random halves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import SamplesError, one_line
from ...samples import Samples
from ...samples.partition import Bucket, Partition
from .bounds import SampleTables
from .tail import Tail, pooled_tail

if TYPE_CHECKING:
    import polars as pl


_LARGEST_RATIO = 1e9
_UNBELIEVABLE = math.log(1e9)


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
        SamplesError: clashing columns, log-probabilities that are not finite or cannot be those of
            the samples, too few samples.
    """
    log_ratio = _log_ratio(policy)
    joined = _joined(policy, reference)
    known = "correct" if "correct" in joined.columns else None
    partition = Samples.from_answers(joined, "class", "context", correct=known).partition
    half, is_policy = _halves(partition, len(policy), seed)
    made = []
    for bucket in partition.buckets():
        placed = _placed(partition, bucket, half, is_policy)
        _check_ratios(partition, bucket, placed, log_ratio)
        tables = _tables(bucket, placed, log_ratio, reference is None)
        _check_sizes(partition, bucket, tables)
        made.append((bucket, tables))
    return partition, made


def tail_of(policy: pl.DataFrame, partition: Partition, risk: float, largest: float | None) -> Tail:
    """What the policy's rows, the first of the partition, show of rare completions that carry the KL."""
    start = np.concatenate([[0], np.cumsum(partition.contexts_per_class)])
    rows = slice(0, len(policy))
    group = start[partition.row_class[rows]] + partition.row_context[rows]
    owner = np.repeat(np.arange(len(partition)), partition.contexts_per_class)
    return pooled_tail(_log_ratio(policy), group, owner, risk, largest)


def columns(rows: Any, names: dict[str, str]) -> pl.DataFrame:
    """The columns `names` (theirs: ours) of a frame, a dictionary of columns, or a list of rows."""
    import polars as pl

    try:
        frame = (
            rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, infer_schema_length=None)
        )
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise SamplesError(f"the samples are no table of columns: {one_line(error)}.") from None
    if not len(frame):
        raise SamplesError("there are no samples; draw at least 4 of each model for each context.")
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise SamplesError(
            f"the samples have no column {missing[0]!r}; the columns are {', '.join(frame.columns)}."
        )
    chosen = frame.select(pl.col(old).alias(new) for old, new in names.items())
    answers = chosen["answer"].dtype
    if answers.is_nested() or answers in (pl.Binary, pl.Object):
        raise SamplesError(f"the answers hold {answers}; give canonical keys, null for no answer.")
    return chosen.with_columns(pl.col("answer").cast(pl.String))


def _log_ratio(policy: pl.DataFrame) -> np.ndarray:
    """log(pi/pi0) of the policy's rows, finite and of a size whose square is a number."""
    for name in ("log_policy", "log_reference"):
        dtype = policy[name].dtype
        if not dtype.is_numeric():
            raise SamplesError(
                f"{name} holds {dtype}; give log-probabilities of whole completions."
            )
    ratio = (policy["log_policy"] - policy["log_reference"]).cast(float).to_numpy()
    wrong = ~(np.abs(ratio) <= _LARGEST_RATIO)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0]) + 1
        raise SamplesError(
            f"log(policy / reference) is not finite, or beyond {_LARGEST_RATIO:g}, in row {row} of the "
            "policy."
        )
    return ratio


def _check_ratios(
    partition: Partition, bucket: Bucket, placed: Placed, log_ratio: np.ndarray
) -> None:
    """Raise `SamplesError` where pi0/pi is too large on average to be that of samples of pi.

    Its mean under pi is at most 1, so a sample mean reaches c with probability at most 1/c (Markov).
    """
    ours = placed.rows[placed.is_policy]
    context = (placed.cell // bucket.counts.shape[2])[placed.is_policy]
    contexts = bucket.counts.shape[0] * bucket.counts.shape[1]
    top = np.full(contexts, -np.inf)
    np.maximum.at(top, context, -log_ratio[ours])
    size = np.bincount(context, minlength=contexts)
    found = top - np.log(np.maximum(size, 1))
    k = int(found.argmax())
    if found[k] > _UNBELIEVABLE:
        c, x = int(bucket.classes[k // bucket.counts.shape[1]]), k % bucket.counts.shape[1]
        raise SamplesError(
            f"class {partition.class_names[c][0]!r}, context {partition.context_names(c)[x][0]!r}: "
            f"pi0/pi is e^{top[k]:.4g} in one of {size[k]} samples, which samples of the policy do not "
            "show; log_policy and log_reference must be those of the rows themselves, in this order."
        )


def _joined(policy: pl.DataFrame, reference: pl.DataFrame | None) -> pl.DataFrame:
    import polars as pl

    policy = policy.drop("log_policy", "log_reference")
    if reference is None:
        return policy
    try:
        return pl.concat([policy, reference])
    except pl.exceptions.PolarsError as error:
        raise SamplesError(
            f"columns of the policy's and the reference's samples differ in type: {one_line(error)}."
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
    if tables.weighted and not (tables.reference.sum((0, -1)) > 0).all():
        raise SamplesError(
            "pi0/pi is 0 for all samples of a context, so that the policy's samples say nothing of the "
            "reference; draw samples of it."
        )
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
