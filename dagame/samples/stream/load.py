"""Files -> flat rows on disk, part by part, and what is decided on the way: the first pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ...errors import SamplesError
from ...show.progress import Progress
from ..files.containers import shown
from ..files.joining import Gathered, agreeing_kinds
from ..files.reading import Rows
from ..files.roles import Flat, NoRow, Roles
from ..files.tables import NamedFile, Wish, check_format, laid_out, roles_of
from ..labels import gold_texts
from ..lazy import pl
from .addresses import fetched
from .blocks import Faulty, blocks
from .kinds import agreed
from .shelf import Piece, Shelf

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
        if self.flat is not None:
            self._check_layout(self.flat, flat)
        self.kinds = agreed(self.name, self.kinds, flat.frame.schema)
        self.empty_rows += flat.empty_rows
        none = pl.repeat(False, len(flat.frame), eager=True)
        beside = [(none if flat.truncated is None else flat.truncated.fill_null(False)).alias(CUT)]
        self.cut += int(beside[0].sum())
        if flat.gold is not None:
            beside.append(pl.Series(GOLD, gold_texts(flat.gold), dtype=pl.String))
        self.pieces.append(put(flat.frame.with_columns(beside)))
        known = flat.alongside | (self.flat.alongside if self.flat else frozenset())
        self.flat = Flat(flat.frame.clear(), flat.roles, nested=flat.nested, alongside=known)

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


@dataclass(frozen=True)
class Way:
    """How files are read: `size` bytes at a time, by the options of `read_rows`, onto the shelf."""

    wish: Wish
    options: dict[str, Any]
    size: int
    shelf: Shelf


def load(files: Sequence[NamedFile], way: Way, say: Progress) -> Loaded:
    """Read every file.

    Raises:
        SamplesError: as `read_table`; of several files the one is named.
    """
    check_format(way.wish.format)
    found = Gathered[FileRead](len(files) > 1 and way.options["on_error"] == "skip")
    for k, file in enumerate(files):
        say(f"reading {shown(file.path)} ({k + 1}/{len(files)})")
        try:
            add(found, *read_file(file, way, roles_by(found)))
        except SamplesError as error:
            found.fail(error)
    return together(found)


def roles_by(found: Gathered[FileRead]) -> Roles | None:
    """What the columns mean, which the first file decides, once it was read."""
    return found.read[0].roles if found.read else None


def add(found: Gathered[FileRead], file: FileRead, told: list[str]) -> None:
    """One more file, with what is said where it is the first."""
    found.notes += [] if found.read else told
    found.add(file)


def together(found: Gathered[FileRead]) -> Loaded:
    """The files that were read as one table, and sentences on what was left out."""
    notes, skipped = found.told()
    first = found.read[0]
    kinds = agreeing_kinds([(file.name, file.kinds) for file in found.read], first.roles)
    assert first.flat is not None
    return Loaded(tuple(found.read), first.flat.roles, kinds, notes, skipped)


def read_file(
    file: NamedFile, way: Way, roles: Roles | None, own: str = "rows"
) -> tuple[FileRead, list[str]]:
    """The parts of one file on the shelf under `own`, and what was said where this file decides the roles."""
    put = partial(way.shelf.put, own)
    with fetched(file.path, way.shelf.folder) as path:
        here = file._replace(path=path)
        try:
            try:
                parts = blocks(path, way.size, way.options)
                found, told = _read_file(here, way.wish, roles, put, parts)
            except Faulty:
                parts = blocks(path, way.size, way.options, strict=True)
                found, told = _read_file(here, way.wish, roles, put, parts)
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
    told: list[str] = []
    skipped: list[int] = []
    head = found = nothing = None
    for rows in _alike(file, parts, skipped):
        if head is None or found is None:
            head, decided = rows, roles or roles_of(wish, rows, told)
            found = FileRead(rows.name, decided, skipped=skipped, said=rows.said)
        elif roles is None:
            _check_roles(wish, rows, head, found.roles)
        try:
            found.take(laid_out(rows, found.roles), put)
        except NoRow as error:
            found.empty_rows, nothing = found.empty_rows + error.empty_rows, error
    assert found is not None
    if nothing is not None and not found.pieces:
        raise nothing
    return found, told


def _alike(file: NamedFile, parts: Iterable[Rows], skipped: list[int]) -> Iterator[Rows]:
    """The parts that have rows, each with the columns of those before; lines left out go to `skipped`."""
    columns: dict[str, None] = {}
    for part in parts:
        skipped += part.skipped
        if not len(part.frame):
            continue
        rows = file.named(part)
        absent = [pl.lit(None).alias(c) for c in columns if c not in rows.frame.columns]
        columns |= dict.fromkeys(rows.frame.columns)
        yield replace(rows, frame=rows.frame.with_columns(absent)) if absent else rows


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
    return {**kinds, CUT: pl.Boolean(), **({GOLD: pl.String()} if gold else {})}
