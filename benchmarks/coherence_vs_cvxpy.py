"""Arithmetic coherence, ours against cvxpy + CLARABEL, problem construction counted on both sides.

    python benchmarks/coherence_vs_cvxpy.py

One random game per size (Dirichlet references, m = 4, strength 10, beta 1), warm medians of one
run. `value` differences are to the better of the two values, certified by the smaller gap.
"""

from __future__ import annotations

import numpy as np
from common import keep, median_seconds

import dagame as dg
from dagame.bench.common import watching


def compared(n: int) -> dict[str, float]:
    """The row of one size."""
    reference = np.random.default_rng(n).dirichlet(np.ones(n), 4)

    def ours() -> dg.Solution:
        game = dg.AlignmentGame(reference, dg.Coherence(10.0), beta=1.0)
        return dg.solve(game, tol=1e-14)

    def theirs() -> dg.Solution:
        game = dg.AlignmentGame(reference, dg.Coherence(10.0), beta=1.0)
        return dg.solve(game, "convex", throw=False)

    fast, slow = ours(), theirs()
    best = max(float(fast.value), float(slow.value))
    seconds, referee = median_seconds(ours, 50), median_seconds(theirs, 5)
    return {
        "n": n,
        "ours ms": 1e3 * seconds,
        "cvxpy ms": 1e3 * referee,
        "ratio": referee / seconds,
        "our gap": float(fast.gap),
        "cvxpy gap": float(slow.gap),
        "ours below best": best - float(fast.value),
        "cvxpy below best": best - float(slow.value),
    }


def main() -> None:
    """Sizes n = 50 to 1000."""
    with watching() as watch:
        rows = [compared(n) for n in watch.over((50, 200, 1000), "sizes")]
    keep("coherence_vs_cvxpy", rows, seed="n", contexts=4, strength=10.0, beta=1.0)


if __name__ == "__main__":
    main()
