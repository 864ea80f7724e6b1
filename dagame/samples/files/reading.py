"""Files of samples -> polars frames: JSONL, Parquet, CSV; the faulty line named or skipped.

A file is read once, as long as it is when it is opened, so that one that grows or shrinks meanwhile
cannot be read as two different files.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ...errors import SamplesError
from .delimited import Faults, read_table, typed

if TYPE_CHECKING:
    import polars as pl

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}

MOST_UNPACKED = 256 << 20
"""Bytes that any archive may unpack to; a larger one up to `MOST_RATIO` times its size."""
MOST_RATIO = 200
DEEPEST = 64
"""Levels of nesting in a line of JSON; the time of typing it grows with their square and more."""
MOST_CELLS = 500_000_000
"""Rows times columns of the table; lines with keys of their own make it large in small files."""


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
    if on_error not in ("stop", "skip"):
        raise SamplesError(f"on_error is {on_error!r}; choose 'stop' or 'skip'.")
    path = Path(path)
    try:
        kind, packed = _format(path)
        data = _contents(path, kind, packed)
    except OSError as error:
        raise SamplesError(f"{path} cannot be read: {error.strerror or error}.") from None
    frame, faults = _parse(path, data, kind, on_error)
    if kind in ("csv", "tsv"):
        frame = typed(frame, text, labels)
    if not len(frame) or not frame.width:
        if faults:
            raise SamplesError(f"{path} has no well-formed line.")
        raise SamplesError(f"{path} holds no samples.")
    return frame, [line for line, _ in faults]


# -- the bytes ------------------------------------------------------------------------------------


def _format(path: Path) -> tuple[str, bool]:
    if path.is_dir():
        raise SamplesError(f"{path} is a folder; name one file of samples.")
    if not path.exists():
        raise SamplesError(f"{path} does not exist.")
    if not path.is_file():
        raise SamplesError(f"{path} is not a regular file.")
    packed = path.suffix == ".gz"
    suffix = path.with_suffix("").suffix if packed else path.suffix
    if suffix.lower() not in FORMATS:
        raise SamplesError(
            f"{path} has the suffix {suffix or 'none'!r}; dagame reads "
            f"{', '.join(FORMATS)}, the text ones also with .gz."
        )
    return FORMATS[suffix.lower()], packed


def _contents(path: Path, kind: str, packed: bool) -> bytes:
    """What the file holds now, unpacked; refused where that is not what the suffix says."""
    with path.open("rb") as stream:
        data = stream.read(os.fstat(stream.fileno()).st_size)
    if packed and data:
        data = _unpacked(path, data)
    found = next((what for sign, what in _SIGNS.items() if data.startswith(sign)), None)
    if found is not None and found != kind:
        raise SamplesError(f"{path} holds {found}, which its suffix does not say; {_HELP[found]}.")
    return data.removeprefix(b"\xef\xbb\xbf") if kind != "parquet" else data


_SIGNS = {
    b"PAR1": "parquet",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_HELP = dict.fromkeys(("zstd", "bzip2", "xz", "zip"), "unpack it first") | {
    "parquet": "name it .parquet",
    "gzip": "end its name in .gz",
    "UTF-16": "convert it to UTF-8",
}


def _unpacked(path: Path, data: bytes) -> bytes:
    most = max(MOST_UNPACKED, MOST_RATIO * len(data))
    parts, size, rest = [], 0, data
    try:
        while rest.strip(b"\0"):
            member = zlib.decompressobj(wbits=31)
            while not member.eof:
                part = member.decompress(rest, 1 << 20)
                rest = member.unconsumed_tail
                size += len(part)
                if size > most:
                    raise SamplesError(
                        f"{path} unpacks to more than {MOST_RATIO} times its size; unpack it "
                        "yourself if it is to be trusted."
                    )
                parts.append(part)
                if not part and not rest and not member.eof:
                    raise SamplesError(f"{path} is a truncated gzip file.")
            rest = member.unused_data
    except zlib.error as error:
        raise SamplesError(f"{path} is a damaged gzip file: {error}.") from None
    return b"".join(parts)


# -- the rows -------------------------------------------------------------------------------------


def _parse(path: Path, data: bytes, kind: str, on_error: str) -> tuple[pl.DataFrame, Faults]:
    import polars as pl

    try:
        if kind == "parquet":
            return _parquet(path, data), []
        if kind == "jsonl":
            return _json_lines(path, data, on_error)
        return _csv(path, data, "\t" if kind == "tsv" else ",", on_error)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:200]
    what = "is no readable Parquet file" if kind == "parquet" else "has columns of unclear type"
    raise SamplesError(f"{path} {what}: {reason}.")


def _parquet(path: Path, data: bytes) -> pl.DataFrame:
    import polars as pl

    lazy = pl.scan_parquet(io.BytesIO(data))
    _check_size(path, lazy.select(pl.len()).collect().item(), len(lazy.collect_schema()))
    return pl.read_parquet(io.BytesIO(data))


def _check_size(path: Path, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise SamplesError(
            f"{path} would be a table of {rows:,} rows and {columns:,} columns, more than "
            f"{MOST_CELLS:,} cells; leave out columns or split it."
        )


def _stop(path: Path, fault: tuple[int, str]) -> NoReturn:
    raise SamplesError(
        f"{path}, line {fault[0]}: {fault[1]}; mend it, or skip such lines with on_error='skip'."
    )


def _json_lines(path: Path, data: bytes, on_error: str) -> tuple[pl.DataFrame, Faults]:
    """By polars; lines that it may misread, and all where it fails, by Python's strict parser."""
    import polars as pl

    count, doubtful = _survey(data)
    faults = list(_json_faults(data, doubtful)) if doubtful else []
    if not faults:
        try:
            return _typed_lines(path, data, count), []
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            pass
    faults = list(_json_faults(data))
    if not faults:
        return _typed_lines(path, _with_text_for_mixtures(data), count), []
    if on_error == "stop":
        _stop(path, faults[0])
    bad = {number for number, _ in faults}
    kept = b"".join(line for k, line in enumerate(io.BytesIO(data), 1) if k not in bad)
    frame, _ = _json_lines(path, kept, "stop")
    return frame, faults


_HALF_PAIR = re.compile(
    rb"\\(?:\\u[dD]"  # behind a backslash that may be one itself
    rb"|u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F]))"
)


def _survey(data: bytes) -> tuple[int, set[int]]:
    """The number of lines that are not blank, and the numbers of those that polars might misread.

    It takes half of a surrogate pair for some other character, and deep nesting makes it slow.
    """
    count, doubtful = 0, set()
    pairs = b"\\ud" in data or b"\\uD" in data
    for number, line in enumerate(io.BytesIO(data), 1):
        if not line.isspace():
            count += 1
            deep = line.count(b"[") + line.count(b"{") > DEEPEST
            if deep or (pairs and b"\\u" in line and _HALF_PAIR.search(line)):
                doubtful.add(number)
    return count, doubtful


def _typed_lines(path: Path, data: bytes, rows: int) -> pl.DataFrame:
    import polars as pl

    if not rows:
        return pl.DataFrame()
    schema = pl.scan_ndjson(data, infer_schema_length=None).collect_schema()
    _check_size(path, rows, len(schema))
    frame = pl.read_ndjson(data, schema=schema)
    if len(frame) != rows:
        raise pl.exceptions.ShapeError(f"{rows:,} lines were read as {len(frame):,} rows")
    wide = [name for name, kind in frame.schema.items() if kind == pl.Int128]
    return frame.with_columns(pl.col(wide).cast(pl.String)) if wide else frame


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')


def _json_faults(data: bytes, only: set[int] | None = None) -> Iterator[tuple[int, str]]:
    """(line number, what is wrong) of every malformed line, or of those among some."""
    for number, line in enumerate(io.BytesIO(data), 1):
        if line.isspace() or (only is not None and number not in only):
            continue
        depth = 0
        if line.count(b"[") + line.count(b"{") > DEEPEST:
            signs = re.findall(rb"[\[{}\]]", _STRING.sub(b"", line))
            depth = max(accumulate(1 if s in b"[{" else -1 for s in signs), default=0)
        if depth > DEEPEST:
            yield number, f"nested deeper than {DEEPEST} levels"
            continue
        try:
            value = json.loads(
                line.decode(), parse_constant=_no_number, parse_float=_real, parse_int=_integer
            )
            if b"\\u" in line:
                json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            yield number, "half of a surrogate pair, which is no character"
        except UnicodeDecodeError:
            yield number, "not valid UTF-8"
        except ValueError as error:
            yield number, f"not valid JSON ({error})"
        except RecursionError:
            yield number, f"nested deeper than {DEEPEST} levels"
        else:
            if not isinstance(value, dict):
                yield number, "a JSON value that is not an object"


def _with_text_for_mixtures(data: bytes) -> bytes:
    """The same lines with JSON text for the values of nested columns and of columns of mixed kinds."""
    rows = [json.loads(line) for line in io.BytesIO(data) if not line.isspace()]
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


def _csv(path: Path, data: bytes, separator: str, on_error: str) -> tuple[pl.DataFrame, Faults]:
    header, frame, faults = read_table(data, separator)
    if faults and not header:
        raise SamplesError(f"{path}, line {faults[0][0]}, the header: {faults[0][1]}.")
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise SamplesError(f"{path} has two columns called {twice[0]!r}.")
    if faults and on_error == "stop":
        _stop(path, faults[0])
    return frame.rename(dict(zip(frame.columns, header, strict=True))), faults
