"""The passes in this process, one part after the other, with what is between them in files."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...show.progress import Progress, time_left
from ..files.tables import NamedFile
from ..games import Game
from ..lazy import pl
from ..verdict import CELLS
from ..worth import beside, said_of_rows
from .count import ANSWER, GROUP, SAME, Counted, Settings, count, named_rows
from .kinds import conformed
from .load import CUT, GOLD, Loaded, Way, kinds_of, load
from .part import Group, Solved, solve_part
from .shelf import Piece, Shelf

_DEALT_AT_ONCE = 4
"""Groups of classes whose rows are held while they are dealt out."""
PART = "part"
"""The column of counts that says of which part of the rows they are."""


Kept = Counted[Piece]
"""One counted part, whose tables are on a shelf."""


class _Deal:
    """Rows put into a file for each number in one of their columns, many at a time."""

    def __init__(self, shelf: Shelf, name: str, by: str, at_once: int) -> None:
        """The files are called by the name and the number."""
        self.shelf, self.name, self.by, self.at_once = shelf, name, by, at_once
        self.held: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """These rows too."""
        self.held.append(frame)
        if sum(map(len, self.held)) > self.at_once:
            self.end()

    def end(self) -> None:
        """Put what is held."""
        if not self.held:
            return
        rows = pl.concat(self.held, how="vertical_relaxed")
        self.held = []
        for (number,), some in rows.partition_by(self.by, as_dict=True, include_key=False).items():
            self.shelf.put(f"{self.name}-{number}", some)


class Local:
    """This process."""

    def __init__(self, shelf: Shelf) -> None:
        """Everything is kept on the shelf."""
        self.shelf = shelf

    def close(self) -> None:
        """Nothing is to be ended."""

    def load(self, files: Sequence[NamedFile], way: Way, say: Progress) -> Loaded:
        """The first pass: files -> flat rows."""
        return load(files, way, say)

    def count(self, loaded: Loaded, settings: Settings, say: Progress) -> list[Kept]:
        """The second: rows -> keys and counts."""
        starts = np.cumsum([0, *(piece.rows for _, piece in loaded.parts)])

        def one(k: int) -> Kept:
            frame = frame_of(loaded, self.shelf, k)
            return count_part(frame, settings, int(starts[k]), self.shelf)

        return list(counted(one, len(loaded.parts), say, "extracting answers"))

    def solve(
        self, kept: Sequence[Kept], settings: Settings, game: Game, say: Progress
    ) -> tuple[list[Group], Any]:
        """The third: counts -> equilibria, and under which name is kept what each sample is worth."""
        run = secrets.token_hex(4)
        at_once = _DEALT_AT_ONCE * sum(part.groups.rows for part in kept) // settings.groups
        say("dealing the classes out to groups")
        deal = _Deal(self.shelf, f"dealt-{run}", GROUP, at_once)
        for k in range(len(kept)):
            deal.add(counts_of(self.shelf, kept, k))
        deal.end()
        worths = _Deal(self.shelf, f"worths-{run}", PART, at_once)
        solve = partial(self._solved, run, settings, game, worths)
        solved = gathered(counted(solve, settings.groups, say, "solving classes"))
        worths.end()
        return solved, worths.name

    def _solved(
        self, run: str, settings: Settings, game: Game, worths: _Deal, p: int
    ) -> Group | None:
        """One group of a run; None where no class fell into it."""
        found = list(self.shelf.every(f"dealt-{run}-{p}"))
        if not found:
            return None
        self.shelf.drop(f"dealt-{run}-{p}")
        counts = pl.concat(found, how="vertical_relaxed")
        made = solve_part(counts, settings, game)
        worths.add(worths_of(counts, made))
        return kept_group(made, self.shelf)

    def write(
        self, loaded: Loaded, kept: Sequence[Kept], settings: Settings, worths: Any, path: Path,
        say: Progress,
    ) -> None:  # fmt: skip
        """The last: rows with what they are worth, as one Parquet file."""

        def one(k: int) -> Path:
            found = pl.concat(list(self.shelf.every(f"{worths}-{k}")))
            frame = worth_of_rows(loaded, self.shelf, kept[k], k, settings, found)
            part = self.shelf.folder / f"out-{k:06d}.arrow"
            frame.write_ipc(part, compression="lz4")
            return part

        parts = list(counted(one, len(kept), say, "writing rows"))
        put_together(parts, path, settings)


def put_together(parts: list[Path], path: Path, settings: Settings) -> None:
    """One Parquet file of the rows of all parts, which go."""
    said = said_of_rows(settings.roles.class_by, settings.roles.context_by or ())
    pl.scan_ipc(parts).sink_parquet(path, maintain_order=True, metadata=said)
    for part in parts:
        part.unlink()


def counted(function: Callable[[int], Any], count: int, say: Progress, what: str) -> Iterator[Any]:
    """The function of 0, 1, ..., each told with the time that is left."""
    started = time.perf_counter()
    for k in range(count):
        say(f"{what} ({k + 1}/{count}{time_left(k, count, started) if k else ''})")
        yield function(k)


def frame_of(loaded: Loaded, shelf: Shelf, part: int) -> pl.DataFrame:
    """The rows of one part under the columns of all, with the columns beside."""
    file, piece = loaded.parts[part]
    gold = bool(loaded.roles.gold)
    return conformed(shelf.get(piece), kinds_of(file.kinds, gold), kinds_of(loaded.kinds, gold))


def count_part(
    frame: pl.DataFrame, settings: Settings, before: int, shelf: Shelf, name: str = ""
) -> Kept:
    """Count one part and keep what comes of it; `name` tells apart the files of several writers."""
    found = count(frame, settings, before)
    tables = {what: getattr(found, what) for what in ("keys", "groups", "lost", "gold")}
    put = {what: shelf.put(f"{what}{name}", t) for what, t in tables.items() if t is not None}
    return replace(found, **put)  # type: ignore[arg-type]


def kept_group(made: Solved, shelf: Shelf, name: str = "") -> Group:
    """What is kept of a solved group."""
    if made.table is None:
        return made.group
    return replace(made.group, table=shelf.put(f"classes{name}", made.table))


def gathered(groups: Iterable[Group | None]) -> list[Group]:
    """The groups that have classes, taken one by one; buckets and solutions are let go above `CELLS`.

    They are looked at only where all groups have so few cells together, so no more of them is held.
    """
    found: list[Group] = []
    cells = 0
    for group in groups:
        if group is None:
            continue
        few = cells <= CELLS
        cells += 0 if group.facts is None else group.facts.cells
        found.append(group)
        if cells > CELLS:
            late = slice(0 if few else len(found) - 1, None)
            found[late] = [replace(one, buckets=[], solutions=[]) for one in found[late]]
    return found


def counts_of(shelf: Shelf, kept: Sequence[Kept], part: int) -> pl.DataFrame:
    """The counts of one part with its number."""
    return shelf.get(kept[part].groups).with_columns(pl.lit(part, dtype=pl.Int64).alias(PART))


def worths_of(counts: pl.DataFrame, made: Solved) -> pl.DataFrame:
    """What a sample of each class, context and answer in each part is worth."""
    *by, _, _, _ = made.worths.columns
    asked = counts.select(PART, *by)
    asked = asked.unique() if SAME in counts.columns else asked
    return asked.join(made.worths, on=by, how="left", nulls_equal=True)


def worth_of_rows(
    loaded: Loaded, shelf: Shelf, kept: Kept, part: int, settings: Settings, worths: pl.DataFrame
) -> pl.DataFrame:
    """The rows of one part with answer, reward, weight and normalised weight."""
    frame = frame_of(loaded, shelf, part).drop(CUT, GOLD, strict=False)
    keys = shelf.get(kept.keys)["key"]
    named = named_rows(frame, keys, settings, 0)
    found = named.join(
        worths, on=named.columns, how="left", nulls_equal=True, maintain_order="left"
    )
    table = found.select(pl.col(ANSWER), *worths.columns[-3:])
    return beside(frame, table)
