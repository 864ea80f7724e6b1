"""The picture of a path: how the equilibrium changes with the strength."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .figure import CYCLE, QUIET, finished, label, name_axes, panels
from .names import numbered

_LINES = 7


def along(
    strengths: np.ndarray,
    marginals: np.ndarray,
    answers: Sequence[str] | None = None,
    *,
    ax: Any = None,
    title: str = "",
    legend: bool = True,
) -> Figure:
    """The answers' probabilities, means over contexts, of marginals (S, m, n) against strengths (S,).

    At most 7 answers, those of largest mass at any strength. Dashed: the agreement of the contexts. The axis
    is logarithmic, but for a strength of 0.
    """
    m, n = marginals.shape[-2:]
    names = numbered(answers, n, "answer ", "answers")
    (axes,) = panels(ax, 1, (6.4, 3.6))
    order = np.argsort(strengths, kind="stable")
    x, mean = strengths[order], marginals.mean(-2)[order]
    kept = np.argsort(-mean.max(0), kind="stable")[:_LINES]
    for colour, z in zip(CYCLE, kept, strict=False):
        axes.plot(x, mean[:, z], "o-", ms=3, lw=1.6, color=colour, label=label(names[z], 28))
    if m > 1:
        pairs = (marginals.sum(-2) ** 2).sum(-1) - (marginals**2).sum((-1, -2))
        line = pairs[order] / (m * (m - 1))
        axes.plot(x, line, "--", lw=1.4, color=QUIET, label="agreement of contexts")
    if (x > 0).all():
        axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.02)
    more = f", {len(kept)} of {n} answers" if len(kept) < n else ""
    name_axes(axes, "strength (times the game's objective)", f"probability at equilibrium{more}")
    return finished(axes, title, legend)
