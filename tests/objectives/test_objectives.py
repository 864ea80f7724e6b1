"""Objectives: gradients, facts, closed forms, sums, users' own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import OBJECTIVES, random_game
from dagame.numerics.simplex import kl
from tests.games import SEEDS

KINDS = sorted(OBJECTIVES)


def inside(rng, m, n):
    return 0.3 / n + 0.7 * rng.dirichlet(np.ones(n), m)


def a_case(kind, seed):
    """The generator, (m, n), an objective and weights, at random."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 5)), int(rng.integers(2, 7))
    return rng, (m, n), OBJECTIVES[kind](rng, m, n), rng.dirichlet(np.ones(m))


@pytest.mark.parametrize("kind", KINDS)
@given(SEEDS)
def test_reward_is_the_gradient_in_the_pairing(kind, seed):
    rng, (m, n), phi, w = a_case(kind, seed)
    nu = inside(rng, m, n)
    d = rng.normal(size=(m, n))
    d -= d.mean(-1, keepdims=True)
    h = 1e-4 / n
    numeric = (
        8 * (phi.value(nu + h * d, w) - phi.value(nu - h * d, w))
        - (phi.value(nu + 2 * h * d, w) - phi.value(nu - 2 * h * d, w))
    ) / (12 * h)
    exact = ((phi.reward(nu, w) * d).sum(-1) * w).sum()
    np.testing.assert_allclose(numeric, exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@given(SEEDS)
def test_hessian_is_the_derivative_of_the_reward(kind, seed):
    rng, (m, n), phi, w = a_case(kind, seed)
    nu = inside(rng, m, n)
    hessian = phi.hessian_log(np.log(nu)[None], w)
    if hessian is None:
        pytest.skip("states no Hessian")
    d = rng.normal(size=(m, n))
    d -= d.mean(-1, keepdims=True)
    scaled = (d / np.sqrt(nu))[None]
    blocks = hessian.blocks
    if blocks.ndim == 3:
        quadratic = (blocks * scaled**2).sum()
    else:
        quadratic = np.einsum("bnxy,bxn,byn->", blocks, scaled, scaled)
    if hessian.low_rank is not None:
        quadratic += (np.einsum("bxnr,bxn->br", hessian.low_rank, scaled) ** 2).sum()
    if hessian.negative is not None:
        quadratic -= (np.einsum("bxnr,bxn->br", hessian.negative, scaled) ** 2).sum()
    h = 1e-4 / n
    change = phi.reward(nu + h * d, w) - phi.reward(nu - h * d, w)
    numeric = -((change * d).sum(-1) * w).sum() / (2 * h)
    np.testing.assert_allclose(quadratic, numeric, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@given(SEEDS)
def test_curvature_and_smoothness_bound_the_bregman_divergence(kind, seed):
    rng, (m, n), phi, w = a_case(kind, seed)
    p, q = inside(rng, m, n), inside(rng, m, n)
    u = phi.reward(q, w)
    b = phi.value(q, w) + ((u * (p - q)).sum(-1) * w).sum() - phi.value(p, w)
    distance = (kl(p, q) * w).sum()
    assert b >= phi.curvature_for(w) * distance - 1e-9 * max(1, abs(b))
    if phi.smoothness is not None:
        assert b <= phi.smoothness * distance + 1e-9 * max(1, abs(b))


@pytest.mark.parametrize("kind", KINDS)
@given(SEEDS)
def test_concave_exactly_where_it_says_so(kind, seed):
    rng, (m, n), phi, w = a_case(kind, seed)
    if phi.concave is not True:
        pytest.skip("does not claim to be concave")
    p, q, t = inside(rng, m, n), inside(rng, m, n), rng.uniform()
    chord = t * phi.value(p, w) + (1 - t) * phi.value(q, w)
    assert phi.value(t * p + (1 - t) * q, w) >= chord - 1e-10 * max(1, abs(chord))


def test_facts_of_sums():
    phi = 2 * dg.ShannonDiversity(0.5) - 0.25 * dg.GiniDiversity(2.0) + dg.Reward([0.0, 1.0])
    assert phi.smoothness == pytest.approx(1.0 - 0.25 * 0)
    assert phi.curvature == pytest.approx(1.0 - 0.25 * 2.0)
    assert phi.concave is True
    assert (dg.ShannonDiversity(1.0) - 2 * dg.ShannonDiversity(1.0)).concave is False
    assert (-dg.ShannonDiversity(1.0)).curvature == -1.0
    with pytest.raises(dg.DagameError, match="one finite number"):
        dg.ShannonDiversity() * float("nan")
    with pytest.raises(dg.DagameError, match="one term with multipliers"):
        dg.HardCoherence() + dg.HardCoherence()
    with pytest.raises(TypeError):
        dg.ShannonDiversity() + 1


@given(SEEDS, st.floats(0.05, 20))
def test_sums_add_values_rewards_and_solve_as_one(seed, factor):
    rng = np.random.default_rng(seed)
    r, nu = rng.normal(size=(2, 4)), inside(rng, 2, 4)
    w = np.array([0.3, 0.7])
    one, other = dg.Reward(r), dg.Coherence(2.0)
    both = one + factor * other
    np.testing.assert_allclose(both.value(nu, w), one.value(nu, w) + factor * other.value(nu, w))
    np.testing.assert_allclose(both.reward(nu, w), one.reward(nu, w) + factor * other.reward(nu, w))
    game = random_game(rng, contexts=2, answers=4, objective=both)
    scaled = dg.AlignmentGame(
        game.reference, one + dg.Coherence(2 * factor), beta=1.0, weights=game.weights
    )
    np.testing.assert_allclose(dg.solve(game).value, dg.solve(scaled).value, atol=1e-8)


class Bonus(dg.Objective):
    """A user's objective, value and reward only: log of 1 + mass of answer 0."""

    def value(self, marginals, weights=None):
        w = 1 / marginals.shape[-2] if weights is None else weights
        return (np.log1p(marginals[..., 0]) * w).sum(-1)

    def reward(self, marginals, weights=None):
        u = np.zeros_like(marginals)
        u[..., 0] = 1 / (1 + marginals[..., 0])
        return u


class Entropy(dg.Objective):
    """A user's entropy, naive at zero mass: 0 log 0 is its own business."""

    def value(self, marginals, weights=None):
        w = 1 / marginals.shape[-2] if weights is None else weights
        safe = np.where(marginals > 0, marginals, 1)
        return ((-marginals * np.log(safe)).sum(-1) * w).sum(-1)

    def reward(self, marginals, weights=None):
        with np.errstate(divide="ignore"):
            return -np.log(marginals)


@pytest.mark.parametrize("method", ["auto", "mirror", "anderson"])
@pytest.mark.parametrize("mine", [Bonus, Entropy])
@given(SEEDS)
def test_a_users_objective_works_in_every_generic_solver(mine, method, seed):
    rng = np.random.default_rng(seed)
    game = random_game(rng, objective=mine(), zeros=0.3, floor=1e-9)
    solution = dg.solve(game, method)
    assert solution.solved
    assert solution.certificate.conditional
    assert "if the objective is concave" in str(solution.certificate)
    if mine is Entropy:
        known = dg.solve(game.with_objective(dg.ShannonDiversity()))
        np.testing.assert_allclose(solution.value, known.value, atol=1e-8)


def test_best_response_works_for_a_users_objective_too():
    game = dg.AlignmentGame([[0.5, 0.3, 0.2]], Bonus(), beta=2.0)
    assert dg.solve(game, "best_response").solved


def test_an_incomplete_objective_says_what_is_missing():
    class Half(dg.Objective):
        def value(self, marginals, weights=None):
            return 0.0 * marginals[..., 0, 0]

    with pytest.raises(dg.DagameError, match="defines no `reward`"):
        dg.AlignmentGame([[0.5, 0.5]], Half(), beta=1.0)
    game = dg.AlignmentGame([[0.5, 0.5]], Half(), beta=1.0, check=False)
    with pytest.raises(dg.DagameError, match="defines no `reward`"):
        dg.solve(game)


@given(SEEDS)
def test_hard_coherence_is_the_limit_of_soft(seed):
    game = random_game(np.random.default_rng(seed), zeros=0.2, objective=dg.HardCoherence())
    hard = dg.solve(game)
    far = dg.solve(game.with_objective(dg.Coherence(1e5)), throw=False)
    np.testing.assert_allclose(far.value, hard.value, atol=5e-3 * max(1, abs(float(hard.value))))
    assert far.value >= hard.value - 1e-9
    assert float(np.max(hard.certificate.violation)) < 1e-9


def test_coherence_value_is_the_least_divergence_to_a_consensus(rng):
    nu, w = rng.dirichlet(np.ones(5), 3), np.array([0.2, 0.3, 0.5])
    best = dg.Coherence(2.0).value(nu, w)
    for _ in range(50):
        q = rng.dirichlet(np.ones(5))
        assert -2 * (kl(nu, q) * w).sum() <= best + 1e-12
    assert -2 * (kl(nu, w @ nu) * w).sum() == pytest.approx(float(best))
