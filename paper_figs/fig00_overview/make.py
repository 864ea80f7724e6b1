"""Three contexts meet on the simplex, and how fast each method gets to an equilibrium.

    python paper_figs/fig00_overview/make.py

(a) Equilibria of coherence of one three-answer class as its strength grows from 0 to 1000 at beta 1,
every point an exact solve; the star is hard coherence. (b) Certified duality gap by round, seed 0:
undamped best response diverges (it leaves the picture), mirror is slow, Anderson acceleration needs
seven rounds; 1e-20 stands for 1e-20 or less.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg
from dagame.show.plots import CORNERS

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import DARK, PAGE, Data, figure, letters, look, main, triangle

REFERENCE = np.array([[0.75, 0.2, 0.05], [0.1, 0.72, 0.18], [0.14, 0.1, 0.76]])
WEIGHTS = np.array([0.45, 0.3, 0.25])
STEPS = {"best response": 30, "mirror": 30, "Anderson": 11}
SHOWN = 1e-20


def compute() -> Data:
    """Equilibria along the strengths (S, 3, 3), hard coherence, and the gaps of three methods."""
    strengths = np.concatenate([[0], np.geomspace(1e-2, 1e3, 60)])
    objectives = [*map(dg.Coherence, strengths.tolist()), dg.HardCoherence()]
    games = [dg.AlignmentGame(REFERENCE, o, beta=1.0, weights=WEIGHTS) for o in objectives]
    *path, hard = [dg.solve(game).marginals for game in games]
    reference = np.random.default_rng(0).dirichlet(np.ones(1000), 4)
    game = dg.AlignmentGame(reference, dg.Coherence(10.0), beta=1.0)
    gaps = {
        name: dg.run(game, name.lower().replace(" ", "_"), steps).gaps
        for name, steps in STEPS.items()
    }
    return {"strengths": strengths, "paths": np.stack(path), "hard": hard[0], "gaps": gaps}


def draw_paths(axes: Any, data: Data) -> None:
    """One curve per context from its reference to the consensus."""
    triangle(axes, ("answer A", "answer B", "answer C"))
    path = np.array(data["paths"]) @ CORNERS
    for x in range(3):
        colour = look(x)["color"]
        axes.plot(*path[:, x].T, **look(x), lw=1.5, label=f"paraphrase {x + 1}")
        axes.plot(*path[0, x], "o", color=colour, ms=5.5, mfc="white", mew=1.3)
    axes.plot(*(np.array(data["hard"]) @ CORNERS), "*", color=DARK, ms=10)
    axes.legend(loc="upper left")


def draw(data: Data) -> Any:
    """Paths on the left, gaps on the right."""
    made = figure(PAGE, 2.75)
    left, right = made.subplots(1, 2, width_ratios=(1, 1.05))
    draw_paths(left, data)
    for (name, gaps), k in zip(data["gaps"].items(), (1, 0, 3), strict=True):
        right.semilogy(np.maximum(gaps, SHOWN), **look(k, marker=True), ms=3, label=name)
    right.set_xlabel("round")
    right.set_ylabel("certified duality gap")
    right.set_ylim(SHOWN / 3, 1e6)
    right.legend(loc="upper right")
    letters(
        (left, right),
        (
            "from the references (○) to one consensus (★)",
            "4 contexts, 1000 answers, strength 10 × beta",
        ),
    )
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
