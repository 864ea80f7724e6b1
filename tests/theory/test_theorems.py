"""T1 to T6 as property tests (docs/theory/game.md)."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import random_game
from dagame.numerics.simplex import kl, total_variation
from tests.games import SEEDS, a_policy, games


def bregman(game, p, q):
    phi, w = game.objective, game.weights
    u = np.where(game.answer_support, phi.reward(q, w), 0)
    return phi.value(q, w) + ((u * (p - q)).sum(-1) * w).sum(-1) - phi.value(p, w)


@given(games(traces=True), SEEDS)
def test_t1_payoff_is_objective_plus_divergence(game, seed):
    rng = np.random.default_rng(seed)
    policy = a_policy(game, rng)
    nu, q = game.marginals(policy), game.marginals(a_policy(game, rng))
    b = bregman(game, nu, q)
    np.testing.assert_allclose(game.payoff(policy, q), game.value(policy) + b, rtol=1e-9, atol=1e-9)
    assert b >= -1e-9 * max(1, abs(b)) - game.transfer * (kl(nu, q) * game.weights).sum()
    np.testing.assert_allclose(game.payoff(policy, nu), game.value(policy), rtol=1e-9, atol=1e-9)


@given(games(), SEEDS)
def test_t2_the_equilibrium_is_the_optimum(game, seed):
    solution, rng = dg.solve(game), np.random.default_rng(seed)
    scale = max(1, abs(float(solution.value)))
    for _ in range(10):
        other = a_policy(game, rng)
        for p in (other, 0.99 * solution.policy + 0.01 * other):
            assert game.value(p) <= solution.value + 1e-10 * scale


@given(games(), SEEDS)
def test_t2_a_non_optimal_policy_has_a_positive_gap(game, seed):
    solution = dg.solve(game)
    policy = a_policy(game, np.random.default_rng(seed))
    lost = float(solution.value - game.value(policy))
    assert float(dg.certify(game, policy).gap) >= lost - 1e-9 * max(1, abs(lost))


@given(games(traces=True), SEEDS)
def test_t3_the_optimum_reweights_answers_and_keeps_the_reasoning(game, seed):
    solution = dg.solve(game)
    policy, nu = solution.policy, solution.marginals
    nu0 = game.marginals(game.reference)
    ratio = np.divide(nu, nu0, out=np.zeros_like(nu), where=nu0 > 0)
    lifted = game.reference * game.answer_map.pull_back(ratio)
    np.testing.assert_allclose(policy, lifted, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(solution.weights_on_traces() * game.reference, policy, atol=1e-12)
    assert dg.certify(game, policy).gap <= 1e-9 * max(1, abs(float(solution.value)))


def test_t3_fails_for_a_channel_where_the_trace_form_holds(rng):
    channel = np.array([[1, 0], [0.5, 0.5], [0, 1.0]])
    reference = np.array([[0.2, 0.2, 0.6]])
    game = dg.AlignmentGame(reference, dg.ShannonDiversity(2.0), beta=1.0, answers=channel)
    solution = dg.solve(game)
    assert solution.gap < 1e-10
    on_answers = dg.AlignmentGame(reference @ channel, dg.ShannonDiversity(2.0), beta=1.0)
    loose = dg.solve(on_answers).value
    assert loose > solution.value + 1e-3
    with np.testing.assert_raises_regex(dg.DagameError, "deterministic"):
        game.on_answers()


@given(st.one_of(games(traces=True), games(channel=True)), SEEDS)
def test_t4_bounds(game, seed):
    rng = np.random.default_rng(seed)
    best, policy = dg.solve(game, tol=1e-12, throw=False), a_policy(game, rng)
    target = game.marginals(a_policy(game, rng)) if game.answer_map.deterministic else None
    for q in (None, target):
        found = dg.certify(game, policy, q)
        scale = max(1, abs(float(best.value)))
        assert found.value <= best.value + 1e-10 * scale
        assert found.upper_bound >= best.value - 1e-10 * scale
        assert found.policy_regret >= 0
        if not game.transfer:
            assert found.target_regret >= -1e-9 * max(1, abs(float(found.upper_bound)))
        np.testing.assert_allclose(
            found.gap, found.policy_regret + found.target_regret, rtol=1e-9, atol=1e-12
        )
        distance = (kl(policy, best.policy) * game.weights).sum()
        assert distance <= found.distance_bound * (1 + 1e-5) + 1e-9
        variation = (total_variation(policy, best.policy) * game.weights).sum()
        assert variation <= found.tv_bound + 1e-5


@settings(max_examples=60)
@given(games(traces=True), st.sampled_from(["best_response", "mirror"]))
def test_t5_dynamics_commute_with_marginalisation(game, dynamic):
    steps = 1 if dynamic == "best_response" else 4
    traces = dg.run(game, dynamic, steps).marginals
    answers = dg.run(game.on_answers(), dynamic, steps).marginals
    np.testing.assert_allclose(traces, answers, rtol=1e-7, atol=1e-12)


def test_t5_fails_for_gradient_steps_on_logits():
    game = dg.AlignmentGame([[0.4, 0.4, 0.2]], dg.Reward([0.0, 1.0]), beta=1.0, answers=[0, 0, 1])

    def logit_step(p, u):
        advantage = u - (p * u).sum(-1, keepdims=True)
        new = p * np.exp(0.5 * p * advantage)
        return new / new.sum(-1, keepdims=True)

    u = np.array([[0.0, 1.0]])
    traces = game.marginals(logit_step(game.reference, game.answer_map.pull_back(u)))
    answers = logit_step(game.marginals(game.reference), u)
    assert np.abs(traces - answers).max() > 1e-3


@given(SEEDS, st.floats(0.05, 0.95))
def test_t6_below_beta_sharpening_is_certified_and_the_power_distribution(seed, strength):
    game = random_game(
        np.random.default_rng(seed), objective=-strength * dg.ShannonDiversity(), zeros=0.2
    )
    power = np.where(game.support, game.reference, 1) ** (1 / (1 - strength)) * game.support
    power = power / power.sum(-1, keepdims=True)
    for method in ("auto", "mirror", "anderson"):
        solution = dg.solve(game, method, throw=False)
        assert solution.gap <= 1e-9 * max(1, abs(float(solution.value)))
        np.testing.assert_allclose(solution.marginals, power, atol=1e-4)


def test_t6_from_beta_on_the_certificate_refuses():
    game = dg.AlignmentGame([[0.6, 0.4]], -1.0 * dg.ShannonDiversity(), beta=1.0)
    with np.testing.assert_raises_regex(dg.DagameError, "raise beta"):
        dg.certify(game, [[0.6, 0.4]])


def test_a_wrong_claim_would_be_seen():
    """The certificate's bound breaks for an objective that claims to be concave and is not."""

    class Wrong(dg.Objective):
        concave = True

        def value(self, marginals, weights=None):
            return 3 * (marginals**2).sum((-1, -2))

        def reward(self, marginals, weights=None):
            return 6 * marginals

    with np.testing.assert_raises_regex(dg.DagameError, "declared concave"):
        dg.AlignmentGame([[0.5, 0.5]], Wrong(), beta=1.0)
    game = dg.AlignmentGame([[0.5, 0.5]], Wrong(), beta=1.0, check=False)
    bound = dg.certify(game, [[0.5, 0.5]]).upper_bound
    assert game.value([[0.999, 0.001]]) > bound
