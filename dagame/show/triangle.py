"""The simplex of three answers as a triangle, and paths of marginals on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from .figure import CYCLE, QUIET, explain, label, plain

CORNERS = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
"""Where the three answers of a triangle lie."""

_LEVELS = (0.25, 0.5, 0.75)
_DRAWN = "dagame simplex"


def triangle(axes: Axes, answers: Sequence[str], scale: bool = True) -> None:
    """The simplex of three answers, with lines at probabilities 1/4, 1/2 and 3/4, drawn once.

    With `scale` each line is labelled at one end, on the edge that leads away from its answer.
    """
    if any(line.get_gid() == _DRAWN for line in axes.get_lines()):
        return
    axes.plot(*CORNERS[[0, 1, 2, 0]].T, color="#374151", lw=1, gid=_DRAWN)
    for level in _LEVELS:
        for k in range(3):
            _draw_level(axes, level, k, scale)
    beside = ((-4, -16), (4, -16), (0, 6))
    for corner, answer, at in zip(CORNERS, answers, beside, strict=True):
        name = plain(answer, 24)
        axes.annotate(name, corner, at, textcoords="offset points", ha="center", size=10)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.12)


def _draw_level(axes: Axes, level: float, k: int, labelled: bool) -> None:
    """The line at which answer k has this probability."""
    others = CORNERS[[(k + 1) % 3, (k + 2) % 3]]
    ends = level * CORNERS[k] + (1 - level) * others
    axes.plot(*ends.T, color="#d8dce2", lw=0.7, zorder=0)
    if labelled:
        away = others[1] - CORNERS.mean(0)
        x, y = ends[0] - 0.045 * away / np.linalg.norm(away)
        text = f"{level:g}".lstrip("0")
        axes.text(x, y, text, ha="center", va="center", size=6.5, color=QUIET)


def paths(axes: Axes, marginals: np.ndarray, contexts: Sequence[str], legend: bool = True) -> None:
    """One line per context from its first to its last marginal (rounds, m, 3), on a `triangle`."""
    for x in range(marginals.shape[1]):
        points = marginals[:, x] @ CORNERS
        colour = CYCLE[x % len(CYCLE)]
        name = label(contexts[x], 28) if x < len(CYCLE) else None
        axes.plot(*points.T, "-", color=colour, lw=1.6, label=name)
        axes.plot(*points[:-1].T, "o", color=colour, ms=2.5, alpha=0.6)
        axes.plot(*points[0], "o", color=colour, ms=7, mfc="white", mew=1.6)
        axes.plot(*points[-1], "o", color=colour, ms=7)
    if legend:
        place = {"loc": "upper right", "bbox_to_anchor": (0.26, 1.04)}
        explain(axes, **place, title="○ start, ● end", title_fontsize=8)
