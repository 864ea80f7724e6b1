"""Random games with zeros in policies, references and targets, against a referee that knows no supports.

    python benchmarks/zeros.py --games 20000 [--seed 0] [--jobs 2]

Every objective, set and sum; references made of 4 or 8 samples or with a share of zeros; the referee is
zeros_referee.py. Of each game: the status; the value against the referee's; the bound of the solution, and
of a random policy with zeros, against the best value known; the distance bound against the KL to the
solution. A game counts as `unjudged` where cvxpy claims no value, or one that its own marginals do not
reach. Writes benchmarks/results/zeros.json.
"""

from __future__ import annotations

import argparse
import collections
import json
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from common import RESULTS, environment
from zeros_referee import CLOSE, by_cvxpy, by_fixed_point, size_of

import dagame as dg
from dagame.objectives.catalogue import CATALOGUE, Draw, Kind

OUT = RESULTS / "zeros.json"


# -- random games ------------------------------------------------------------------------------------


def reference(rng: np.random.Generator, m: int, n: int) -> np.ndarray:
    """Frequencies of 4 or 8 samples, or a Dirichlet row with 40% zeros, or a full one."""
    p = rng.dirichlet(np.full(n, 0.8), m)
    kind = rng.random()
    if kind < 0.4:
        p = rng.multinomial(int(rng.choice([4, 8])), p).astype(float)
    elif kind < 0.8:
        p = np.where(rng.random((m, n)) < 0.4, 0.0, p)
        keep = rng.integers(n, size=m) if rng.random() < 0.5 else np.zeros(m, int)
        p[np.arange(m), keep] += 0.1
    p = np.where(p > 0, p + 1e-3, 0)
    return p / p.sum(-1, keepdims=True)


def a_set(rng: np.random.Generator, m: int, n: int) -> Any:
    """One of the sets or an intersection of two, within a context or across."""
    z, y, across = int(rng.integers(n)), int(rng.integers(n)), bool(rng.integers(2))
    makers = [
        lambda: dg.Cap([z], float(rng.uniform(0, 0.9)), across=across),
        lambda: dg.Floor([z], float(rng.uniform(0.05, 0.7)), across=across),
        lambda: dg.Quota([z], float(rng.uniform(0.05, 0.9)), across=across),
        lambda: dg.Moment(np.arange(n) * 1.0, float(rng.uniform(0.2, n - 1)), across=across),
        lambda: dg.Parity(float(rng.choice([0.0, 0.05, 0.2]))),
        lambda: dg.Polytope(rng.normal(size=(2, n)).round(1), rng.uniform(0, 1, 2).round(1)),
        lambda: dg.Floor([z], 0.28, across=across) & dg.Cap([y], 0.45, across=across),
        lambda: dg.Parity(0.1) & dg.Floor([z], float(rng.uniform(0.05, 0.5))),
        lambda: dg.Quota([z], 0.3, across=across) & dg.Moment(np.arange(n) * 1.0, 0.9),
    ]
    return makers[int(rng.integers(len(makers)))]()


def _success(rng: np.random.Generator, m: int, n: int) -> tuple[np.ndarray]:
    c = rng.random(n) * (rng.random(n) < 0.6)
    c[int(rng.integers(n))] = 1.0
    return (c,)


def _target(rng: np.random.Generator, m: int, n: int) -> tuple[np.ndarray]:
    p = np.where(rng.random(n) < 0.3, 0, rng.dirichlet(np.ones(n)))
    p[int(rng.integers(n))] += 0.2
    return (p / p.sum(),)


def _any_set(rng: np.random.Generator, m: int, n: int) -> tuple[Any]:
    return (a_set(rng, m, n),)


DRAWS: dict[str, Draw] = {
    "log-success": _success,
    "pass-at-k": lambda rng, m, n: (*_success(rng, m, n), int(rng.integers(1, 5))),
    "target": _target,
    "target-forward": _target,
    "soft-cap": _any_set,
    "hard-cap": _any_set,
}
"""Parameters with more zeros and sets than those of the catalogue."""

LEFT_OUT = ("bregman", "hard-moment", "hard-parity")
"""Kinds that cvxpy cannot state, and sets that are among those of "hard-cap"."""

KINDS: dict[str, Kind] = {
    name: replace(kind, parameters=DRAWS.get(name, kind.parameters))
    for name, kind in CATALOGUE.items()
    if not (kind.on_traces or kind.kinked or name in LEFT_OUT)
}
CONCAVE = [name for name, kind in KINDS.items() if kind.concave]
ALONE = [name for name in CONCAVE if KINDS[name].multipliers]


def game(rng: np.random.Generator) -> tuple[str, dg.AlignmentGame]:
    """A game of 1 to 3 contexts and 2 to 4 answers, one in three a sum of two terms with factors."""
    m, n = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    r, beta = reference(rng, m, n), float(rng.choice([1e-3, 0.1, 1.0, 10.0]))
    strength = beta * float(rng.choice([0.1, 0.5, 1.0, 5.0, 20.0]))
    w = rng.dirichlet(np.full(m, 3.0)) * 0.9 + 0.1 / m
    kind = str(rng.choice(list(KINDS)))
    if kind not in CONCAVE:
        objective = KINDS[kind].make(beta * float(rng.uniform(0.05, 0.9)), rng, m, n)
    else:
        objective = KINDS[kind].make(strength, rng, m, n)
        if rng.random() < 0.33:
            other = str(rng.choice([k for k in CONCAVE if kind not in ALONE or k not in ALONE]))
            objective += float(rng.choice([0.5, 2.0])) * KINDS[other].make(beta, rng, m, n)
            kind = " + ".join(sorted([kind, other]))
    return kind, dg.AlignmentGame(r, objective, beta=beta, weights=w)


# -- the comparison ----------------------------------------------------------------------------------


def a_policy(rng: np.random.Generator, g: dg.AlignmentGame) -> np.ndarray:
    """A random policy on the support, 40% of it zeros."""
    support = np.asarray(g.support)
    p = np.where(support & (rng.random(support.shape) < 0.6), rng.random(support.shape), 0.0)
    lost = p.sum(-1) == 0
    p[lost] = support[lost]
    return p / p.sum(-1, keepdims=True)


def judge(rng: np.random.Generator, kind: str, g: dg.AlignmentGame) -> list[str]:
    """What is wrong with the solution and a certificate of one game; ["unjudged"] without a referee."""
    s, policy = dg.solve(g, throw=False), a_policy(rng, g)
    status, best = by_cvxpy(g) if g.objective.concave else by_fixed_point(g)
    if status == "unjudged":
        return ["unjudged"]
    if status == "inaccurate" and abs(float(s.certificate.value) - best) > CLOSE * size_of(g, best):
        return ["unjudged"]
    if status == "infeasible":
        return [] if s.status is dg.Status.INFEASIBLE else [f"{s.status.name} where infeasible"]
    wrong, proof = [], s.certificate
    size = size_of(g, best)
    if s.status is not dg.Status.SOLVED:
        wrong.append(f"{s.status.name} where the referee finds {best:.6g}")
    elif abs(float(proof.value) - best) > CLOSE * size:
        wrong.append(f"value {float(proof.value):.8g} where the referee finds {best:.8g}")
    if best > float(proof.upper_bound) + CLOSE * size:
        wrong.append("the solution's bound is below the optimum")
    if float(proof.value) > float(proof.upper_bound):
        wrong.append("value above its own bound")
    other = dg.certify(g, policy)
    if max(best, float(proof.value)) > float(other.upper_bound) + CLOSE * size:
        wrong.append("a policy's bound is below the optimum")
    if s.status is dg.Status.SOLVED and float(other.violation) == 0:
        p, q = policy, np.asarray(s.policy)
        ratio = np.where(p > 0, np.log(np.where(p > 0, p, 1) / np.maximum(q, 1e-300)), 0)
        w = np.asarray(g.weights)
        kl = float(((p * ratio).sum(-1) * w).sum())
        moved = np.sqrt(
            2 * max(float(proof.distance_bound), 0) / (w[:, None] * np.maximum(q, 1e-300))
        )
        own = 2 * float((w[:, None] * p * moved).sum())  # w q moved^2 / 2 sums to at most the bound
        if kl > float(other.distance_bound) * (1 + 1e-6) + 1e-5 + own:
            wrong.append("a policy's distance bound is below the KL to the optimum")
    return wrong


def main() -> None:
    """Play and judge the games; the record is written every 100."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    started, kinds = time.time(), collections.Counter()
    counts: collections.Counter[str] = collections.Counter()
    failures: list[dict[str, Any]] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        played = pool.map(partial(one, options.seed), range(options.games), chunksize=20)
        for k, (kind, verdict, what) in enumerate(played):
            counts[verdict] += 1
            if kind:
                kinds[kind.split(" + ")[0]] += 1
            if verdict == "wrong":
                failures.append({"game": [options.seed, k], "kind": kind, "what": what})
            if k % 100 == 99:
                keep(options, started, counts, kinds, failures)
    keep(options, started, counts, kinds, failures)
    print(json.dumps({"counts": counts, "failures": failures[:20]}, indent=1))


def one(seed: int, k: int) -> tuple[str, str, list[str]]:
    """Kind, verdict and faults of one game."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng([seed, k])
    try:
        kind, g = game(rng)
    except dg.DagameError as error:
        return "", f"not made: {type(error).__name__}", []
    try:
        wrong = judge(rng, kind, g)
    except Exception as error:
        wrong = [f"{type(error).__name__}: {error}"[:300]]
    return kind, "unjudged" if wrong == ["unjudged"] else "wrong" if wrong else "right", wrong


def keep(options: Any, started: float, counts: Any, kinds: Any, failures: list[Any]) -> None:
    """Write the record."""
    record = {
        "machine": environment(),
        "seed": options.seed,
        "games": sum(counts.values()),
        "seconds": time.time() - started,
        "counts": dict(counts),
        "by kind": dict(sorted(kinds.items())),
        "failures": failures,
    }
    OUT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
