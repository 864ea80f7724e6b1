"""Pictures of many classes: means before and after, every class as a dot, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .figure import (
    AFTER,
    BEFORE,
    CYCLE,
    PALE,
    QUIET,
    clean,
    entitle,
    finished,
    label,
    name_axes,
    panels,
    plain,
    root,
)

_NOTE: dict[str, Any] = {"ha": "right", "va": "bottom", "size": 8, "color": QUIET}


def before_after(
    metrics: Sequence[tuple[str, float, float]],
    later: str = "equilibrium",
    *,
    ax: Any = None,
    title: str = "",
    legend: bool = True,
) -> Figure:
    """Summary metrics in [0, 1] as dumbbells: (name, before, after), the numbers to the right."""
    (axes,) = panels(ax, 1, (6.4, 0.9 + 0.5 * len(metrics)))
    for k, (_, before, after) in enumerate(reversed(metrics)):
        axes.plot([before, after], [k, k], color=PALE, lw=3, zorder=1, solid_capstyle="round")
        for value, colour, name in ((before, BEFORE, "reference"), (after, AFTER, label(later))):
            axes.scatter([value], [k], s=60, color=colour, zorder=3, clip_on=False, label=name)
        text = f"{before:.4f} → {after:.4f}"
        axes.text(1.03, k, text, transform=axes.get_yaxis_transform(), va="center", size=9)
    axes.set_yticks(range(len(metrics)), [plain(name, 60) for name, _, _ in reversed(metrics)])
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.6, len(metrics) - 0.4)
    return finished(axes, title, legend, above=True)


def class_scatter(
    parts: Sequence[tuple[str, np.ndarray, np.ndarray]],
    later: str = "equilibrium",
    *,
    ax: Any = None,
    title: str = "",
) -> Figure:
    """One panel per metric (name, before (C,), after (C,)): every class a dot, the diagonal shown."""
    grid = panels(ax, len(parts), (3.9 * len(parts), 3.7))
    for axes, (name, before, after) in zip(grid, parts, strict=True):
        axes.plot([0, 1], [0, 1], color=PALE, lw=1)
        axes.plot(before, after, "o", color=AFTER, ms=4, alpha=0.45, mew=0, clip_on=False)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        name_axes(axes, plain(f"{name}, reference", 60), plain(f"{name}, {later}", 60))
        clean(axes)
    entitle(grid[0], title)
    return root(grid[0])


def gaps(
    values: np.ndarray, tolerance: float | None = None, *, ax: Any = None, title: str = ""
) -> Figure:
    """The certified gap of every class, largest first, on a log scale."""
    (axes,) = panels(ax, 1, (6.4, 2.7))
    shown = np.sort(np.maximum(values[np.isfinite(values)], 1e-18))[::-1]
    axes.semilogy(np.arange(1, len(shown) + 1), shown, "o", color=AFTER, ms=3)
    if tolerance is not None:
        axes.axhline(tolerance, color=CYCLE[1], lw=1, ls="--")
        note = f"tolerance {tolerance:g}"
        axes.text(0.99, tolerance, note, transform=axes.get_yaxis_transform(), **_NOTE)
    low = {**_NOTE, "va": "top"}
    axes.text(0.99, 6e-19, "1e-18 or less", transform=axes.get_yaxis_transform(), **low)
    axes.set_ylim(2e-20, max(1e-9, 3 * shown.max(initial=0), 5 * (tolerance or 0)))
    name_axes(axes, "classes, by gap", "duality gap")
    return finished(axes, title)
