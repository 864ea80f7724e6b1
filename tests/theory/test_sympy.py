"""Closed forms and gradients derived symbolically: two contexts, two answers, exact."""

import numpy as np
import pytest
import sympy as sp

import dagame as dg

A, B = sp.symbols("a b", positive=True)
W = (sp.Rational(2, 5), sp.Rational(3, 5))
ROWS = ((A, 1 - A), (B, 1 - B))
LOG = sp.log


def entropy(p):
    return -sum(x * LOG(x) for x in p)


def divergence(p, q):
    return sum(x * LOG(x / y) for x, y in zip(p, q, strict=True))


MEAN = tuple(W[0] * x + W[1] * y for x, y in zip(*ROWS, strict=True))
C, RHO, R = (sp.Rational(1, 3), 1), (sp.Rational(1, 4), sp.Rational(3, 4)), (2, -1)
P = tuple(sum(c * x for c, x in zip(C, row, strict=True)) for row in ROWS)
PAIRS = [(x, y) for x in range(2) for y in range(2)]


def over(f):
    return sum(w * f(row) for w, row in zip(W, ROWS, strict=True))


SYMBOLIC = {
    "reward": (
        dg.Reward([2.0, -1.0]),
        over(lambda p: sum(r * x for r, x in zip(R, p, strict=True))),
    ),
    "log success": (
        dg.LogSuccess([1 / 3, 1], 2.0),
        2 * sum(w * LOG(p) for w, p in zip(W, P, strict=True)),
    ),
    "pass@k": (
        dg.PassAtK([1 / 3, 1], 3, 2.0),
        2 * sum(w * (1 - (1 - p) ** 3) for w, p in zip(W, P, strict=True)),
    ),
    "shannon": (dg.ShannonDiversity(2.0), 2 * over(entropy)),
    "gini": (dg.GiniDiversity(2.0), 2 * over(lambda p: 1 - sum(x**2 for x in p))),
    "tsallis": (dg.TsallisDiversity(2.0, 3.0), 2 * over(lambda p: (1 - sum(x**3 for x in p)) / 2)),
    "reverse": (
        dg.TargetMatching([0.25, 0.75], 2.0),
        -2 * over(lambda p: divergence(p, RHO)),
    ),
    "forward": (
        dg.TargetMatching([0.25, 0.75], 2.0, "forward"),
        -2 * over(lambda p: divergence(RHO, p)),
    ),
    "arithmetic": (dg.Coherence(2.0), -2 * over(lambda p: divergence(p, MEAN))),
    "geometric": (
        dg.Coherence(2.0, "geometric"),
        2 * LOG(sum(ROWS[0][z] ** W[0] * ROWS[1][z] ** W[1] for z in range(2))),
    ),
    "euclidean": (
        dg.Coherence(2.0, "euclidean"),
        -2 * over(lambda p: sum((x - q) ** 2 for x, q in zip(p, MEAN, strict=True))),
    ),
    "pairwise kl": (
        dg.PairwiseCoherence(2.0, "kl"),
        -2 * sum(W[x] * W[y] * divergence(ROWS[x], ROWS[y]) for x, y in PAIRS),
    ),
    "hellinger": (
        dg.PairwiseCoherence(2.0, "hellinger"),
        -2
        * sum(
            W[x] * W[y] * (1 - sum(sp.sqrt(ROWS[x][z] * ROWS[y][z]) for z in range(2)))
            for x, y in PAIRS
        ),
    ),
    "pairwise jeffreys": (
        dg.PairwiseCoherence(2.0, "jeffreys"),
        -4 * sum(W[x] * W[y] * divergence(ROWS[x], ROWS[y]) for x, y in PAIRS),
    ),
    "jensen-shannon": (
        dg.PairwiseCoherence(2.0),
        -2
        * sum(
            W[x] * W[y] * divergence(ROWS[x], [(p + q) / 2 for p, q in zip(*pair, strict=True)])
            for x, y in PAIRS
            for pair in [(ROWS[x], ROWS[y])]
        ),
    ),
    "sharpening": (dg.Sharpening(2.0), -2 * over(entropy)),
    "self-consistency": (dg.SelfConsistency(2.0), 2 * over(lambda p: sum(x**2 for x in p))),
    "agreement": (
        dg.Agreement(2.0),
        2 * 2 * W[0] * W[1] * sum(ROWS[0][z] * ROWS[1][z] for z in range(2)),
    ),
    "bregman 3/2": (
        dg.BregmanCoherence(1.5, 2.0),
        -2
        * sp.Rational(4, 3)
        * (
            over(lambda p: sum(x ** sp.Rational(3, 2) for x in p))
            - sum(q ** sp.Rational(3, 2) for q in MEAN)
        ),
    ),
}


@pytest.mark.parametrize("name", SYMBOLIC)
def test_value_and_reward_are_the_symbolic_ones(name):
    objective, phi = SYMBOLIC[name]
    at = {A: sp.Rational(3, 10), B: sp.Rational(7, 8)}
    nu = np.array([[0.3, 0.7], [0.875, 0.125]])
    w = np.array([0.4, 0.6])
    np.testing.assert_allclose(float(objective.value(nu, w)), float(phi.subs(at)), rtol=1e-12)
    u = objective.reward(nu, w)
    for x, symbol in enumerate((A, B)):
        slope = float(sp.diff(phi, symbol).subs(at))
        np.testing.assert_allclose(w[x] * (u[x, 0] - u[x, 1]), slope, rtol=1e-10)


def stationary(objective, beta, nu0):
    """Solve dJ/da = 0 for one context of two answers, by sympy."""
    phi = objective(A) - beta * (A * LOG(A / nu0) + (1 - A) * LOG((1 - A) / (1 - nu0)))
    return sp.diff(phi, A)


CLOSED = {
    "reward": (lambda a: 2 * a - (1 - a), dg.Reward([2.0, -1.0])),
    "shannon": (lambda a: 2 * entropy((a, 1 - a)), dg.ShannonDiversity(2.0)),
    "gini": (lambda a: 2 * (1 - a**2 - (1 - a) ** 2), dg.GiniDiversity(2.0)),
    "reverse": (lambda a: -2 * divergence((a, 1 - a), RHO), dg.TargetMatching([0.25, 0.75], 2.0)),
    "forward": (
        lambda a: -2 * divergence(RHO, (a, 1 - a)),
        dg.TargetMatching([0.25, 0.75], 2.0, "forward"),
    ),
    "log success": (lambda a: 2 * LOG(a / 3 + 1 - a), dg.LogSuccess([1 / 3, 1], 2.0)),
    "pass@k": (lambda a: 2 * (1 - (2 * a / 3) ** 3), dg.PassAtK([1 / 3, 1], 3, 2.0)),
    "sharpening": (lambda a: -sp.Rational(1, 2) * entropy((a, 1 - a)), dg.Sharpening(0.5)),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_are_stationary_exactly(name):
    symbolic, objective = CLOSED[name]
    beta, nu0 = sp.Rational(3, 2), sp.Rational(7, 10)
    root = sp.nsolve(stationary(symbolic, beta, nu0), A, (0.01, 0.99), solver="bisect", prec=30)
    solution = dg.solve(dg.AlignmentGame([[0.7, 0.3]], objective, beta=1.5), "closed_form")
    np.testing.assert_allclose(solution.marginals[0, 0], float(root), rtol=1e-12)


def test_the_exponential_form_symbolically():
    """d/da of <r, nu> + e H(nu) - beta KL vanishes at exp((beta log nu0 + r)/(beta + e)) / Z."""
    r, e, beta, x = sp.symbols("r e beta x", positive=True)
    odds = ((x / (1 - x)) ** beta * sp.exp(r)) ** (1 / (beta + e))
    a = odds / (1 + odds)
    slope = r - (e + beta) * LOG(A / (1 - A)) + beta * LOG(x / (1 - x))
    assert sp.simplify(sp.expand_log(sp.simplify(slope.subs(A, a)), force=True)) == 0


def test_majority_votes_optimum_symbolically():
    """max over nu(z) = t of strength t - beta KL is beta log(1 + nu0 (e^{strength/beta} - 1))."""
    lam, beta, p = sp.Rational(3, 2), sp.Rational(4, 5), sp.Rational(2, 5)
    j = lam * A - beta * (A * LOG(A / p) + (1 - A) * LOG((1 - A) / (1 - p)))
    t = p * sp.exp(lam / beta) / (1 - p + p * sp.exp(lam / beta))
    assert sp.simplify(sp.diff(j, A).subs(A, t)) == 0
    best = beta * LOG(1 + p * (sp.exp(lam / beta) - 1))
    assert abs(float(j.subs(A, t)) - float(best)) < 1e-14
