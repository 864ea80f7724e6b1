"""How results show themselves: rows of facts, HTML tables for Jupyter, data frames."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..text import visible

if TYPE_CHECKING:
    import pandas
    import polars

Rows = Sequence[tuple[str, str]]

_LEFT = "text-align:left"
_CELLS = 12


def _escaped(text: str) -> str:
    return html.escape(visible(text))


class Shown:
    """Mixin: `_rows`, (name, text) pairs, as text and as an HTML table."""

    def _rows(self) -> Rows:
        raise NotImplementedError

    def __str__(self) -> str:
        rows = [(visible(name), visible(text)) for name, text in self._rows()]
        width = max((len(name) for name, _ in rows), default=0) + 1
        return "\n".join(f"{name:<{width}} {text}" for name, text in rows)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return facts_html(self._rows())


class Exported:
    """Mixin: `_columns`, arrays of equal length by name, as a data frame."""

    def _columns(self) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def to_polars(self) -> polars.DataFrame:
        """One row per entry as a polars data frame."""
        import polars

        return polars.DataFrame(self._columns())

    def to_pandas(self) -> pandas.DataFrame:
        """One row per entry as a pandas data frame; pandas must be installed."""
        import pandas

        return pandas.DataFrame(self._columns())


def indexed(shape: Sequence[int], names: Sequence[str]) -> dict[str, np.ndarray]:
    """One column per axis of `shape` with the index along it, flattened; unnamed axes lead as `game`."""
    batch = len(shape) - len(names)
    lead = ["game"] if batch == 1 else [f"game_{k}" for k in range(batch)]
    grids = np.indices(tuple(shape))
    return {name: grid.ravel() for name, grid in zip([*lead, *names], grids, strict=True)}


class Column(NamedTuple):
    """A column of an HTML table: its heading, and whether its cells are text (left) or numbers."""

    name: str
    text: bool = False


def table_html(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """A table with headings; every cell is escaped."""
    style = [f" style='{_LEFT}'" if column.text else "" for column in columns]
    head = "".join(f"<th{s}>{_escaped(c.name)}</th>" for c, s in zip(columns, style, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{s}>{_escaped(cell)}</td>" for cell, s in zip(row, style, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def facts_html(rows: Rows) -> str:
    """Rows of (name, text) as a table without headings."""
    cells = "".join(
        f"<tr><th style='{_LEFT}'>{_escaped(a)}</th><td style='{_LEFT}'>{_escaped(b)}</td></tr>"
        for a, b in rows
    )
    return f"<table>{cells}</table>"


def shaded_html(title: str, table: np.ndarray) -> str:
    """Probabilities (m, n) with cells shaded by their size; "" where there are too many to read."""
    m, n = table.shape
    if not (m <= _CELLS and n <= _CELLS):
        return ""
    head = "".join(f"<th>answer {z}</th>" for z in range(n))
    body = "".join(
        f"<tr><th style='{_LEFT}'>context {x}</th>"
        + "".join(
            f"<td style='background:rgba(37,99,168,{0.6 * np.nan_to_num(p):.2f})'>{p:.4g}</td>"
            for p in row
        )
        + "</tr>"
        for x, row in enumerate(table)
    )
    caption = f"<caption style='{_LEFT}'>{_escaped(title)}</caption>"
    return f"<table>{caption}<tr><td></td>{head}</tr>{body}</table>"


def shortest(values: Any, digits: int = 3) -> str:
    """One number, or the largest of several."""
    flat = np.ravel(np.asarray(values, dtype=np.float64))
    if flat.size == 1:
        return f"{flat[0]:.{digits}g}"
    return f"largest {flat.max(initial=-np.inf):.{digits}g}" if flat.size else "none"
