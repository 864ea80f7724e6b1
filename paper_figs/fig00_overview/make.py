"""The picture of the README: three contexts meet on the simplex, and how fast each method gets there.

    python paper_figs/fig00_overview/make.py

Left: the equilibria of one three-answer class as the coherence strength grows from 0 to 1000 at
beta 1 (every point an exact solve; star: hard coherence). Right: certified gap per round at
strength 10. Seed 0; a second on one core.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dagame as dg
from dagame.plots import CYCLE

REFERENCE = np.array([[0.75, 0.2, 0.05], [0.1, 0.72, 0.18], [0.14, 0.1, 0.76]])
WEIGHTS = np.array([0.45, 0.3, 0.25])
CORNERS = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])


def draw_paths(axes) -> None:
    """Equilibria along the strengths, one curve per context."""
    axes.plot(*CORNERS[[0, 1, 2, 0]].T, color="#374151", lw=1)
    strengths = np.concatenate([[0], np.geomspace(1e-2, 1e3, 60)])
    games = [
        dg.AlignmentGame(REFERENCE, dg.Coherence(float(s)), beta=1.0, weights=WEIGHTS)
        for s in strengths
    ]
    path = np.stack([dg.solve(g).marginals for g in games]) @ CORNERS
    for x in range(3):
        axes.plot(*path[:, x].T, color=CYCLE[x], lw=2, label=f"paraphrase {x + 1}")
        axes.plot(*path[0, x], "o", color=CYCLE[x], ms=8, mfc="white", mew=2)
    hard = dg.solve(dg.AlignmentGame(REFERENCE, dg.HardCoherence(), beta=1.0, weights=WEIGHTS))
    axes.plot(*(hard.marginals[0] @ CORNERS), "*", color="#111827", ms=15)
    for k, (dy, name) in enumerate(((-16, "answer A"), (-16, "answer B"), (8, "answer C"))):
        axes.annotate(name, CORNERS[k], (0, dy), textcoords="offset points", ha="center")
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.1)
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    axes.set_title("Coherence: from the reference (○)\nto one consensus (★)", fontsize=11)


def draw_gaps(axes) -> None:
    """The duality gap of three methods, round by round."""
    reference = np.random.default_rng(0).dirichlet(np.ones(1000), 4)
    game = dg.AlignmentGame(reference, dg.Coherence(10.0), beta=1.0)
    for k, (dynamic, steps, label) in enumerate(
        (
            ("best_response", 30, "best response"),
            ("mirror", 30, "mirror"),
            ("anderson", 11, "Anderson"),
        )
    ):
        gaps = np.maximum(dg.run(game, dynamic, steps).gaps, 1e-20)
        axes.semilogy(gaps, color=CYCLE[(1, 0, 2)[k]], lw=2, label=label)
    axes.set_xlabel("round")
    axes.set_ylim(3e-21, 1e6)
    axes.set_ylabel("certified duality gap")
    axes.set_title("4 contexts, 1000 answers,\nstrength 10 × beta", fontsize=11)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Write overview.png beside this file."""
    figure = Figure(figsize=(9.4, 3.9), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, width_ratios=(1.05, 1))
    draw_paths(left)
    draw_gaps(right)
    figure.savefig(Path(__file__).with_name("overview.png"), dpi=130)


if __name__ == "__main__":
    main()
