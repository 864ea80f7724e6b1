"""The files of a solved samples file: the samples with their rewards, the page, the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.output import check_file, check_folder, locked, put_text, replacing_all
from ..files.strict_json import json_text
from ..show.progress import Progress
from .command import numbers_file

if TYPE_CHECKING:
    from ..samples.equilibria import SampleEquilibria
    from ..samples.stream.solving import StreamedEquilibria
    from .options import SolveOptions

    Found = SampleEquilibria | StreamedEquilibria


@dataclass(frozen=True)
class SolutionFiles:
    """samples.parquet and report.html in their folder, whichever are asked for, and the JSON, if any."""

    folder: Path | None
    parts: list[Path]
    numbers: list[Path]

    @classmethod
    def of(cls, asked: SolveOptions, page: bool) -> SolutionFiles:
        """As asked, checked before the work; page: whether there can be one."""
        from ..samples.files.containers import STDIN

        folder = None if asked.out is None else check_folder(asked.out)
        names = ["samples.parquet", *(["report.html"] if asked.report and page else [])]
        taken = [name for name in asked.samples or () if name != STDIN]
        parts = [] if folder is None else [check_file(folder / name, taken) for name in names]
        numbers = numbers_file(asked.json_file, [*taken, *parts])
        return cls(folder, parts, [] if numbers is None else [numbers])

    @property
    def all(self) -> list[Path]:
        """In the order of their writing."""
        return [*self.parts, *self.numbers]

    def hold(self, held: ExitStack) -> None:
        """Lock the folder until `held` ends."""
        if self.folder is not None:
            held.enter_context(locked(self.folder))

    def write(self, found: Found, content: dict[str, Any], say: Progress) -> None:
        """All of one run."""
        with replacing_all(self.all) as drafts:
            for target in self.all:
                say(f"writing {target.name}")
                if target in self.numbers:
                    _put_numbers(drafts[target], found, content)
                elif target.name == "report.html":
                    from ..samples.equilibria import SampleEquilibria
                    from .report import samples_report

                    assert isinstance(found, SampleEquilibria), "samples in parts have no page"
                    put_text(
                        drafts[target], samples_report(found, progress=say, rows=self.parts[0])
                    )
                else:
                    found.write_rows(drafts[target], say)


def _put_numbers(path: Path, found: Found, content: dict[str, Any]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.writelines(numbers_text(found, content))


def numbers_text(found: Found, content: dict[str, Any], ascii_only: bool = False) -> Iterator[str]:
    """The JSON of all numbers, the table of classes part by part."""
    text = json_text(content, ascii_only)
    before, mark, after = text.partition('\n  "classes": []')
    if not mark or not found.facts.classes:
        yield text
        return
    yield f"{before}{mark[:-1]}"
    for k, part in enumerate(found.class_parts()):
        rows = json_text(part.rows(named=True), ascii_only).strip()[1:-1].rstrip()
        yield ("," if k else "") + rows.replace("\n", "\n  ")
    yield f"\n  ]{after}"


def content_of(found: Found) -> dict[str, Any]:
    """All numbers of a solved file but the table of its classes, for JSON."""
    sure = found.calibration
    return {
        "verdict": found.verdict,
        "summary": found.summary | {"intervals": found.intervals},
        "held_out": found.held_out.as_dict(),
        "reading": found.reading.as_dict() | {"notes": list(found.samples.notes)},
        **({} if sure is None else {"calibration": sure.as_dict()}),
        "classes": [],
        "provenance": found.provenance(),
    }
