"""Arithmetic, geometric, Euclidean and hard consensus of the same three contexts.

    python paper_figs/fig03_consensus/make.py

Equilibria along strengths 0 to 1000 at beta 1. All soft ones tend to hard coherence, which is the
geometric mean of the references (star), not their arithmetic mean (cross): the KL to the reference
decides where hard agreement lies, not the divergence of the pull.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg
from dagame.show.plots import CORNERS

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import DARK, PAGE, QUIET, Data, figure, letters, look, main, triangle

REFERENCE = np.array([[0.90, 0.07, 0.03], [0.15, 0.80, 0.05], [0.30, 0.10, 0.60]])
KINDS = ("arithmetic", "geometric", "euclidean")


def compute() -> Data:
    """Equilibria (strengths, 3, 3) of every kind, and hard coherence."""
    strengths = np.unique(np.concatenate([[0, 1], np.geomspace(1e-2, 1e3, 70)]))
    paths = {
        kind: np.stack(
            [
                dg.solve(dg.AlignmentGame(REFERENCE, dg.Coherence(s, kind), beta=1.0)).marginals
                for s in strengths.tolist()
            ]
        )
        for kind in KINDS
    }
    hard = dg.solve(dg.AlignmentGame(REFERENCE, dg.HardCoherence(), beta=1.0)).marginals[0]
    return {"strengths": strengths, "paths": paths, "hard": hard}


def draw(data: Data) -> Any:
    """One triangle per consensus."""
    made = figure(PAGE, 2.45)
    panels = made.subplots(1, 3)
    at = int(np.argmin(np.abs(np.array(data["strengths"]) - 1)))
    for axes, kind in zip(panels, KINDS, strict=True):
        triangle(axes)
        path = np.array(data["paths"][kind]) @ CORNERS
        for x in range(3):
            colour = look(x)["color"]
            axes.plot(*path[:, x].T, **look(x), lw=1.4)
            axes.plot(*path[0, x], "o", color=colour, ms=5, mfc="white", mew=1.2)
            axes.plot(*path[at, x], "s", color=colour, ms=3.8)
        axes.plot(*(REFERENCE.mean(0) @ CORNERS), "x", color=QUIET, ms=6, mew=1.5)
        axes.plot(*(np.array(data["hard"]) @ CORNERS), "*", color=DARK, ms=9)
    letters(panels, [f"{kind.capitalize()} consensus" for kind in KINDS])
    made.supxlabel(
        "○ reference     ■ strength = beta     ★ hard coherence (geometric mean)     "
        "× arithmetic mean of the references",
        fontsize=8,
    )
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
