"""The passes on Ray: parts in parallel, counts shuffled by groups of classes, the same to the last bit.

Ray Data runs the tasks, shuffles whole groups of classes into blocks, spills what memory does not hold,
and repeats a task whose worker died. Every task calls the functions of the local way on one part or one
group, and everything that it keeps has a name of its own, so that a repeated task changes nothing.
"""

from __future__ import annotations

import errno
import hmac
import os
import pickle
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DagameError, SamplesError
from ...show.progress import Progress
from ..cores import cores
from ..files.joining import Gathered
from ..files.roles import Roles
from ..files.tables import NamedFile
from ..games import Game
from ..lazy import pl
from .count import GROUP, Settings
from .engine import started
from .load import FileRead, Loaded, Way, add, read_file, roles_by, together
from .local import (
    PART,
    Kept,
    Local,
    count_part,
    counts_of,
    frame_of,
    gathered,
    kept_group,
    put_together,
    worth_of_rows,
    worths_of,
)
from .part import Group, solve_part, worth_nothing
from .shelf import Shelf, unwritten

_LEAST_STORE = 96 << 20
_SIGN = 32
_REFUSED = [
    os.strerror(number)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
]
"""What the system says where it writes no more."""


@dataclass(frozen=True)
class Run:
    """One pass: the name of its files, and the key that signs them, which goes to its tasks by Ray alone.

    What tasks keep is pickled; of a shared disk nothing is unpickled that they have not signed.
    """

    name: str = field(default_factory=lambda: secrets.token_hex(4))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def sign(self, data: bytes) -> bytes:
        """HMAC-SHA256."""
        return hmac.digest(self.key, data, "sha256")


class OnRay(Local):
    """A Ray engine: one of its own, or that at an address."""

    def __init__(self, shelf: Shelf, address: str | None = None, store: int = 512 << 20) -> None:
        """Start or join it; the shelf's folder must be seen by all of its machines.

        Raises:
            DagameError: Ray is not installed, or the address does not answer.
        """
        super().__init__(shelf)
        self.ray, self.own = started(address, max(store, _LEAST_STORE))

    def close(self) -> None:
        """End the engine, or leave that at an address; one that the process had before stays."""
        if self.own:
            self.ray.shutdown()

    def load(self, files: Sequence[NamedFile], way: Way, say: Progress) -> Loaded:
        """The first pass; the first file that can be read decides what the columns mean."""
        say(f"reading {len(files)} files on Ray")
        found, at = Gathered[FileRead](len(files) > 1 and way.options["on_error"] == "skip"), 0
        while at < len(files):
            roles = roles_by(found)
            few = [at] if roles is None else range(at, len(files))
            reading = partial(_read_file, files=list(files), way=way, roles=roles)
            for made in self._mapped(reading, few):
                at += 1
                if isinstance(made, DagameError):
                    found.fail(made)
                else:
                    add(found, *made)
        return together(found)

    def count(self, loaded: Loaded, settings: Settings, say: Progress) -> list[Kept]:
        """The second pass."""
        say(f"extracting answers of {len(loaded.parts)} parts on Ray")
        counting = partial(_count_part, shelf=self.shelf, loaded=loaded, settings=settings)
        found = list(self._mapped(counting, range(len(loaded.parts))))
        for error in found:
            if isinstance(error, DagameError):
                raise error
        return found

    def solve(
        self, kept: Sequence[Kept], settings: Settings, game: Game, say: Progress
    ) -> tuple[list[Group], Any]:
        """The third pass: whole groups of classes in each block of a shuffled data set."""
        say(f"solving {settings.groups} groups of classes on Ray")
        run = Run()
        counts = partial(_counts, shelf=self.shelf, kept=list(kept))
        items = self._items(range(len(kept)))
        parts = items.map_batches(counts, batch_size=1, batch_format="numpy")
        solving = partial(_solve_groups, shelf=self.shelf, settings=settings, game=game, run=run)
        blocks = parts.repartition(settings.groups, keys=[GROUP])
        worths = self._run(blocks.map_batches(solving, batch_size=None, batch_format="pyarrow"))
        return gathered(self._groups(run, settings.groups)), worths

    def write(
        self, loaded: Loaded, kept: Sequence[Kept], settings: Settings, worths: Any, path: Path,
        say: Progress,
    ) -> None:  # fmt: skip
        """The last: worths shuffled back to the parts of the rows, and one file made of these."""
        say(f"writing {len(kept)} parts on Ray")
        run = Run()
        of = {"loaded": loaded, "kept": list(kept), "settings": settings}
        writing = partial(_write_parts, shelf=self.shelf, run=run, **of)
        count = min(len(kept), max(settings.groups, 4 * cores()))
        blocks = worths.repartition(count, keys=[PART])
        self._run(blocks.map_batches(writing, batch_size=None, batch_format="pyarrow"))
        parts = [self.shelf.folder / f"out-{run.name}-{k}.arrow" for k in range(len(kept))]
        for part in parts:
            assert part.exists(), "every part has rows, so it has worths"
        put_together(parts, path, settings)

    def _run(self, data: Any) -> Any:
        """The data set, computed; a task that could not write, not even its result, is one sentence."""
        try:
            return data.materialize()
        except self.ray.exceptions.RayError as error:
            reason = next((r for r in _REFUSED if r in str(error)), None)
            if reason is None:
                raise
            raise unwritten(self.shelf.folder, reason) from None

    def _items(self, numbers: Sequence[int]) -> Any:
        items = [{"item": int(k)} for k in numbers]
        return self.ray.data.from_items(items, override_num_blocks=len(items))

    def _mapped(self, function: Callable[[int], Any], numbers: Sequence[int]) -> Iterator[Any]:
        """The function of each number, or the `DagameError` that it raised, in order."""
        run = Run()
        task = partial(_each, shelf=self.shelf, function=function, run=run)
        self._run(self._items(numbers).map_batches(task, batch_size=1, batch_format="numpy"))
        return (self._result(run, k) for k in numbers)

    def _groups(self, run: Run, count: int) -> Iterator[Group | None]:
        for p in range(count):
            found = self._result(run, p)
            if isinstance(found, DagameError):
                raise found
            yield found

    def _result(self, run: Run, number: int) -> Any:
        place = self.shelf.folder / f"{run.name}-{number}.pickle"
        if not place.exists():
            return None
        signed = place.read_bytes()
        place.unlink()
        if not hmac.compare_digest(signed[:_SIGN], run.sign(signed[_SIGN:])):
            raise SamplesError(f"{place} was changed by something else; nothing of it is read.")
        return pickle.loads(signed[_SIGN:])  # noqa: S301 -- signed by this run's own tasks


def keep(shelf: Shelf, run: Run, number: int, found: Any) -> None:
    """Put what a task found where the driver looks for it, signed, whole or not at all."""
    from ray.cloudpickle import dumps  # type: ignore[attr-defined]

    place = shelf.folder / f"{run.name}-{number}.pickle"
    draft = place.with_suffix(f".{secrets.token_hex(4)}")
    data = dumps(found)
    draft.write_bytes(run.sign(data) + data)
    os.replace(draft, place)


# -- tasks ----------------------------------------------------------------------------------------


def _each(
    batch: dict[str, np.ndarray], shelf: Shelf, function: Callable[[int], Any], run: Run
) -> dict[str, np.ndarray]:
    """One call for each item, whose result or error is kept."""
    for number in map(int, batch["item"]):
        try:
            found = function(number)
        except DagameError as error:
            found = error
        keep(shelf, run, number, found)
    return batch


def _own(what: str, number: int) -> str:
    """A name of one task's alone."""
    return f"{what}-{number}-{secrets.token_hex(4)}"


def _read_file(
    number: int, files: Sequence[NamedFile], way: Way, roles: Roles | None
) -> tuple[FileRead, list[str]]:
    return read_file(files[number], way, roles, _own("rows", number))


def _count_part(number: int, shelf: Shelf, loaded: Loaded, settings: Settings) -> Kept:
    before = sum(piece.rows for _, piece in loaded.parts[:number])
    frame = frame_of(loaded, shelf, number)
    return count_part(frame, settings, before, shelf, _own("", number))


def _counts(batch: dict[str, np.ndarray], shelf: Shelf, kept: Sequence[Kept]) -> Any:
    """The counts of each part."""
    return _arrow(pl.concat(counts_of(shelf, kept, int(k)) for k in batch["item"]))


def _solve_groups(table: Any, shelf: Shelf, settings: Settings, game: Game, run: Run) -> Any:
    frame = _frame(table)
    nothing = worth_nothing(frame.clear(), [PART, *settings.named])
    made = [nothing]
    for (p,), counts in frame.group_by(GROUP):
        number = int(p)  # type: ignore[call-overload]
        try:
            solved = solve_part(counts, settings, game)
            keep(shelf, run, number, kept_group(solved, shelf, _own("", number)))
            made.append(worths_of(counts, solved))
        except DagameError as error:
            keep(shelf, run, number, error)
    return _arrow(pl.concat(made))


def _write_parts(
    table: Any, shelf: Shelf, loaded: Loaded, kept: Sequence[Kept], settings: Settings, run: Run
) -> dict[str, np.ndarray]:
    parts = _frame(table).partition_by(PART, as_dict=True, include_key=False)
    for (k,), worths in parts.items():
        rows = worth_of_rows(loaded, shelf, kept[k], k, settings, worths)
        place = shelf.folder / f"out-{run.name}-{k}.arrow"
        draft = place.with_suffix(f".{secrets.token_hex(4)}")
        rows.write_ipc(draft, compression="lz4")
        os.replace(draft, place)
    return {"part": np.array([k for (k,) in parts], dtype=np.int64)}


def _arrow(frame: pl.DataFrame) -> Any:
    return frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def _frame(table: Any) -> pl.DataFrame:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found
