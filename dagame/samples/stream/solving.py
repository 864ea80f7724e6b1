"""The equilibria of samples in parts: what is said of all of them, and the rows in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ...errors import CalibrationError
from ...files.output import replacing
from ...games.solution import Solution
from ...show.progress import Progress, silent
from ..columns import nothing_left
from ..disagreements import Disagreements
from ..facts import Facts, summary_of
from ..games import Game
from ..how_read import HowRead, looked_at
from ..lazy import pl
from ..partition import Bucket
from ..verdict import CELLS, Found
from .look import OnDisk
from .part import Group, in_order

if TYPE_CHECKING:
    from .streamed import StreamedSamples

_CLASSES_AT_A_TIME = 20_000


@dataclass(frozen=True, eq=False, repr=False)
class StreamedEquilibria(Found):
    """The equilibria of all classes of samples in parts, see `SampleEquilibria`.

    summary, facts, reading, verdict, intervals and provenance are the same; `class_parts` and
    `write_rows` give the tables of classes and of samples part by part. buckets, solutions: of all
    classes where there are few cells, else of none.
    """

    samples: StreamedSamples
    groups: list[Group]
    numbers: list[np.ndarray]
    worths: Any
    facts: Facts
    summary: dict[str, Any]
    read: HowRead
    buckets: list[Bucket]
    solutions: list[Solution]
    calibration: None = None

    def calibrate(self, *_: Any, **__: Any) -> NoReturn:
        """Prediction sets need all samples at once: `Samples.read`."""
        raise CalibrationError(
            "samples in parts are not calibrated; read them at once, by Samples.read."
        )

    def _read(self) -> HowRead:
        return self.read

    @property
    def classes(self) -> pl.DataFrame:
        """One row for each class, all in memory."""
        return pl.concat(list(self.class_parts()), rechunk=True)

    def class_parts(self, size: int = _CLASSES_AT_A_TIME) -> Iterator[pl.DataFrame]:
        """The table of classes in order, so many rows at a time."""
        shelf = self.samples.work.shelf
        solved = [
            (group.table, number)
            for group, number in zip(
                [g for g in self.groups if g.facts is not None], self.numbers, strict=True
            )
            if group.table is not None
        ]
        for start in range(0, self.facts.classes, size):
            found = []
            for piece, number in solved:
                low, high = np.searchsorted(number, [start, start + size])
                if low < high:
                    rows = shelf.get(piece)[int(low) : int(high)]
                    found.append(rows.with_columns(pl.Series("#", number[low:high])))
            yield pl.concat(found, how="vertical_relaxed").sort("#").drop("#")

    def write_rows(self, path: str | Path, progress: Progress | None = None) -> None:
        """The samples with answer, reward, weight and weight_normalised as one Parquet file, in order."""
        s = self.samples
        with replacing(path) as draft:
            s.work.write(s.loaded, s.counted, s.settings, self.worths, draft, progress or silent)

    def _rows(self) -> list[tuple[str, str]]:
        s = self.summary
        return [
            ("classes", f"{s['classes']:,}, {s['contexts']:,} contexts, {s['answers']:,} answers"),
            ("samples", f"{s['samples']:,}"),
            ("game", f"{s['objective']}, beta={s['beta']:g}"),
            ("verdict", self.verdict),
            *self.reading.told()[:2],
            *(("warning", caution.sentence) for caution in self.reading.warnings),
        ]


def solve_streamed(samples: StreamedSamples, game: Game, say: Progress) -> StreamedEquilibria:
    """Solve every group of classes and put together what is said of all."""
    started = time.perf_counter()
    settings, reader = samples.settings, samples.settings.reader
    groups, worths = samples.work.solve(samples.counted, settings, game, say)
    solved = [group for group in groups if group.facts is not None]
    if not solved:
        raise nothing_left()
    say("putting the groups together")
    numbers = in_order([g.names for g in solved if g.names is not None], settings.class_columns)
    facts = _facts(groups, numbers)
    told = [group.disagreements for group in solved if group.disagreements is not None]
    in_words: Any = {"extract": samples.extract_in_words, "canonical": reader.canonical}
    given_up: Any = {"truncated": samples.truncated, "timed_out": samples.timed_out}
    labels = Disagreements.merged(told, numbers)
    read = looked_at(_on_disk(samples), labels, **in_words, **given_up)
    summary = summary_of(facts, samples, game.beta, time.perf_counter() - started)
    of_few = few(solved, numbers, facts)
    return StreamedEquilibria(samples, groups, numbers, worths, facts, summary, read, *of_few)


def _facts(groups: list[Group], numbers: list[np.ndarray]) -> Facts:
    """Of all groups; of those whose classes were all lost only that is known."""
    facts = Facts.merged([group.facts for group in groups if group.facts is not None], numbers)
    lost = sum(group.lost_rows for group in groups)
    return replace(
        facts,
        lost=tuple(sorted([*facts.lost, *(name for group in groups for name in group.lost)])),
        rows=facts.rows + lost,
        no_answer_rows=facts.no_answer_rows + lost,
    )


def few(
    solved: list[Group], numbers: list[np.ndarray], facts: Facts
) -> tuple[list[Bucket], list[Solution]]:
    """All tables, under the numbers of all classes, and solutions; where other strengths are solved too."""
    if facts.cells > CELLS:
        return [], []
    buckets = [
        replace(bucket, classes=number[bucket.classes])
        for group, number in zip(solved, numbers, strict=True)
        for bucket in group.buckets
    ]
    return buckets, [solution for group in solved for solution in group.solutions]


def _on_disk(samples: StreamedSamples) -> OnDisk:
    kept, shelf = samples.counted, samples.work.shelf
    text = samples.text_column
    return OnDisk(
        sizes=np.array([part.rows for part in kept]),
        lost_sizes=np.array([part.lost_rows for part in kept]),
        read=sum(part.read for part in kept),
        labelled=(
            sum(part.lost_labels[0] for part in kept),
            sum(part.lost_labels[1] for part in kept),
        ),
        text_of=None if text is None else lambda k: samples.texts_of(k, text),
        keys_of=lambda k: shelf.get(kept[k].keys),
        lost_of=lambda k: shelf.get(kept[k].lost)["row"].to_numpy(),
    )
