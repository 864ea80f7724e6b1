"""Files of samples -> polars frames: JSON, Parquet, CSV; the faulty line named or skipped."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ...errors import SamplesError, one_line
from ..cores import on_all_cores
from ..lazy import pl
from .containers import contents, shown
from .delimited import Faults, read_table, separator_of, typed
from .formats import open_document
from .json_rows import as_lines, check_size, first_record, read_lines, records_of, stop
from .packed import MOST_UNPACKED
from .survey import DEEPEST

__all__ = ["DEEPEST", "MOST_UNPACKED", "Rows", "read_frame", "read_rows"]


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one file as they stand in it.

    frame: columns of mixed kinds as text; lines: the JSON of the rows, None for tables; skipped: the
    numbers (from 1) of the lines, or rows of a document, that were left out; said: how it was opened;
    added: columns that the file does not have itself.
    """

    name: str
    frame: pl.DataFrame
    lines: bytes | None = None
    skipped: tuple[int, ...] = ()
    said: str | None = None
    added: tuple[tuple[str, str], ...] = ()

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The rows as Python's own values, nested as in the file."""
        if self.lines is None:
            return self.frame.to_dicts()
        return [{**row, **dict(self.added)} for row in records_of(self.lines)]

    @cached_property
    def first(self) -> dict[str, Any]:
        """The first row."""
        return self.frame[:1].to_dicts()[0] if self.lines is None else first_record(self.lines)

    def with_value(self, column: str, value: str) -> Rows:
        """The same rows with one more column, of one value."""
        frame = self.frame.with_columns(pl.lit(value).alias(column))
        return replace(self, frame=frame, added=((column, value),))

    def is_text(self, column: str) -> bool:
        """Whether a column holds nothing but text and null; JSON text may be a nested value's."""
        values = self.frame[column]
        if values.dtype != pl.String or self.lines is None:
            return values.dtype == pl.String
        if not on_all_cores(values, lambda each: each.str.contains(r"^\s*[\[{]").any()).item():
            return True
        return all(isinstance(row.get(column), str | None) for row in self.records)


def read_rows(
    path: str | Path,
    on_error: str = "stop",
    *,
    kind: str | None = None,
    rows: str | None = None,
    text: Collection[str] = (),
    labels: Collection[str] = (),
    wanted: tuple[str, ...] = (),
) -> Rows:
    """The rows of one file, of `kind` where its name does not say it; see `read_frame`.

    `rows` is the path of the list in a JSON document that is an object, `wanted` are columns that
    make such an object a row of its own.

    Raises:
        SamplesError: see `read_frame`.
    """
    check_on_error(on_error)
    name = shown(path)
    kind, data = contents(path, kind)
    opener = partial(open_document, path=rows, wanted=wanted)
    made = _parsed(name, data, kind, on_error, opener)
    if kind in ("csv", "tsv"):
        made = replace(made, frame=typed(made.frame, text, labels))
    if not len(made.frame) or not made.frame.width:
        raise no_rows(name, bool(made.skipped))
    return made


def check_on_error(on_error: str) -> None:
    """`SamplesError` unless it says what to do at a fault."""
    if on_error not in ("stop", "skip"):
        raise SamplesError(f"on_error is {on_error!r}; choose 'stop' or 'skip'.")


def no_rows(name: str, skipped: bool) -> SamplesError:
    """The error of a file without samples."""
    return SamplesError(f"{name} {'has no well-formed line' if skipped else 'holds no samples'}.")


def read_frame(
    path: str | Path,
    on_error: str = "stop",
    *,
    text: Collection[str] = (),
    labels: Collection[str] = (),
) -> tuple[pl.DataFrame, list[int]]:
    """The rows of a file and the numbers (from 1) of the lines that were skipped.

    Columns of mixed types become text, nested values as JSON. Of two equal keys in a JSON object
    the first counts. CSV is quoted as in RFC 4180, an empty field is null, and a record is named by
    its lines; behind a line whose quotes are not in order the next line is taken for a record. Of
    CSV the columns `text` stay text, and `labels`, the names of things, unless they are integers.

    Raises:
        SamplesError: no such file, an unknown suffix, an empty or damaged file, other contents than
            the suffix says, or (on_error="stop") a malformed line, named by file and line number.
    """
    made = read_rows(path, on_error, text=text, labels=labels, wanted=(*text, *labels))
    return made.frame, list(made.skipped)


def _parsed(
    name: str,
    data: bytes,
    kind: str,
    on_error: str,
    opener: Callable[[Any], tuple[list[Any], str | None]],
) -> Rows:
    with by_polars(name, kind):
        if kind == "parquet":
            return Rows(name, _parquet(name, data))
        if kind in ("json", "document"):
            return _json(name, data, on_error, opener, whole=kind == "document")
        separator, said = separator_of(kind, data)
        frame, faults = delimited_frame(name, data, separator, on_error)
        return Rows(name, frame, None, tuple(line for line, _ in faults), said)
    raise AssertionError


@contextmanager
def by_polars(name: str, kind: str) -> Iterator[None]:
    """`SamplesError` where polars cannot read a file."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        what = "is no readable Parquet file" if kind == "parquet" else "has columns of unclear type"
        raise SamplesError(f"{name} {what}: {one_line(error, 200)}.") from None


def _json(
    name: str,
    data: bytes,
    on_error: str,
    opener: Callable[[Any], tuple[list[Any], str | None]],
    whole: bool,
) -> Rows:
    try:
        lines, left_out, said = as_lines(name, data, opener, whole=whole)
        if left_out and on_error == "stop":
            stop(name, left_out[0], "row")
    except SamplesError as error:
        if str(error).startswith(name):
            raise
        raise SamplesError(f"{name}: {error}") from None
    frame, lines, faults = read_lines(name, lines, on_error, "line" if lines is data else "row")
    skipped = sorted({number for number, _ in (*left_out, *faults)})
    return Rows(name, frame, lines, tuple(skipped), said)


def _parquet(name: str, data: bytes) -> pl.DataFrame:
    lazy = pl.scan_parquet(io.BytesIO(data))
    check_size(name, lazy.select(pl.len()).collect().item(), len(lazy.collect_schema()))
    return pl.read_parquet(io.BytesIO(data))


def delimited_frame(
    name: str, data: bytes, separator: str, on_error: str
) -> tuple[pl.DataFrame, Faults]:
    """Delimited text as columns of text under their names, and the faulty lines."""
    header, frame, faults = read_table(data, separator)
    if faults and not header:
        raise SamplesError(f"{name}, line {faults[0][0]}, the header: {faults[0][1]}.")
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise SamplesError(f"{name} has two columns called {twice[0]!r}.")
    if faults and on_error == "stop":
        stop(name, faults[0])
    return frame.rename(dict(zip(frame.columns, header, strict=True))), faults
