"""Soft sets solved for policy and target together: against definitions, cvxpy, the iteration, and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from soft_sets import SETS, reference, weights

import dagame as dg
from dagame.objectives.program import compiled, key, reduced_rows
from dagame.objectives.projection import project, reply
from tests.games import SEEDS

_F = np.arange(5.0)


def _game(name, rng, strength, extra=None):
    objective = dg.SoftConstraint(SETS[name], strength)
    objective = objective if extra is None else objective + extra
    return dg.AlignmentGame(reference(rng), objective, beta=0.7, weights=weights(rng))


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=8)
@given(SEEDS)
def test_the_policy_is_stationary_and_the_target_its_projection(name, seed):
    """nu ∝ nu0 d^-sigma on the support, q in C with q d = nu, and q is what projecting nu finds."""
    rng = np.random.default_rng(seed)
    nu0, w = reference(rng), weights(rng)
    sigma = float(10.0 ** rng.uniform(-9, 2))
    with np.errstate(divide="ignore"):
        log_nu0 = np.maximum(np.log(nu0), -1e30)
    open_ = ~compiled(SETS[name], 3, 5, w).closed_answers(3, 5)[0]
    on = open_ & (nu0 > 0)
    if not on.any(axis=-1).all():
        return
    game = dg.AlignmentGame(nu0, dg.SoftConstraint(SETS[name], sigma), beta=1.0, weights=w)
    assert dg.solve(game).method == "dual"
    found, log_nu = reply(log_nu0[None], w, SETS[name], sigma)
    nu, q = np.exp(log_nu[0]), np.exp(found.log_q[0])
    d = np.where(open_, np.exp(np.where(open_, found.log_price[0], 0.0)), 0.0)
    tilted = np.where(on, nu0 * np.where(on, d, 1.0) ** -sigma, 0.0)
    np.testing.assert_allclose(nu, tilted / tilted.sum(-1, keepdims=True), atol=1e-12)
    rows = SETS[name].rows(3, 5, w)
    excess = (rows.matrix * q).sum((1, 2)) - rows.bound
    assert (excess[~rows.equal] <= 1e-9).all()
    np.testing.assert_allclose(excess[rows.equal], 0, atol=1e-9)
    np.testing.assert_allclose((q * d)[open_], nu[open_], atol=1e-9)
    again = project(log_nu, w, SETS[name])
    np.testing.assert_allclose(np.exp(again.log_q[0]) * on, q * on, atol=1e-7)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("strength", [1e-9, 0.05, 1.0, 30.0, 1e3, 7e5])
def test_the_joint_path_solves_what_the_iteration_solves(name, strength, rng):
    game = _game(name, rng, strength)
    solution = dg.solve(game)
    assert solution.method == "dual"
    assert float(solution.gap) <= 1e-10 * max(game.beta, abs(float(solution.value)))
    if strength <= 1.0:
        other = dg.solve(game, "anderson")
        np.testing.assert_allclose(other.value, solution.value, atol=1e-9)
        np.testing.assert_allclose(other.policy, solution.policy, atol=1e-4)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    "extra",
    [
        None,
        dg.Reward(_F / 2),
        0.5 * dg.ShannonDiversity() + dg.Reward(-_F / 3),
        dg.TargetMatching(np.array([0.3, 0.0, 0.2, 0.25, 0.25]), 2.0),
    ],
    ids=["alone", "reward", "entropy", "reverse"],
)
def test_rewards_and_entropies_beside_a_soft_set_against_cvxpy(name, extra, rng):
    game = _game(name, rng, 1.5, extra)
    ours, theirs = dg.solve(game), dg.solve(game, "convex", throw=False)
    assert ours.method == "dual"
    assert theirs.solved
    np.testing.assert_allclose(theirs.value, ours.value, atol=2e-6)


def test_other_terms_and_sets_of_groups_keep_the_iteration(rng):
    assert dg.solve(_game("moment", rng, 1.0, dg.GiniDiversity())).method != "dual"
    two = _game("moment", rng, 1.0, dg.SoftConstraint(dg.Parity(0.1)))
    assert dg.solve(two).method != "dual"
    cap = dg.AlignmentGame(reference(rng), dg.SoftConstraint(dg.Cap([0], 0.01)), beta=1.0)
    assert dg.solve(cap).method != "dual"


@pytest.mark.parametrize("name", SETS)
def test_a_batch_is_the_loop_of_its_games(name, rng):
    nu0 = np.stack([reference(rng) for _ in range(5)])
    w = np.stack([weights(rng) for _ in range(5)])
    objective = dg.SoftConstraint(SETS[name], 2.0)
    batch = dg.solve(dg.AlignmentGame(nu0, objective, beta=1.0, weights=w))
    for b in range(5):
        one = dg.solve(dg.AlignmentGame(nu0[b], objective, beta=1.0, weights=w[b]))
        np.testing.assert_allclose(batch.value[b], one.value, atol=1e-10)
        np.testing.assert_allclose(batch.policy[b], one.policy, atol=1e-7)


def test_the_same_on_every_backend(rng, xp):
    nu0, w = np.stack([reference(rng) for _ in range(3)]), weights(rng)
    for name in ("parity", "moment across"):
        objective = dg.SoftConstraint(SETS[name], 2.0)
        expected = dg.solve(dg.AlignmentGame(nu0, objective, beta=1.0, weights=w))
        found = dg.solve(dg.AlignmentGame(xp(nu0), objective, beta=1.0, weights=xp(w)))
        np.testing.assert_allclose(np.asarray(found.value), expected.value, atol=1e-10)
        np.testing.assert_allclose(np.asarray(found.policy), expected.policy, atol=1e-7)


@pytest.mark.parametrize("name", SETS)
def test_the_null_space_is_that_of_the_rows(name, rng):
    w = weights(rng)
    program, rows = (
        compiled(SETS[name], 3, 5, w),
        reduced_rows(SETS[name], 3, 5, key(SETS[name], 3, 5, w)),
    )
    open_ = program.open[0]
    rank = np.linalg.matrix_rank(program.matrix[0][:, open_])
    if rows is None:
        assert program.matrix.shape[1] <= open_.sum() - rank
        return
    null = rows.null[0][:, (rows.null[0] != 0).any(axis=0)]
    np.testing.assert_allclose(program.matrix[0] @ null, 0, atol=1e-12)
    rank_of_null = np.linalg.matrix_rank(null) if null.size else 0
    assert rank_of_null == null.shape[-1] == open_.sum() - rank
    assert not null[~open_].any()
    np.testing.assert_allclose(rows.matrix[0] @ rows.inverse[0], np.eye(rank), atol=1e-12)
    np.testing.assert_allclose(rows.matrix[0] @ program.v[0], rows.bound[0], atol=1e-12)


TIES = {
    "parity exact": dg.Parity(0.0),
    "one part twice the other": dg.Polytope([[1.0, -2.0, 0, 0, 0]], [0.0], True),
    "in order": dg.Polytope([[1.0, -1, 0, 0, 0], [0, 1, -1, 0, 0], [0, 0, 1, -1, 0]], [0.0] * 3)
    & dg.Parity(0.3),
    "tied across contexts": dg.Parity(0.0, [1, 2], together=True) & dg.Parity(0.0, [0]),
}


@pytest.mark.parametrize("name", TIES)
@settings(max_examples=12)
@given(SEEDS)
def test_masses_tied_to_vanishing_ones_keep_their_ratio(name, seed):
    """Strong sets drive what a zero of another context ties to 0, and its price follows from its digits."""
    rng = np.random.default_rng(seed)
    strength = float(10.0 ** rng.uniform(0, 6))
    game = dg.AlignmentGame(
        reference(rng), dg.SoftConstraint(TIES[name], strength), beta=0.7, weights=weights(rng)
    )
    solution = dg.solve(game)
    assert solution.method == "dual"
    assert abs(float(solution.gap)) <= 1e-10 * max(game.beta, abs(float(solution.value)))


def test_mass_that_only_the_target_has_costs_what_the_definition_says():
    """nu0 lacks answer 0, of which C asks 1/4 in every context: q = 3/4 nu there, so J* = lambda log(3/4)."""
    nu0 = np.array([[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]])
    chosen = dg.Parity(0.5) & dg.Floor([0], 0.25)
    for strength in (1e-6, 1.0, 100.0):
        solution = dg.solve(dg.AlignmentGame(nu0, dg.SoftConstraint(chosen, strength), beta=1.0))
        assert float(solution.value) == pytest.approx(strength * np.log(0.75), rel=1e-9)
        np.testing.assert_allclose(solution.policy, nu0, atol=1e-9)


def test_a_soft_set_beside_a_hard_one_is_not_called_infeasible():
    """cvxpy finds no point of this game; the reference's projection on the hard set is one."""
    nu0 = np.array([[0.27, 0, 0.73], [0.39, 0, 0.61], [0.69, 0, 0.31]])
    f = np.arange(3.0)
    objective = dg.SoftConstraint(dg.Quota([1], 0.3) & dg.Moment(f, 0.9), 1e-3)
    game = dg.AlignmentGame(nu0, objective + dg.HardConstraint(dg.Moment(f, 1.31)), beta=1e-3)
    solution = dg.solve(game, throw=False)
    assert solution.status is not dg.Status.INFEASIBLE
    assert np.isfinite(float(solution.value))
