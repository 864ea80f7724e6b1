"""PushPull: theorems above the curvature bound, local solutions below it, gradients of the equilibrium."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import random_reference
from dagame.numerics.arrays import to_numpy
from tests.games import SEEDS


def game(seed=0, n=12, beta=2.0, harm=True, eps=0.2, push=1.0, strength=1.0, m=2):
    rng = np.random.default_rng(seed)
    reference = rng.dirichlet(np.full(n, 0.7), (m,)) + 1e-4
    reference[:, 3] = 0.0
    reference = reference / reference.sum(-1, keepdims=True)
    safe, harmful = rng.random((n, 4)), rng.random((n, 3))
    phi = dg.PushPull(safe, harmful if harm else None, epsilon=eps, push=push, strength=strength)
    return dg.AlignmentGame(reference, phi, beta=beta, weights=[0.4, 0.6][:m] if m == 2 else None)


def test_value_and_reward_are_those_of_fifty_digits():
    import mpmath as mp
    from textbook import LINES, exact

    nu = np.random.default_rng(0).dirichlet(np.ones(6), 2)
    nu[0, 2] = 0.0
    nu = nu / nu.sum(-1, keepdims=True)
    w = np.array([0.4, 0.6])
    phi = game(n=6, eps=0.5, push=0.7, strength=1.3).objective
    with mp.workdps(50):
        rows = [[v / mp.fsum(row) for v in row] for row in exact(nu)]
        value, u = LINES["PushPull"](phi, rows, exact(w)[0])
        off = np.array([[float(v) for v in row] for row in u]) - phi.reward(nu, w)
    np.testing.assert_allclose(off, off[:, :1] + 0 * off, atol=1e-13)
    assert float(value) == pytest.approx(float(phi.value(nu, w)), abs=1e-13)


@settings(max_examples=8)
@given(SEEDS, st.booleans())
def test_above_the_curvature_bound_the_equilibrium_is_certified(seed, harm):
    phi = game(seed, harm=harm).objective
    assert phi.concave is not harm
    least = max(-phi.curvature, 0.0)
    solution = dg.solve(game(seed, harm=harm, beta=1.05 * least + 0.05))
    assert solution.status is dg.Status.SOLVED
    assert float(solution.gap) < 1e-9
    assert not solution.certificate.conditional
    assert not solution.marginals[:, 3].any()
    assert np.isfinite(solution.rewards).all()


def test_the_pull_is_the_optimum_of_cvxpy():
    one = game(1, n=6, harm=False, beta=0.3)
    assert float(dg.solve(one).value) == pytest.approx(
        float(dg.solve(one, "convex").value), abs=1e-6
    )


@pytest.mark.parametrize("beta", [0.05, 3.0])
def test_duplicates_share_mass(beta):
    """Answers of equal costs keep the ratio of their reference masses, solved and local alike."""
    base = game(2, n=8)
    safe, harm = (np.concatenate([c, c[:1]]) for c in (base.objective.safe, base.objective.harm))
    reference = np.concatenate([base.reference, base.reference[:, :1] / 3], axis=-1)
    reference = reference / reference.sum(-1, keepdims=True)
    phi = dg.PushPull(safe, harm, epsilon=0.2)
    nu = dg.solve(dg.AlignmentGame(reference, phi, beta=beta)).marginals
    np.testing.assert_allclose(nu[:, -1] / nu[:, 0], 1 / 3, rtol=1e-9)


def test_answers_and_points_may_be_permuted():
    one = game(3)
    rng = np.random.default_rng(1)
    order = rng.permutation(one.n)
    phi = dg.PushPull(
        one.objective.safe[order][:, rng.permutation(4)],
        one.objective.harm[order][:, rng.permutation(3)],
        epsilon=0.2,
    )
    other = dg.AlignmentGame(one.reference[:, order], phi, beta=one.beta, weights=one.weights)
    a, b = dg.solve(one, tol=1e-13).marginals, dg.solve(other, tol=1e-13).marginals
    np.testing.assert_allclose(a[:, order], b, atol=1e-7)


def test_a_large_beta_gives_the_reference():
    """beta KL(pi*||pi0) <= Phi(pi*) - Phi(pi0) <= 2 max |Phi|, and the policy comes near like 1/beta."""
    far = []
    for beta in (1e2, 1e4, 1e6):
        one = game(4, beta=beta)
        far.append(np.abs(dg.solve(one, tol=1e-14, throw=False).policy - one.reference).max())
    np.testing.assert_allclose(far[1] / far[0], 1e-2, rtol=0.1)
    assert far[2] < 1e-6


@pytest.mark.parametrize("beta", [0.01, 1.0, 10.0])
def test_equal_sets_at_push_1_give_the_reference(beta):
    base = game(5)
    phi = dg.PushPull(base.objective.safe, base.objective.safe, epsilon=0.2)
    one = base.with_objective(phi, beta=beta)
    np.testing.assert_allclose(dg.solve(one).policy, one.reference, atol=1e-9)
    np.testing.assert_allclose(phi.value(one.reference, one.weights), 0.0, atol=1e-14)


def test_contexts_may_have_costs_of_their_own():
    rng = np.random.default_rng(6)
    safe, harm = rng.random((2, 7, 3)), rng.random((2, 7, 2))
    reference = rng.dirichlet(np.ones(7), 2)
    both = dg.solve(
        dg.AlignmentGame(reference, dg.PushPull(safe, harm, epsilon=0.5), beta=2.0), tol=1e-13
    )
    for x in range(2):
        phi = dg.PushPull(safe[x], harm[x], epsilon=0.5)
        one = dg.solve(dg.AlignmentGame(reference[x : x + 1], phi, beta=2.0), tol=1e-13)
        np.testing.assert_allclose(both.policy[x], one.policy[0], atol=1e-6)


@pytest.mark.parametrize("beta", [0.05, 3.0])
def test_a_batch_is_the_loop_of_its_games_on_every_backend(xp, beta):
    rng = np.random.default_rng(7)
    safe, harm = rng.random((3, 1, 6, 4)), rng.random((3, 1, 6, 2))
    reference = rng.dirichlet(np.ones(6), (3, 2))
    reference[:, :, 1] = 0
    reference = reference / reference.sum(-1, keepdims=True)
    phi = dg.PushPull(xp(safe), xp(harm), epsilon=0.3)
    batch = dg.solve(dg.AlignmentGame(xp(reference), phi, beta=beta), tol=1e-12)
    for b in range(3):
        one = dg.PushPull(safe[b], harm[b], epsilon=0.3)
        alone = dg.solve(dg.AlignmentGame(reference[b], one, beta=beta), tol=1e-12)
        np.testing.assert_allclose(to_numpy(batch.policy)[b], alone.policy, atol=1e-5)
        np.testing.assert_allclose(to_numpy(batch.value)[b], alone.value, rtol=1e-10, atol=1e-11)
        assert batch.statuses[b] is alone.status


def test_what_is_no_cost_table_is_refused():
    for wrong in ({"epsilon": 0.0}, {"epsilon": -1.0}, {"epsilon": 1.0, "push": -0.5}):
        with pytest.raises(dg.DagameError, match="give a number"):
            dg.PushPull(np.ones((3, 2)), **wrong)
    for costs in (np.ones(3), np.ones((3, 0)), np.array([[0.0, np.nan]])):
        with pytest.raises(dg.DagameError, match="finite costs"):
            dg.PushPull(costs, epsilon=1.0)
    with pytest.raises(dg.DagameError, match="does not fit"):
        dg.AlignmentGame([[0.5, 0.5]], dg.PushPull(np.ones((3, 2)), epsilon=1.0), beta=1.0)


# -- below the bound: local solutions -----------------------------------------------------------------


@settings(max_examples=3)
@given(SEEDS)
def test_the_procedure_rises_and_ends_where_its_concave_game_does(seed):
    one = game(seed, beta=0.05, eps=0.15, push=1.5)
    assert not one.provable
    solution = dg.solve(one)
    assert solution.status is dg.Status.LOCAL
    assert "Certified subproblem, local solution" in str(solution.status)
    assert not solution.solved
    rises = np.diff(solution.history.values)
    assert (rises >= -1e-10 * (1 + np.abs(solution.history.values[1:]))).all()
    proof = solution.certificate
    assert 0 <= float(proof.policy_regret) < 1e-9
    assert "local solution" in str(proof.conditions)
    assert np.isinf(proof.distance_bound)


@settings(max_examples=3)
@given(SEEDS)
def test_the_bound_of_a_local_solution_holds_for_every_policy(seed):
    one = game(seed, beta=0.05, eps=0.15, push=1.5, m=1)
    proof, rng = dg.solve(one).certificate, np.random.default_rng(seed)
    masses = [rng.dirichlet(np.full(one.n, a)) for a in (0.05, 0.3, 1.0) for _ in range(20)]
    tried = (
        np.where(one.support[0], np.stack([*masses, *np.eye(one.n)]), 0.0) + 1e-300 * one.support[0]
    )
    tried = (tried / tried.sum(-1, keepdims=True))[:, None, :]
    many = dg.AlignmentGame(one.reference + 0 * tried, one.objective, beta=one.beta)
    assert (many.value(tried) <= float(proof.upper_bound) + 1e-10).all()


def test_a_policy_that_is_not_locally_optimal_has_a_regret():
    one = game(8, beta=0.05)
    assert float(dg.certify(one, one.reference).policy_regret) > 1e-3


def test_sums_with_concave_terms_are_solved_locally_and_others_refused():
    one = game(9, beta=0.05, eps=0.15)
    more = one.objective + 0.1 * dg.ShannonDiversity() + dg.Reward(np.linspace(0, 1, one.n))
    assert dg.solve(one.with_objective(more)).status is dg.Status.LOCAL
    with pytest.raises(dg.DagameError, match="not concave"):
        dg.solve(one.with_objective(one.objective + dg.SelfConsistency(1.0)))


# -- implicit gradients -------------------------------------------------------------------------------


@pytest.mark.parametrize("push", [0.0, 1.0])
def test_the_equilibrium_is_differentiable_in_the_costs(push):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    reference = torch.tensor(rng.dirichlet(np.ones(5), 1))
    safe, harm = torch.tensor(rng.random((5, 3))), torch.tensor(rng.random((5, 2)))

    def nu(reference, safe, harm):
        phi = dg.PushPull(safe, harm, epsilon=0.4, push=push)
        start = reference / reference.sum()
        return dg.solve(dg.AlignmentGame(start, phi, beta=1.0), tol=1e-14, throw=False).policy

    given_ = [t.clone().requires_grad_() for t in (reference, safe, harm)]
    loss = (nu(*given_) * torch.arange(5.0)).sum()
    slopes = torch.autograd.grad(loss, given_, allow_unused=True)
    for place, slope in enumerate(slopes):
        d = torch.tensor(rng.normal(size=given_[place].shape)) * 1e-4
        ends = []
        for sign in (1, -1):
            moved = [t.detach() + (sign * d if i == place else 0.0) for i, t in enumerate(given_)]
            ends.append(
                (nu(*(t.clone().requires_grad_() for t in moved)) * torch.arange(5.0)).sum()
            )
        numeric = float(ends[0].detach() - ends[1].detach()) / 2
        analytic = 0.0 if slope is None else float((slope * d).sum())
        assert analytic == pytest.approx(numeric, rel=1e-4, abs=1e-11)


@settings(max_examples=10)
@given(SEEDS)
def test_a_pull_alone_is_solved_without_rounds(seed):
    rng = np.random.default_rng(seed)
    table = random_reference(rng, (2, 3, 6), floor=1e-9, zeros=0.2)
    objective = dg.PushPull(rng.random((3, 6, 4)), epsilon=0.3, strength=rng.uniform(0.1, 5))
    game = dg.AlignmentGame(table, objective, beta=0.7)
    found, rounds = dg.solve(game, tol=1e-12), dg.solve(game, "anderson", tol=1e-12)
    assert found.method == "closed_form"
    np.testing.assert_allclose(found.policy, rounds.policy, atol=1e-5)
