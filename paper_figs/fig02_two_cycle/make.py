"""Undamped best response against mirror on Shannon diversity, on both sides of strength = beta.

    python paper_figs/fig02_two_cycle/make.py

One context, reference (0.5, 0.3, 0.2), beta 1. Best response multiplies the log-error by -strength each
round: it converges at 0.9 and swings into two alternating point masses at 1.1. One mirror step (dashed)
is the equilibrium. (c) The certified gap, cut at 1e-17 and 1e10.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import PAGE, Data, figure, letters, look, main

REFERENCE, ROUNDS = [[0.5, 0.3, 0.2]], 60
PANELS, STRENGTHS = (0.9, 1.1), (0.5, 0.9, 1.0, 1.1, 1.5)
LOW, HIGH = 1e-17, 1e10


def compute() -> Data:
    """Marginals (rounds, 3) of both dynamics, and the gaps of best response by strength."""
    games = {
        s: dg.AlignmentGame(REFERENCE, dg.ShannonDiversity(s), beta=1.0)
        for s in (*PANELS, *STRENGTHS)
    }
    paths = {
        name: {s: dg.run(games[s], name, ROUNDS).marginals[:, 0] for s in PANELS}
        for name in ("best_response", "mirror")
    }
    gaps = {s: np.clip(dg.run(games[s], "best_response", 80).gaps, LOW, HIGH) for s in STRENGTHS}
    return {"paths": paths, "gaps": gaps}


def draw(data: Data) -> Any:
    """One panel per strength, and the gaps."""
    made = figure(PAGE, 2.2)
    panels = made.subplots(1, 3)
    for axes, strength in zip(panels, PANELS, strict=False):
        swing = np.array(data["paths"]["best_response"][str(strength)])
        mirror = np.array(data["paths"]["mirror"][str(strength)])
        for z, name in enumerate("ABC"):
            colour, mark = look(z)["color"], look(z, True)["marker"]
            axes.plot(swing[:, z], color=colour, ls="-", lw=0.3)
            axes.plot(swing[:, z], mark, color=colour, ls="", ms=2, label=f"answer {name}")
            axes.plot(mirror[:, z], color=colour, ls="--", lw=1)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("round")
    panels[0].set_ylabel("probability (dashed: mirror)")
    panels[0].legend(loc="upper right")
    for k, strength in enumerate(STRENGTHS):
        gaps = data["gaps"][str(strength)]
        panels[2].semilogy(gaps, **look(k))
        panels[2].annotate(f"{strength}", (len(gaps) - 1, gaps[-1]), (3, 0), size=7, va="center",
                           textcoords="offset points")  # fmt: skip
    panels[2].set_xlabel("round")
    panels[2].set_ylabel("certified duality gap")
    titles = *(f"strength {s} × beta" for s in PANELS), "gap of best response, by strength"
    letters(panels, titles)
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
