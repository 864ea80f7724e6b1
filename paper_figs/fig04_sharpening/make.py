"""Sharpening (entropy minimisation): the power distribution below beta, the mode from beta on (T6).

    python paper_figs/fig04_sharpening/make.py

One context, reference (0.45, 0.35, 0.15, 0.05), beta 1. Below strength 1 every point is certified; the
threshold is where curvature transfer ends. Right: J* and the largest value of 2,000 random policies.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import dagame as dg
from dagame.plots import CYCLE

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import clean, figure, write

REFERENCE = np.array([[0.45, 0.35, 0.15, 0.05]])


def main() -> None:
    """Marginals and value along the strength."""
    strengths = np.linspace(0, 1.4, 141)
    solved = [
        dg.solve(dg.AlignmentGame(REFERENCE, dg.Sharpening(float(s)), beta=1.0)) for s in strengths
    ]
    made = figure(10, 3.6)
    left, right = made.subplots(1, 2)
    table = np.stack([s.marginals[0] for s in solved])
    for z in range(4):
        left.plot(strengths, table[:, z], color=CYCLE[z], lw=2, label=f"answer {z + 1}")
    rng = np.random.default_rng(0)
    policies = np.concatenate([rng.dirichlet(np.full(4, a), 500) for a in (0.05, 0.3, 1, 4)])
    game = [dg.AlignmentGame(REFERENCE, dg.Sharpening(float(s)), beta=1.0) for s in strengths]
    best = [max(float(g.value(p[None])) for p in policies[::8]) for g in game[::10]]
    right.plot(strengths, [float(s.value) for s in solved], color=CYCLE[0], lw=2, label="J*")
    right.plot(
        strengths[::10], best, "o", color=CYCLE[1], ms=4, label="best of 250 random policies"
    )
    mode = np.log(REFERENCE.max())
    right.axhline(mode, color="#6b7280", ls="--", lw=1, label="β log max ν⁰")
    for axes in (left, right):
        axes.axvline(1, color="#6b7280", lw=1, ls=":")
        axes.set_xlabel("strength / beta")
        axes.legend(fontsize=8, frameon=False)
        clean(axes)
    left.set_ylabel("equilibrium probability")
    left.set_title("power distribution, then the mode", fontsize=11)
    right.set_title("value of the game", fontsize=11)
    write(made, __file__)


if __name__ == "__main__":
    main()
