"""The rows of several files as one table, each column of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from ...errors import SamplesError
from ..lazy import pl
from .nested import as_texts
from .roles import Flat, Roles


class FileRead(Protocol):
    """What is told of a file that was read: lines left out, and how it was opened."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def skipped(self) -> Sequence[int]: ...  # noqa: D102
    @property
    def said(self) -> str | None: ...  # noqa: D102
    @property
    def empty_rows(self) -> int: ...  # noqa: D102


T = TypeVar("T", bound=FileRead)


@dataclass
class Gathered(Generic[T]):
    """The files that were read so far, and sentences on what was decided.

    skip: a file that cannot be read is left out and said.
    """

    skip: bool
    read: list[T] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: int = 0

    def add(self, file: T) -> None:
        """One more file."""
        self.read.append(file)
        if file.said:
            self.notes.append(f"{file.name}: {file.said}.")

    def fail(self, error: Exception) -> None:
        """A file that cannot be read; anything but its own fault, such as a full disk, is raised."""
        if not (self.skip and isinstance(error, SamplesError)):
            raise error
        self.failed += 1
        self.notes.append(f"left out: {error}")

    def told(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """All sentences and lines left out, once no more files come; `SamplesError` where none was read."""
        if not self.read:
            raise SamplesError(f"none of the {self.failed} files can be read; {self.notes[-1]}")
        empty = sum(file.empty_rows for file in self.read)
        notes = [f"rows without a completion, left out: {empty:,}."] if empty else []
        lost = [f for f in self.read if f.skipped and len(self.read) > 1]
        notes += [f"{file.name}: lines skipped: {len(file.skipped):,}." for file in lost]
        return (*self.notes, *notes), tuple(n for file in self.read for n in file.skipped)


def joined(parts: Sequence[tuple[str, Flat]]) -> Flat:
    """The flat rows of all files, each with its name, one after the other."""
    flats = [flat for _, flat in parts]
    if len(flats) == 1:
        return flats[0]
    frames = _agreeing([(name, flat.frame) for name, flat in parts], flats[0].roles)
    gold = None if flats[0].gold is None else [g for flat in flats for g in flat.gold or ()]
    cut = [
        pl.repeat(False, len(f.frame), eager=True) if f.truncated is None else f.truncated
        for f in flats
    ]
    return Flat(
        pl.concat(frames, how="diagonal_relaxed"),
        flats[0].roles,
        gold,
        pl.concat([c.alias("truncated") for c in cut]),
        sum(flat.empty_rows for flat in flats),
    )


def agreeing_kinds(
    files: Sequence[tuple[str, Mapping[str, pl.DataType]]], roles: Roles
) -> dict[str, pl.DataType]:
    """The kind of each column in all files: those of a role must be of one, others become text."""
    first: dict[str, tuple[str, pl.DataType]] = {}
    text: set[str] = set()
    columns = ((name, *column) for name, schema in files for column in schema.items())
    for name, column, kind in columns:
        other, known = first.setdefault(column, (name, kind))
        if _kind(known) == "null":
            first[column] = name, kind
        elif _kind(kind) not in (_kind(known), "null"):
            if column in (*roles.text, *roles.names):
                raise SamplesError(
                    f"column {column!r} holds {known} in {other} and {kind} in {name}; give it one "
                    "type in all files."
                )
            text.add(column)
    final = ({c: pl.String() if c in text else k for c, k in schema.items()} for _, schema in files)
    empty = [pl.DataFrame(schema=schema) for schema in final]
    return dict(pl.concat(empty, how="diagonal_relaxed").schema)


def _agreeing(frames: Sequence[tuple[str, pl.DataFrame]], roles: Roles) -> list[pl.DataFrame]:
    """The frames, columns of several kinds in them as text."""
    kinds = agreeing_kinds([(name, frame.schema) for name, frame in frames], roles)
    text = {column for column, kind in kinds.items() if kind == pl.String}
    return [
        frame.with_columns(
            as_texts(c, frame[c].to_list())
            for c, kind in frame.schema.items()
            if c in text and kind not in (pl.String, pl.Null)
        )
        for _, frame in frames
    ]


def _kind(kind: pl.DataType) -> str:
    if kind == pl.Null:
        return "null"
    return "number" if kind.is_numeric() else str(kind)
