"""Files of samples -> polars frames: JSONL, Parquet, CSV; the faulty line named or skipped."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SamplesError

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


def read_frame(path: str | Path, on_error: str = "stop") -> tuple[pl.DataFrame, list[int]]:
    """The rows of a file and the numbers (from 1) of the lines that were skipped.

    Raises:
        SamplesError: no such file, an unknown suffix, an empty file, or (on_error="stop") a
            malformed line, named by file and line number.
    """
    if on_error not in ("stop", "skip"):
        raise SamplesError(f"on_error is {on_error!r}; choose 'stop' or 'skip'.")
    path = Path(path)
    kind, packed = _format(path)
    try:
        frame, skipped = _read(path, kind, packed, on_error)
    except OSError as error:
        raise SamplesError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not len(frame):
        raise SamplesError(f"{path} holds no samples.")
    return frame, skipped


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


def _read(path: Path, kind: str, packed: bool, on_error: str) -> tuple[pl.DataFrame, list[int]]:
    import polars as pl

    if path.stat().st_size == 0:
        return pl.DataFrame(), []
    source = io.BytesIO(gzip.decompress(path.read_bytes())) if packed else path
    try:
        return _parse(source, kind), []
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:200]
    if kind == "parquet":
        raise SamplesError(f"{path} is no readable Parquet file: {reason}.")
    bad = _faults(path, kind, packed)
    first = next(bad, None)
    if first is None:
        raise SamplesError(f"{path}: the columns cannot be typed: {reason}.")
    line, what = first
    if on_error == "stop":
        raise SamplesError(
            f"{path}, line {line}: {what}; mend it, or skip such lines with on_error='skip'."
        )
    skipped = [line, *(number for number, _ in bad)]
    return _without(path, kind, packed, set(skipped)), skipped


def _parse(source: Path | io.BytesIO, kind: str) -> pl.DataFrame:
    import polars as pl

    if kind == "jsonl":
        return pl.read_ndjson(source, infer_schema_length=None)
    if kind == "parquet":
        return pl.read_parquet(source)
    separator = "\t" if kind == "tsv" else ","
    return pl.read_csv(source, separator=separator, infer_schema_length=10_000)


def _lines(path: Path, packed: bool) -> Iterator[bytes]:
    with gzip.open(path) if packed else path.open("rb") as stream:
        yield from stream


def _faults(path: Path, kind: str, packed: bool) -> Iterator[tuple[int, str]]:
    """(line number, what is wrong) of every malformed line."""
    if kind == "jsonl":
        yield from _json_faults(_lines(path, packed))
        return
    text = (line.decode("utf-8", "replace") for line in _lines(path, packed))
    reader = csv.reader(text, delimiter="\t" if kind == "tsv" else ",")
    header = next(reader, [])
    before = reader.line_num
    for row in reader:
        if row and len(row) != len(header):
            yield before + 1, f"{len(row)} fields where the header has {len(header)}"
        elif "\ufffd" in "".join(row):
            yield before + 1, "not valid UTF-8"
        before = reader.line_num


def _json_faults(lines: Iterator[bytes]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except UnicodeDecodeError:
            yield number, "not valid UTF-8"
        except ValueError as error:
            yield number, f"not valid JSON ({error})"
        except RecursionError:
            yield number, "nested too deeply"
        else:
            if not isinstance(value, dict):
                yield number, "a JSON value that is not an object"


def _without(path: Path, kind: str, packed: bool, skipped: set[int]) -> pl.DataFrame:
    kept = (line for k, line in enumerate(_lines(path, packed), 1) if k not in skipped)
    buffer = io.BytesIO(b"".join(kept))
    if not buffer.getbuffer().nbytes:
        raise SamplesError(f"{path} has no well-formed line.")
    return _parse(buffer, kind)
