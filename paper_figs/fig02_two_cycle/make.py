"""Undamped best response against mirror on Shannon diversity, on both sides of strength = beta.

    python paper_figs/fig02_two_cycle/make.py

One context, reference (0.5, 0.3, 0.2), beta 1: best response multiplies the log-error by -strength each
round, so it converges at 0.9 and swings into a 2-cycle of point masses at 1.1; mirror needs one step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import dagame as dg
from dagame.plots import CYCLE

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import clean, figure, write


def main() -> None:
    """One panel per strength, and the gaps."""
    made = figure(11, 3.6)
    panels = made.subplots(1, 3)
    for axes, strength, rounds in ((panels[0], 0.9, 60), (panels[1], 1.1, 60)):
        game = dg.AlignmentGame([[0.5, 0.3, 0.2]], dg.ShannonDiversity(strength), beta=1.0)
        path = dg.run(game, "best_response", rounds).marginals[:, 0]
        mirror = dg.run(game, "mirror", rounds).marginals[:, 0]
        for z, name in enumerate("ABC"):
            axes.plot(path[:, z], color=CYCLE[z], lw=1.2, label=f"answer {name}")
            axes.plot(mirror[:, z], color=CYCLE[z], lw=2, ls=":")
        axes.set_ylim(-0.03, 1.03)
        axes.set_xlabel("round")
        axes.set_title(f"strength {strength} × beta", fontsize=11)
        clean(axes)
    panels[0].set_ylabel("probability (dotted: mirror)")
    panels[0].legend(fontsize=8, frameon=False)
    for k, strength in enumerate((0.5, 0.9, 1.0, 1.1, 1.5)):
        game = dg.AlignmentGame([[0.5, 0.3, 0.2]], dg.ShannonDiversity(strength), beta=1.0)
        gaps = dg.run(game, "best_response", 80).gaps
        label = f"strength {strength}"
        panels[2].semilogy(np.clip(gaps, 1e-18, 1e12), color=CYCLE[k], lw=1.6, label=label)
    panels[2].set_xlabel("round")
    panels[2].set_ylabel("certified gap of best response")
    panels[2].legend(fontsize=8, frameon=False)
    clean(panels[2])
    write(made, __file__)


if __name__ == "__main__":
    main()
