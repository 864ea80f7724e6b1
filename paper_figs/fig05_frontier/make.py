"""A safety cap against reward, and parity of two groups, with their multipliers.

    python paper_figs/fig05_frontier/make.py

Top: best value under the bound. Bottom: the multiplier that the solver reports (dashed), against the
slope of the frontier by finite differences, dJ*/d bound, which the envelope theorem says it is. The
games are `safety` and `fairness` of dagame.games.library, beta 1; in `safety` the multipliers of both prompts
add.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg
from dagame.games.library import fairness, safety

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import PAGE, Data, figure, look, main

GAMES = {"safety": safety, "fairness": fairness}
TITLES = ("safety: a cap on the unsafe answer", "fairness: parity of two groups")
LABELS = ("largest mass of the unsafe answer", "largest difference of acceptance")


def frontier(game: Callable[[float], dg.AlignmentGame], bounds: np.ndarray) -> Data:
    """Values and summed multipliers along the bounds."""
    solved = [dg.solve(game(float(b))) for b in bounds]
    return {
        "bounds": bounds,
        "values": [float(s.value) for s in solved],
        "multipliers": [float(np.sum(s.multipliers)) for s in solved],
    }


def compute() -> Data:
    """Both frontiers."""
    bounds = np.linspace(0.01, 0.5, 50)
    return {name: frontier(game, bounds) for name, game in GAMES.items()}


def draw(data: Data) -> Any:
    """A column per game, values above prices."""
    made = figure(PAGE, 3.1)
    grid = made.subplots(2, 2, sharex="col")
    for c, name in enumerate(GAMES):
        (bounds, values, price), (top, low) = map(np.array, data[name].values()), grid[:, c]
        top.plot(bounds, values, **look(0), lw=1.4)
        middle, slope = (bounds[1:] + bounds[:-1]) / 2, np.diff(values) / np.diff(bounds)
        low.plot(bounds, price, **look(1), lw=1.4, label="multiplier")
        low.plot(middle[::2], slope[::2], "o", color=look(0)["color"], mfc="white", ms=3.2,
                 label=r"$\Delta J^* / \Delta$ bound")  # fmt: skip
        low.set_xlabel(LABELS[c])
        low.set_ylim(0, None)
        top.set_title(f"({'ab'[c]}) {TITLES[c]}")
    grid[0, 0].set_ylabel(r"value $J^*$")
    grid[1, 0].set_ylabel("price of the bound")
    grid[1, 0].legend()
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
