"""Pictures of games and their equilibria; every function returns a matplotlib Figure.

Figures are built without pyplot, so that no window system and no global state is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .solution import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEFORE, AFTER, RIGHT, QUIET = "#9aa5b1", "#2563a8", "#2e7d4f", "#6b7280"
CYCLE = ("#2563a8", "#d1651f", "#2e7d4f", "#8e44ad", "#b8860b", "#c0392b", "#16808a", "#6b7280")

_NOTE: dict[str, Any] = {"ha": "right", "va": "bottom", "size": 8, "color": QUIET}


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors="#374151")


def shortened(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def distributions(
    classes: Sequence[tuple[str, Sequence[str], np.ndarray, np.ndarray, np.ndarray | None]],
    top: int = 7,
) -> Figure:
    """Answer distributions before and after, one panel per class.

    Each class is (title, answers, before (m, n), after (m, n), correct (n,) or None). Bars are means
    over contexts, dots the contexts; answers in order of the larger of the two masses.
    """
    columns = 1 if len(classes) == 1 else 2
    rows = -(-len(classes) // columns)
    figure = _figure(5.2 * columns, 2.9 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (title, answers, before, after, correct) in zip(grid.flat, classes, strict=False):
        mass = np.maximum(before.mean(0), after.mean(0))
        order = np.argsort(-mass, kind="stable")[:top]
        order = order[mass[order] > 0][::-1]
        place = np.arange(len(order))
        axes.barh(place + 0.2, before.mean(0)[order], 0.36, color=BEFORE, label="reference")
        axes.barh(place - 0.2, after.mean(0)[order], 0.36, color=AFTER, label="equilibrium")
        for table, shift in ((before, 0.2), (after, -0.2)):
            for row in table:
                axes.plot(row[order], place + shift, "o", color="#111827", ms=2.2, alpha=0.55)
        axes.set_yticks(place, [_answer_label(str(answers[k]), correct, k) for k in order])
        for tick, k in zip(axes.get_yticklabels(), order, strict=True):
            if correct is not None and correct[k] > 0.5:
                tick.set_color(RIGHT)
                tick.set_fontweight("bold")
        axes.set_xlim(0, 1)
        axes.set_ylim(min(-0.6, len(order) - 4.6), len(order) - 0.4)
        axes.set_title(shortened(title, 52), fontsize=10, loc="left")
        _clean(axes)
    for axes in list(grid.flat)[len(classes) :]:
        axes.set_visible(False)
    grid.flat[0].legend(fontsize=8, frameon=False, loc="lower right")
    figure.supxlabel("probability (bar: mean over contexts, dot: one context)", fontsize=9)
    return figure


def _answer_label(answer: str, correct: np.ndarray | None, k: int) -> str:
    right = correct is not None and correct[k] > 0.5
    return shortened(answer, 26).replace("$", r"\$") + (" ✓" if right else "")


def before_after(metrics: Sequence[tuple[str, float, float]]) -> Figure:
    """Summary metrics in [0, 1] as dumbbells: (name, before, after)."""
    figure = _figure(6.4, 0.7 + 0.55 * len(metrics))
    axes = figure.subplots()
    for k, (_, before, after) in enumerate(reversed(metrics)):
        axes.plot([before, after], [k, k], color="#cbd5e1", lw=3, zorder=1)
        axes.scatter([before], [k], s=60, color=BEFORE, zorder=2, label=None if k else "reference")
        axes.scatter([after], [k], s=60, color=AFTER, zorder=3, label=None if k else "equilibrium")
        text = f"{before:.4f} → {after:.4f}"
        axes.annotate(
            text, (max(before, after), k), (9, 0), textcoords="offset points", va="center", size=9
        )
    axes.set_yticks(range(len(metrics)), [name for name, _, _ in reversed(metrics)])
    limit = max(max(b, a) for _, b, a in metrics)
    axes.set_xlim(0, min(1.25, 1.35 * limit + 0.02))
    axes.set_ylim(-0.6, len(metrics) - 0.4)
    axes.legend(
        fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0
    )
    _clean(axes)
    return figure


def class_scatter(
    panels: Sequence[tuple[str, np.ndarray, np.ndarray]], later: str = "equilibrium"
) -> Figure:
    """One panel per metric (name, before (C,), after (C,)): every class a dot, the diagonal shown."""
    figure = _figure(3.9 * len(panels), 3.7)
    for axes, (name, before, after) in zip(
        np.ravel(figure.subplots(1, len(panels), squeeze=False)), panels, strict=True
    ):
        axes.plot([0, 1], [0, 1], color="#cbd5e1", lw=1)
        axes.plot(before, after, "o", color=AFTER, ms=4, alpha=0.45, mew=0)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(-0.03, 1.03)
        axes.set_aspect("equal")
        axes.set_xlabel(f"{name}, reference", fontsize=9)
        axes.set_ylabel(f"{name}, {later}", fontsize=9)
        _clean(axes)
    return figure


def gaps(values: np.ndarray, tolerance: float | None = None) -> Figure:
    """The certified gap of every class, largest first, on a log scale."""
    figure = _figure(6.4, 2.7)
    axes = figure.subplots()
    shown = np.sort(np.maximum(values[np.isfinite(values)], 1e-18))[::-1]
    axes.semilogy(np.arange(1, len(shown) + 1), shown, "o", color=AFTER, ms=3)
    if tolerance is not None:
        axes.axhline(tolerance, color=CYCLE[1], lw=1, ls="--")
        note = f"tolerance {tolerance:g}"
        axes.text(0.99, tolerance, note, transform=axes.get_yaxis_transform(), **_NOTE)
    low = {**_NOTE, "va": "top"}
    axes.text(0.99, 6e-19, "1e-18 or less", transform=axes.get_yaxis_transform(), **low)
    axes.set_ylim(2e-20, max(1e-9, 3 * shown.max(initial=0), 5 * (tolerance or 0)))
    axes.set_xlabel("classes, by gap", fontsize=9)
    axes.set_ylabel("duality gap", fontsize=9)
    _clean(axes)
    return figure


def simplex(history: History, answers: Sequence[str], contexts: Sequence[str]) -> Figure:
    """Trajectories of the contexts' marginals (rounds, m, 3) on the triangle of three answers."""
    assert history.marginals is not None
    marginals = history.marginals
    figure = _figure(6.2, 4.6)
    axes = figure.subplots()
    corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
    axes.plot(*corners[[0, 1, 2, 0]].T, color="#374151", lw=1)
    for level in (0.25, 0.5, 0.75):
        for k in range(3):
            a, b = corners[(k + 1) % 3], corners[(k + 2) % 3]
            ends = np.array([level * corners[k] + (1 - level) * c for c in (a, b)])
            axes.plot(*ends.T, color="#e5e7eb", lw=0.7, zorder=0)
    for x in range(marginals.shape[1]):
        points = marginals[:, x] @ corners
        colour = CYCLE[x % len(CYCLE)]
        axes.plot(*points.T, "-", color=colour, lw=1.6, label=shortened(contexts[x], 28))
        axes.plot(*points[:-1].T, "o", color=colour, ms=2.5, alpha=0.6)
        axes.plot(*points[0], "o", color=colour, ms=7, mfc="white", mew=1.6)
        axes.plot(*points[-1], "o", color=colour, ms=7)
    for k, (dx, dy, ha) in enumerate(((-4, -14, "center"), (4, -14, "center"), (0, 6, "center"))):
        label = shortened(answers[k], 24).replace("$", r"\$")
        axes.annotate(label, corners[k], (dx, dy), textcoords="offset points", ha=ha, size=10)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.12)
    axes.legend(
        fontsize=8,
        frameon=False,
        loc="upper left",
        title="context: ○ start, ● end",
        title_fontsize=8,
    )
    return figure


def history(runs: Sequence[History], quantity: str = "gaps") -> Figure:
    """The largest gap (or the mean value) of each round, one line per run."""
    figure = _figure(6.4, 3.4)
    axes = figure.subplots()
    for k, one in enumerate(runs):
        table = np.reshape(getattr(one, quantity), (len(one), -1))
        line = np.maximum(table.max(1), 1e-18) if quantity == "gaps" else table.mean(1)
        axes.plot(line, color=CYCLE[k % len(CYCLE)], lw=1.6, label=one.dynamic)
    if quantity == "gaps":
        axes.set_yscale("log")
    axes.set_xlabel("round", fontsize=9)
    axes.set_ylabel("duality gap" if quantity == "gaps" else "value J", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    _clean(axes)
    return figure
