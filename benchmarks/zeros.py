"""Random games with zeros in policies, references and targets, against a referee that knows no supports.

    python benchmarks/zeros.py --games 20000 [--seed 0] [--jobs 2]

Every objective, set and sum; references made of 4 or 8 samples or with a share of zeros. The referee
states J anew for cvxpy: a mass of 0 of the reference forces the policy's to 0 and nothing else, and
targets, consensus and projections are variables over all answers. Non-concave objectives have a fixed point
of their own. Of each game: the status; the value against the referee's; the bound of the solution, and of a
random policy with zeros, against the best value known; the distance bound against the KL to the solution.
A game counts as `unjudged` where cvxpy claims no value, or one that its own marginals do not reach; an
answer that is called inaccurate, or comes from a method of first order, may confirm a value and never
refutes one.
Writes benchmarks/results/zeros.json.
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
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np
from common import RESULTS, environment

import dagame as dg
from dagame.objectives.catalogue import CATALOGUE, Draw, Kind

OUT = RESULTS / "zeros.json"
CLOSE = 2e-5
_TIGHT = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}


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


# -- the referee -------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A distribution over the answers: its mass (n,), and where that is not 0 by force."""

    mass: Any
    alive: np.ndarray

    @classmethod
    def given(cls, p: np.ndarray) -> Row:
        """A row of numbers."""
        return cls(cp.Constant(p), p > 0)


def _kl(p: Row, q: Row, extra: list[Any]) -> Any:
    """sum p log(p / q), where 0 log 0 = 0, and p must be 0 where q is."""
    extra.append(p.mass[p.alive & ~q.alive] == 0)
    both = p.alive & q.alive
    return cp.sum(cp.rel_entr(p.mass[both], q.mass[both])) if both.any() else 0.0


def _entropy(p: Row) -> Any:
    return cp.sum(cp.entr(p.mass[p.alive]))


def _power(p: Row, order: float) -> Any:
    return cp.sum(cp.power(p.mass[p.alive], order))


def _divergence(name: str, p: Row, q: Row, extra: list[Any]) -> Any:
    if name == "kl":
        return _kl(p, q, extra)
    if name == "jeffreys":
        return _kl(p, q, extra) + _kl(q, p, extra)
    if name == "euclidean":
        return cp.sum_squares(p.mass - q.mass)
    if name == "jensen_shannon":
        middle = Row((p.mass + q.mass) / 2, p.alive | q.alive)
        return (_kl(p, middle, extra) + _kl(q, middle, extra)) / 2
    both = p.alive & q.alive
    if not both.any():
        return 1.0
    root, p_, q_ = cp.Variable(both.sum(), nonneg=True), p.mass[both], q.mass[both]
    extra.append(cp.SOC(p_ + q_, cp.vstack([2 * root, p_ - q_]), axis=0))
    return 1 - cp.sum(root)


def in_set(chosen: Any, q: Any, w: np.ndarray) -> list[Any]:
    """The rows of a set as constraints on a variable (m, n)."""
    rows = chosen.rows(*q.shape, w)
    out = []
    for g, h, equal in zip(rows.matrix, rows.bound, rows.equal, strict=True):
        total = cp.sum(cp.multiply(g, q))
        out.append(total == h if equal else total <= h)
    return out


def stated(o: Any, nu: Any, alive: np.ndarray, w: np.ndarray, extra: list[Any]) -> Any:
    """Phi by its definition (docs/theory/objectives.md), every inner minimum a variable over all answers.

    `alive` (m, n): where the reference, and so the policy nu, may have mass.
    """
    name, (m, n), s = type(o).__name__, nu.shape, getattr(o, "strength", 1.0)
    rows = [Row(nu[x], alive[x]) for x in range(m)]
    if name == "Reward":
        table = np.broadcast_to(o.r, (m, n))
        return sum(w[x] * table[x] @ nu[x] for x in range(m))
    if name in ("LogSuccess", "PassAtK"):
        c = np.broadcast_to(o.success, (m, n))
        p = [c[x] @ nu[x] for x in range(m)]
        if name == "LogSuccess":
            if not (c * alive).any(1).all():
                extra.append(cp.Constant(1) == 0)
                return 0.0
            return s * sum(w[x] * cp.log(p[x]) for x in range(m))
        return s * sum(w[x] * (1 - cp.power(1 - p[x], o.k)) for x in range(m))
    if name == "ShannonDiversity":
        return s * sum(w[x] * _entropy(rows[x]) for x in range(m))
    if name == "GiniDiversity":
        return s * sum(w[x] * (1 - cp.sum_squares(nu[x])) for x in range(m))
    if name == "TsallisDiversity":
        t = o.order
        return s * sum(w[x] * (1 - _power(rows[x], t)) / (t - 1) for x in range(m))
    if name == "RenyiDiversity":
        t = o.order
        return s * sum(w[x] * cp.log(_power(rows[x], t)) / (1 - t) for x in range(m))
    if name == "TargetMatching":
        rho = [Row.given(p) for p in np.broadcast_to(o.target, (m, n))]
        if o.direction == "forward":
            return -s * sum(w[x] * _kl(rho[x], rows[x], extra) for x in range(m))
        return -s * sum(w[x] * _kl(rows[x], rho[x], extra) for x in range(m))
    if name == "Coherence" and o.consensus == "euclidean":
        return -s * sum(w[x] * cp.sum_squares(nu[x] - w @ nu) for x in range(m))
    if name in ("Coherence", "SoftConstraint"):
        q = cp.Variable((m if name == "SoftConstraint" else 1, n), nonneg=True)
        extra.append(cp.sum(q, axis=1) == 1)
        each = [Row(q[x % q.shape[0]], np.ones(n, bool)) for x in range(m)]
        if name == "SoftConstraint":
            extra += in_set(o.set, q, w)
        if name == "Coherence" and o.consensus == "geometric":
            return -s * sum(w[x] * _kl(each[x], rows[x], extra) for x in range(m))
        return -s * sum(w[x] * _kl(rows[x], each[x], extra) for x in range(m))
    if name == "PairwiseCoherence":
        return -s * sum(
            w[x] * w[y] * _divergence(o.divergence, rows[x], rows[y], extra)
            for x in range(m)
            for y in range(m)
            if x != y
        )
    if name == "WorstCase":
        return s * cp.min(np.asarray(o.rewards) @ (w @ nu))
    if name == "HardConstraint":
        extra += in_set(o.set, nu, w)
        return 0.0
    assert name == "HardCoherence", name
    extra += [nu[x] == nu[0] for x in range(1, m)]
    return 0.0


def by_cvxpy(g: dg.AlignmentGame) -> tuple[str, float]:
    """("optimal", J*), ("infeasible", -inf), ("inaccurate", about J*) or ("unjudged", nan)."""
    r, w = np.exp(g.log_reference), np.asarray(g.weights)
    r = np.where(np.asarray(g.support), r, 0)
    free = np.flatnonzero(
        r.ravel()
    )  # a zero that is only nearly 0 gains its square root in Tsallis 1/2
    nu = cp.reshape(
        np.eye(r.size)[:, free] @ cp.Variable(len(free), nonneg=True), r.shape, order="C"
    )
    extra: list[Any] = [cp.sum(nu, axis=1) == 1]
    alive, guess = r > 0, np.nan
    phi = sum(f / g.beta * stated(o, nu, alive, w, extra) for f, o in g.objective.terms())
    cost = sum(w[x] * _kl(Row(nu[x], alive[x]), Row.given(r[x]), extra) for x in range(len(r)))
    problem: Any = cp.Problem(cp.Maximize(phi - cost), extra)
    for solver, options in (("CLARABEL", _TIGHT), ("CLARABEL", {}), ("ECOS", {}), ("SCS", {})):
        if solver not in cp.installed_solvers():
            continue
        try:
            problem.solve(solver=solver, **options)
        except (cp.SolverError, ValueError):
            continue
        if problem.status == "infeasible":
            return "infeasible", -np.inf
        if problem.status.startswith("optimal") and np.isfinite(problem.value):
            best = g.beta * float(problem.value)
            if attained(g, nu.value) >= best - CLOSE / 2 * _size(g, best):
                if problem.status == "optimal" and solver != "SCS":
                    return "optimal", best
                guess = best if np.isnan(guess) else guess
    return ("unjudged" if np.isnan(guess) else "inaccurate"), guess


def attained(g: dg.AlignmentGame, nu: np.ndarray) -> float:
    """J of the referee's own marginals: a cone program may claim the square root of its tolerance more.

    Infinite where a hard set is missed by the tolerance, which says nothing of the claim.
    """
    p = np.where(np.asarray(g.support), np.maximum(nu, 0), 0)
    value = float(g.value(p / p.sum(-1, keepdims=True)))
    return value if np.isfinite(value) else np.inf


def _size(g: dg.AlignmentGame, best: float) -> float:
    return max(g.beta, abs(best), g.objective.magnitude)


def by_fixed_point(g: dg.AlignmentGame) -> tuple[str, float]:
    """nu <- nu0 e^{u / beta}: J never falls for a convex Phi, and beta + mu > 0 leaves one optimum."""
    r, w = np.exp(np.asarray(g.log_reference)), np.asarray(g.weights)[:, None]
    r = np.where(np.asarray(g.support), r, 0)
    found: Any = g.objective.terms()
    ((f, o),) = found
    name, s, nu = type(o).__name__, f * o.strength, r

    def others(p: np.ndarray) -> np.ndarray:
        return (w * p).sum(0) - w * p

    for _ in range(3000):
        if name == "Sharpening":
            u = s * np.log(np.where(nu > 0, nu, 1))
        else:
            u = 2 * s * (nu if name == "SelfConsistency" else others(nu))
        nu = r * np.exp((u - u.max(-1, keepdims=True)) / g.beta)
        nu = nu / nu.sum(-1, keepdims=True)
    safe = np.where(nu > 0, nu, 1)
    phi = {
        "Sharpening": (w * nu * np.log(safe)).sum(),
        "SelfConsistency": (w * nu**2).sum(),
        "Agreement": (w * nu * others(nu)).sum(),
    }[name]
    kl = (w * nu * np.log(safe / np.where(r > 0, r, 1))).sum()
    return "optimal", float(s * phi - g.beta * kl)


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
    if status == "inaccurate" and abs(float(s.certificate.value) - best) > CLOSE * _size(g, best):
        return ["unjudged"]
    if status == "infeasible":
        return [] if s.status is dg.Status.INFEASIBLE else [f"{s.status.name} where infeasible"]
    wrong, proof = [], s.certificate
    size = _size(g, best)
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
