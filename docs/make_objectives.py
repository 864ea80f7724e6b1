"""Write docs/reference/objectives.md from the catalogue of objectives.

python docs/make_objectives.py
"""

from __future__ import annotations

from pathlib import Path

import dagame as dg
from dagame.objectives import ConstraintSet
from dagame.objectives.catalogue import CATALOGUE, Kind

PAGE = Path(__file__).parent / "reference" / "objectives.md"

TEXT = """# Objectives

Written by `python docs/make_objectives.py` from `dagame.objectives.catalogue`; do not edit.

An objective is a value and its gradient, the reward. They add and scale; see the
[theory](../theory/objectives.md).

{table}

`command`: its name on the command line and in configurations, which give a strength and labels.
`labels`: it reads whether answers are correct. `target`: what the target moves. `support`: "full" needs
every answer that a target distribution has, "common" avoids answers that some context lacks.

::: dagame.Objective
    options:
      members: [value, reward, concave, smoothness, curvature]

{entries}
"""


def page() -> str:
    """The text of the page."""
    public = dict.fromkeys(kind.public for kind in CATALOGUE.values())
    sets = [name for name in dg.__all__ if _is_set(getattr(dg, name))]
    entries = [
        f"::: dagame.{name}\n    options:\n      members: false" for name in (*public, *sets)
    ]
    return TEXT.format(table=_table(), entries="\n\n".join(entries))


def _is_set(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, ConstraintSet)


def _table() -> str:
    head = "| kind | class | command | labels | concave | target | support |"
    lines = [head, "|" + "---|" * head.count(" | ") + "---|"]
    return "\n".join([*lines, *map(_row, CATALOGUE.values())])


def _row(kind: Kind) -> str:
    command = f"`{kind.command}`" if kind.command else ""
    labels, concave = "yes" if kind.labels else "", "yes" if kind.concave else "no"
    target = "multipliers" if kind.multipliers else "a point"
    cells = (
        kind.name,
        f"[`{kind.public}`][dagame.{kind.public}]",
        command,
        labels,
        concave,
        target,
    )
    return f"| {' | '.join(cells)} | {kind.support} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
