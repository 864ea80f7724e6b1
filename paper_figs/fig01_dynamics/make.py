"""Trajectories of every dynamic on the simplex of three answers, and their certified gaps.

    python paper_figs/fig01_dynamics/make.py

Gini diversity of strength 1.5 plus a reward, beta 1, one context; the no-regret dynamics show their
averaged play, which is what their certificate bounds. No randomness.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import dagame as dg
from dagame.plots import CYCLE

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import CORNERS, clean, figure, triangle, write

DYNAMICS = (
    "best_response",
    "mirror",
    "extragradient",
    "multiplicative_weights",
    "optimistic_multiplicative_weights",
    "ftrl",
    "fictitious_play",
    "frank_wolfe",
)


def main() -> None:
    """Draw both panels."""
    objective = dg.Reward([0.0, 0.6, 1.2]) + dg.GiniDiversity(1.5)
    game = dg.AlignmentGame([[0.82, 0.13, 0.05]], objective, beta=1.0)
    best = dg.solve(game, tol=1e-13).marginals[0]
    made = figure(13, 4.8)
    area = made.add_gridspec(2, 6)
    right = made.add_subplot(area[:, 4:])
    for k, name in enumerate(DYNAMICS):
        axes = made.add_subplot(area[k // 4, k % 4])
        triangle(axes, ("", "", ""))
        run = dg.run(game, name, 120)
        path = run.marginals[:, 0] @ CORNERS
        label = name.replace("_", " ").replace("optimistic ", "optimistic\n")
        axes.plot(*path.T, "-o", color=CYCLE[k], lw=1.1, ms=2.3)
        axes.plot(*(game.reference[0] @ CORNERS), "o", ms=7, mfc="white", mec="#111827")
        axes.plot(*(best @ CORNERS), "*", ms=11, color="#111827")
        axes.set_xlim(-0.03, 0.75)
        axes.set_ylim(-0.03, 0.55)
        axes.set_title(label, fontsize=10, color=CYCLE[k])
        right.loglog(np.arange(1, 122), np.maximum(run.gaps, 1e-18), color=CYCLE[k], lw=1.6)
    right.set_xlabel("round")
    right.set_ylabel("certified duality gap")
    right.set_title("the gap of each (averages for the no-regret ones)", fontsize=11)
    clean(right)
    write(made, __file__)


if __name__ == "__main__":
    main()
