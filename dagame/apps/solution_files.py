"""The files of a solved samples file: the samples with their rewards, the page, the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.output import put_text, replacing_all
from ..files.strict_json import json_text
from ..show.progress import Progress

if TYPE_CHECKING:
    from ..samples.equilibria import SampleEquilibria
    from ..samples.stream.solving import StreamedEquilibria

    Found = SampleEquilibria | StreamedEquilibria


def write_solution(
    found: Found,
    content: dict[str, Any],
    parts: Sequence[Path],
    numbers: Path | None,
    say: Progress,
) -> list[Path]:
    """samples.parquet and report.html, whichever are asked for, and the JSON, all of one run."""
    targets = [*parts, *([] if numbers is None else [numbers])]
    with replacing_all(targets) as drafts:
        for target in parts:
            say(f"writing {target.name}")
            if target.name == "report.html":
                from ..samples.equilibria import SampleEquilibria
                from .report import samples_report

                assert isinstance(found, SampleEquilibria), "samples in parts have no page"
                rows = next((part for part in parts if part.suffix == ".parquet"), None)
                put_text(drafts[target], samples_report(found, progress=say, rows=rows))
            else:
                found.write_rows(drafts[target], say)
        if numbers is not None:
            say(f"writing {numbers.name}")
            with drafts[numbers].open("w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.writelines(numbers_text(found, content))
    return targets


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
