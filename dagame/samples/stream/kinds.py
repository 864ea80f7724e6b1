"""Kinds of columns that parts of a table agree on, and parts brought to them."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import SamplesError
from ..files.nested import as_texts
from ..lazy import pl

_EXACT = 1 << 53


def agreed(
    name: str, known: Mapping[str, pl.DataType], found: Mapping[str, pl.DataType]
) -> dict[str, pl.DataType]:
    """The kind of every column of a file, of which a part is found to have these.

    Raises:
        SamplesError: a column of two kinds, which only the whole file can be read as.
    """
    out = dict(known)
    for column, kind in found.items():
        both = _both(out[column], kind) if column in out else kind
        if both is None:
            raise SamplesError(
                f"{name}: column {column!r} holds {out[column]} in one part of the file and {kind} in "
                "another; give it one kind, or leave out --max-memory to read the file at once."
            )
        out[column] = both
    return out


def _both(a: pl.DataType, b: pl.DataType) -> pl.DataType | None:
    if a == b or b == pl.Null:
        return a
    if a == pl.Null:
        return b
    numbers = (pl.Int64, pl.Float64)
    return pl.Float64() if a in numbers and b in numbers else None


def conformed(
    frame: pl.DataFrame, own: Mapping[str, pl.DataType], final: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    """A part with all columns, of their file's kinds first, then of those of all files.

    Raises:
        SamplesError: whole numbers of 2^53 and above beside decimal ones.
    """
    made = frame.with_columns(
        pl.lit(None, dtype=kind).alias(name)
        for name, kind in final.items()
        if name not in frame.columns
    ).select(list(final))
    return made.with_columns(
        _cast(made[name], own.get(name, kind), kind) for name, kind in final.items()
    )


def _cast(column: pl.Series, own: pl.DataType, final: pl.DataType) -> pl.Series:
    if column.dtype == pl.Int64 and own == pl.Float64:
        largest = max(abs(column.max() or 0), abs(column.min() or 0))  # type: ignore[arg-type]
        if largest >= _EXACT:
            raise SamplesError(
                f"column {column.name!r} has decimal numbers and whole ones of 2^53 and above; write "
                "it as text."
            )
    if final == pl.String and own not in (pl.String, pl.Null):
        return as_texts(column.name, column.cast(own).to_list())
    return column if column.dtype == final else column.cast(own).cast(final)
