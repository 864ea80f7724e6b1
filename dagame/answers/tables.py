"""Delimited text -> rows, faulty records named, and columns typed only where no digit is lost."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_BLOCK = 50_000
_INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"
_REAL = r"^-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,17})?(?:[eE][-+]?[0-9]{1,2})?$"


def read_rows(data: bytes, separator: str) -> tuple[Iterator[list[str]], list[tuple[int, str]]]:
    """The records, header first, and a list that fills with (first line, fault) as they are read.

    Faults: another number of fields than the header, quotes that do not close or end within a
    field, bytes that are no UTF-8.
    """
    faults: list[tuple[int, str]] = []
    return _records(data, separator, faults), faults


def _records(data: bytes, separator: str, faults: list[tuple[int, str]]) -> Iterator[list[str]]:
    stream = io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline="")
    reader = csv.reader(stream, delimiter=separator, strict=True)
    width, end = None, 0
    while True:
        begin, row = end + 1, []
        try:
            with _fields_of_any_size(len(data)):
                row = next(reader)
            "".join(row).encode()
        except StopIteration:
            return
        except csv.Error as error:
            faults.append((begin, f"badly quoted ({error})"))
            row = []
        except UnicodeEncodeError:
            faults.append((begin, "not valid UTF-8"))
            row = []
        end = reader.line_num
        width = width or len(row)
        if row and len(row) != width:
            faults.append((begin, f"{len(row)} fields where the header has {width}"))
        elif row:
            yield row


@contextmanager
def _fields_of_any_size(size: int) -> Iterator[None]:
    before = csv.field_size_limit(size + 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def text_frame(header: list[str], rows: Iterator[list[str]]) -> pl.DataFrame:
    """All columns as text, empty fields null."""
    import polars as pl

    blocks = [pl.DataFrame(schema=dict.fromkeys(header, pl.String))]
    while block := list(islice(rows, _BLOCK)):
        columns = zip(header, zip(*block, strict=True), strict=True)
        blocks.append(pl.DataFrame({name: pl.Series(values) for name, values in columns}))
    frame = pl.concat(blocks)
    return frame.with_columns(pl.when(pl.all() != "").then(pl.all()).name.keep())


def typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of plain integers, decimals or truth values as such; "01" or "1e400" stay text."""
    import polars as pl

    def those(pattern: str) -> set[str]:
        if not len(frame):
            return set()
        match = frame.select(pl.all().str.contains(pattern).all() & pl.all().is_not_null().any())
        return {name for name, yes in match.row(0, named=True).items() if yes}

    integers, truths = those(_INTEGER), those("^(?:true|false|True|False)$")
    reals = those(_REAL) - integers
    return frame.with_columns(
        pl.col(integers).cast(pl.Int64),
        pl.col(reals).cast(pl.Float64),
        pl.col(truths).str.to_lowercase() == "true",
    )
