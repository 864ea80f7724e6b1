"""JSON -> rows: lines of objects, or one document (a list, an object that holds it, columns).

A document becomes lines, so that both are read by the same code: by polars, and where it may misread
a line by Python's strict parser. Of two equal keys in an object the first counts.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import accumulate
from typing import Any, NoReturn

from ...errors import SamplesError
from ..lazy import pl
from .delimited import Faults
from .survey import DEEPEST, Survey, survey

_FIRST_LINES = 10_000
"""Lines that the types of the columns are tried on, before all lines are."""
MOST_CELLS = 500_000_000
"""Rows times columns of the table; lines with keys of their own make it large in small files."""

Opener = Callable[[Any], tuple[list[Any], str | None]]
"""A document's value -> its rows, and what to say of how they were found."""


def check_size(name: str, rows: int, columns: int) -> None:
    """Refuse a table of more than `MOST_CELLS` cells."""
    if rows * columns > MOST_CELLS:
        raise SamplesError(
            f"{name} would be a table of {rows:,} rows and {columns:,} columns, more than "
            f"{MOST_CELLS:,} cells; leave out columns or split it."
        )


def stop(name: str, fault: tuple[int, str], unit: str = "line") -> NoReturn:
    """Refuse a file at its first fault."""
    raise SamplesError(
        f"{name}, {unit} {fault[0]}: {fault[1]}; correct it, or skip such {unit}s with --on-error skip "
        "(on_error='skip')."
    )


# -- documents ------------------------------------------------------------------------------------


def as_lines(
    name: str, data: bytes, open_document: Opener, *, whole: bool = False
) -> tuple[bytes, Faults, str | None]:
    """One object a line, whatever the JSON was; the rows left out, and a word on how it was opened.

    Lines of objects are returned as they are, faulty ones included, but for a `whole` document.

    Raises:
        SamplesError: a document that is damaged, too deep, or holds no list of objects.
    """
    start = NOT_BLANK.search(data)
    begin = start.start() if start else 0
    opens = start is not None and data[begin : begin + 1] in (b"[", b"{")
    if start is None or not (whole or (opens and not has_lines(data, begin))):
        return data, [], None
    try:
        value = _document(name, data)
    except ValueError as error:
        if not (whole or _is_of_document(error, data, begin)):
            return data, [], None
        raise _no_document(name, error) from None
    rows, said = open_document(value)
    if not whole and len(rows) == 1 and rows[0] is value and b"\n" not in data.strip():
        return data, [], None
    return *_dumped(rows), said


def _is_of_document(error: ValueError, data: bytes, start: int) -> bool:
    """Whether what is wrong is so with a document, and not with the first of many lines."""
    at_end = isinstance(error, _JsonError) and not error.doc[error.pos :].strip()
    several = _line(data, start)[1] >= 0
    return (several and at_end) or _is_spread(data, start)


def _no_document(name: str, error: ValueError) -> SamplesError:
    if isinstance(error, SamplesError):
        return error
    where = f"line {error.lineno}: {error.msg}" if isinstance(error, _JsonError) else str(error)
    return SamplesError(f"{name} is no whole JSON document: {where}.")


NOT_BLANK = re.compile(rb"\S")
_JsonError = json.JSONDecodeError


def _line(data: bytes, start: int) -> tuple[bytes, int]:
    """The line at `start`, and where the next one that is not blank begins, -1 behind the last."""
    end = data.find(b"\n", start)
    if end < 0:
        return data[start:], -1
    following = NOT_BLANK.search(data, end)
    return data[start:end], -1 if following is None else following.start()


def has_lines(data: bytes, start: int) -> bool:
    """Whether the first line is a JSON value of its own and others follow."""
    line, following = _line(data, start)
    return following >= 0 and _value(line) is not None


def _is_spread(data: bytes, start: int) -> bool:
    """Whether the first line opens a document that goes on in the next one."""
    line, following = _line(data, start)
    if data[start : start + 1] == b"[":
        opens = following < 0 or line.rstrip().endswith((b"[", b"{", b","))
    else:
        opens = line.strip() == b"{" or line.rstrip().endswith(b"[")
    return opens and (following < 0 or not isinstance(_value(_line(data, following)[0]), dict))


def is_no_document(data: bytes, start: int) -> bool:
    """Whether lines that begin a file, the first at `start`, begin no JSON document, whatever follows."""
    try:
        _document("", data)
    except _JsonError as error:
        return bool(error.doc[error.pos :].strip()) and not _is_spread(data, start)
    except ValueError:
        return False
    return False


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _document(name: str, data: bytes) -> Any:
    """The value of a document, or the list of several objects that follow each other."""
    if _depth(data) > DEEPEST + 8:
        raise SamplesError(f"{name} is nested deeper than {DEEPEST} levels.")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError("not valid UTF-8") from None
    values, at = [], 0
    while (start := _TEXT.search(text, at)) is not None:
        if values and "\n" not in text[at : start.start()]:
            raise ValueError("more behind the end of a JSON value")
        value, at = _DECODER.raw_decode(text, start.start())
        values.append(value)
        if len(values) > 1 and not (isinstance(values[0], dict) and isinstance(value, dict)):
            raise ValueError("several JSON values that are not all objects")
    return values[0] if len(values) == 1 else values


_TEXT = re.compile(r"[^ \t\r\n]")


def _depth(data: bytes) -> int:
    """The deepest nesting outside of strings."""
    if data.count(b"[") + data.count(b"{") <= DEEPEST:
        return 0
    import numpy as np

    signs = np.frombuffer(_STRING.sub(b"", data), np.uint8)
    opened = ((signs == ord("[")) | (signs == ord("{"))).astype(np.int32)
    closed = ((signs == ord("]")) | (signs == ord("}"))).astype(np.int32)
    return int(np.max(np.cumsum(opened - closed), initial=0))


def _dumped(rows: list[Any]) -> tuple[bytes, Faults]:
    lines, faults = [], []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            faults.append((number, "a JSON value that is not an object"))
            lines.append(b"\n")
            continue
        try:
            lines.append(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        except UnicodeEncodeError:
            faults.append((number, _HALF))
            lines.append(b"\n")
    return b"".join(lines), faults


# -- lines ----------------------------------------------------------------------------------------


def read_lines(
    name: str, data: bytes, on_error: str, unit: str = "line"
) -> tuple[pl.DataFrame, bytes, Faults]:
    """The frame, the lines that it has the rows of, and the faulty ones.

    By polars; lines that it may misread, and all where it fails, by Python's strict parser.
    """
    found = survey(data)
    faults = list(faults_of(data, found.doubtful)) if found.doubtful else []
    if not faults:
        try:
            return _typed_lines(name, data, found), data, []
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            pass
    faults = list(faults_of(data))
    if not faults:
        texts = _with_text_for_mixtures(data)
        return _typed_lines(name, texts, survey(texts)), data, []
    if on_error == "stop":
        stop(name, faults[0], unit)
    bad = {number for number, _ in faults}
    kept = b"".join(line for k, line in enumerate(io.BytesIO(data), 1) if k not in bad)
    frame, kept, _ = read_lines(name, kept, "stop")
    return frame, kept, faults


def records_of(lines: bytes) -> list[dict[str, Any]]:
    """The rows of well-formed lines as Python's own values."""
    return [_DECODER.decode(line.decode()) for line in io.BytesIO(lines) if not line.isspace()]


def first_record(lines: bytes) -> dict[str, Any]:
    """The first of them; empty where there is none."""
    for line in io.BytesIO(lines):
        if not line.isspace():
            return _DECODER.decode(line.decode())
    return {}


_HALF = "half of a surrogate pair, which is no character"


def _typed_lines(name: str, data: bytes, found: Survey) -> pl.DataFrame:
    rows = found.lines
    if not rows:
        return pl.DataFrame()
    frame = _by_first_lines(name, data, found)
    if frame is not None:
        return frame
    schema = pl.scan_ndjson(data, infer_schema_length=None).collect_schema()
    check_size(name, rows, len(schema))
    frame = pl.read_ndjson(data, schema=schema)
    if len(frame) != rows:
        raise pl.exceptions.ShapeError(f"{rows:,} lines were read as {len(frame):,} rows")
    wide = [column for column, kind in frame.schema.items() if kind == pl.Int128]
    return frame.with_columns(pl.col(wide).cast(pl.String)) if wide else frame


def _by_first_lines(name: str, data: bytes, found: Survey) -> pl.DataFrame | None:
    """The frame by the types of the first lines; None unless all lines would have given the same types.

    They would: every key is one of those columns, since there are no more keys than these have, and
    no value is of another kind: polars refuses one but in a column of text, where a nested value
    begins with a bracket, and any plain one makes a column with a text in it one of text.
    """
    if found.lines <= _FIRST_LINES or not _refuses_other_kinds():
        return None
    schema = pl.scan_ndjson(data, infer_schema_length=_FIRST_LINES).collect_schema()
    if not {*schema.dtypes()} <= {pl.String, pl.Int64, pl.Float64, pl.Boolean}:
        return None
    check_size(name, found.lines, len(schema))
    try:
        frame = pl.read_ndjson(data, schema=schema)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    keys = sum(
        data.count(json.dumps(column.name).encode() + b":") if column.null_count() else len(frame)
        for column in frame
    )
    if len(frame) != found.lines or keys != found.keys:
        return None
    return None if _has_brackets(frame) else frame


def _has_brackets(frame: pl.DataFrame) -> bool:
    """Whether a text begins as a nested value does."""
    text = pl.col(pl.String).str
    nested = frame.select((text.starts_with("[") | text.starts_with("{")).any())
    return bool(nested.width) and any(nested.row(0))


@cache
def _refuses_other_kinds() -> bool:
    """Whether polars raises where a value is not of its column's type; early versions made it null."""
    try:
        pl.read_ndjson(b'{"a": 1}\n{"a": 1.5}\n{"a": "x"}\n', schema={"a": pl.Int64})
    except pl.exceptions.PolarsError:
        return True
    return False


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


def faults_of(data: bytes, only: set[int] | None = None) -> Iterator[tuple[int, str]]:
    """(line number, what is wrong) of every malformed line, or of those among some."""
    for number, line in enumerate(io.BytesIO(data), 1):
        if not line.isspace() and (only is None or number in only):
            fault = _fault(line)
            if fault:
                yield number, fault


_TOO_DEEP = f"nested deeper than {DEEPEST} levels"


def _fault(line: bytes) -> str | None:
    """What is wrong with a line."""
    if line.count(b"[") + line.count(b"{") > DEEPEST:
        signs = re.findall(rb"[\[{}\]]", _STRING.sub(b"", line))
        if max(accumulate(1 if s in b"[{" else -1 for s in signs), default=0) > DEEPEST:
            return _TOO_DEEP
    try:
        value = json.loads(line.decode(), **_NUMBERS)
        if b"\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _HALF
    except UnicodeDecodeError:
        return "not valid UTF-8"
    except ValueError as error:
        return f"not valid JSON ({error})"
    except RecursionError:
        return _TOO_DEEP
    return None if isinstance(value, dict) else "a JSON value that is not an object"


def _with_text_for_mixtures(data: bytes) -> bytes:
    """The same lines with JSON text for the values of nested columns and of columns of mixed kinds."""
    rows = records_of(data)
    kinds: dict[str, set[type]] = defaultdict(set)
    for row in rows:
        for key, value in row.items():
            if value is not None:
                kinds[key].add(float if type(value) is int else type(value))
    mixed = {key for key, found in kinds.items() if len(found) > 1 or found & {list, dict}}
    for row in rows:
        for key in mixed & row.keys():
            if row[key] is not None and not isinstance(row[key], str):
                row[key] = json.dumps(row[key], ensure_ascii=False)
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large for a number")
    return value


def _integer(text: str) -> int:
    if len(text) > 38:
        raise ValueError(f"{text[:20]}... is too large for a number")
    return int(text)


def _first_of_equal(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else dict(reversed(pairs))


_NUMBERS: Any = {"parse_constant": _no_number, "parse_float": _real, "parse_int": _integer}
_DECODER = json.JSONDecoder(**_NUMBERS, object_pairs_hook=_first_of_equal)
