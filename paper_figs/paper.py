"""What the figures share: their style, the triangle of three answers, data beside a script, PDF and PNG.

A figure is a folder with `make.py`, which has `compute() -> dict` (what is drawn, as numbers) and
`draw(data) -> Figure`, and ends in `main(__file__, compute, draw)`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.figure import Figure

from dagame.show.plots import CORNERS

STYLE = Path(__file__).with_name("style.mplstyle")
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
COLUMN, PAGE = 3.3, 6.9
DARK, QUIET = "#111827", "#6b7280"
COLOURS = ("#1f3b73", "#d55e00", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#000000", "#7f7f7f")
LINES = ("-", "--", "-.", ":", "-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

Data = dict[str, Any]


def look(k: int, marker: bool = False) -> dict[str, Any]:
    """Colour, line and, if wanted, marker of the k-th series."""
    shown = {"color": COLOURS[k], "ls": LINES[k]}
    return shown | {"marker": MARKERS[k]} if marker else shown


def figure(width: float, height: float) -> Figure:
    """An empty figure of inches, without pyplot."""
    return Figure(figsize=(width, height), layout="constrained")


def letters(axes: Sequence[Any], titles: Sequence[str]) -> None:
    """Titles with (a), (b), ... before them."""
    for k, (one, title) in enumerate(zip(axes, titles, strict=True)):
        one.set_title(f"({'abcdefghij'[k]}) {title}")


def triangle(axes: Any, labels: Sequence[str] = ("A", "B", "C"), pad: float = 4) -> None:
    """The simplex of three answers."""
    axes.plot(*CORNERS[[0, 1, 2, 0]].T, color=DARK, lw=0.6, ls="-")
    places = ((0, -pad, "top"), (0, -pad, "top"), (0, pad / 2, "bottom"))
    for corner, label, (dx, dy, va) in zip(CORNERS, labels, places, strict=True):
        axes.annotate(label, corner, (dx, dy), textcoords="offset points", ha="center", va=va)
    axes.set_aspect("equal")
    axes.set_axis_off()


def results(name: str) -> Data:
    """A benchmark's committed results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def plain(value: Any) -> Any:
    """Arrays as lists, numbers to eight digits, and null for what is not finite."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.8g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def write_data(folder: Path, data: Data) -> None:
    """data.json in the folder."""
    text = json.dumps(plain(data), allow_nan=False, separators=(",", ":"))
    (folder / "data.json").write_text(text.replace('],"', '],\n"') + "\n")


def read_data(folder: Path) -> Data:
    """data.json of the folder."""
    return json.loads((folder / "data.json").read_text())


def save(draw: Callable[[Data], Figure], data: Data, stem: Path) -> None:
    """STEM.pdf and STEM.png in the style; the same data make the same bytes."""
    with mpl.style.context(STYLE):
        made = draw(data)
        made.savefig(stem.with_suffix(".pdf"), metadata={"CreationDate": None})
        made.savefig(stem.with_suffix(".png"), metadata={"Software": None})


def main(script: str, compute: Callable[[], Data], draw: Callable[[Data], Figure]) -> None:
    """Draw from data.json beside the script; --data, or a missing file, computes it first."""
    folder = Path(script).resolve().parent
    parser = argparse.ArgumentParser(description=f"Makes {folder.name}.pdf and .png.")
    parser.add_argument("--data", action="store_true", help="compute data.json anew")
    if parser.parse_args().data or not (folder / "data.json").exists():
        write_data(folder, compute())
    save(draw, read_data(folder), folder / folder.name)
