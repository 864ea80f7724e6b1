"""Pictures of games and their equilibria; every function returns a matplotlib Figure.

Figures are built without pyplot, so that no window system and no global state is touched.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import InvalidGame
from ..text import shortened

if TYPE_CHECKING:
    from ..games.solution import History

BEFORE, AFTER, RIGHT, QUIET = "#9aa5b1", "#2563a8", "#2e7d4f", "#6b7280"
CYCLE = ("#2563a8", "#d1651f", "#2e7d4f", "#8e44ad", "#b8860b", "#c0392b", "#16808a", "#6b7280")

_DPI = 110
_NOTE: dict[str, Any] = {"ha": "right", "va": "bottom", "size": 8, "color": QUIET}


class Picture(Figure):
    """A figure that shows itself in Jupyter without pyplot, in the colours of the package."""

    def add_subplot(self, *args: Any, **kwargs: Any) -> Axes:
        """Axes without a frame at the top and the right."""
        axes = super().add_subplot(*args, **kwargs)
        axes.set_prop_cycle(color=CYCLE)
        axes.spines[["top", "right"]].set_visible(False)
        return axes

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()


def _figure(width: float, height: float) -> Figure:
    return Picture(figsize=(width, height), layout="constrained", facecolor="white")


def figure(width: float, height: float) -> Figure:
    """An empty figure of inches, which Jupyter shows without pyplot."""
    return _figure(width, height)


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors="#374151")


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
    several = any(len(before) > 1 for _, _, before, _, _ in classes)
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
            for row in table if several else ():
                axes.plot(row[order], place + shift, "o", color="#111827", ms=2.2, alpha=0.55)
        axes.set_yticks(place, [_answer_label(str(answers[k]), correct, k) for k in order])
        _clean(axes)
        for tick, k in zip(axes.get_yticklabels(), order, strict=True):
            if correct is not None and correct[k] > 0.5:
                tick.set_color(RIGHT)
                tick.set_fontweight("bold")
        axes.set_xlim(0, 1)
        axes.set_ylim(min(-0.6, len(order) - 4.6), len(order) - 0.4)
        axes.set_title(_both_ends(title, 52), fontsize=10, loc="left")
    for axes in list(grid.flat)[len(classes) :]:
        axes.set_visible(False)
    grid.flat[0].legend(fontsize=8, frameon=False, loc="lower right")
    note = " (bar: mean over contexts, dot: one context)" if several else ""
    figure.supxlabel(f"probability{note}", fontsize=9)
    return figure


def _both_ends(text: str, width: int) -> str:
    """The beginning and the end of a long title: questions often differ in their last words."""
    flat = _plain(text, 1000)
    half = (width - 3) // 2
    return flat if len(flat) <= width else f"{flat[:half].rstrip()} … {flat[-half:].lstrip()}"


def _answer_label(answer: str, correct: np.ndarray | None, k: int) -> str:
    right = correct is not None and correct[k] > 0.5
    return _plain(answer, 26) + (" ✓" if right else "")


def before_after(metrics: Sequence[tuple[str, float, float]], later: str = "equilibrium") -> Figure:
    """Summary metrics in [0, 1] as dumbbells: (name, before, after)."""
    figure = _figure(6.4, 0.7 + 0.55 * len(metrics))
    axes = figure.subplots()
    for k, (_, before, after) in enumerate(reversed(metrics)):
        axes.plot([before, after], [k, k], color="#cbd5e1", lw=3, zorder=1)
        axes.scatter([before], [k], s=60, color=BEFORE, zorder=2, label=None if k else "reference")
        axes.scatter([after], [k], s=60, color=AFTER, zorder=3, label=None if k else _label(later))
        text = f"{before:.4f} → {after:.4f}"
        axes.annotate(
            text, (max(before, after), k), (9, 0), textcoords="offset points", va="center", size=9
        )
    axes.set_yticks(range(len(metrics)), [_plain(name, 60) for name, _, _ in reversed(metrics)])
    limit = max(max(b, a) for _, b, a in metrics)
    axes.set_xlim(0, min(1.25, 1.35 * limit + 0.02))  # room for the numbers
    axes.set_xticks([t for t in axes.get_xticks() if t <= min(1, axes.get_xlim()[1])])
    axes.set_ylim(-0.6, len(metrics) - 0.4)
    axes.legend(
        fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0
    )
    _clean(axes)
    return figure


def strengths(
    factors: np.ndarray, lines: Sequence[tuple[str, np.ndarray]], level: tuple[str, float] | None
) -> Figure:
    """Means over classes (name, values) against the strength, times the one solved; a level dashed."""
    figure = _figure(5.2, 3.4)
    axes = figure.subplots()
    for k, (name, values) in enumerate(lines):
        axes.plot(factors, values, "o-", color=CYCLE[k], ms=4, lw=1.6, label=_label(name))
    if level is not None:
        axes.axhline(level[1], color=QUIET, lw=1, ls="--", label=_label(level[0]))
    axes.axvline(1, color="#cbd5e1", lw=1, zorder=0)
    axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("times the strength of this page", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
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
        axes.set_xlabel(_plain(f"{name}, reference", 60), fontsize=9)
        axes.set_ylabel(_plain(f"{name}, {later}", 60), fontsize=9)
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


CORNERS = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
"""Where the three answers of a triangle lie."""


def triangle(axes: Axes, answers: Sequence[str]) -> None:
    """The simplex of three answers, with lines at probabilities 1/4, 1/2 and 3/4."""
    axes.plot(*CORNERS[[0, 1, 2, 0]].T, color="#374151", lw=1)
    for level in (0.25, 0.5, 0.75):
        for k in range(3):
            a, b = CORNERS[(k + 1) % 3], CORNERS[(k + 2) % 3]
            ends = np.array([level * CORNERS[k] + (1 - level) * c for c in (a, b)])
            axes.plot(*ends.T, color="#e5e7eb", lw=0.7, zorder=0)
    for corner, answer, (dx, dy) in zip(
        CORNERS, answers, ((-4, -14), (4, -14), (0, 6)), strict=True
    ):
        label = _plain(answer, 24)
        axes.annotate(label, corner, (dx, dy), textcoords="offset points", ha="center", size=10)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.12)


def paths(axes: Axes, marginals: np.ndarray, contexts: Sequence[str]) -> None:
    """One line per context from its first to its last marginal (rounds, m, 3), on a `triangle`."""
    for x in range(marginals.shape[1]):
        points = marginals[:, x] @ CORNERS
        colour = CYCLE[x % len(CYCLE)]
        label = _label(contexts[x], 28) if x < len(CYCLE) else None
        axes.plot(*points.T, "-", color=colour, lw=1.6, label=label)
        axes.plot(*points[:-1].T, "o", color=colour, ms=2.5, alpha=0.6)
        axes.plot(*points[0], "o", color=colour, ms=7, mfc="white", mew=1.6)
        axes.plot(*points[-1], "o", color=colour, ms=7)
    axes.legend(
        fontsize=8, frameon=False, loc="upper left", title="○ start, ● end", title_fontsize=8
    )


def heat_map(
    axes: Axes, table: np.ndarray, across: Sequence[str], down: Sequence[str], top: float = 1.0
) -> Any:
    """A table of probabilities as shades from 0 to `top`, with numbers where they fit."""
    image = axes.imshow(table, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    rows, columns = table.shape
    for axis, names in ((axes.xaxis, across), (axes.yaxis, down)):
        step = -(-len(names) // 20)
        place = range(0, len(names), step)
        axis.set_ticks(place, [_plain(names[k], 14) for k in place])
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
) -> Figure:
    """Marginals (m, n) of the reference and of the equilibrium.

    Three answers: the contexts move on a triangle. Else heat maps of contexts x answers, or bars
    for a single context, of at most 24 answers, those of largest mass.
    """
    (m, n), (answers, contexts) = before.shape, _names(before.shape, answers, contexts)
    if n == 3:
        figure = _figure(5.4, 4.4)
        axes = figure.subplots()
        triangle(axes, answers)
        paths(axes, np.stack([before, after]), contexts)
        axes.set_title(_plain(title), fontsize=10)
        return figure
    if m == 1:
        return distributions([(title, answers, before, after, None)], top=24)
    kept = _largest(np.maximum(before, after).mean(0))
    figure = _figure(3.0 + 0.55 * min(2 * len(kept), 18), 1.3 + 0.32 * min(m, 24))
    grid = figure.subplots(1, 2, sharey=True)
    top = max(before.max(), after.max())
    names = [answers[k] for k in kept]
    for axes, table, label in zip(grid, (before, after), ("reference", "equilibrium"), strict=True):
        image = heat_map(axes, table[:, kept], names, contexts, top)
        axes.set_title(label, fontsize=10)
    figure.colorbar(image, ax=grid, shrink=0.9, label="probability")
    more = f", {len(kept)} of {n}" if len(kept) < n else ""
    figure.supxlabel(f"answer{more}", fontsize=9)
    figure.suptitle(_plain(title), fontsize=10)
    return figure


def trajectory(
    run: History,
    marginals: np.ndarray | None,
    answers: Sequence[str] | None = None,
    contexts: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """The gaps of a run beside its marginals (rounds, m, n), if it kept them.

    Three answers: their paths on the triangle. Else a heat map of rounds x answers, means over
    contexts, of at most 24 answers, those of largest mass.
    """
    if marginals is None:
        return history([run])
    answers, contexts = _names(marginals.shape[1:], answers, contexts)
    figure = _figure(9.2, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    _rounds(left, [run], "gaps")
    left.get_legend().remove()
    left.set_title(_plain(" ".join([run.dynamic.replace("_", " "), title])), fontsize=10)
    if len(answers) == 3:
        triangle(right, answers)
        paths(right, marginals, contexts)
        return figure
    mean = marginals.mean(1)
    kept = _largest(mean.max(0))
    rounds = [str(t) for t in range(len(mean))]
    image = heat_map(right, mean[:, kept].T, rounds, [answers[k] for k in kept], mean.max())
    right.set_xlabel("round", fontsize=9)
    more = f" ({len(kept)} of {len(answers)})" if len(kept) < len(answers) else ""
    right.set_ylabel(f"answer{more}", fontsize=9)
    figure.colorbar(image, ax=right, label="mean probability over contexts")
    return figure


def _names(
    shape: Sequence[int], answers: Sequence[str] | None, contexts: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Names of answers and contexts; numbered where none are given."""
    m, n = shape
    kind = "answer " if n == 3 else ""
    answers = [f"{kind}{z}" for z in range(n)] if answers is None else list(map(str, answers))
    contexts = [f"context {x}" for x in range(m)] if contexts is None else list(map(str, contexts))
    for given, want, what in ((answers, n, "answers"), (contexts, m, "contexts")):
        if len(given) != want:
            raise InvalidGame(f"{len(given)} names for {want} {what}; give one for each.")
    return answers, contexts


def _largest(mass: np.ndarray, top: int = 24) -> np.ndarray:
    """The places of the `top` largest masses, in their own order."""
    return np.sort(np.argsort(-mass, kind="stable")[:top])


def _plain(text: str, width: int = 100) -> str:
    """A text of at most `width` characters that matplotlib does not read as mathematics."""
    return shortened(str(text), width).replace("$", r"\$")


def _label(text: str, width: int = 60) -> str:
    """The same for a legend, which leaves out what begins with an underscore."""
    plain = _plain(text, width)
    return f"\N{HAIR SPACE}{plain}" if plain.startswith("_") else plain


def simplex(history: History, answers: Sequence[str], contexts: Sequence[str]) -> Figure:
    """Trajectories of the contexts' marginals (rounds, m, 3) on the triangle of three answers."""
    assert history.marginals is not None
    figure = _figure(6.2, 4.6)
    axes = figure.subplots()
    triangle(axes, answers)
    paths(axes, history.marginals, contexts)
    return figure


def history(runs: Sequence[History], quantity: str = "gaps") -> Figure:
    """The largest gap (or the mean value) of each round, one line per run."""
    figure = _figure(6.4, 3.4)
    _rounds(figure.subplots(), runs, quantity)
    return figure


def _rounds(axes: Axes, runs: Sequence[History], quantity: str) -> None:
    for k, one in enumerate(runs):
        table = np.reshape(getattr(one, quantity), (len(one), -1))
        line = np.maximum(table.max(1), 1e-18) if quantity == "gaps" else table.mean(1)
        axes.plot(line, color=CYCLE[k % len(CYCLE)], lw=1.6, label=_label(one.dynamic))
    if quantity == "gaps":
        axes.set_yscale("log")
    axes.set_xlabel("round", fontsize=9)
    axes.set_ylabel("duality gap" if quantity == "gaps" else "value J", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    _clean(axes)
