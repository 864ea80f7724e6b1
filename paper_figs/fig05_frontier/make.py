"""A safety cap against reward, and parity of two groups, with their multipliers.

    python paper_figs/fig05_frontier/make.py

Left: best value of reward minus KL under a cap on an unsafe answer; the multiplier is the slope of the
frontier (envelope theorem). Right: |nu_1(accept) - nu_2(accept)| <= delta between two groups. The games
are `safety` and `fairness` of dagame.library, beta 1.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg
from dagame.library import fairness, safety
from dagame.plots import CYCLE

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import clean, figure, write


def draw(axes: Any, solutions: list[dg.Solution], bounds: np.ndarray, label: str) -> None:
    """Value and multiplier along the bound."""
    axes.plot(bounds, [float(s.value) for s in solutions], color=CYCLE[0], lw=2)
    axes.set_xlabel(label)
    axes.set_ylabel("value J*", color=CYCLE[0])
    clean(axes)
    second = axes.twinx()
    price = [float(s.multipliers.sum()) for s in solutions]
    second.plot(bounds, price, color=CYCLE[1], lw=2, ls="--")
    second.set_ylabel("multiplier (price of the bound)", color=CYCLE[1])
    second.spines["top"].set_visible(False)
    second.set_ylim(0, None)


def main() -> None:
    """Both frontiers."""
    made = figure(10.5, 3.7)
    left, right = made.subplots(1, 2)
    caps = np.linspace(0.01, 0.5, 60)
    draw(left, [dg.solve(safety(float(c))) for c in caps], caps, "cap on the unsafe answer")
    left.set_title("safety: reward against a cap", fontsize=11)
    deltas = np.linspace(0.005, 0.5, 60)
    solved = [dg.solve(fairness(float(d))) for d in deltas]
    draw(right, solved, deltas, "largest difference of acceptance between groups")
    right.set_title("fairness: parity of two groups", fontsize=11)
    write(made, __file__)


if __name__ == "__main__":
    main()
