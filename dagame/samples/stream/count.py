"""A part of the rows -> their keys, and the counts of (class, context, answer) in it: the second pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from ..asked import Asked
from ..columns import first_end, names_in
from ..files.formats import FORMATS
from ..files.roles import Flat, Roles
from ..how_read import lost_of
from ..labels import correctness
from ..lazy import pl
from ..partition import Labels
from .load import CUT, GOLD

ANSWER, COUNT, SAME, GROUP = "answer", "count", "same", "group"
_LABELS = Labels._fields
T = TypeVar("T")


@dataclass(frozen=True)
class Settings(Asked):
    """How the rows are read, alike in all parts, and in how many groups their classes are solved."""

    roles: Roles
    groups: int
    same: str | None = None

    @property
    def class_columns(self) -> list[str]:
        """Of the counts."""
        return [f"class_{k}" for k in range(len(self.roles.class_by))]

    @property
    def context_columns(self) -> list[str]:
        """Of the counts."""
        return [f"context_{k}" for k in range(len(self.roles.context_by or ()))]

    @property
    def named(self) -> list[str]:
        """What the rows of counts are told apart by."""
        return [*self.class_columns, *self.context_columns, ANSWER]

    @property
    def labelled(self) -> bool:
        """Whether anything is known of correctness."""
        return bool(self.roles.correct or self.roles.gold)


def same_column(roles: Roles, layout: str, columns: Sequence[str]) -> str | None:
    """The column that is to have one value in each class, if the layout has one; see `read_table`."""
    form = FORMATS[layout if layout in FORMATS else "lm-eval"]
    fits = form.same in columns and roles.class_by == (form.class_by,)
    return form.same if fits else None


@dataclass(frozen=True)
class Counted(Generic[T]):
    """What one part holds; its tables are frames, or where they stand on a shelf.

    keys: the answer of each row as it stands there, and its key, `read` of them with one. groups: class,
    context, answer and their counts, and to which group of classes they belong, `GROUP`. lost: the places
    of the rows in which no answer was found; lost_labels: how many of them are labelled right, and
    labelled. first: the end of the first text. gold: see `labels.Gold`, if there is any; best: of it.
    """

    rows: int
    read: int
    lost_rows: int
    lost_labels: tuple[int, int]
    known_labels: int
    timed_out: int
    first: str
    keys: T
    groups: T
    lost: T
    gold: T | None
    best: float | None


def count(frame: pl.DataFrame, settings: Settings, before: int) -> Counted[pl.DataFrame]:
    """Read one part, `before` which there are so many rows."""
    cut = None if settings.read_truncated else frame[CUT]
    gold = frame[GOLD].to_list() if GOLD in frame.columns else None
    rows = frame.drop(CUT, GOLD, strict=False)
    flat, labels = Flat(rows, settings.roles), partial(_labels, before=before)
    reading, keys, right, told = settings.judged(flat, cut, gold, labels)
    correct = None if right is None else right.cast(pl.Float64).to_numpy()
    lost, lost_labels = lost_of(reading.answers, keys, correct)
    groups = _groups(rows, keys, correct, settings, before)
    known = int(groups["known"].sum()) if settings.labelled else 0
    return Counted(
        rows=len(frame), read=len(keys) - keys.null_count(), lost_rows=len(lost),
        lost_labels=lost_labels, known_labels=known, timed_out=reading.timed_out,
        first=first_end(rows[settings.roles.text[0]]),
        keys=pl.DataFrame({ANSWER: reading.answers, "key": keys}), groups=groups,
        lost=pl.DataFrame({"row": lost}), gold=None if told is None else told.table(),
        best=None if told is None else told.best,
    )  # fmt: skip


def _labels(column: pl.Series, limits: tuple[float, float], before: int) -> pl.Series:
    """`correctness`, which is not known in a part without labels."""
    if column.null_count() == len(column):
        return column.cast(pl.Float64, strict=False)
    return correctness(column, limits, before)


def named_rows(
    frame: pl.DataFrame, keys: pl.Series, settings: Settings, before: int
) -> pl.DataFrame:
    """The class, context and answer of each row, under the names of the counts."""
    roles = settings.roles
    classes = names_in(frame, roles.class_by, "class", before)
    classes.columns = settings.class_columns
    parts = [classes]
    if roles.context_by is not None:
        contexts = names_in(frame, roles.context_by, "context", before)
        contexts.columns = settings.context_columns
        parts.append(contexts)
    return pl.concat([*parts, keys.alias(ANSWER).to_frame()], how="horizontal")


def _groups(
    frame: pl.DataFrame,
    keys: pl.Series,
    correct: np.ndarray | None,
    settings: Settings,
    before: int,
) -> pl.DataFrame:
    table = named_rows(frame, keys, settings, before)
    by = list(table.columns)
    if settings.same is not None:
        table = table.with_columns(frame[settings.same].alias(SAME))
        by.append(SAME)
    sums = []
    if correct is not None:
        parts = Labels.of(correct)._asdict()
        table = table.with_columns(pl.Series(name, part) for name, part in parts.items())
        sums = [pl.col(name).sum() for name in _LABELS]
    found = table.group_by(by).agg(pl.len().cast(pl.Float64).alias(COUNT), *sums)
    return found.with_columns(_hashed(found.select(settings.class_columns), settings.groups))


def _hashed(classes: pl.DataFrame, groups: int) -> pl.Series:
    """A group of classes for each row, of one class always the same."""
    plain = classes.with_columns(pl.col(pl.Float64, pl.Float32) + 0.0)  # -0.0 is 0.0
    plain = plain.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    return (plain.hash_rows(seed=0) % groups).cast(pl.UInt32).alias(GROUP)
