"""What is read of a column of texts, read once of each distinct one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def each_once(column: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The function of a column of texts, called with its distinct ones; null stays null."""
    import polars as pl

    texts = column.cast(pl.String)
    distinct = texts.drop_nulls().unique()
    table = pl.DataFrame({"text": distinct, "found": function(distinct)})
    frame = pl.DataFrame({"text": texts})
    return frame.join(table, on="text", how="left", maintain_order="left")["found"]


def once_if_repeated(column: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The same where most texts stand in several rows, else the function of the whole column."""
    import polars as pl

    count = column.to_frame("text").select(pl.col("text").approx_n_unique()).item()
    return each_once(column, function) if 2 * count <= len(column) else function(column)
