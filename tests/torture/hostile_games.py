"""Hypothesis strategies of games at the edge of float64, and what every solution of one must satisfy."""

from __future__ import annotations

import math
from typing import NamedTuple

import mpmath as mp
import numpy as np
import referee
from hypothesis import strategies as st
from textbook import exact

import dagame as dg
from tests.kinds import HOSTILE

mp.mp.dps = 50

TOLERANCE = 1e-10
STRENGTHS = (0.0, 1e-100, 1e-12, 1e-3, 0.1, 1.0, 10.0, 1e3, 1e6, 1e9)
BETAS = (1e-9, 1e-6, 1e-3, 0.1, 1.0, 10.0, 1e3, 1e9)
SMALL = (0.0, 5e-324, 1e-310, 1e-300, 1e-100, 1e-16, 1e-12)


class Spec(NamedTuple):
    """A game as a user gives it."""

    reference: np.ndarray
    objective: dg.Objective
    beta: float
    weights: np.ndarray

    def game(self) -> dg.AlignmentGame:
        return dg.AlignmentGame(
            self.reference, self.objective, beta=self.beta, weights=self.weights
        )


@st.composite
def references(draw, m, n, small=SMALL):
    """Rows with masses from `small` at random places, point masses, and powers of ten."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = []
    for _ in range(m):
        kind = draw(st.sampled_from(["plain", "small", "point", "powers"]))
        row = rng.dirichlet(np.full(n, 0.5)) + 1e-6
        if kind == "small":
            row = np.where(rng.random(n) < 0.5, draw(st.sampled_from(small)), row)
        elif kind == "point":
            row = np.full(n, draw(st.sampled_from(small)))
        elif kind == "powers":
            row = np.maximum(
                10.0 ** -(rng.random(n) * 308), min(s for s in small if s or not min(small))
            )
        keep = 0 if draw(st.booleans()) else int(rng.integers(n))
        row[keep] = max(row[keep], 0.1)
        rows.append(row / row.sum())
    return np.stack(rows)


DOMAINS = ("target, zeros", *(k for k in HOSTILE if "hard" in k or "cap 0" in k))
"""Kinds that restrict the answers at any strength."""

EXPLICIT = ("majority-vote", "sharpening")
"""Kinds whose optimum is explicit where neither T4 nor T6 covers them."""


@st.composite
def specs(
    draw,
    kinds=tuple(HOSTILE),
    strengths=STRENGTHS,
    betas=BETAS,
    small=SMALL,
    widths=(1, 2, 3, 6, 20),
):
    """A hostile game; strengths that its beta does not admit are cut to 1e8 beta."""
    m, n = draw(st.sampled_from([1, 1, 2, 3, 5])), draw(st.sampled_from(widths))
    beta = draw(st.sampled_from(betas))
    strength = min(draw(st.sampled_from(strengths)), 1e8 * beta)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(kinds))
    weights = rng.dirichlet(np.ones(m)) if draw(st.booleans()) else np.full(m, 1 / m)
    if m > 1 and draw(st.integers(0, 9)) == 0:
        weights = np.r_[1 - 1e-9, np.full(m - 1, 1e-9 / (m - 1))]
    return Spec(draw(references(m, n, small)), HOSTILE[kind](strength, rng, m, n), beta, weights)


def check(spec: Spec, solution: dg.Solution, tol: float = TOLERANCE) -> None:
    """What holds of every solution of one game, solved or not: see the lines."""
    proof = solution.certificate
    for name in ("value", "upper_bound", "gap", "policy_regret", "distance_bound", "tv_bound"):
        assert not np.isnan(getattr(proof, name)), f"{name} is NaN"
    policy = solution.policy
    assert np.all(policy >= 0)
    assert np.abs(policy.sum(-1) - 1).max() < 1e-9
    assert not np.any((policy > 0) & (spec.reference == 0)), "mass where the reference has none"
    assert 0 <= proof.tv_bound <= 1
    possible = referee.feasible(spec.objective, exact(spec.reference))
    assert (solution.status is dg.Status.INFEASIBLE) == (not possible)
    if solution.status is dg.Status.SOLVED:
        size = max(float(solution.game.beta), abs(float(proof.value)))
        assert math.isfinite(proof.value)
        below = tol if _equalities(spec) else 1e-14
        assert -below * size <= proof.gap <= tol * size * (1 + 1e-6)
        check_by_mpmath(spec, solution)


def _equalities(spec: Spec) -> bool:
    """Whether a hard set has equality rows, on which nu is only to rounding, above or below."""
    m, n = spec.reference.shape
    sets = [o.set for _, o in spec.objective.terms() if isinstance(o, dg.HardConstraint)]
    return any(s.rows(m, n, spec.weights).equal.any() for s in sets)


def check_by_mpmath(spec: Spec, solution: dg.Solution) -> None:
    """J and D of the definitions, in 50 digits, against the certificate: no less gap than there is."""
    game, proof = solution.game, solution.certificate
    if not game.provable:
        return
    multipliers = solution.multipliers
    if multipliers is None:
        multipliers = game.multipliers(solution.log_marginals)
    value, bound = referee.value_and_bound(
        spec.reference, spec.weights, spec.objective, spec.beta, solution.log_policy, multipliers
    )
    size = 1 + abs(float(proof.value)) + spec.beta + spec.objective.magnitude
    assert abs(float(value - mp.mpf(float(proof.value)))) <= 1e-12 * size
    if mp.isfinite(bound):
        true_gap = float(bound - value)
        assert true_gap <= float(proof.gap) * (1 + 1e-6) + 1e-13 * size
        exact_to = TOLERANCE * size if _equalities(spec) else 1e-25 * size
        assert true_gap >= -exact_to, "the bound of the theory is below the value"
