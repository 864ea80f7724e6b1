"""Figures, their panels and their texts: what every picture of the package is drawn with.

Figures are built without pyplot, so that no window system and no global state is touched.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import InvalidGame, OutputError
from ..text import shortened

BEFORE, AFTER, RIGHT, QUIET = "#9aa5b1", "#2563a8", "#2e7d4f", "#6b7280"
PALE = "#cbd5e1"
CYCLE = ("#2563a8", "#d1651f", "#2e7d4f", "#8e44ad", "#b8860b", "#c0392b", "#16808a", "#6b7280")

_DPI = 110
_BETWEEN = 0.24


class Picture(Figure):
    """A figure that shows itself in Jupyter without pyplot, in the colours of the package."""

    def add_subplot(self, *args: Any, **kwargs: Any) -> Axes:
        """Axes without a frame at the top and the right."""
        axes = super().add_subplot(*args, **kwargs)
        axes.set_prop_cycle(color=CYCLE)
        axes.spines[["top", "right"]].set_visible(False)
        return axes

    def show(self, warn: bool = True) -> None:
        """Show the figure: in Jupyter below the cell, else in a window.

        Raises:
            OutputError: this machine has no window to show it in.
        """
        if "ipykernel" in sys.modules:
            from IPython.display import display

            display(self)
            return
        from matplotlib import pyplot

        manager = _window(tuple(self.get_size_inches()))
        manager.canvas.figure = self
        self.set_canvas(manager.canvas)
        pyplot.show()

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()


def _window(size: tuple[float, ...]) -> Any:
    """The manager of a new window; `OutputError` where there can be none."""
    from matplotlib import get_backend, pyplot
    from matplotlib.backends.registry import BackendFilter, backend_registry

    window = pyplot.figure(figsize=size)
    backend, manager = get_backend(), window.canvas.manager
    silent = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)
    if manager is None or backend.lower() in silent:
        pyplot.close(window)
        raise OutputError(
            f"matplotlib's {backend} opens no window here; figure.savefig('picture.png') writes the "
            "picture to a file."
        )
    return manager


def figure(width: float, height: float) -> Figure:
    """An empty figure of inches, which Jupyter shows without pyplot."""
    return Picture(figsize=(width, height), layout="constrained", facecolor="white")


def panels(
    ax: Any,
    count: int,
    size: tuple[float, float],
    *,
    columns: int | None = None,
    ratios: Sequence[float] | None = None,
) -> list[Axes]:
    """Axes for a picture of `count` panels in rows of `columns`, by default all in one row.

    Args:
        ax: None for a new figure of `size` inches; axes for each panel; or one axes, which is divided.
        ratios: widths of the columns.

    Raises:
        InvalidGame: `ax` holds another number of axes.
    """
    columns = count if columns is None else min(columns, count)
    rows = -(-count // columns)
    if ax is None:
        made = figure(*size).subplots(rows, columns, squeeze=False, width_ratios=ratios).ravel()
        for spare in made[count:]:
            spare.set_visible(False)
        return list(made[:count])
    given = [ax] if isinstance(ax, Axes) else list(np.ravel(ax))
    if not all(isinstance(one, Axes) for one in given) or len(given) not in (1, count):
        raise InvalidGame(
            f"the picture has {count} panels and ax holds {len(given)} things; give one matplotlib Axes, "
            f"or {count}, as figure.subplots(1, {count}) makes them."
        )
    return given if len(given) == count else _divided(given[0], rows, columns, ratios)[:count]


def _divided(ax: Axes, rows: int, columns: int, ratios: Sequence[float] | None) -> list[Axes]:
    """Panels inside one axes, which shows nothing else."""
    ax.set_axis_off()
    share = np.ones(columns) if ratios is None else np.asarray(ratios, dtype=float)
    wide = share / share.sum() * (1 - _BETWEEN * (columns - 1) / columns)
    left = np.concatenate([[0], np.cumsum(wide[:-1] + _BETWEEN / columns)])
    high = (1 - _BETWEEN * (rows - 1) / rows) / rows
    return [
        ax.inset_axes((left[k], 1 - (row + 1) * high - row * _BETWEEN / rows, wide[k], high))
        for row in range(rows)
        for k in range(columns)
    ]


def root(axes: Axes) -> Any:
    """The figure that the axes stand in, however deep."""
    return axes.figure.figure


def clean(axes: Axes) -> None:
    """No frame at the top and the right, small grey ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors="#374151")


def entitle(axes: Axes, title: str, above: bool = False) -> None:
    """A title, where there is one, above a legend that stands there; without one that of the axes stays."""
    if title:
        axes.set_title(plain(title), fontsize=10, pad=22 if above else None)


def name_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Small names of the axes that have one; without one that of the axes stays."""
    if x:
        axes.set_xlabel(x, fontsize=9)
    if y:
        axes.set_ylabel(y, fontsize=9)


def finished(axes: Axes, title: str, legend: bool = False, above: bool = False) -> Any:
    """The figure of one panel, with its title, no frame and, if asked for, the legend, `above` or within."""
    if legend:
        (explain_above if above else explain)(axes)
    entitle(axes, title, above=legend and above)
    clean(axes)
    return root(axes)


def explain(axes: Axes, **options: Any) -> None:
    """A legend in which each label stands once."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    if once:
        axes.legend(once.values(), once.keys(), fontsize=8, frameon=False, **options)


def explain_above(axes: Axes) -> None:
    """The legend in one line above the axes."""
    explain(axes, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)


def scale_of(image: Any, axes: Axes, title: str) -> None:
    """The scale of an image's shades, to the right of its axes."""
    place = axes.inset_axes((1.04, 0.05, 0.035, 0.9))
    scale = root(axes).colorbar(image, cax=place)
    scale.set_label(title, fontsize=9)
    scale.outline.set_visible(False)
    place.tick_params(labelsize=8)


def plain(text: str, width: int = 100) -> str:
    """A text of at most `width` characters that matplotlib does not read as mathematics."""
    return shortened(str(text), width).replace("$", r"\$")


def label(text: str, width: int = 60) -> str:
    """The same for a legend, which leaves out what begins with an underscore."""
    flat = plain(text, width)
    return f"\N{HAIR SPACE}{flat}" if flat.startswith("_") else flat
