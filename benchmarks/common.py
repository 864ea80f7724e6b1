"""What every script shares: results kept as JSON beside the machine they were measured on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dagame.bench.common import environment, median_seconds

__all__ = ["RESULTS", "environment", "keep", "median_seconds"]

RESULTS = Path(__file__).parent / "results"


def keep(name: str, rows: list[dict[str, Any]], **facts: Any) -> None:
    """Print the rows as a Markdown table and keep them under benchmarks/results."""
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(_shown(row[c]) for c in columns) + " |")
    RESULTS.mkdir(exist_ok=True)
    content = {"machine": environment(), **facts, "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


# x
