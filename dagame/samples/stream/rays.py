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
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DagameError, SamplesError
from ...show.progress import Progress
from ..cores import cores
from ..files.joining import Gathered
from ..files.tables import NamedFile, Wish
from ..lazy import pl
from ..worth import said_of_rows
from .count import GROUP, Settings
from .engine import started
from .load import FileRead, Loaded, add, read_file, roles_by, together
from .local import (
    PART,
    Kept,
    Local,
    count_part,
    counts_of,
    frame_of,
    gathered,
    kept_group,
    worth_of_rows,
    worths_of,
)
from .part import Game, Group, solve_part, worth_nothing
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

    def load(
        self,
        files: Sequence[NamedFile],
        wish: Wish,
        options: dict[str, Any],
        size: int,
        say: Progress,
    ) -> Loaded:
        """The first pass; the first file that can be read decides what the columns mean."""
        say(f"reading {len(files)} files on Ray")
        found, at = Gathered[FileRead](len(files) > 1 and options["on_error"] == "skip"), 0
        while at < len(files):
            roles = roles_by(found)
            few = [at] if roles is None else range(at, len(files))
            reading = _ReadFile(self.shelf, list(files), wish, roles, options, size)
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
        counting = _CountPart(self.shelf, loaded, settings)
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
        parts = self._items(range(len(kept))).map_batches(
            _Counts(self.shelf, list(kept)), batch_size=1, batch_format="numpy"
        )
        solving = _SolveGroups(self.shelf, settings, game, run)
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
        writing = _WriteParts(self.shelf, loaded, list(kept), settings, run)
        count = min(len(kept), max(settings.groups, 4 * cores()))
        blocks = worths.repartition(count, keys=[PART])
        self._run(blocks.map_batches(writing, batch_size=None, batch_format="pyarrow"))
        parts = [self.shelf.folder / f"out-{run.name}-{k}.arrow" for k in range(len(kept))]
        for part in parts:
            assert part.exists(), "every part has rows, so it has worths"
        said = said_of_rows(settings.roles.class_by, settings.roles.context_by or ())
        pl.scan_ipc(parts).sink_parquet(path, maintain_order=True, metadata=said)
        for part in parts:
            part.unlink()

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
        task = _Task(self.shelf, function, run)
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


@dataclass(frozen=True)
class _Task:
    """One call for each item, whose result or error is kept."""

    shelf: Shelf
    function: Callable[[int], Any]
    run: Run

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for number in batch["item"]:
            try:
                found = self.function(int(number))
            except DagameError as error:
                found = error
            keep(self.shelf, self.run, int(number), found)
        return batch


@dataclass(frozen=True)
class _ReadFile:
    shelf: Shelf
    files: list[NamedFile]
    wish: Wish
    roles: Any
    options: dict[str, Any]
    size: int

    def __call__(self, number: int) -> tuple[FileRead, list[str]]:
        own = f"rows-{number}-{secrets.token_hex(4)}"
        file, w, o = self.files[number], self.wish, self.options
        return read_file(file, w, self.roles, o, self.shelf, self.size, own)


@dataclass(frozen=True)
class _CountPart:
    shelf: Shelf
    loaded: Loaded
    settings: Settings

    def __call__(self, number: int) -> Kept:
        parts = self.loaded.parts
        before = sum(piece.rows for _, piece in parts[:number])
        frame = frame_of(self.loaded, self.shelf, number)
        return count_part(
            frame, self.settings, before, self.shelf, f"-{number}-{secrets.token_hex(4)}"
        )


@dataclass(frozen=True)
class _Counts:
    """The counts of each part."""

    shelf: Shelf
    kept: list[Kept]

    def __call__(self, batch: dict[str, np.ndarray]) -> Any:
        return _arrow(pl.concat(counts_of(self.shelf, self.kept, int(k)) for k in batch["item"]))


@dataclass(frozen=True)
class _SolveGroups:
    shelf: Shelf
    settings: Settings
    game: Game
    run: Run

    def __call__(self, table: Any) -> Any:
        frame = _frame(table)
        made = [self._solved(int(p), counts) for (p,), counts in frame.group_by(GROUP)]
        return _arrow(pl.concat(made) if made else self._nothing(frame))

    def _nothing(self, counts: pl.DataFrame) -> pl.DataFrame:
        return worth_nothing(counts.clear(), [PART, *self.settings.named])

    def _solved(self, p: int, counts: pl.DataFrame) -> pl.DataFrame:
        found: Any
        try:
            made = solve_part(counts, self.settings, self.game)
            found = kept_group(made, self.shelf, f"-{p}-{secrets.token_hex(4)}")
        except DagameError as error:
            found = error
        keep(self.shelf, self.run, p, found)
        if isinstance(found, DagameError):
            return self._nothing(counts)
        return worths_of(counts, made)


@dataclass(frozen=True)
class _WriteParts:
    shelf: Shelf
    loaded: Loaded
    kept: list[Kept]
    settings: Settings
    run: Run

    def __call__(self, table: Any) -> dict[str, np.ndarray]:
        frame = _frame(table)
        done = []
        for (k,), worths in frame.partition_by(PART, as_dict=True, include_key=False).items():
            number = int(k)
            rows = worth_of_rows(
                self.loaded, self.shelf, self.kept[number], number, self.settings, worths
            )
            place = self.shelf.folder / f"out-{self.run.name}-{number}.arrow"
            draft = place.with_suffix(f".{secrets.token_hex(4)}")
            rows.write_ipc(draft, compression="lz4")
            os.replace(draft, place)
            done.append(number)
        return {"part": np.array(done, dtype=np.int64)}


def _arrow(frame: pl.DataFrame) -> Any:
    return frame.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def _frame(table: Any) -> pl.DataFrame:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found
