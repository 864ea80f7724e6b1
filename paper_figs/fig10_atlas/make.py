"""The atlas: what seventeen published rewards optimise, and where each of them ends on one game.

    python paper_figs/fig10_atlas/make.py

The game of docs/methods.md: two contexts, four answers, two of them correct, strength 0.5, beta 1. Each
row goes from the reference (dotted) to the equilibrium (mark); a cross is the end of 2,000 mirror steps
where no optimum can be certified: GRPO's division by the standard deviation optimises an objective that
is convex for p > 1/2. The formulas at the right are those of the table in docs/methods.md, p the
probability of success.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg
from dagame.theory.atlas import REFERENCE, SUCCESS, where_it_ends

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import PAGE, QUIET, Data, figure, look, main

COLUMNS = ("accuracy", "entropy", "agreement")
KINDS = {
    "concave": ("o", 0, True),
    "not concave, certified": ("D", 1, False),
    "not concave, not certified": ("X", 1, False),
}
PHI = {
    "expected reward": r"\langle r,\nu\rangle",
    "GRPO with std division": r"2\,\arcsin\sqrt{p}",
    "rejection sampling": r"\log\,p",
    "MaxRL": r"-\sum{}_{k\leq 4}(1-p)^k/k",
    "pass@k": r"1-(1-p)^4",
    "majority vote": r"\max{}_z\,\nu(z)",
    "EMPO as coded": r"\sum{}_z\nu(z)^2/2",
    "entropy diversity": r"H(\nu)",
    "Gini diversity": r"(1-\sum{}_z\nu(z)^2)/2",
    "batch exploration": r"\langle r,\nu\rangle-\sum{}_z\nu(z)^2/2",
    "inverse probability": r"2\,\sum{}_z r_z\sqrt{\nu(z)}",
    "GAPO": r"\sum{}_z\int{}_0^{\nu(z)}(1-|t-1/4|)\,dt",
    "expected agreement": r"\sum{}_{x\neq y}w_xw_y\langle\nu_x,\nu_y\rangle",
    "coherence": r"-\mathrm{JS}(\nu_1,\ldots,\nu_m)",
    "pairwise coherence": r"-\sum{}_{x,y}w_xw_y\,\mathrm{KL}(\nu_x\,\parallel\,\nu_y)",
    "geometric overlap": r"\log\,\sum{}_z\prod{}_x\nu_x(z)^{w_x}",
    "worst case of graders": r"\min{}_k\,\langle r_k,\nu\rangle",
}
"""The objectives of the table, p the probability of success."""


def compute() -> Data:
    """The reference's and every method's numbers."""
    nothing = dg.AlignmentGame(REFERENCE, dg.Reward(0 * SUCCESS), beta=1.0)
    nu = nothing.reference
    start = {
        "accuracy": float((nu @ SUCCESS).mean()),
        "entropy": float(-(nu * np.log(nu)).sum(-1).mean()),
        "agreement": float(nu[0] @ nu[1]),
    }
    ends = {
        name: where_it_ends(method) | {"phi": method.phi, "concave": method.concave}
        for name, method in dg.methods.items()
    }
    return {"reference": start, "methods": ends}


def kind(end: Data) -> str:
    """Which of `KINDS` a method is."""
    if end["concave"]:
        return "concave"
    return "not concave, " + ("not certified" if end["gap"] is None else "certified")


def draw(data: Data) -> Any:
    """A row per method, a column per number."""
    rows = sorted(data["methods"].items(), key=lambda item: item[1]["accuracy"])
    made = figure(PAGE, 0.75 + 0.2 * len(rows))
    panels = made.subplots(1, 3, sharey=True)
    for c, (axes, name) in enumerate(zip(panels, COLUMNS, strict=True)):
        start = data["reference"][name]
        axes.axvline(start, color=QUIET, lw=0.7, ls=(0, (1, 2)))
        for place, (_, end) in enumerate(rows):
            mark, k, filled = KINDS[kind(end)]
            colour = look(k)["color"]
            axes.plot([start, end[name]], [place, place], color=colour, lw=1, ls="-")
            axes.plot(end[name], place, mark, color=colour, mfc=colour if filled else "white", ms=4)
        axes.set_title(f"({'abc'[c]}) {name}")
        axes.grid(axis="y", ls="-")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(rows)), [name for name, _ in rows])
    panels[0].set_ylim(-0.6, len(rows) - 0.4)
    for place, (name, _) in enumerate(rows):
        panels[2].text(1.03, place, f"${PHI[name]}$", transform=panels[2].get_yaxis_transform(),
                       va="center", size=7)  # fmt: skip
    panels[2].text(1.03, 1.02, r"$\Phi$", transform=panels[2].transAxes)
    for text, (mark, k, filled) in KINDS.items():
        colour = look(k)["color"]
        panels[0].plot([], [], mark, color=colour, mfc=colour if filled else "white", ms=4,
                       label=text)  # fmt: skip
    made.legend(ncols=3, loc="outside lower center")
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
