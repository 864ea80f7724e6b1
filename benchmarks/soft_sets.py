"""Soft sets over general sets: is the path of policy and target ever lost, and what does a game cost?

    python benchmarks/soft_sets.py [--games 300]

Eight sets (moments, parities, polytopes, intersections; within a context, across, without an interior) on 3
contexts x 5 answers, 40% of the reference's masses 0, weights random; strength / beta log-uniform from 1e-9
to 1e6. Of each set: games that the path does not solve, the largest relative gap, milliseconds a solve and a
certificate (median, largest), and those of a parity of 10 answers.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from common import keep

import dagame as dg

F = np.arange(5.0)
SETS: dict[str, Any] = {
    "moment": dg.Moment(F, 0.8),
    "moment across": dg.Moment(F, 0.6, across=True),
    "parity": dg.Parity(0.05),
    "parity exact": dg.Parity(0.0),
    "polytope": dg.Polytope([[1.0, 0, 0, -1, 0], [0, 1, 1, 0, 0]], [-0.2, 0.3]),
    "intersection": dg.Parity(0.1) & dg.Floor([4], 0.3),
    "across and within": dg.Cap([0], 0.05, across=True) & dg.Quota([1], 0.4),
    "no interior": dg.Floor([1], 0.3) & dg.Moment(-F, -4.0 + 3 * 0.3),
}


def reference(rng: np.random.Generator, m: int = 3, n: int = 5) -> np.ndarray:
    """Every context with zeros; the last answer is possible everywhere."""
    p = np.where(rng.random((m, n)) < 0.4, 0.0, rng.random((m, n)) ** 4)
    p[:, -1] += 0.01
    return p / p.sum(-1, keepdims=True)


def weights(rng: np.random.Generator, m: int = 3) -> np.ndarray:
    """Of contexts, none small."""
    w = rng.random(m) + 0.2
    return w / w.sum()


def measure(name: str, chosen: Any, m: int, n: int, games: int, seed: int) -> dict[str, Any]:
    """One row of the table."""
    rng = np.random.default_rng([seed, len(name)])
    lost, infeasible, gaps, solves, proofs = 0, 0, [0.0], [], []
    for _ in range(games):
        objective = dg.SoftConstraint(chosen, float(10.0 ** rng.uniform(-9, 6)))
        game = dg.AlignmentGame(reference(rng, m, n), objective, beta=1.0, weights=weights(rng, m))
        started = time.process_time()
        found = dg.solve(game, throw=False)
        solves.append(time.process_time() - started)
        if found.status is dg.Status.INFEASIBLE:
            infeasible += 1
            continue
        started = time.process_time()
        gaps.append(float(dg.certify(game, found.policy).relative_gap))
        proofs.append(time.process_time() - started)
        lost += found.method != "dual" or found.status is not dg.Status.SOLVED
    times = {"solve": 1e3 * np.array(solves), "certify": 1e3 * np.array(proofs or [np.nan])}
    return {
        "set": name,
        "answers": n,
        "games": games,
        "infeasible": infeasible,
        "lost": lost,
        "largest relative gap": max(gaps),
        **{f"{k}, median ms": float(np.median(v)) for k, v in times.items()},
        **{f"{k}, largest ms": float(v.max()) for k, v in times.items()},
    }


def main() -> None:
    """All sets, and the parity of 10 answers that a user is likely to begin with."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    rows = [(name, chosen, 3, 5) for name, chosen in SETS.items()]
    rows += [("parity of two contexts", dg.Parity(0.05), 2, 10)]
    found = [measure(*row, options.games, options.seed) for row in rows]
    keep("soft_sets", found, seed=options.seed)


if __name__ == "__main__":
    main()
