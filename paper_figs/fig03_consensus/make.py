"""Arithmetic, geometric, Euclidean and hard consensus of the same three contexts.

    python paper_figs/fig03_consensus/make.py

Equilibria along strengths 0 to 1000 at beta 1. All soft ones tend to hard coherence, which is the
geometric mean of the references (star), not their arithmetic mean (cross): the KL to the reference
decides that, not the divergence of the pull.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import dagame as dg
from dagame.plots import CYCLE

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import CORNERS, figure, triangle, write

REFERENCE = np.array([[0.90, 0.07, 0.03], [0.15, 0.80, 0.05], [0.30, 0.10, 0.60]])


def main() -> None:
    """One triangle per consensus."""
    made = figure(11.5, 3.9)
    hard = dg.solve(dg.AlignmentGame(REFERENCE, dg.HardCoherence(), beta=1.0)).marginals[0]
    strengths = np.concatenate([[0], np.geomspace(1e-2, 1e3, 70)])
    for axes, kind in zip(
        made.subplots(1, 3), ("arithmetic", "geometric", "euclidean"), strict=True
    ):
        triangle(axes)
        games = [
            dg.AlignmentGame(REFERENCE, dg.Coherence(float(s), kind), beta=1.0) for s in strengths
        ]
        path = np.stack([dg.solve(g).marginals for g in games]) @ CORNERS
        for x in range(3):
            axes.plot(*path[:, x].T, color=CYCLE[x], lw=2)
            axes.plot(*path[0, x], "o", color=CYCLE[x], ms=7, mfc="white", mew=1.8)
            at = int(np.argmin(np.abs(strengths - 1)))
            axes.plot(*path[at, x], "s", color=CYCLE[x], ms=5)
        axes.plot(*(REFERENCE.mean(0) @ CORNERS), "x", color="#6b7280", ms=9, mew=2)
        axes.plot(*(hard @ CORNERS), "*", color="#111827", ms=14)
        axes.set_title(f"{kind} consensus", fontsize=11)
    made.supxlabel(
        "○ reference   ■ strength 1   ★ hard coherence (geometric mean)   × arithmetic mean",
        fontsize=10,
    )
    write(made, __file__)


if __name__ == "__main__":
    main()
