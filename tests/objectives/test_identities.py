"""Identities between objectives (docs/theory/objectives.md)."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

import dagame as dg
from dagame.games.library import random_game
from dagame.numerics.simplex import kl
from tests.games import SEEDS, a_policy


def marginals(seed, m=3, n=5):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n), m), rng.dirichlet(np.ones(m))


DIVERGENCES = {
    "kl": lambda p, q: float(kl(p, q)),
    "jeffreys": lambda p, q: float(kl(p, q) + kl(q, p)),
    "hellinger": lambda p, q: 1 - np.sqrt(p * q).sum(),
    "jensen_shannon": lambda p, q: jensenshannon(p, q) ** 2,
    "euclidean": lambda p, q: ((p - q) ** 2).sum(),
}


@pytest.mark.parametrize("name", DIVERGENCES)
@given(SEEDS)
def test_pairwise_forms_equal_the_double_sum(name, seed):
    nu, w = marginals(seed)
    double = sum(w[x] * w[y] * DIVERGENCES[name](nu[x], nu[y]) for x in range(3) for y in range(3))
    np.testing.assert_allclose(
        dg.PairwiseCoherence(2.0, name).value(nu, w), -2 * double, atol=1e-12
    )


@given(SEEDS)
def test_consensus_forms(seed):
    nu, w = marginals(seed)
    geometric = dg.Coherence(1.0, "geometric")
    assert geometric.value(nu, w) == pytest.approx(np.log(np.prod(nu ** w[:, None], axis=0).sum()))
    q = np.exp(geometric.reply.consensus_log(np.log(nu), w))
    assert geometric.value(nu, w) == pytest.approx(-(w * kl(q[None], nu)).sum())
    rng = np.random.default_rng(seed)
    for other in rng.dirichlet(np.ones(5), 20):
        assert -(w * kl(other[None], nu)).sum() <= geometric.value(nu, w) + 1e-12
    euclid, pairs = dg.Coherence(1.0, "euclidean"), dg.PairwiseCoherence(1.0, "euclidean")
    np.testing.assert_allclose(pairs.value(nu, w), 2 * euclid.value(nu, w))
    np.testing.assert_allclose(pairs.reward(nu, w), 2 * euclid.reward(nu, w))


@given(SEEDS)
def test_arithmetic_coherence_against_scipy(seed):
    """The arithmetic consensus is the KL barycentre; scipy's relative entropy as referee."""
    nu, w = marginals(seed, m=2)
    mean = w @ nu
    total = sum(wx * rel_entr(p, mean).sum() for wx, p in zip(w, nu, strict=True))
    np.testing.assert_allclose(dg.Coherence(1.0).value(nu, w), -total, atol=1e-8)


@given(SEEDS)
def test_bregman_coherence_at_its_ends(seed):
    nu, w = marginals(seed)
    for order, same, factor in (
        (1.0, dg.Coherence(), 1.0),
        (2.0, dg.Coherence(1.0, "euclidean"), 0.5),
    ):
        bregman = dg.BregmanCoherence(order)
        np.testing.assert_allclose(bregman.value(nu, w), factor * same.value(nu, w), atol=1e-13)
        apart = bregman.reward(nu, w) - factor * same.reward(nu, w)
        np.testing.assert_allclose(apart - apart[:, :1], 0, atol=1e-12)


@given(SEEDS, st.floats(1.0, 2.0))
def test_the_mean_is_the_bregman_consensus(seed, order):
    nu, w = marginals(seed)
    made = dg.BregmanCoherence(order)
    phi, first = made.generator.phi, made.generator.first

    def cost(q):
        return (w[:, None] * (phi(nu) - phi(q) - first(q) * (nu - q))).sum()

    mean = w @ nu
    assert cost(mean) == pytest.approx(-float(made.value(nu, w)), abs=1e-12)
    for other in np.random.default_rng(seed).dirichlet(np.ones(5), 20):
        assert cost(mean) <= cost(other) + 1e-12


def test_burbea_rao_is_checked():
    p = sympy.Symbol("p")
    assert dg.BregmanCoherence(p * sympy.log(p)).concave
    assert dg.BregmanCoherence(1.5).smoothness == 1.0
    for generator in (0.5, 3.0, p**4, sympy.exp(3 * p) + p**2 / 10):
        with pytest.raises(dg.DagameError, match=r"Burbea-Rao|strictly convex"):
            dg.BregmanCoherence(generator)
    with pytest.raises(dg.DagameError, match="not strictly convex"):
        dg.BregmanCoherence(-(p**2))
    with pytest.raises(dg.DagameError, match="2 symbols"):
        dg.BregmanCoherence(p * sympy.Symbol("q"))


def test_without_the_criterion_the_jensen_gap_is_not_convex():
    """For phi = p^3 there are chords on which the Jensen gap bends the wrong way."""
    rng = np.random.default_rng(0)

    def gap(nu):
        return ((nu**3).mean(0) - nu.mean(0) ** 3).sum()

    worst = max(
        gap((a + b) / 2) - (gap(a) + gap(b)) / 2
        for a, b in (rng.dirichlet(np.ones(3) * 0.3, (2, 2)) for _ in range(2000))
    )
    assert worst > 1e-3


@given(SEEDS, st.floats(0.1, 5))
def test_shannon_suboptimality_is_two_divergences(seed, strength):
    """J* - J(pi) = beta KL(pi || pi*) + strength KL(nu || nu*) exactly (docs/theory/game.md, T4)."""
    rng = np.random.default_rng(seed)
    game = random_game(rng, traces=8, zeros=0.0, objective=dg.ShannonDiversity(strength), beta=0.7)
    best, policy = dg.solve(game), a_policy(game, rng)
    apart = game.beta * (kl(policy, best.policy) * game.weights).sum()
    apart += strength * (kl(game.marginals(policy), best.marginals) * game.weights).sum()
    np.testing.assert_allclose(best.value - game.value(policy), apart, rtol=1e-9, atol=1e-10)


@given(SEEDS)
def test_trace_coherence_binds_more_than_answer_coherence(seed):
    rng = np.random.default_rng(seed)
    game = random_game(rng, contexts=2, answers=3, traces=6, zeros=0.0, objective=dg.Coherence(2.0))
    on_traces = dg.AlignmentGame(
        game.reference, dg.TraceCoherence(2.0), beta=1.0, weights=game.weights
    )
    assert dg.solve(on_traces).value <= dg.solve(game).value + 1e-9
    with pytest.raises(dg.DagameError, match="acts on traces"):
        dg.AlignmentGame(game.reference, dg.TraceCoherence(), beta=1.0, answers=game.answer_map)


@given(SEEDS)
def test_majority_vote_by_enumeration(seed):
    """J* against every choice of one answer per context."""
    rng = np.random.default_rng(seed)
    game = random_game(rng, contexts=2, answers=4, objective=dg.MajorityVote(1.7))
    solution = dg.solve(game)
    best = sum(
        w * max(np.log(1 + p * (np.exp(1.7) - 1)) for p in row)
        for w, row in zip(game.weights, game.reference, strict=True)
    )
    np.testing.assert_allclose(solution.value, best, rtol=1e-12)
    assert solution.gap <= 1e-12


@given(SEEDS)
def test_agreement_curvature_for_weights(seed):
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.ones(4))
    mu = dg.Agreement(2.0).curvature_for(w)
    assert -2.0 <= mu <= 0
    uniform = dg.Agreement(2.0).curvature_for(np.full(4, 0.25))
    assert uniform == pytest.approx(-2 * (1 - 1 / 4))
