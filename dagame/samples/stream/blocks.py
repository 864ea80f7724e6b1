"""A file of any size -> its rows in parts that fit in memory, the same rows as `read_rows` reads at once.

What a whole file decides (how a line is checked, the kinds of the columns of a CSV) is decided before
its first part is given; what cannot be decided by parts is refused.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import SamplesError
from ..files.containers import KINDS, STDIN, check_regular, checked, readable, shown, suffix_of
from ..files.delimited import Faults, Kinds, separator_of
from ..files.json_rows import NOT_BLANK, faults_of, has_lines, is_no_document, read_lines, stop
from ..files.packed import PIECE, bounded, unpacked_parts
from ..files.reading import Rows, by_polars, delimited_frame, no_rows, read_rows
from ..lazy import pl


class Faulty(Exception):
    """A line is refused: then, as in a file that is read at once, all lines are to be checked alike."""


_WHOLE = 8
"""Parts that a JSON document, which is read at once, may be as long as."""


def blocks(path: str, size: int, options: dict[str, Any], strict: bool = False) -> Iterator[Rows]:
    """The rows of a file, `size` bytes of it at a time; `options` are those of `read_rows`.

    Raises:
        Faulty: begin again, `strict`.
        SamplesError: as `read_rows`; standard input; a long JSON document; a long CSV whose quotes are
            not in order.
    """
    name = shown(path)
    if path == STDIN:
        raise SamplesError(
            "standard input is read whole; name files to read them in parts, or leave out --max-memory."
        )
    with readable(name):
        check_regular(Path(path))
        length = os.stat(path).st_size
    suffix, packed = suffix_of(Path(path))
    kind = options["kind"] or KINDS.get(suffix)
    if kind == "parquet" and packed is None and length > size:
        yield from _parquet(name, path, size)
    elif kind in ("json", "csv", "tsv", None) and (packed or length > size):
        yield from _Text(path, packed, kind, length, size, options, strict).rows()
    else:
        if length > _WHOLE * size:
            raise _too_long(name, kind or "file")
        yield read_rows(path, **options)


def _too_long(name: str, what: str) -> SamplesError:
    return SamplesError(
        f"{name} is a {what} that is read at once, too long for the memory allowed; write it as "
        "JSON lines or Parquet, or allow more by --max-memory."
    )


# -- Parquet --------------------------------------------------------------------------------------


def _parquet(name: str, path: str, size: int) -> Iterator[Rows]:
    with readable(name), by_polars(name, "parquet"):
        with open(path, "rb") as stream:
            checked(name, stream.read(16), "parquet")
        lazy = pl.scan_parquet(path, glob=False)
        count = int(lazy.select(pl.len()).collect().item())
        if not count or not len(lazy.collect_schema()):
            raise no_rows(name, False)
        head = lazy.head(1000).collect()
        step = max(1, int(size / max(head.estimated_size() / len(head), 1)))
        for start in range(0, count, step):
            yield Rows(name, lazy.slice(start, step).collect())


# -- text -----------------------------------------------------------------------------------------


class _Text:
    """A file of lines, or of records, that may be packed."""

    def __init__(
        self,
        path: str,
        packed: str | None,
        kind: str | None,
        length: int,
        size: int,
        options: dict[str, Any],
        strict: bool,
    ) -> None:
        """See `blocks`."""
        self.path, self.packed, self.length = path, packed, length
        self.kind, self.size, self.options = kind, size, options
        self.name, self.strict = shown(path), strict
        self.skip = options["on_error"] == "skip"

    def rows(self) -> Iterator[Rows]:
        """By `read_rows` where a part holds it whole."""
        with self._opened() as (kind, blocks):
            first = next(blocks, b"")
            short = next(blocks, None) is None
        if short or kind not in ("json", "csv", "tsv"):
            yield read_rows(self.path, **self.options)
        elif kind == "json":
            yield from self._json(first)
        else:
            yield from self._some(self._delimited(*separator_of(kind, first)))

    def _some(self, parts: Iterator[Rows]) -> Iterator[Rows]:
        """The parts, one of which must have rows."""
        rows, skipped = 0, False
        for part in parts:
            rows += len(part.frame)
            skipped = skipped or bool(part.skipped)
            yield part
        if not rows:
            raise no_rows(self.name, skipped)

    @contextmanager
    def _opened(self) -> Iterator[tuple[str | None, Iterator[bytes]]]:
        """The kind, and parts that end with a line (of CSV with a record), unpacked within bounds."""
        with readable(self.name), open(self.path, "rb") as stream:
            kind = self.kind
            if self.packed is None:
                parts = _pieces(stream, self.length)
            else:
                parts, inner = unpacked_parts(self.name, stream, self.packed)
                parts = bounded(self.name, parts, self.length)
                kind = self.options["kind"] or KINDS.get(inner, kind or "")
            quoted = kind in ("csv", "tsv")
            yield kind, self._checked(_cut(self.name, parts, self.size, quoted), kind)

    def _checked(self, blocks: Iterator[bytes], kind: str | None) -> Iterator[bytes]:
        for k, block in enumerate(blocks):
            if k or kind not in ("json", "csv", "tsv"):
                yield block
            else:
                yield checked(self.name, block, kind)[1]

    # -- lines of JSON ----------------------------------------------------------------------------

    def _json(self, first: bytes) -> Iterator[Rows]:
        start = NOT_BLANK.search(first)
        begin = 0 if start is None else start.start()
        opens = first[begin : begin + 1] in (b"[", b"{")
        if opens and not (has_lines(first, begin) or is_no_document(first, begin)):
            if self.length * (1 if self.packed is None else 4) > _WHOLE * self.size:
                raise _too_long(self.name, "JSON document")
            yield read_rows(self.path, **self.options)
        else:
            yield from self._some(self._json_lines())

    def _json_lines(self) -> Iterator[Rows]:
        lines = 0
        with self._opened() as (_, blocks):
            for block in blocks:
                made = self._json_part(block, lines)
                lines += block.count(b"\n") + (not block.endswith(b"\n"))
                if len(made.frame) or made.skipped:
                    yield made

    def _json_part(self, block: bytes, before: int) -> Rows:
        faults = list(faults_of(block)) if self.strict else []
        if faults and not self.skip:
            number, what = faults[0]
            stop(self.name, (before + number, what))
        bad = {number for number, _ in faults}
        if bad:
            lines = enumerate(io.BytesIO(block), 1)
            block = b"".join(line for number, line in lines if number not in bad)
        frame, lines, more = read_lines(self.name, block, "skip")
        if more:
            raise Faulty
        if lines is not block:
            raise SamplesError(
                f"{self.name} has a column of values of mixed kinds, which is read at once only; give it "
                "one kind, or leave out --max-memory."
            )
        return Rows(self.name, frame, lines, tuple(sorted(before + number for number in bad)))

    # -- records ----------------------------------------------------------------------------------

    def _delimited(self, separator: str, said: str | None) -> Iterator[Rows]:
        kinds: Kinds | None = None
        for frame, faults in self._records(separator):
            self._check_faults(faults)
            found = Kinds.of(frame)
            kinds = found if kinds is None else kinds & found
        assert kinds is not None
        text, labels = self.options["text"], self.options["labels"]
        for frame, faults in self._records(separator):
            numbers = tuple(number for number, _ in faults)
            yield Rows(self.name, kinds.cast(frame, text, labels), None, numbers, said)

    def _records(self, separator: str) -> Iterator[tuple[pl.DataFrame, Faults]]:
        header, more, before = b"", 0, 0
        with self._opened() as (_, blocks):
            for block in blocks:
                data = header + block
                frame, faults = delimited_frame(self.name, data, separator, "skip")
                yield frame, [(before - more + number, what) for number, what in faults]
                before += block.count(b"\n")
                if not header:
                    header = _line_of(frame.columns, separator)
                    more = header.count(b"\n")

    def _check_faults(self, faults: Faults) -> None:
        for number, what in faults:
            if not self.skip:
                stop(self.name, (number, what))
            if "quoted" in what:
                raise SamplesError(
                    f"{self.name}, line {number}: {what}; such a file is read at once only: mend its "
                    "quotes, or leave out --max-memory."
                )


def _pieces(stream: Any, length: int) -> Iterator[bytes]:
    """As much as was there when the file was opened."""
    while length > 0 and (piece := stream.read(min(PIECE, length))):
        length -= len(piece)
        yield piece


def _cut(name: str, parts: Iterator[bytes], size: int, quoted: bool) -> Iterator[bytes]:
    """Blocks of about `size` bytes that end with a line; behind a newline that no quotes hold."""
    held, count = [], 0
    pieces = (part[at : at + size] for part in parts for at in range(0, len(part), size))
    for part in pieces:
        held.append(part)
        count += len(part)
        if count < size:
            continue
        data = b"".join(held)
        end = _end_of_lines(data, quoted)
        if end:
            yield data[:end]
        elif len(data) > _WHOLE * size:
            raise _too_long(name, "file with a line")
        held, count = [data[end:]], len(data) - end if end else 0
    rest = b"".join(held)
    if rest:
        yield rest


def _end_of_lines(data: bytes, quoted: bool) -> int:
    """Behind the last newline that no quotes hold, 0 where there is none."""
    end = data.rfind(b"\n") + 1
    while quoted and end and data.count(b'"', 0, end) % 2:
        end = data.rfind(b"\n", 0, end - 1) + 1
    return end


def _line_of(header: list[str], separator: str) -> bytes:
    quoted = ('"' + name.replace('"', '""') + '"' for name in header)
    return (separator.join(quoted) + "\n").encode()
