"""Tables of the benchmarks: what names a row is never cut, whatever the width; a legend says each column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = dict[str, Any]
HEAD, GAP, EDGES = 12, 2, 2
"""Headings are wrapped at `HEAD` signs; a column takes `GAP` more than its cells, a table `EDGES` more."""


@dataclass(frozen=True)
class Section:
    """A table of a result: key in the JSON, title, rows (dictionaries of one shape).

    `legend` says in plain words what each column means, the first `names` columns name the row and
    stand in each block of a table that is divided. Long tables are not `printed`.
    """

    key: str
    title: str
    rows: Sequence[Row]
    legend: Mapping[str, str] = field(default_factory=dict)
    names: int = 1
    printed: bool = True

    @property
    def columns(self) -> list[str]:
        """What is shown; cells that hold lists or dictionaries are for the JSON only."""
        first = self.rows[0] if self.rows else {}
        return [k for k, v in first.items() if not isinstance(v, list | dict)]

    @property
    def meanings(self) -> dict[str, str]:
        """The legend of the columns that are shown."""
        return {name: told for name, told in self.legend.items() if name in self.columns}

    def blocks(self, width: int) -> list[list[str]]:
        """The columns in as many groups as fit `width` signs each, the naming ones leading every group."""
        names, rest = self.columns[: self.names], self.columns[self.names :]
        free = width - EDGES - sum(self._width(name) + GAP for name in names)
        groups: list[list[str]] = [[]]
        used = 0
        for column in rest:
            needed = self._width(column) + GAP
            if groups[-1] and used + needed > free:
                groups.append([])
                used = 0
            groups[-1].append(column)
            used += needed
        return [names + group for group in groups]

    def tables(self, width: int) -> Iterator[Table]:
        """For a terminal of `width` signs: one table, or several one below another."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        for columns in self.blocks(width):
            made = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
            for name in columns:
                needed, style = self._width(name), dict[str, Any](overflow="fold")
                style["justify"] = "left" if self._words(name) else "right"
                style["min_width"] = needed if needed <= width // 2 else None
                made.add_column(Text("\n".join(wrap(name, HEAD))), **style)
            for row in self.rows:
                made.add_row(*(Text(shown(row[name])) for name in columns))
            yield made

    def print(self, console: Console) -> None:
        """The tables, and below them what the columns mean."""
        from rich.padding import Padding
        from rich.text import Text

        for k, made in enumerate(self.tables(console.width)):
            title = f"{self.title}{', continued' if k else ''}"
            console.print(Text(title, "italic"), made, sep="")
        for name, meaning in self.meanings.items():
            line = Text.assemble((name, "bold"), f": {meaning}")
            console.print(Padding(line, (0, 0, 0, 1)), highlight=False)
        console.print()

    def _words(self, column: str) -> bool:
        return any(isinstance(row[column], str) for row in self.rows)

    def _width(self, column: str) -> int:
        cells = [len(shown(row[column])) for row in self.rows]
        return max([*cells, *map(len, wrap(column, HEAD))])


def shown(value: Any) -> str:
    """A cell: three digits, a dash for what is not known."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def told(sections: Iterable[Section]) -> Row:
    """Titles and legends for the JSON, the words of the printed tables."""
    return {s.key: {"title": s.title, "columns": s.meanings} for s in sections}
