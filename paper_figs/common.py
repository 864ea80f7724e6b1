"""What the figures share: the triangle, a clean axis, where a figure is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

CORNERS = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])


def triangle(axes: Any, labels: tuple[str, str, str] = ("A", "B", "C")) -> None:
    """The simplex of three answers."""
    axes.plot(*CORNERS[[0, 1, 2, 0]].T, color="#374151", lw=1)
    for corner, label, dy in zip(CORNERS, labels, (-15, -15, 6), strict=True):
        axes.annotate(label, corner, (0, dy), textcoords="offset points", ha="center")
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.09)


def clean(axes: Any) -> None:
    """No frame at the top and the right."""
    axes.spines[["top", "right"]].set_visible(False)


def figure(width: float, height: float) -> Figure:
    """A white figure without pyplot."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def write(made: Figure, script: str) -> None:
    """Save as the folder's name, PNG, beside the script."""
    folder = Path(script).parent
    made.savefig(folder / f"{folder.name}.png", dpi=130)
