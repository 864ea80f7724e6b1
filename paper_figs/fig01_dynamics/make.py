"""Trajectories of every dynamic on the simplex of three answers, and their certified gaps.

    python paper_figs/fig01_dynamics/make.py

Gini diversity of strength 2.5 plus a reward, beta 1, one context, from the reference (○) to the
equilibrium (★). Undamped best response (a) ends in a 2-cycle and its gap stays; mirror and
extragradient converge linearly, Frank–Wolfe and fictitious play like a power of the round, and the
no-regret learners, whose averaged play is shown as that is what their certificate bounds, slowest.
Multiplicative weights and FTRL nearly coincide in (i).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg
from dagame.show.plots import CORNERS

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import DARK, PAGE, Data, figure, look, main, triangle

DYNAMICS = {
    "best_response": "best response",
    "mirror": "mirror",
    "extragradient": "extragradient",
    "frank_wolfe": "Frank–Wolfe",
    "multiplicative_weights": "mult. weights",
    "optimistic_multiplicative_weights": "optimistic m. w.",
    "ftrl": "FTRL",
    "fictitious_play": "fictitious play",
}
ROUNDS, SHOWN = 120, 1e-17


def game() -> dg.AlignmentGame:
    """What is played."""
    objective = dg.Reward([0.0, 2.5, 3.5]) + dg.GiniDiversity(2.5)
    return dg.AlignmentGame([[0.9, 0.09, 0.01]], objective, beta=1.0)


def compute() -> Data:
    """Marginals (rounds, 3) and gaps of every dynamic, and the equilibrium."""
    played = game()
    runs = {name: dg.run(played, name, ROUNDS) for name in DYNAMICS}
    return {
        "equilibrium": dg.solve(played, tol=1e-13).marginals[0],
        "paths": {name: run.marginals[:, 0] for name, run in runs.items()},
        "gaps": {name: run.gaps for name, run in runs.items()},
    }


def draw(data: Data) -> Any:
    """Eight triangles and the gaps."""
    made = figure(PAGE, 2.9)
    area = made.add_gridspec(2, 6)
    right = made.add_subplot(area[:, 4:])
    for k, (name, label) in enumerate(DYNAMICS.items()):
        axes = made.add_subplot(area[k // 4, k % 4])
        triangle(axes, pad=2)
        path = np.array(data["paths"][name]) @ CORNERS
        axes.plot(*path.T, color=look(k)["color"], ls="-", lw=0.8, marker="o", ms=1.6)
        axes.plot(*path[0], "o", ms=4.5, mfc="white", mec=DARK, mew=0.8)
        axes.plot(*(np.array(data["equilibrium"]) @ CORNERS), "*", ms=6.5, color=DARK)
        axes.set_title(f"({'abcdefgh'[k]}) {label}", pad=9)
        gaps = np.maximum(data["gaps"][name], SHOWN)
        style = look(k, marker=True) | {"ls": "-" if k < 4 else "--"}
        marks = np.unique(np.geomspace(1 + k / 2, ROUNDS, 7).astype(int)) - 1
        right.loglog(np.arange(1, ROUNDS + 2), gaps, **style, markevery=marks.tolist(), ms=3.2,
                     label=label)  # fmt: skip
    right.set_xlabel("round")
    right.set_ylabel("certified duality gap")
    right.set_title("(i) gap (averaged play for m. w. and FTRL)")
    right.legend(loc="lower left", fontsize=6)
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
