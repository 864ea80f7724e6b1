"""Closed forms and gradients derived symbolically: two contexts, two answers, exact."""

import numpy as np
import pytest
import sympy as sp

import dagame as dg
from dagame.objectives.catalogue import CATALOGUE
from tests.kinds import made

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
GRADERS = ((2, -1), (0, 1))
CAP = sp.Rational(1, 5)
P = tuple(sum(c * x for c, x in zip(C, row, strict=True)) for row in ROWS)
HALF = sp.Rational(1, 2)


def over(f):
    return sum(w * f(row) for w, row in zip(W, ROWS, strict=True))


def over_pairs(f):
    pairs = [(x, y) for x in range(2) for y in range(2)]
    return sum(W[x] * W[y] * f(ROWS[x], ROWS[y]) for x, y in pairs)


def each(f):
    """A sum over the answers of two rows."""
    return lambda p, q: sum(f(x, y) for x, y in zip(p, q, strict=True))


def powers(t):
    return lambda p: sum(x**t for x in p)


def middle(p, q):
    return [(x + y) / 2 for x, y in zip(p, q, strict=True)]


def soft_cap(p):
    """KL to the projection, which scales the two groups: that of their masses."""
    return sp.Piecewise((divergence(p[::-1], (CAP, 1 - CAP)), p[1] > CAP), (0, True))


TO_MEAN = over(lambda p: divergence(p, MEAN))
SYMBOLIC = {
    "reward": ([[2.0, -1.0]], over(lambda p: sum(r * x for r, x in zip(R, p, strict=True)))),
    "log-success": ([[1 / 3, 1]], sum(w * LOG(p) for w, p in zip(W, P, strict=True))),
    "pass-at-k": ([[1 / 3, 1], 3], sum(w * (1 - (1 - p) ** 3) for w, p in zip(W, P, strict=True))),
    "shannon": ([], over(entropy)),
    "gini": ([], over(lambda p: 1 - powers(2)(p))),
    "tsallis-half": ([], over(lambda p: -2 * (1 - powers(HALF)(p)))),
    "tsallis-3": ([], over(lambda p: (1 - powers(3)(p)) / 2)),
    "renyi-half": ([], over(lambda p: 2 * LOG(powers(HALF)(p)))),
    "target": ([[0.25, 0.75]], -over(lambda p: divergence(p, RHO))),
    "target-forward": ([[0.25, 0.75]], -over(lambda p: divergence(RHO, p))),
    "coherence": ([], -TO_MEAN),
    "trace-coherence": ([], -TO_MEAN),
    "geometric": ([], LOG(each(lambda x, y: x ** W[0] * y ** W[1])(*ROWS))),
    "euclidean": ([], -over(lambda p: each(lambda x, q: (x - q) ** 2)(p, MEAN))),
    "pairwise-kl": ([], -over_pairs(divergence)),
    "pairwise-jeffreys": ([], -2 * over_pairs(divergence)),
    "pairwise-hellinger": (
        [],
        -over_pairs(lambda p, q: 1 - each(lambda x, y: sp.sqrt(x * y))(p, q)),
    ),
    "pairwise-jensen-shannon": ([], -over_pairs(lambda p, q: divergence(p, middle(p, q)))),
    "pairwise-euclidean": ([], -over_pairs(each(lambda x, y: (x - y) ** 2))),
    "bregman": (
        [1.5],
        sp.Rational(4, 3) * (powers(sp.Rational(3, 2))(MEAN) - over(powers(sp.Rational(3, 2)))),
    ),
    "soft-cap": ([dg.Cap([1], 0.2)], -over(soft_cap)),
    "sharpening": ([], -over(entropy)),
    "self-consistency": ([], over(powers(2))),
    "agreement": ([], 2 * W[0] * W[1] * each(lambda x, y: x * y)(*ROWS)),
    "majority-vote": ([], over(lambda p: sp.Max(*p))),
    "worst-case": (
        [[[2.0, -1.0], [0.0, 1.0]]],
        sp.Min(*(sum(r * x for r, x in zip(g, MEAN, strict=True)) for g in GRADERS)),
    ),
}
"""By name of the catalogue: parameters, and Phi at strength 1."""

STRENGTH = 2.0
NOT_STATED = {"pull", "push-pull"}
"""Transport has no formula."""


def objective_of(name, strength=STRENGTH):
    return CATALOGUE[name].build(strength, *SYMBOLIC[name][0])


def test_every_kind_has_its_formula():
    """But for transport, and sets, whose value is 0 on them."""
    sets = {name for name, kind in CATALOGUE.items() if made(name, 1.0, 2, 2).hard}
    assert set(CATALOGUE) - sets - NOT_STATED == set(SYMBOLIC)


@pytest.mark.parametrize("name", SYMBOLIC)
def test_value_and_reward_are_the_symbolic_ones(name):
    objective, phi = objective_of(name), STRENGTH * SYMBOLIC[name][1]
    at = {A: sp.Rational(3, 10), B: sp.Rational(7, 8)}
    nu = np.array([[0.3, 0.7], [0.875, 0.125]])
    w = np.array([0.4, 0.6])
    np.testing.assert_allclose(float(objective.value(nu, w)), float(phi.subs(at)), rtol=1e-12)
    u = objective.reward(nu, w)
    for x, symbol in enumerate((A, B)):
        slope = float(sp.diff(phi, symbol).subs(at))
        np.testing.assert_allclose(w[x] * (u[x, 0] - u[x, 1]), slope, rtol=1e-10, atol=1e-15)


def explicit(phi):
    """Whether it has a closed form, or root, of one context of two answers."""
    log_nu0, w = np.log([[0.7, 0.3]]), np.ones(1)
    form = phi.exponential_form()
    apart = form is not None and form.coupling is None
    return apart or phi.closed_form(log_nu0, w, BETA) is not None


BETA = 1.5
CLOSED = [
    name for name in SYMBOLIC if explicit(objective_of(name, 0.5)) and not CATALOGUE[name].kinked
]


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_are_stationary_exactly(name):
    """dJ/da = 0 at the only policy of one context of two answers, by sympy."""
    strength = STRENGTH if CATALOGUE[name].concave else 0.5
    objective, nu0 = objective_of(name, strength), sp.Rational(7, 10)
    phi = strength * SYMBOLIC[name][1].subs(B, A)
    j = phi - sp.Rational(3, 2) * divergence((A, 1 - A), (nu0, 1 - nu0))
    root = sp.nsolve(sp.diff(j, A), A, (0.001, 0.999), solver="bisect", prec=30)
    solution = dg.solve(dg.AlignmentGame([[0.7, 0.3]], objective, beta=BETA), "closed_form")
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
