"""Files -> flat rows on disk, part by part, and what is decided on the way: the first pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...errors import SamplesError
from ...show.progress import Progress
from ..files.containers import shown
from ..files.joining import agreeing_kinds
from ..files.reading import Rows
from ..files.roles import Flat, NoRow, Roles
from ..files.tables import NamedFile, Wish, check_format, laid_out, roles_of
from ..labels import gold_texts
from .addresses import fetched
from .blocks import Faulty, blocks
from .kinds import agreed
from .shelf import Piece, Shelf

if TYPE_CHECKING:
    import polars as pl

GOLD, CUT = "#gold", "#cut"
"""Columns of a part beside the file's own: the right answers as JSON, and whether it was cut off."""


@dataclass
class FileRead:
    """The rows of one file on disk, and what was found out of it."""

    name: str
    roles: Roles
    pieces: list[Piece] = field(default_factory=list)
    kinds: dict[str, pl.DataType] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)
    said: str | None = None
    empty_rows: int = 0
    cut: int = 0
    flat: Flat | None = None

    def take(self, flat: Flat, put: Callable[[pl.DataFrame], Piece]) -> None:
        """Keep one part.

        Raises:
            SamplesError: it is laid out otherwise than the part before, which the whole file decides.
        """
        import polars as pl

        first = self.flat
        if first is not None:
            self._check_layout(first, flat)
        self.kinds = agreed(self.name, self.kinds, flat.frame.schema)
        self.empty_rows += flat.empty_rows
        gold = None if flat.gold is None else gold_texts(flat.gold)
        cut = pl.repeat(False, len(flat.frame), eager=True)
        cut = cut if flat.truncated is None else flat.truncated.fill_null(False)
        self.cut += int(cut.sum())
        more = [cut.alias(CUT)]
        if gold is not None:
            more.append(pl.Series(GOLD, gold, dtype=pl.String))
        self.pieces.append(put(flat.frame.with_columns(more)))
        known = frozenset() if first is None else first.alongside
        self.flat = replace(
            flat, frame=flat.frame.clear(), gold=None, truncated=None,
            alongside=known | flat.alongside,
        )  # fmt: skip

    def _check_layout(self, first: Flat, flat: Flat) -> None:
        filled = {c.name for c in flat.frame if c.null_count() < len(c)}
        same = first.nested == flat.nested and first.roles == flat.roles
        if not same or (first.alongside ^ flat.alongside) & filled:
            raise SamplesError(
                f"{self.name}: rows in one part of the file hold lists or chats, or lists as long as "
                "those of the completions, and rows in another do not; leave out --max-memory to read "
                "the file at once, or write one completion a row."
            )


@dataclass(frozen=True)
class Loaded:
    """All rows on disk, by file. kinds: of the columns of all files together."""

    files: tuple[FileRead, ...]
    roles: Roles
    kinds: dict[str, pl.DataType]
    notes: tuple[str, ...]
    skipped: tuple[int, ...]

    @property
    def parts(self) -> list[tuple[FileRead, Piece]]:
        """Every part with its file, in order."""
        return [(file, piece) for file in self.files for piece in file.pieces]

    @property
    def rows(self) -> int:
        """Samples in all."""
        return sum(piece.rows for _, piece in self.parts)

    @property
    def cut(self) -> int:
        """Completions that were cut off."""
        return sum(file.cut for file in self.files)


def load(
    files: Sequence[NamedFile],
    wish: Wish,
    options: dict[str, Any],
    shelf: Shelf,
    size: int,
    say: Progress,
) -> Loaded:
    """Read every file, `size` bytes at a time.

    Raises:
        SamplesError: as `read_table`; of several files the one is named.
    """
    check_format(wish.format)
    found = Gathered(len(files) > 1 and options["on_error"] == "skip")
    for k, file in enumerate(files):
        say(f"reading {shown(file.path)} ({k + 1}/{len(files)})")
        try:
            found.add(read_file(file, wish, found.roles, options, shelf, size))
        except SamplesError as error:
            found.fail(error)
    return together(found.read, found.notes, found.failed)


@dataclass
class Gathered:
    """The files that were read so far; the first of them decides what the columns mean.

    skip: a file that cannot be read is left out and said.
    """

    skip: bool
    read: list[FileRead] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: int = 0

    @property
    def roles(self) -> Roles | None:
        """What the columns mean, once a file was read."""
        return self.read[0].roles if self.read else None

    def add(self, found: tuple[FileRead, list[str]]) -> None:
        """One more file, with what is said where it is the first."""
        file, told = found
        self.notes += told if self.roles is None else []
        if file.said:
            self.notes.append(f"{file.name}: {file.said}.")
        self.read.append(file)

    def fail(self, error: Exception) -> None:
        """A file that cannot be read; anything but its own fault, such as a full disk, is raised."""
        if not (self.skip and isinstance(error, SamplesError)):
            raise error
        self.failed += 1
        self.notes.append(f"left out: {error}")


def together(read: Sequence[FileRead], notes: list[str], failed: int) -> Loaded:
    """The files that were read as one table, and sentences on what was left out."""
    if not read:
        raise SamplesError(f"none of the {failed} files can be read; {notes[-1]}")
    kinds = agreeing_kinds([(file.name, file.kinds) for file in read], read[0].roles)
    empty = sum(file.empty_rows for file in read)
    if empty:
        notes.append(f"rows without a completion, left out: {empty:,}.")
    if len(read) > 1:
        notes += [
            f"{file.name}: lines skipped: {len(file.skipped):,}." for file in read if file.skipped
        ]
    flat = read[0].flat
    assert flat is not None
    skipped = tuple(n for file in read for n in file.skipped)
    return Loaded(tuple(read), flat.roles, kinds, tuple(notes), skipped)


def read_file(
    file: NamedFile,
    wish: Wish,
    roles: Roles | None,
    options: dict[str, Any],
    shelf: Shelf,
    size: int,
    own: str = "rows",
) -> tuple[FileRead, list[str]]:
    """The parts of one file on the shelf under `own`, and what was said where this file decides the roles."""

    def put(frame: pl.DataFrame) -> Piece:
        return shelf.put(own, frame)

    with fetched(file.path, shelf.folder) as path:
        here = file._replace(path=path)
        try:
            try:
                found, told = _read_file(here, wish, roles, put, blocks(path, size, options))
            except Faulty:
                again = blocks(path, size, options, strict=True)
                found, told = _read_file(here, wish, roles, put, again)
        except SamplesError as error:
            if path == file.path:
                raise
            raise SamplesError(str(error).replace(path, file.path)) from None
        found.name = found.name.replace(path, file.path)
    return found, told


def _read_file(
    file: NamedFile,
    wish: Wish,
    roles: Roles | None,
    put: Callable[[pl.DataFrame], Piece],
    parts: Iterable[Rows],
) -> tuple[FileRead, list[str]]:
    import polars as pl

    told: list[str] = []
    found: FileRead | None = None
    head: Rows | None = None
    skipped: list[int] = []
    columns: dict[str, None] = {}
    nothing: NoRow | None = None
    for part in parts:
        skipped += part.skipped
        if not len(part.frame):
            continue
        rows = file.named(part)
        absent = [c for c in columns if c not in rows.frame.columns]
        columns |= dict.fromkeys(rows.frame.columns)
        if absent:
            rows = replace(
                rows, frame=rows.frame.with_columns(pl.lit(None).alias(c) for c in absent)
            )
        if found is None or head is None:
            head = rows
            decided = roles or roles_of(wish, rows, told)
            found = FileRead(rows.name, decided, said=rows.said)
        elif roles is None:
            _check_roles(wish, rows, head, found.roles)
        try:
            flat = laid_out(rows, found.roles)
        except NoRow as error:
            found.empty_rows, nothing = found.empty_rows + error.empty_rows, error
            continue
        found.take(flat, put)
    assert found is not None
    if nothing is not None and not found.pieces:
        raise nothing
    found.skipped = skipped
    return found, told


def _check_roles(wish: Wish, rows: Rows, head: Rows, roles: Roles) -> None:
    """Refuse a part by which the columns would have been chosen otherwise."""
    seen = replace(rows)
    seen.__dict__["first"] = head.first
    if roles_of(wish, seen, []) != roles:
        raise SamplesError(
            f"{rows.name}: what the columns mean is decided otherwise by another part of the file; name "
            "them (--completion, --gold, --where), or leave out --max-memory to read the file at once."
        )


def kinds_of(kinds: Mapping[str, pl.DataType], gold: bool) -> dict[str, pl.DataType]:
    """With the columns beside."""
    import polars as pl

    return {**kinds, CUT: pl.Boolean(), **({GOLD: pl.String()} if gold else {})}
