"""The referee of `zeros.py`: J stated anew for cvxpy, and a fixed point where it is not concave.

A mass of 0 of the reference forces the policy's to 0 and nothing else; targets, consensus and projections
are variables over all answers. Terms that are 0 by force are not stated: cone programs of exact zeros end
inaccurate. An answer that is called inaccurate, or comes from a method of first order, may confirm a
value and never refutes one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np

import dagame as dg

CLOSE = 2e-5
"""Relative errors of J that are no fault."""

_TIGHT = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}


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

    An objective that is not restated here gives its own form. `alive` (m, n): where the reference, and so
    the policy nu, may have mass.
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
    if name == "HardCoherence":
        extra += [nu[x] == nu[0] for x in range(1, m)]
        return 0.0
    return o.cvxpy(nu, w, extra)


def by_cvxpy(g: dg.AlignmentGame) -> tuple[str, float]:
    """("optimal", J*), ("infeasible", -inf), ("inaccurate", about J*) or ("unjudged", nan)."""
    r, w = np.exp(g.log_reference), np.asarray(g.weights)
    r = np.where(np.asarray(g.support), r, 0)
    free = np.flatnonzero(r.ravel())  # a zero that is only nearly 0 gains its root in Tsallis 1/2
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
        if problem.status == "infeasible" and solver != "SCS":
            return "infeasible", -np.inf
        if problem.status.startswith("optimal") and np.isfinite(problem.value):
            best = g.beta * float(problem.value)
            if attained(g, nu.value) >= best - CLOSE / 2 * size_of(g, best):
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


def size_of(g: dg.AlignmentGame, best: float) -> float:
    """What errors of J are compared to."""
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
