"""Which estimator trains best: the cells behind `dagame.estimators.tables.automatic_method`.

    python benchmarks/estimator_cells.py

Exact median gap of a softmax policy on a table (`dagame.estimators.sampled`) after 1,500 steps of K samples
at rate 0.4 / sqrt(1 + t/100), 12 replicas, beta = strength = 1, for rewards that are no polynomial within
K samples. And for arithmetic coherence of two contexts and three answers the largest bias of the expected
update, every draw of K samples enumerated, mean over policies: contexts equal, near (0.7 and 0.3 mixed)
and far.
"""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import numpy as np
from common import keep

import dagame as dg
from dagame.estimators import count_rewards
from dagame.estimators.sampled import SampledGame, train

NAMED = ("variance_optimal", "plug_in", "jackknife", "krichevsky_trofimov", "leave_one_out")
SUCCESS = np.array([1.0, 0.0])
GAMES = {
    "log success": (dg.LogSuccess(SUCCESS), ((0.3, 0.7), (0.05, 0.95))),
    "Tsallis 1/2 (nu^-1/2)": (
        dg.TsallisDiversity(1.0, 0.5),
        ((0.7, 0.2, 0.1), (0.9, 0.05, 0.03, 0.02)),
    ),
    "Shannon": (dg.ShannonDiversity(), ((0.7, 0.2, 0.1), (0.9, 0.05, 0.03, 0.02))),
    "Tsallis 3/2": (dg.TsallisDiversity(1.0, 1.5), ((0.7, 0.2, 0.1), (0.9, 0.05, 0.03, 0.02))),
    "pass@20": (dg.PassAtK(SUCCESS, 20), ((0.3, 0.7), (0.05, 0.95))),
}


def trained(objective: dg.Objective, reference: tuple[float, ...], k: int, estimator: str) -> float:
    """The median gap at the end."""
    game = dg.AlignmentGame(np.array([reference]), objective, beta=1.0)
    sampled = SampledGame(game, k, estimator=estimator, seed=1)
    run = train(sampled, 1500, learning_rate=0.4, decay=100, replicas=12)
    return float(np.median(run.gaps[-4:]))


def every_group(p: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (R, n) of K samples and their probabilities."""
    one = np.array([c for c in itertools.product(range(k + 1), repeat=len(p)) if sum(c) == k])
    orders = np.array([math.factorial(k) / math.prod(map(math.factorial, c.tolist())) for c in one])
    return one, orders * np.prod(p**one, axis=-1)


def coherence_bias(nu: np.ndarray, k: int, estimator: str) -> float:
    """Largest bias of the expected update of the answers' logits."""
    (first, a), (second, b) = (every_group(row, k) for row in nu)
    at = np.indices((len(first), len(second))).reshape(2, -1)
    counts, chance = np.stack([first[at[0]], second[at[1]]], 1), a[at[0]] * b[at[1]]
    paid = count_rewards(counts, dg.Coherence(), estimator, baseline=None).rewards * counts / k
    found = (chance[:, None, None] * (paid - nu * paid.sum(-1, keepdims=True))).sum(0)
    true = nu * dg.Coherence().reward(nu)
    return float(np.abs(found - true + nu * true.sum(-1, keepdims=True)).max())


def policies(kind: str, count: int) -> list[np.ndarray]:
    """Two contexts with three answers each."""
    rng, made = np.random.default_rng(1), []
    for _ in range(count):
        a, b = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3))
        made.append(np.stack([a, {"equal": a, "near": 0.7 * a + 0.3 * b, "far": b}[kind]]))
    return made


def main() -> None:
    """Both tables in one file."""
    started = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for k, kind in itertools.product((4, 8), ("equal", "near", "far")):
        chosen = policies(kind, 12 if k == 4 else 6)
        cells = {
            e: float(np.mean([coherence_bias(nu, k, e) for nu in chosen])) for e in ("auto", *NAMED)
        }
        rows.append({"what": "coherence, bias of the update", "K": k, "start": kind} | cells)
    for (name, (phi, references)), k in itertools.product(GAMES.items(), (8, 16)):
        for reference in references:
            cells = {e: trained(phi, reference, k, e) for e in ("auto", *NAMED)}
            rows.append({"what": f"{name}, exact gap", "K": k, "start": str(reference[0])} | cells)
    for row in rows:
        row["auto over the best"] = row["auto"] / min(row[e] for e in NAMED)
    keep("estimator_cells", rows, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
