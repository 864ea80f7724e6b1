"""`Samples.stream`: samples of any number, in bounded memory, with the results of `Samples.read`."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SamplesError
from ...files.output import scratch
from ...show.progress import Progress, silent
from ...show.tables import Shown
from ..asked import Asked
from ..columns import found_in_words, unread
from ..cores import cores
from ..files.formats import FORMATS
from ..files.reading import check_on_error
from ..files.tables import is_path, named_files
from ..games import Game, ObjectiveOf
from ..keys.reader import TRIED_ROWS
from ..labels import correctness, said_of_gold
from ..lazy import pl
from .addresses import expanded
from .count import Settings, same_column
from .load import Loaded, Way
from .local import Kept, Local, frame_of
from .rays import OnRay
from .shelf import Shelf
from .solving import StreamedEquilibria, solve_streamed

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_LEAST = 64 << 20
_OF_A_PART, _OF_A_ROW = 64, 4096
"""Memory over what a part of a file takes, and for each row of counts that is solved at once."""


def memory_bytes(text: str | int) -> int:
    """Such as "2GiB", "500MB" or a number of bytes.

    Raises:
        SamplesError: no size, or less than 64 MiB.
    """
    match = re.fullmatch(r"(?i)\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", str(text))
    if match is None:
        raise SamplesError(f"max_memory is {text!r}; write a size such as 2GiB or 500MB.")
    number, unit, binary = match.groups()
    size = int(float(number) * (1024 if binary else 1000) ** _UNITS[unit.lower()])
    if size < _LEAST:
        raise SamplesError(f"max_memory is {text}; reading in parts takes at least 64 MiB.")
    return size


@dataclass(frozen=True, eq=False, repr=False)
class StreamedSamples(Shown):
    """Samples in parts on disk, each read and counted; of `Samples.stream`.

    `close` it, or use it in a `with`, to remove what it keeps on disk. loaded: the rows; counted: the
    answers; settings: how they were read; notes: sentences on what was decided.
    """

    loaded: Loaded
    settings: Settings
    counted: list[Kept]
    notes: tuple[str, ...]
    source: str
    truncated: int
    work: Local
    closing: ExitStack

    def __enter__(self) -> StreamedSamples:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what is kept on disk."""
        self.closing.close()

    @property
    def rows(self) -> int:
        """Samples in all."""
        return self.loaded.rows

    @property
    def skipped_lines(self) -> tuple[int, ...]:
        """Numbers of malformed lines left out, of all files one after the other."""
        return self.loaded.skipped

    @property
    def timed_out(self) -> int:
        """Rows whose extraction was given up."""
        return sum(part.timed_out for part in self.counted)

    @property
    def text_column(self) -> str | None:
        """The column of the completions, None where only their answers are known."""
        (text,) = self.loaded.roles.text
        if not self.loaded.roles.answers:
            return text
        known = self.loaded.kinds.get("completion") == pl.String
        return "completion" if known else None

    @property
    def extract_in_words(self) -> str:
        """How answers are found."""
        return found_in_words(self.loaded.roles, self.settings.reader.extract)

    def texts_of(self, part: int, column: str) -> pl.Series:
        """One column of one part, as text."""
        return _column(self.loaded, self.work.shelf, part, column)

    def _rows(self) -> list[tuple[str, str]]:
        groups, parts = self.settings.groups, len(self.counted)
        return [
            ("samples", f"{self.rows:,} in {parts:,} parts; {Path(self.source).name}"),
            ("classes", f"in {groups:,} groups, solved one after the other"),
        ]

    def solve(
        self,
        objective: ObjectiveOf,
        *,
        beta: float,
        method: str = "auto",
        tol: float = 1e-12,
        progress: Progress | None = None,
        device: str | None = None,
    ) -> StreamedEquilibria:
        """The equilibrium of every class, bit for bit that of `Samples.solve`."""
        game = Game(objective, beta, method, tol, device)
        return solve_streamed(self, game, progress or silent)


def stream(
    options: Mapping[str, Any],
    max_memory: str | int,
    folder: str | Path | None,
    engine: str,
    address: str | None,
) -> StreamedSamples:
    """See `Samples.stream`; options: all arguments of `Samples.read` by their names."""
    if not is_path(options["path"]):
        raise SamplesError(
            "Samples.stream reads files; rows that are in memory are for Samples.read."
        )
    size, asked = memory_bytes(max_memory), Asked.of(options)
    check_on_error(asked.on_error)
    say = options["progress"] or silent
    with ExitStack() as stack:
        place = stack.enter_context(scratch(folder or tempfile.gettempdir()))
        work, size = _engine(engine, address, Shelf(place), size)
        stack.callback(work.close)
        return _in_parts(options["path"], asked, work, size, say, stack)
    raise AssertionError


def _in_parts(
    path: Any, asked: Asked, work: Local, size: int, say: Progress, stack: ExitStack
) -> StreamedSamples:
    """The first two passes; what the stack holds is the samples' to close once they are there."""
    form = FORMATS.get(asked.wish.format)
    files, options = named_files(
        expanded(path, form.files if form else None), asked.wish, asked.on_error
    )
    loaded = work.load(files, Way(asked.wish, options, size // _OF_A_PART, work.shelf), say)
    cut = 0 if asked.read_truncated else loaded.cut
    texts = None if loaded.roles.answers else _spread(loaded, work.shelf)
    asked, notes = asked.settled(texts, cut)
    groups = max(1, -(-loaded.rows * _OF_A_ROW // size))
    same = same_column(loaded.roles, asked.wish.format, list(loaded.kinds))
    settings = Settings(**vars(asked), roles=loaded.roles, groups=groups, same=same)
    kept = work.count(loaded, settings, say)
    source = str(path) if isinstance(path, str | Path) else "the samples"
    told = (*loaded.notes, *notes, *_checked(loaded, settings, kept, work.shelf, source))
    return StreamedSamples(loaded, settings, kept, told, source, cut, work, stack.pop_all())


def _engine(engine: str, address: str | None, shelf: Shelf, size: int) -> tuple[Local, int]:
    """What runs the passes, and the memory of each of its processes."""
    if engine == "ray":
        return OnRay(shelf, address, size // 8), size // (4 * cores())  # the rest is Ray itself
    if engine != "local":
        raise SamplesError(f"engine is {engine!r}; choose 'local' or 'ray'.")
    if address is not None:
        raise SamplesError("an address is that of a Ray engine; choose engine='ray' with it.")
    return Local(shelf), size


def _checked(
    loaded: Loaded, settings: Settings, kept: Sequence[Kept], shelf: Shelf, source: str
) -> list[str]:
    """What is known once all parts are counted: a note on right answers, or an error of all rows."""
    notes = []
    if loaded.roles.gold:
        pieces = [shelf.get(part.gold) for part in kept if part.gold is not None]
        gold = pl.concat(pieces).unique()
        bests = [part.best for part in kept if part.best is not None]
        notes.append(said_of_gold(len(gold), int(gold["within"].sum()), max(bests, default=None)))
    elif loaded.roles.correct and not any(part.known_labels for part in kept):
        (name,) = loaded.roles.correct
        correctness(pl.Series(name, [None], dtype=loaded.kinds[name]), settings.correct_range)
    if not any(part.read for part in kept):
        first = next((part.first for part in kept if part.first), "")
        raise unread(source, pl.Series([first]), settings.reader.extract)
    return notes


def _spread(loaded: Loaded, shelf: Shelf) -> pl.Series:
    """The completions that `AnswerReader.settled` chooses on, evenly spread over all."""
    (text,) = loaded.roles.text
    step = max(1, -(-loaded.rows // TRIED_ROWS))
    found, before = [pl.Series(text, [], dtype=pl.String)], 0
    for k, (_, piece) in enumerate(loaded.parts):
        first = -before % step
        if first < piece.rows:
            rows = np.arange(first, piece.rows, step)
            few = _column(loaded, shelf, k, text).gather(rows)  # which holds the texts of the part
            found.append(pl.Series(text, few.to_list(), dtype=pl.String))
        before += piece.rows
    return pl.concat(found)


def _column(loaded: Loaded, shelf: Shelf, part: int, column: str) -> pl.Series:
    return frame_of(loaded, shelf, part)[column].cast(pl.String)
