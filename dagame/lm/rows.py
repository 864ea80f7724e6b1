"""Rows of a batch of completions -> their classes, each column checked before anything is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidGame, one_line
from ..numerics.arrays import log
from ..objectives import Objective
from ..samples.equilibria import ObjectiveOf
from ..samples.partition import Bucket, Partition

if TYPE_CHECKING:
    import polars as pl


UNEQUAL_ROWS = (
    "classes with different numbers of contexts have different constraint rows; give every class all its "
    "contexts, or use sets that act across contexts."
)


@dataclass(frozen=True, eq=False)
class PlayedClasses:
    """Classes of one shape: their own answers, what is played, with which weights, for what.

    own: the bucket with each class's answers; columns: the vocabulary's column of each (B, n), or None;
    played: `own`, or on the vocabulary's columns; weights (B, m); objective: of these classes.
    """

    own: Bucket
    columns: np.ndarray | None
    played: Bucket
    weights: np.ndarray
    objective: Objective

    @property
    def log_marginals(self) -> np.ndarray:
        """log nu of the samples (B, m, n), on the columns that are played."""
        return log(self.played.reference)


@dataclass(frozen=True, eq=False)
class Batch:
    """The N completions as classes, contexts and answers: the marginals that their samples show."""

    partition: Partition
    classes: list[PlayedClasses]

    def slack(self) -> np.ndarray | None:
        """The excess G nu - h of the objective's hard set, its mean over classes (r,); None without one."""
        found = [c.objective.domain.slack(c.log_marginals, c.weights) for c in self.classes]
        known = [np.asarray(s) for s in found if s is not None]
        if not known:
            return None
        if len({s.shape[-1] for s in known}) > 1:
            raise InvalidGame(UNEQUAL_ROWS)
        return np.concatenate(known).mean(0)


def read_batch(
    class_ids: Any,
    context_ids: Any,
    answer_keys: Any,
    objective: ObjectiveOf,
    *,
    no_answer: str,
    weights: Any = None,
    correct: Any = None,
    vocabulary: Sequence[Any] | None = None,
) -> Batch:
    """The classes of N completions; see `dagame.lm.group_rewards`."""
    partition = batch_partition(class_ids, context_ids, answer_keys, correct, no_answer)
    classes = []
    for own in partition.buckets():
        columns = None if vocabulary is None else vocabulary_columns(partition, own, vocabulary)
        played = own if columns is None else on_vocabulary(own, columns, len(vocabulary or ()))
        made = objective if isinstance(objective, Objective) else objective(played)
        w = context_weights(weights, partition, own)
        classes.append(PlayedClasses(own, columns, played, w, made))
    return Batch(partition, classes)


def batch_partition(
    class_ids: Any, context_ids: Any, answer_keys: Any, correct: Any, no_answer: str
) -> Partition:
    """The partition of N completions; see `dagame.lm.group_rewards`.

    Raises:
        InvalidGame: columns of other types or different lengths, a missing class or context.
    """
    keys = _labels(answer_keys, "answer_keys", "None or -1 for no answer")
    if keys.dtype.is_integer():
        keys = keys.set(keys < 0, None)
    columns = {
        "class": _labels(class_ids, "class_ids", "none missing"),
        "context": _labels(context_ids, "context_ids", "none missing"),
    }
    right = None if correct is None else _correctness(correct)
    _check_columns(columns, [keys] if right is None else [keys, right])
    classes, contexts = (column.to_frame() for column in columns.values())
    rule = "drop" if no_answer == "drop" else "keep"
    return Partition.build(classes, contexts, keys, right, no_answer=rule)


def _check_columns(names: dict[str, pl.Series], others: list[pl.Series]) -> None:
    """All of one length, and no class and context missing."""
    lengths = {len(column) for column in (*names.values(), *others)}
    if lengths == {0} or len(lengths) > 1:
        raise InvalidGame(
            f"class_ids, context_ids, answer_keys and correct have lengths {sorted(lengths)}; give one "
            "of each per completion."
        )
    for name, column in names.items():
        if column.null_count():
            row = int(column.is_null().arg_max() or 0)
            raise InvalidGame(f"completion {row} has no {name}; leave it out, or name its {name}.")


def _labels(values: Any, name: str, missing: str) -> pl.Series:
    """Strings or integers as a column; all null becomes strings."""
    import polars as pl

    try:
        if isinstance(values, str | bytes):
            raise TypeError("one text is no column")
        column = _column(name.split("_")[0], values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        reason = one_line(error, 80)
        raise InvalidGame(
            f"{name} are no column of labels ({reason}); give strings or integers, {missing}."
        ) from None
    if isinstance(column.dtype, pl.Null | pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if not (column.dtype.is_integer() or column.dtype in (pl.String, pl.Boolean)):
        raise InvalidGame(f"{name} hold {column.dtype}; give strings or integers, {missing}.")
    return column


def _column(name: str, values: Any) -> pl.Series:
    """By polars, which knows the nulls of other libraries; what it does not know as array or list."""
    import polars as pl

    try:
        return pl.Series(name, values)
    except TypeError:
        known = np.asarray(values) if hasattr(values, "__array__") else list(values)
        return pl.Series(name, known)


def _correctness(values: Any) -> pl.Series:
    """Numbers in [0, 1], NaN where unknown."""
    import polars as pl

    try:
        right = np.asarray(values if hasattr(values, "__array__") else list(values), float)
    except (TypeError, ValueError):
        right = None
    if right is None or right.ndim != 1 or (np.abs(right - 0.5) > 0.5).any():
        raise InvalidGame("correct must hold numbers in [0, 1], NaN or None where unknown.")
    return pl.Series("correct", right)


def context_weights(weights: Any, partition: Partition, bucket: Bucket) -> np.ndarray:
    """Weights of each class's own contexts (B, m), sums 1, from those of the batch's contexts."""
    import polars as pl

    size, m = bucket.counts.shape[:2]
    if weights is None:
        return np.full((size, m), 1 / m)
    names = partition.contexts["context"]
    place = names.rank("dense").to_numpy().astype(int) - 1
    w = _positive(weights, place.max() + 1)
    mine = pl.DataFrame({"class": partition.contexts["#class"], "w": w[place] / w.max()})
    by_class = mine.group_by("class", maintain_order=True).agg("w").sort("class")["w"]
    table = np.array(by_class.gather(bucket.classes.tolist()).to_list()).reshape(size, m)
    return table / table.sum(-1, keepdims=True)


def _positive(weights: Any, count: int) -> np.ndarray:
    try:
        w = np.asarray(weights, float)
    except (TypeError, ValueError):
        w = np.zeros(0)
    if w.shape != (count,) or not (w > 0).all() or not np.isfinite(w).all():
        raise InvalidGame(
            f"weights are {weights!r}; give one positive weight for each of the "
            f"{count} distinct contexts of the batch, in sorted order."
        )
    return w


def vocabulary_columns(
    partition: Partition, bucket: Bucket, vocabulary: Sequence[Any]
) -> np.ndarray:
    """The vocabulary's column of each local answer (B, n), 0 on padding."""
    import polars as pl

    place = answer_places(vocabulary)
    known = partition.answers.filter(pl.col("class").is_in(bucket.classes.tolist()))
    keys = known["answer"].to_list()
    lacking = [key for key in keys if key not in place]
    if lacking:
        raise InvalidGame(
            f"answer {lacking[0]!r} is not in the vocabulary; add it (None is no answer), or map such "
            "answers to one of its keys."
        )
    local = np.zeros(len(partition), dtype=int)
    local[bucket.classes] = np.arange(len(bucket.classes))
    columns = np.zeros((len(bucket.classes), bucket.counts.shape[2]), dtype=int)
    columns[local[known["class"].to_numpy()], known["index"].to_numpy()] = [place[k] for k in keys]
    return columns


def answer_places(vocabulary: Sequence[Any]) -> dict[Any, int]:
    """The column of each key; `InvalidGame` where a key is named twice."""
    try:
        size = 0 if isinstance(vocabulary, str) else len(vocabulary)
        place = {key: k for k, key in enumerate(vocabulary)}
    except TypeError:
        size, place = 0, {}
    if not size or len(place) != size:
        raise InvalidGame(
            f"vocabulary {vocabulary!r} is no list of different answer keys; name each once."
        )
    return place


def on_vocabulary(bucket: Bucket, columns: np.ndarray, n: int) -> Bucket:
    """The bucket with the vocabulary's columns; every one is an answer."""
    size = len(bucket.classes)
    rows, (b, z) = np.arange(size)[:, None], np.nonzero(bucket.answer_mask)
    counts = np.zeros((size, bucket.counts.shape[1], n))
    counts[b, :, columns[b, z]] = bucket.counts[b, :, z]
    none = np.zeros((size, n), dtype=bool)
    none[np.broadcast_to(rows, columns.shape)[bucket.no_answer], columns[bucket.no_answer]] = True
    correct = None
    if bucket.correct is not None:
        correct = np.full((size, n), np.nan)
        correct[b, columns[b, z]] = bucket.correct[b, z]
    return Bucket(bucket.classes, counts, np.ones((size, n), dtype=bool), none, correct)
