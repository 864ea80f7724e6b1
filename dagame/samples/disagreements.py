"""Where the labels of a samples file and the answers that were read do not fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .lazy import pl
from .partition import name_text

if TYPE_CHECKING:
    from .partition import Partition

LISTED, SPELLINGS = 12, 8
"""Entries of each list, spellings shown of one key."""


class Split(NamedTuple):
    """A class with several keys that are labelled right."""

    name: str
    keys: tuple[str, ...]


class Contested(NamedTuple):
    """An answer of a class with samples labelled right and samples labelled wrong."""

    name: str
    key: str
    right: int
    wrong: int


@dataclass(frozen=True)
class Disagreements:
    """What the labels say of the answers of a set of classes; nothing where there are none.

    split: the first of the classes with several keys that are mostly labelled right, as (minus their
    number, class, entry); contested: of the answers with labels of both kinds, the most evenly divided
    first, as (minus the fewer labels, class, answer, entry). How many there are in all stands beside.
    """

    classes: int
    split: tuple[tuple[int, int, Split], ...] = ()
    split_classes: int = 0
    contested: tuple[tuple[int, int, int, Contested], ...] = ()
    contested_answers: int = 0

    @classmethod
    def of(cls, partition: Partition) -> Disagreements:
        """Of the classes of one partition."""
        labels = partition.labels
        if labels is None:
            return cls(len(partition))
        right, wrong = (side.astype(np.int64) for side in (labels.right, labels.wrong))
        split, split_classes = _split(partition, right, wrong)
        contested, contested_answers = _contested(partition, right, wrong)
        return cls(len(partition), split, split_classes, contested, contested_answers)

    @classmethod
    def merged(cls, parts: Sequence[Disagreements], numbers: Sequence[np.ndarray]) -> Disagreements:
        """Of disjoint sets of classes; `numbers` say which number each class of a part has in all."""
        pairs = list(zip(parts, numbers, strict=True))
        split = [(n, int(at[k]), one) for part, at in pairs for n, k, one in part.split]
        contested = [
            (n, int(at[k]), z, one) for part, at in pairs for n, k, z, one in part.contested
        ]
        return cls(
            sum(part.classes for part in parts),
            tuple(sorted(split)[:LISTED]),
            sum(part.split_classes for part in parts),
            tuple(sorted(contested)[:LISTED]),
            sum(part.contested_answers for part in parts),
        )


def _table(partition: Partition, chosen: np.ndarray, **columns: np.ndarray) -> pl.DataFrame:
    """Rows of `partition.answers` with their labels, "no answer" left out."""
    table = pl.concat([partition.answers, pl.DataFrame(columns)], how="horizontal")
    return table.filter(pl.Series(chosen)).filter(pl.col("answer").is_not_null())


def _name(partition: Partition, index: int) -> str:
    return name_text(partition.classes.drop("#class").row(index))


def _split(
    partition: Partition, right: np.ndarray, wrong: np.ndarray
) -> tuple[tuple[tuple[int, int, Split], ...], int]:
    table = _table(partition, right > wrong)
    groups = table.group_by("class").agg(pl.col("answer").sort(), n=pl.len())
    groups = groups.filter(pl.col("n") > 1).sort("n", "class", descending=[True, False])
    shown = (
        (-n, index, Split(_name(partition, index), tuple(keys[:SPELLINGS])))
        for index, keys, n in groups.head(LISTED).rows()
    )
    return tuple(shown), len(groups)


def _contested(
    partition: Partition, right: np.ndarray, wrong: np.ndarray
) -> tuple[tuple[tuple[int, int, int, Contested], ...], int]:
    table = _table(partition, (right > 0) & (wrong > 0), right=right, wrong=wrong)
    if not len(table):
        return (), 0
    table = table.with_columns(less=pl.min_horizontal("right", "wrong"))
    table = table.sort("less", "class", "index", descending=[True, False, False])
    shown = (
        (
            -row["less"],
            row["class"],
            row["index"],
            Contested(_name(partition, row["class"]), row["answer"], row["right"], row["wrong"]),
        )
        for row in table.head(LISTED).rows(named=True)
    )
    return tuple(shown), len(table)
