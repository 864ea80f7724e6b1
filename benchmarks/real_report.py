"""The runs on a real model as one table: means over seeds, intervals over facts, predicted beside reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def runs_of(work: Path) -> list[dict[str, Any]]:
    """The runs that are done, in order."""
    file = work / "runs.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def brief(row: dict[str, Any]) -> str:
    """One line of a run."""
    names = ("consistency", "sampled accuracy", "greedy accuracy", "agreement")
    sets = [(s, row[s]) for s in ("same", "other") if s in row]
    moved = "  ".join(
        f"{s}: " + " ".join(f"{n} {np.mean(found[n]):.3f}" for n in names) for s, found in sets
    )
    return (
        f"{row['run']} seed {row['seed']}: {moved}  kl {np.mean(row['same']['kl']):.2f}  gap "
        f"{row['gap']:.3f}  {row['training seconds']:.0f} + "
        f"{row['seconds'] - row['training seconds']:.0f} s"
    )


def report(work: Any) -> None:
    """See `real_model`."""
    raise SystemExit(f"no runs in {work}")
