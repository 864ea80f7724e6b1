"""Pictures of games and their equilibria.

Every picture takes `ax`, matplotlib axes to draw on (a new figure where there are none; a picture of several
panels takes as many axes, or divides one), and returns the figure that it is drawn in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .figure import (
    AFTER,
    BEFORE,
    CYCLE,
    PALE,
    QUIET,
    RIGHT,
    clean,
    entitle,
    explain,
    figure,
    finished,
    label,
    name_axes,
    panels,
    plain,
    root,
    scale_of,
)
from .names import numbered
from .summaries import before_after, class_scatter, gaps
from .triangle import CORNERS, paths, triangle

if TYPE_CHECKING:
    from ..games.solution import History

__all__ = [
    "AFTER",
    "BEFORE",
    "CORNERS",
    "CYCLE",
    "QUIET",
    "RIGHT",
    "before_after",
    "class_scatter",
    "distributions",
    "equilibrium",
    "figure",
    "gaps",
    "heat_map",
    "history",
    "paths",
    "simplex",
    "strengths",
    "trajectory",
    "triangle",
]


def distributions(
    classes: Sequence[tuple[str, Sequence[str], np.ndarray, np.ndarray, np.ndarray | None]],
    top: int = 7,
    *,
    ax: Any = None,
    title: str = "",
    legend: bool = True,
) -> Figure:
    """Answer distributions before and after, one panel per class.

    Each class is (title, answers, before (m, n), after (m, n), correct (n,) or None). Bars are means
    over contexts, dots the contexts; answers in order of the larger of the two masses.
    """
    columns, rows = min(2, len(classes)), -(-len(classes) // 2)
    several = any(len(before) > 1 for _, _, before, _, _ in classes)
    note = " (bar: mean over contexts, dot: one context)" if several else ""
    orders = [_by_mass(before, after, top) for _, _, before, after, _ in classes]
    most = max(len(order) for order in orders)
    size = 5.2 * columns, (0.75 + 0.36 * most) * rows
    grid = panels(ax, len(classes), size, columns=columns)
    for axes, order, one in zip(grid, orders, classes, strict=True):
        name, answers, before, after, correct = one
        _bars(axes, answers, before, after, order, correct)
        axes.set_ylim(len(order) - most - 0.6, len(order) - 0.4)
        axes.set_title(_both_ends(name, 52), fontsize=10, loc="left")
    if title:
        root(grid[0]).suptitle(plain(title), fontsize=10)
    if legend:
        explain(grid[0], loc="lower right")
    for axes in grid[-columns:]:
        axes.set_xlabel(f"probability{note}", fontsize=9)
    return root(grid[0])


def _by_mass(before: np.ndarray, after: np.ndarray, top: int) -> np.ndarray:
    """The answers of largest mass, the largest last, those that nobody gives left out."""
    mass = np.maximum(before.mean(0), after.mean(0))
    order = np.argsort(-mass, kind="stable")[:top]
    return order[mass[order] > 0][::-1]


def _bars(
    axes: Axes,
    answers: Sequence[str],
    before: np.ndarray,
    after: np.ndarray,
    order: np.ndarray,
    correct: np.ndarray | None = None,
) -> None:
    """Means over contexts as bars from the bottom up in `order`, the contexts as dots."""
    place = np.arange(len(order))
    axes.barh(place + 0.2, before.mean(0)[order], 0.36, color=BEFORE, label="reference")
    axes.barh(place - 0.2, after.mean(0)[order], 0.36, color=AFTER, label="equilibrium")
    for table, shift in ((before, 0.2), (after, -0.2)):
        for row in table if len(table) > 1 else ():
            axes.plot(row[order], place + shift, "o", color="#111827", ms=2.2, alpha=0.55)
    axes.set_yticks(place, [_answer_label(str(answers[k]), correct, k) for k in order])
    clean(axes)
    for tick, k in zip(axes.get_yticklabels(), order, strict=True):
        if correct is not None and correct[k] > 0.5:
            tick.set_color(RIGHT)
            tick.set_fontweight("bold")
    axes.set_xlim(0, 1)


def _both_ends(text: str, width: int) -> str:
    """The beginning and the end of a long title: questions often differ in their last words."""
    flat = plain(text, 1000)
    half = (width - 3) // 2
    return flat if len(flat) <= width else f"{flat[:half].rstrip()} … {flat[-half:].lstrip()}"


def _answer_label(answer: str, correct: np.ndarray | None, k: int) -> str:
    right = correct is not None and correct[k] > 0.5
    return plain(answer, 26) + (" ✓" if right else "")


def strengths(
    factors: np.ndarray,
    lines: Sequence[tuple[str, np.ndarray]],
    level: tuple[str, float] | None,
    *,
    ax: Any = None,
    title: str = "",
    legend: bool = True,
) -> Figure:
    """Means over classes (name, values) against the strength, times the one solved; a level dashed."""
    (axes,) = panels(ax, 1, (5.2, 3.4))
    for k, (name, values) in enumerate(lines):
        axes.plot(factors, values, "o-", color=CYCLE[k], ms=4, lw=1.6, label=label(name))
    if level is not None:
        axes.axhline(level[1], color=QUIET, lw=1, ls="--", label=label(level[0]))
    axes.axvline(1, color=PALE, lw=1, zorder=0)
    axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.02)
    name_axes(axes, "times the strength of this page")
    return finished(axes, title, legend)


def heat_map(
    axes: Axes, table: np.ndarray, across: Sequence[str], down: Sequence[str], top: float = 1.0
) -> Any:
    """A table of probabilities as shades from 0 to `top`, with numbers where they fit."""
    image = axes.imshow(table, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    rows, columns = table.shape
    for axis, names in ((axes.xaxis, across), (axes.yaxis, down)):
        step = -(-len(names) // 20)
        place = range(0, len(names), step)
        axis.set_ticks(place, [plain(names[k], 14) for k in place])
    if columns > 4:
        axes.tick_params("x", rotation=60 if max(map(len, across)) > 3 else 0)
    if rows <= 10 and columns <= 8:
        for x, z in np.ndindex(rows, columns):
            colour = "white" if table[x, z] > 0.6 * top else "#111827"
            text = f"{table[x, z]:.2f}"
            axes.text(z, x, text, ha="center", va="center", size=8, color=colour)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    return image


def equilibrium(
    before: np.ndarray,
    after: np.ndarray,
    answers: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    title: str = "",
    *,
    ax: Any = None,
    legend: bool = True,
) -> Figure:
    """Marginals (m, n) of the reference and of the equilibrium.

    Three answers: the contexts move on a triangle. Else two heat maps of contexts x answers, or bars
    for a single context, of at most 24 answers, those of largest mass.
    """
    names = _names(before.shape, answers, contexts)
    if before.shape[1] == 3:
        (axes,) = panels(ax, 1, (5.4, 4.4))
        return _on_triangle(axes, np.stack([before, after]), *names, title, legend)
    kept, of = _largest(np.maximum(before, after).mean(0))
    if len(before) == 1:
        (axes,) = panels(ax, 1, (5.2, 0.9 + 0.36 * len(kept)))
        _bars(axes, names[0], before, after, kept[::-1])
        name_axes(axes, "probability", f"answer{of}")
        return finished(axes, title, legend, above=True)
    size = 3.0 + 0.55 * min(2 * len(kept), 18), 1.3 + 0.32 * min(len(before), 24)
    grid = panels(ax, 2, size)
    image = _two_maps(
        grid, (before[:, kept], after[:, kept]), [names[0][k] for k in kept], names[1]
    )
    for axes in grid:
        axes.set_xlabel(f"answer{of}", fontsize=9)
    if contexts is not None:
        grid[0].set_ylabel("context", fontsize=9)
    if title:
        grid[0].set_title(f"{plain(title)}\nreference", fontsize=10)
    if legend:
        scale_of(image, grid[1], "probability")
    return root(grid[0])


def _two_maps(
    grid: Sequence[Axes],
    tables: tuple[np.ndarray, np.ndarray],
    answers: Sequence[str],
    contexts: Sequence[str],
) -> Any:
    """Reference and equilibrium in the same shades; the image of the second."""
    top, image = max(table.max() for table in tables), None
    for axes, table, when in zip(grid, tables, ("reference", "equilibrium"), strict=True):
        image = heat_map(axes, table, answers, contexts, top)
        axes.set_title(when, fontsize=10)
    grid[1].tick_params(labelleft=False)
    return image


def _on_triangle(
    axes: Axes,
    marginals: np.ndarray,
    answers: Sequence[str],
    contexts: Sequence[str],
    title: str,
    legend: bool,
) -> Any:
    """The paths of marginals (rounds, m, 3) on the triangle of the answers."""
    triangle(axes, answers)
    paths(axes, marginals, contexts, legend)
    entitle(axes, title)
    return root(axes)


def trajectory(
    run: History,
    marginals: np.ndarray | None,
    answers: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    title: str = "",
    *,
    ax: Any = None,
    legend: bool = True,
) -> Figure:
    """The gaps of a run beside its marginals (rounds, m, n), if it kept them.

    Three answers: their paths on the triangle. Else a heat map of rounds x answers, means over
    contexts, of at most 24 answers, those of largest mass.
    """
    if marginals is None:
        return history([run], title=title, ax=ax, legend=legend)
    answers, contexts = _names(marginals.shape[1:], answers, contexts)
    left, right = panels(ax, 2, (9.2, 3.9), ratios=(1, 1.15))
    _rounds(left, [run], "gaps")
    entitle(left, title)
    if len(answers) == 3:
        return _on_triangle(right, marginals, answers, contexts, "", legend)
    mean = marginals.mean(1)
    kept, of = _largest(mean.max(0))
    rounds = [str(t) for t in range(len(mean))]
    image = heat_map(right, mean[:, kept].T, rounds, [answers[k] for k in kept], mean.max())
    name_axes(right, "round", f"answer{of}")
    if legend:
        scale_of(image, right, "mean probability over contexts")
    return root(right)


def _names(
    shape: Sequence[int], answers: Sequence[str] | None, contexts: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of answers and contexts; numbered where none are given."""
    m, n = shape
    kind = "answer " if n == 3 else ""
    return numbered(answers, n, kind, "answers"), numbered(contexts, m, "context ", "contexts")


def _largest(mass: np.ndarray, top: int = 24) -> tuple[np.ndarray, str]:
    """The places of the `top` largest masses, in their own order, and of how many they are, if not all."""
    kept = np.sort(np.argsort(-mass, kind="stable")[:top])
    return kept, f" ({len(kept)} of {len(mass)})" if len(kept) < len(mass) else ""


def simplex(
    history: History,
    answers: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    *,
    ax: Any = None,
    title: str = "",
    legend: bool = True,
) -> Figure:
    """Trajectories of the contexts' marginals (rounds, m, 3) on the triangle of three answers.

    Names are by default those of the history's game.
    """
    assert history.marginals is not None
    m, n = history.marginals.shape[1:]
    answers = history.answer_names if answers is None else answers
    contexts = history.context_names if contexts is None else contexts
    answers, contexts = _names((m, n), answers, contexts)
    (axes,) = panels(ax, 1, (6.2, 4.6))
    return _on_triangle(axes, history.marginals, answers, contexts, title, legend)


def history(
    runs: Sequence[History],
    quantity: str = "gaps",
    *,
    ax: Any = None,
    title: str = "",
    legend: bool = True,
) -> Figure:
    """The largest gap (or the mean value, quantity "values") of each round, one line per run."""
    (axes,) = panels(ax, 1, (6.4, 3.4))
    _rounds(axes, runs, quantity)
    return finished(axes, title, legend)


def _rounds(axes: Axes, runs: Sequence[History], quantity: str) -> None:
    for one in runs:
        table = np.reshape(getattr(one, quantity), (len(one), -1))
        line = np.maximum(table.max(1), 1e-18) if quantity == "gaps" else table.mean(1)
        axes.plot(line, lw=1.6, label=label(one.dynamic.replace("_", " ")))
    if quantity == "gaps":
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    name_axes(axes, "round", "duality gap" if quantity == "gaps" else "value J")
    clean(axes)
