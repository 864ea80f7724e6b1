"""The Nash equilibrium is the optimum of answer-level fine-tuning (T2), objective by objective.

    python paper_figs/fig06_equivalence/make.py

Data: benchmarks/results/bench_equivalence.json (`dagame-bench equivalence --json`): random games, each
solved by dagame to a gap of 1e-9 and, as ALFT, by cvxpy with CLARABEL, whose policy's value is computed
from the definition. Every game is a mark: its certified gap, and the difference of the two values,
which is the referee's accuracy. `solved by cvxpy`: games with a difference; `no program`: no convex
program as stated, so that only the certificate speaks; `failed`: cvxpy gave no answer, or a wrong one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import PAGE, QUIET, Data, figure, look, main, results

LEAST = 1e-18


def compute() -> Data:
    """The benchmark's rows."""
    return {"rows": results("bench_equivalence")["rows"]}


def refereed(row: Data) -> str:
    """How many games have a difference, or that none is a convex program as stated."""
    if row["no convex program"] == row["games"]:
        return "no program"
    return f"{row['solved by cvxpy']}/{row['games']}"


def draw(data: Data) -> Any:
    """A row per objective: certified gaps above, differences to the referee below."""
    rows = data["rows"][::-1]
    made = figure(PAGE, 0.7 + 0.15 * len(rows))
    axes = made.subplots()
    for place, row in enumerate(rows):
        axes.axhline(place - 0.5, color="#e5e7eb", lw=0.4, ls="-", zorder=0)
        for k, (key, up) in enumerate((("gaps", 0.18), ("differences", -0.18))):
            shown = np.maximum(row[key], LEAST)
            axes.plot(shown, np.full(len(shown), place + up), look(k, True)["marker"],
                      color=look(k)["color"], ms=1.9, mew=0, alpha=0.6)  # fmt: skip
        counts = refereed(row), str(row["cvxpy failed"])
        for x, text in zip((1.08, 1.15), counts, strict=True):
            axes.text(x, place, text, transform=axes.get_yaxis_transform(), ha="right",
                      va="center", size=6.5)  # fmt: skip
    for x, text in ((1.08, "by cvxpy"), (1.15, "failed")):
        axes.text(x, 1.005, text, transform=axes.transAxes, ha="right", size=6.5, color=QUIET)
    names = "certified gap at the equilibrium", "|J(equilibrium) − J(cvxpy)|"
    for k, name in enumerate(names):
        axes.plot([], [], look(k, True)["marker"], color=look(k)["color"], ls="", label=name)
    axes.set_xscale("log")
    largest = max(max(row["gaps"] + row["differences"]) for row in rows)
    axes.set_xlim(LEAST / 2, 3 * largest)
    axes.set_yticks(range(len(rows)), [row["objective"] for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(r"relative to max(1, |J|); at the left edge $10^{-18}$ or less")
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
