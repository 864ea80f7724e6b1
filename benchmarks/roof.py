"""How near arithmetic coherence comes to one copy of its reference, before and since the consensus space.

    OMP_NUM_THREADS=1 python benchmarks/roof.py            # minutes, most of them the old method's
    OMP_NUM_THREADS=1 python benchmarks/roof.py --quick    # 5,000 games instead of 100,000

Strength 10, beta 1, Dirichlet(1) references, seed 0, numpy float64, relative gap 1e-10 asked for. Processor
time of the whole process, so that other processes on the machine matter less: medians of warm repeats for
the copy and the default method, with the compiled kernel loaded (the extra `fast`) and without it; one call,
after a warm one on fewer games, of `method="anderson"`, which was the default before, and of cvxpy + CLARABEL
where it can. All of a row are measured in one run.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from common import keep

import dagame as dg
from dagame.bench.roof import copied, processor_seconds
from dagame.numerics import fast

CASES = ((100_000, 4, 64, 5), (1, 4, 10, 51), (1, 4, 1000, 51), (1, 8, 1_000_000, 3))
"""Games, contexts, answers, repeats."""

QUICK = (5_000, 4, 64, 5)
"""Instead of the first."""

CVXPY = 1000
"""One game of so many answers is also given to cvxpy."""


def _solving(game: dg.AlignmentGame, few: dg.AlignmentGame, loading: float, repeats: int) -> float:
    """The default method, for which the kernel is loaded where that costs nothing and never else."""
    fast.LOADING = loading
    dg.solve(few)
    return processor_seconds(lambda: dg.solve(game), repeats)


def row(games: int, m: int, n: int, repeats: int) -> dict[str, Any]:
    """One case."""
    table = np.random.default_rng(0).dirichlet(np.ones(n), (games, m) if games > 1 else m)
    game, few = (
        dg.AlignmentGame(t, dg.Coherence(10.0), beta=1.0)
        for t in (table, table[:1000] if games > 1 else table)
    )
    copy = copied(table)
    on_arrays, mine = (_solving(game, few, loading, repeats) for loading in (float("inf"), 0.0))
    if n < 1_000_000:
        dg.solve(few, "anderson")
    old = processor_seconds(lambda: dg.solve(game, "anderson"), 1 if games * n > 100_000 else 5)
    theirs: float | str = "-"
    if games == 1 and n == CVXPY:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dg.solve(game, "convex", throw=False)
            theirs = processor_seconds(lambda: dg.solve(game, "convex", throw=False), 3) / mine
    ours = dg.solve(game)
    return {
        "games": games,
        "m x n": f"{m} x {n}",
        "us per game": 1e6 * mine / games,
        "copies of the reference": mine / copy,
        "on arrays over the kernel": on_arrays / mine,
        "Anderson's time over ours": old / mine,
        "CLARABEL's time over ours": theirs,
        "steps": int(ours.steps.max()),
        "largest relative gap": float(ours.certificate.relative_gap.max()),
    }


def main() -> None:
    """All cases."""
    cases = (QUICK, *CASES[1:]) if "--quick" in sys.argv else CASES
    keep("roof", [row(*case) for case in cases], seed=0, strength=10.0, beta=1.0, tol=1e-10)


if __name__ == "__main__":
    main()
