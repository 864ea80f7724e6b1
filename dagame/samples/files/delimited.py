"""Delimited text -> rows, faulty records named, and columns typed only where no digit is lost."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from ..lazy import pl

Faults = list[tuple[int, str]]

_BLOCK = 50_000
_INTEGER = r"^(?:0|-?[1-9][0-9]{0,17})$"
_REAL = r"^-?(?:0|[1-9][0-9]{0,16})(?:\.[0-9]{1,20})?(?:[eE][-+]?[0-9]{1,2})?$"
_QUOTED = re.compile(rb'(?<![^,;\t\r\n])"[^"]*+(?:""[^"]*+)*+"')
_HEADER = re.compile(rb"[\r\n]*((?:" + _QUOTED.pattern + rb"|[^\r\n])*+)")
_LIMIT = Lock()


def separator_of(kind: str, data: bytes) -> tuple[str, str | None]:
    """The sign between fields, and what is said of it where the kind does not tell.

    Of CSV the header decides: a comma, or where it has none outside quotes a semicolon or a tab.
    """
    found = _HEADER.match(data)
    header = _QUOTED.sub(b"", found[1]) if found else b""
    if kind == "tsv" or (b"," not in header and b"\t" in header):
        return "\t", None if kind == "tsv" else "fields are separated by tabs"
    if b"," not in header and b";" in header:
        return ";", "fields are separated by semicolons"
    return ",", None


def read_table(data: bytes, separator: str) -> tuple[list[str], pl.DataFrame, Faults]:
    """The header, the other records as columns "0", "1", ... of text, and the faulty lines.

    Faults: another number of fields than the header, quotes that do not close or end within a
    field, bytes that are no UTF-8. A record whose quotes are in order is faulty with all its lines;
    where they are not, its first line is, and reading goes on at the next one. Empty fields are
    null. The header is empty where a fault comes before it.
    """
    frame = None if b'"' in data else _split(data, separator)
    if frame is not None:
        return frame
    faults: Faults = []
    with _fields_of_any_size(len(data)):
        rows = _records(data, separator, faults)
        header = next(rows, [])
        if faults or not header:
            return [], pl.DataFrame(), faults
        return header, _text_frame(len(header), rows), faults


def _split(data: bytes, separator: str) -> tuple[list[str], pl.DataFrame, Faults] | None:
    """The same for text without quotes, where lines are records; None where that is not so."""
    data = data.replace(b"\r\n", b"\n")
    try:
        lines = pl.Series("line", [] if b"\r" in data else data.decode().split("\n"))
    except UnicodeDecodeError:
        return None
    table = lines.to_frame().with_row_index("number", 1).filter(pl.col("line") != "")
    if not len(table):
        return None
    header = table["line"][0].split(separator)
    width = len(header)
    signs = pl.col("line").str.count_matches(separator, literal=True)
    table = table[1:].with_columns(width=signs + 1)
    wrong = table.filter(pl.col("width") != width)
    faults = [(n, _wrong_width(w, width)) for n, w in wrong.select("number", "width").iter_rows()]
    fields = table.filter(pl.col("width") == width)["line"].str.split_exact(separator, width - 1)
    frame = fields.struct.rename_fields([str(k) for k in range(width)]).struct.unnest()
    return header, _without_empty(frame), faults


def _wrong_width(found: int, width: int) -> str:
    return f"{found} fields where the header has {width}"


def _records(data: bytes, separator: str, faults: Faults) -> Iterator[list[str]]:
    """The records that are in order; the faults of the others are added."""
    lines, valid, width = _Lines(data), _is_utf8(data), 0
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while lines.at < len(lines.all):
        begin = lines.begin = lines.at
        try:
            row = next(reader)
        except csv.Error as error:
            faults.append((begin + 1, f"badly quoted ({error})"))
            lines.skip_fault()
            reader = csv.reader(lines, delimiter=separator, strict=True)
            continue
        width = width or len(row)
        fault = _fault(row, width, valid)
        if fault:
            faults += [(number, fault) for number in range(begin + 1, lines.at + 1)]
        elif row:
            yield row


def _fault(row: list[str], width: int, valid: bool) -> str | None:
    if not valid and not _is_utf8("".join(row).encode("utf-8", "surrogateescape")):
        return "not valid UTF-8"
    return _wrong_width(len(row), width) if row and len(row) != width else None


class _Lines:
    """The lines from `at` on, for the CSV parser.

    After a fault the parser starts again one line later. A record that begins before `broken`, the last
    line that the faulty record reached, gets one line only: a quote that it leaves open would lead to the
    same fault. So no line is read more than twice.
    """

    def __init__(self, data: bytes) -> None:
        self.all = list(io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline=""))
        self.at = self.begin = self.broken = 0

    def __iter__(self) -> Iterator[str]:
        while self.at < len(self.all) and not self.begin < self.at <= self.broken:
            self.at += 1
            yield self.all[self.at - 1]

    def skip_fault(self) -> None:
        """Go on behind the first line of a faulty record."""
        self.broken, self.at = max(self.broken, self.at - 1), self.begin + 1


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def _fields_of_any_size(size: int) -> Iterator[None]:
    """csv's bound on a field, which is one for all threads, out of the way."""
    with _LIMIT:
        before = csv.field_size_limit(size + 1)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _text_frame(width: int, rows: Iterator[list[str]]) -> pl.DataFrame:
    names = [str(k) for k in range(width)]
    blocks = [pl.DataFrame(schema=dict.fromkeys(names, pl.String))]
    while block := list(islice(rows, _BLOCK)):
        columns = zip(names, zip(*block, strict=True), strict=True)
        blocks.append(pl.DataFrame({name: pl.Series(values) for name, values in columns}))
    return _without_empty(pl.concat(blocks))


def _without_empty(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.when(pl.all() != "").then(pl.all()).name.keep())


@dataclass(frozen=True)
class Kinds:
    """Columns of text by what all of their values are written as; `filled` have any at all."""

    integers: frozenset[str]
    truths: frozenset[str]
    reals: frozenset[str]
    filled: frozenset[str]

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Kinds:
        """Of the values of a table; a column without any is of every kind."""

        def those(pattern: str) -> frozenset[str]:
            match = frame.select(pl.all().str.contains(pattern).all())
            return frozenset(n for n, yes in match.row(0, named=True).items() if yes is not False)

        if not len(frame):
            every = frozenset(frame.columns)
            return cls(every, every, every, frozenset())
        reals = frozenset(name for name in those(_REAL) if _keeps_digits(frame[name]))
        filled = frozenset(c.name for c in frame if c.null_count() < len(c))
        return cls(those(_INTEGER), those("^(?:true|false|True|False)$"), reals, filled)

    def __and__(self, other: Kinds) -> Kinds:
        """Of the values of both of two parts of a table."""
        return Kinds(
            self.integers & other.integers,
            self.truths & other.truths,
            self.reals & other.reals,
            self.filled | other.filled,
        )

    def cast(
        self, frame: pl.DataFrame, text: Collection[str] = (), labels: Collection[str] = ()
    ) -> pl.DataFrame:
        """Every column as what it is; see `typed`."""
        free = self.filled - set(text)
        integers = self.integers & free
        truths = (self.truths & free) - set(labels)
        reals = (self.reals & free) - integers - set(labels)
        return frame.with_columns(
            pl.col(sorted(integers)).cast(pl.Int64),
            pl.col(sorted(reals)).cast(pl.Float64),
            pl.col(sorted(truths)).str.to_lowercase() == "true",
        )


def typed(
    frame: pl.DataFrame, text: Collection[str] = (), labels: Collection[str] = ()
) -> pl.DataFrame:
    """Columns of plain integers, decimals or truth values as such; "01" or "1e400" stay text.

    Decimals are numbers where float64 keeps every digit but zeros at the end. The columns `text`
    stay text, and `labels`, which are told apart by how they are written, unless they are integers.
    """
    return Kinds.of(frame).cast(frame, text, labels)


def _keeps_digits(column: pl.Series) -> bool:
    """Whether the shortest text of each float64 has the digits of the text it was read from."""
    read = column.cast(pl.Float64).cast(pl.String)
    return bool((_digits(column) == _digits(read)).all())


def _digits(column: pl.Series) -> pl.Series:
    plain = column.str.replace("[eE].*$", "").str.replace_all("[-.]", "")
    return plain.str.strip_chars_start("0").str.strip_chars_end("0")
