"""What is read of a column of texts, read once of each distinct one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np

from ..cores import blocks
from ..lazy import pl


class Distinct(NamedTuple):
    """The distinct texts of a column, as they first occur, and the place of each row's among them, null for
    null.
    """

    texts: pl.Series
    places: pl.Series

    @classmethod
    def of(cls, column: pl.Series) -> Distinct:
        """Of a column of texts."""
        own = pl.Categorical(pl.Categories.random())  # numbered from 0, whatever else is in use
        places = column.cast(pl.String).cast(own).to_physical()
        size = places.max()
        first = np.empty(0 if size is None else int(cast(int, size)) + 1, dtype=np.int64)
        for some in reversed([*blocks(len(column))]):  # so that a text's first row is written last
            part = places[some]
            rows = np.arange(some.start, some.stop)
            if part.null_count():
                rows, part = rows[part.is_not_null().to_numpy()], part.drop_nulls()
            first[part.to_numpy()[::-1]] = rows[::-1]
        return cls(column.gather(first), places)

    @classmethod
    def if_repeated(cls, column: pl.Series) -> Distinct | None:
        """The same where most texts stand in several rows, else None."""
        count = column.to_frame("text").select(pl.col("text").approx_n_unique()).item()
        return cls.of(column) if 2 * count <= len(column) else None

    @property
    def column(self) -> pl.Series:
        """The text of each row."""
        return self.texts.gather(self.places)


def each_once(column: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The function of a column of texts, called with its distinct ones; null stays null."""
    texts, places = Distinct.of(column)
    return Distinct(function(texts), places).column


def once_if_repeated(column: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The same where most texts stand in several rows, else the function of the whole column."""
    distinct = Distinct.if_repeated(column)
    if distinct is None:
        return function(column)
    return Distinct(function(distinct.texts), distinct.places).column
