"""What is read of a column of texts, read once of each distinct one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import polars as pl


class Distinct(NamedTuple):
    """The distinct texts of a column, as they first occur, and the place of each row's among them, null for
    null.
    """

    texts: pl.Series
    places: pl.Series

    @classmethod
    def of(cls, column: pl.Series) -> Distinct:
        """Of a column of texts."""
        import polars as pl

        own = pl.Categorical(pl.Categories.random())  # numbered from 0, whatever else is in use
        places = column.cast(pl.String).cast(own).to_physical()
        rows, known = np.arange(len(column)), places.is_not_null()
        if not known.all():
            rows = rows[known.to_numpy()]
        first = np.empty(int(places.max() or 0) + 1 if len(rows) else 0, dtype=np.int64)
        first[places.drop_nulls().to_numpy()[::-1]] = rows[
            ::-1
        ]  # of equal ones the first is written last
        return cls(column.gather(first), places)


def each_once(column: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The function of a column of texts, called with its distinct ones; null stays null."""
    texts, places = Distinct.of(column)
    return function(texts).gather(places)


def once_if_repeated(column: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The same where most texts stand in several rows, else the function of the whole column."""
    import polars as pl

    count = column.to_frame("text").select(pl.col("text").approx_n_unique()).item()
    return each_once(column, function) if 2 * count <= len(column) else function(column)


def on_all_cores(texts: pl.Series, made: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    """What an expression makes of each text of a column, parts of it side by side."""
    import polars as pl

    lazy = texts.to_frame("text").lazy().select(made(pl.col("text")).alias(texts.name))
    return lazy.collect(engine="streaming").to_series()
