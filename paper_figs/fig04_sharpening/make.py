"""Sharpening (entropy minimisation): the power distribution below beta, the mode from beta on (T6).

    python paper_figs/fig04_sharpening/make.py

One context, reference (0.45, 0.35, 0.15, 0.05), beta 1. The objective is not concave, yet below
strength 1 every point is certified; the threshold (dotted) is where curvature transfer ends. (b) J* and
the largest value of 2,000 random policies.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import PAGE, QUIET, Data, figure, letters, look, main

REFERENCE = np.array([[0.45, 0.35, 0.15, 0.05]])


def compute() -> Data:
    """Equilibria and values along the strength, and the best random policy at some of them."""
    strengths = np.linspace(0, 1.4, 141)
    games = [dg.AlignmentGame(REFERENCE, dg.Sharpening(s), beta=1.0) for s in strengths.tolist()]
    solved = [dg.solve(game) for game in games]
    rng = np.random.default_rng(0)
    policies = np.concatenate([rng.dirichlet(np.full(4, a), 500) for a in (0.05, 0.3, 1, 4)])
    return {
        "strengths": strengths,
        "marginals": np.stack([s.marginals[0] for s in solved]),
        "values": [float(s.value) for s in solved],
        "best random": [max(float(g.value(p[None])) for p in policies) for g in games[::10]],
    }


def draw(data: Data) -> Any:
    """Marginals and value along the strength."""
    made = figure(PAGE, 2.2)
    left, right = made.subplots(1, 2)
    strengths, table = np.array(data["strengths"]), np.array(data["marginals"])
    for z in range(4):
        left.plot(strengths, table[:, z], **look(z), lw=1.4, label=f"answer {z + 1}")
    right.plot(strengths, data["values"], **look(0), lw=1.4, label=r"$J^*$")
    right.plot(strengths[::10], data["best random"], "s", color=look(1)["color"], ms=3.5,
               mfc="white", label="best of 2,000 random policies")  # fmt: skip
    mode = np.log(REFERENCE.max())
    right.axhline(mode, color=QUIET, ls=":", lw=1, label=r"$\beta\,\log\max\,\nu^0$")
    for axes in (left, right):
        axes.axvline(1, color=QUIET, lw=0.8, ls=(0, (1, 2)))
        axes.set_xlabel("strength / beta")
    left.legend()
    right.legend(loc="upper right", frameon=True, framealpha=1, edgecolor="white")
    left.set_ylabel("equilibrium probability")
    right.set_ylabel("value")
    letters((left, right), ("power distribution, then the mode", "value of the game"))
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
