"""Where the labels of a samples file and the answers that were read do not fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .partition import name_text

if TYPE_CHECKING:
    import polars as pl

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


class Disagreements:
    """What the labels say of each answer of each class; nothing where there are none."""

    def __init__(self, partition: Partition, lost: np.ndarray) -> None:
        """`lost` are the rows without an answer."""
        self.of = partition
        self.unread = (0, 0)
        self.right = self.wrong = np.zeros(0, dtype=np.int64)
        if partition.correct is None:
            return
        start = np.concatenate([[0], np.cumsum(partition.answers_per_class)])
        label = partition.correct
        self.right, self.wrong = (
            np.bincount(
                start[partition.row_class[rows]] + partition.row_answer[rows], minlength=start[-1]
            )
            for side in (label > 0.5, label < 0.5)
            for rows in [np.flatnonzero(side & partition.counted)]
        )
        self.unread = int((label[lost] > 0.5).sum()), int((~np.isnan(label[lost])).sum())

    def _table(self, chosen: np.ndarray) -> pl.DataFrame:
        """Rows of `partition.answers` with their labels, "no answer" left out."""
        import polars as pl

        if not len(self.right):
            return self.of.answers.clear()
        counts = pl.DataFrame({"right": self.right, "wrong": self.wrong})
        table = pl.concat([self.of.answers, counts], how="horizontal").filter(pl.Series(chosen))
        return table.filter(pl.col("answer").is_not_null())

    def _name(self, index: int) -> str:
        return name_text(self.of.class_names[index])

    def split(self) -> tuple[tuple[Split, ...], int]:
        """Classes with several keys that are mostly labelled right."""
        import polars as pl

        table = self._table(self.right > self.wrong)
        groups = table.group_by("class").agg(pl.col("answer").sort(), n=pl.len())
        groups = groups.filter(pl.col("n") > 1).sort("n", "class", descending=[True, False])
        shown = (
            Split(self._name(index), tuple(keys[:SPELLINGS]))
            for index, keys, _ in groups.head(LISTED).rows()
        )
        return tuple(shown), len(groups)

    def contested(self) -> tuple[tuple[Contested, ...], int]:
        """Answers with labels of both kinds, the most evenly divided first."""
        import polars as pl

        table = self._table((self.right > 0) & (self.wrong > 0))
        if not len(table):
            return (), 0
        less = pl.min_horizontal("right", "wrong")
        table = table.sort(less, "class", "index", descending=[True, False, False])
        shown = (
            Contested(self._name(row["class"]), row["answer"], row["right"], row["wrong"])
            for row in table.head(LISTED).rows(named=True)
        )
        return tuple(shown), len(table)
