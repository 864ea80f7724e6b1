"""The files of a solved samples file: the samples with their rewards, the page, the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.output import json_text, put_text, replacing_all
from ..show.progress import Progress

if TYPE_CHECKING:
    from ..samples.equilibria import SampleEquilibria


def write_solution(
    found: SampleEquilibria,
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
                from .report import samples_report

                rows = next((part for part in parts if part.suffix == ".parquet"), None)
                put_text(drafts[target], samples_report(found, progress=say, rows=rows))
            else:
                with drafts[target].open("wb") as stream:
                    found.rows.write_parquet(stream)
        if numbers is not None:
            put_text(drafts[numbers], json_text(content))
    return targets


def content_of(found: SampleEquilibria) -> dict[str, Any]:
    """All numbers of a solved file, for JSON."""
    sure = found.calibration
    return {
        "verdict": found.verdict,
        "summary": found.summary | {"intervals": found.intervals},
        "held_out": found.held_out.as_dict(),
        "reading": found.reading.as_dict() | {"notes": list(found.samples.notes)},
        **({} if sure is None else {"calibration": sure.as_dict()}),
        "classes": found.classes.rows(named=True),
        "provenance": found.provenance(),
    }
