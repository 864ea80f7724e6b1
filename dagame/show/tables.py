"""How results show themselves: rows of facts, HTML tables for Jupyter, data frames."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..text import shortened, visible
from .names import numbered

if TYPE_CHECKING:
    import pandas
    import polars

Rows = Sequence[tuple[str, str]]

_LEFT = "text-align:left"
_CELLS, _WIDTH = 12, 24


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


def indexed(
    shape: Sequence[int],
    names: Sequence[str],
    labels: Mapping[str, Sequence[str] | None] | None = None,
) -> dict[str, np.ndarray]:
    """One column per axis of `shape` with the index along it, flattened; unnamed axes lead as `game`.

    An axis with `labels` has these in place of the index.
    """
    batch = len(shape) - len(names)
    lead = ["game"] if batch == 1 else [f"game_{k}" for k in range(batch)]
    grids = np.indices(tuple(shape))
    columns = {name: grid.ravel() for name, grid in zip([*lead, *names], grids, strict=True)}
    for name, given in (labels or {}).items():
        if given is not None:
            columns[name] = np.asarray(given, dtype=object)[columns[name]]
    return columns


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


def shaded_html(
    title: str,
    table: np.ndarray,
    answers: Iterable[str] | None = None,
    contexts: Iterable[str] | None = None,
) -> str:
    """Probabilities (m, n) with cells shaded by their size; "" where there are too many to read.

    `answers` and `contexts` are names; numbers where there are none.
    """
    m, n = table.shape
    if not (m <= _CELLS and n <= _CELLS):
        return ""
    across, down = (
        [_escaped(shortened(x, _WIDTH)) for x in numbered(given, count, f"{kind} ", f"{kind}s")]
        for given, count, kind in ((answers, n, "answer"), (contexts, m, "context"))
    )
    head = "".join(f"<th>{name}</th>" for name in across)
    body = "".join(
        f"<tr><th style='{_LEFT}'>{name}</th>{''.join(map(_shaded, row))}</tr>"
        for name, row in zip(down, table, strict=True)
    )
    caption = f"<caption style='{_LEFT}'>{_escaped(title)}</caption>"
    return f"<table>{caption}<tr><td></td>{head}</tr>{body}</table>"


def _shaded(p: float) -> str:
    shade = 0.6 * np.nan_to_num(p)
    return f"<td style='background:rgba(37,99,168,{shade:.2f})'>{number(p, 4)}</td>"


def number(value: Any, digits: int = 3) -> str:
    """A number at so many digits; a zero has no sign."""
    return f"{float(value) + 0.0:.{digits}g}"


def counted(count: int, thing: str) -> str:
    """A number of things in words: 1 context, 2 contexts."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def shortest(values: Any, digits: int = 3) -> str:
    """One number, or the largest of several."""
    flat = np.ravel(np.asarray(values, dtype=np.float64))
    if flat.size == 1:
        return number(flat[0], digits)
    return f"largest {number(flat.max(initial=-np.inf), digits)}" if flat.size else "none"
