"""Couplings of one number per answer: against Newton on policies, cvxpy and the certificate."""

import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import wrightomega

import dagame as dg
from dagame.errors import InvalidObjective
from dagame.games.library import random_reference
from dagame.numerics import fast
from dagame.numerics.scalar import wright_omega
from dagame.numerics.simplex import total_variation
from dagame.objectives.couplings import COUPLINGS
from dagame.solvers.normalisers import _attempt
from tests.games import SEEDS

pytestmark = pytest.mark.usefixtures("arrays_and_kernel")


KINDS = {
    "geometric": lambda s: dg.Coherence(s, "geometric"),
    "kl": lambda s: dg.PairwiseCoherence(s, "kl"),
    "jeffreys": lambda s: dg.PairwiseCoherence(s, "jeffreys"),
    "hellinger": lambda s: dg.PairwiseCoherence(s, "hellinger"),
}


def terms(rng, m, n, coupling):
    """The coupling with what is folded into the reference."""
    rewards = dg.Reward(2 * rng.normal(size=(m, n)))
    return {
        "alone": coupling,
        "reward": coupling + rewards,
        "entropy": coupling + dg.ShannonDiversity(0.7),
        "all": rewards + 0.5 * coupling + 0.3 * dg.TargetMatching(rng.dirichlet(np.ones(n))),
        "sharpened": coupling + dg.Sharpening(0.4),
    }


SUMS = sorted(terms(np.random.default_rng(0), 2, 3, dg.Coherence(1.0, "geometric")))


def drawn(seed, kind, sum_, size, batch=(3,), floor=1e-9):
    """A game with exact and tiny zeros, uneven weights and beta 0.8."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 5)), int(rng.integers(2, 7))
    reference = random_reference(rng, (*batch, m, n), floor=floor, zeros=0.2)
    objective = terms(rng, m, n, KINDS[kind](10.0**size))[sum_]
    return dg.AlignmentGame(
        reference, objective, beta=0.8, weights=rng.dirichlet(np.ones(m), batch)
    )


def agree(game, one, other):
    """Values to rounding, policies as near as the gaps allow."""
    np.testing.assert_array_equal(one.solved, other.solved)
    ok = one.solved
    np.testing.assert_allclose(one.value[ok], other.value[ok], rtol=1e-9, atol=1e-9)
    bound = np.sqrt(one.certificate.distance_bound) + np.sqrt(other.certificate.distance_bound)
    apart = (game.weights * total_variation(one.policy, other.policy)).sum(-1)
    assert (apart[ok] <= bound[ok] + 1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(SEEDS, st.sampled_from(SUMS), st.floats(-3, 2))
def test_it_finds_what_newton_on_policies_finds(kind, seed, sum_, size):
    game = drawn(seed, kind, sum_, size)
    ours = dg.solve(game, tol=1e-11, throw=False)
    theirs = dg.solve(game, "newton", tol=1e-11, throw=False)
    agree(game, ours, theirs)


@pytest.mark.parametrize("arrays_and_kernel", ["kernel"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(SEEDS, st.sampled_from(SUMS), st.floats(-3, 3), st.floats(-300, -2))
def test_both_paths_find_the_same_policy(arrays_and_kernel, kind, seed, sum_, size, floor):
    """To rounding, asked for gaps whose roots are rounding."""
    game = drawn(seed, kind, sum_, size, floor=10.0**floor)
    ours = dg.solve(game, "normalisers", tol=1e-26, throw=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "LOADING", np.inf)
        theirs = dg.solve(game, "normalisers", tol=1e-26, throw=False)
    both = ours.solved & theirs.solved
    np.testing.assert_array_equal(ours.log_policy[both] == -1e30, theirs.log_policy[both] == -1e30)
    apart = np.abs(ours.policy - theirs.policy)[both]
    assert (apart <= 1e-13 * (10 + 10**size)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sum_", SUMS)
def test_it_is_what_auto_takes(kind, sum_):
    game = drawn(5, kind, sum_, 0.0)
    found = dg.solve(game, throw=False)
    assert found.method == "normalisers"
    assert (found.statuses != dg.Status.STALLED).all()
    assert (found.certificate.gap[found.solved] <= 1e-10).all()
    assert (found.steps <= 8).all()


@settings(max_examples=25)
@given(
    SEEDS, st.sampled_from(sorted(KINDS)), st.floats(-4, 4), st.floats(-30, -3), st.floats(-12, -2)
)
def test_solved_means_certified(seed, kind, size, floor, digits):
    """The certificate, which reads the policy alone, agrees at every strength and tolerance."""
    game = drawn(seed, kind, "alone", size, floor=10.0**floor)
    found = dg.solve(game, "normalisers", tol=10**digits, throw=False)
    ok = found.solved
    assert (found.certificate.relative_gap[ok] <= 10**digits).all()
    np.testing.assert_allclose(found.marginals[ok].sum(-1), 1, rtol=1e-12)
    assert (found.marginals[ok][game.reference[ok] == 0] == 0).all()


@pytest.mark.parametrize("kind", ["geometric", "kl", "hellinger"])
def test_cvxpy_agrees(kind):
    rng = np.random.default_rng(2)
    reference = random_reference(rng, (3, 6), floor=1e-3, zeros=0.2)
    game = dg.AlignmentGame(reference, KINDS[kind](2.0), beta=1.0, weights=[0.5, 0.3, 0.2])
    ours, referee = dg.solve(game, "normalisers"), dg.solve(game, "convex", throw=False)
    np.testing.assert_allclose(ours.value, referee.value, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_loops_and_pieces_are_wholes(kind, monkeypatch):
    game = drawn(11, kind, "all", 1.0, batch=(5,))
    whole = dg.solve(game, tol=1e-13, throw=False)
    for b in range(5):
        weights, objective = game.weights[b], game.objective
        alone = dg.AlignmentGame(game.reference[b], objective, beta=0.8, weights=weights)
        one = dg.solve(alone, tol=1e-13, throw=False)
        np.testing.assert_allclose(whole.policy[b], one.policy, rtol=1e-6, atol=1e-9)
    monkeypatch.setattr("dagame.solvers.per_answer._PIECE", 1)
    pieces = dg.solve(game, tol=1e-13, throw=False)
    np.testing.assert_allclose(whole.policy, pieces.policy, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_other_arrays_give_the_same(kind):
    rng = np.random.default_rng(4)
    reference = random_reference(rng, (2, 3, 5), floor=1e-6, zeros=0.1)
    found = dg.solve(dg.AlignmentGame(reference, KINDS[kind](3.0), beta=1.0), throw=False)
    for xp in (torch, array_api_strict):
        game = dg.AlignmentGame(xp.asarray(reference), KINDS[kind](3.0), beta=1.0)
        other = dg.solve(game, throw=False)
        assert other.method == "normalisers"
        np.testing.assert_allclose(np.asarray(other.policy), found.policy, atol=1e-12)
        np.testing.assert_array_equal(other.statuses, found.statuses)


def test_single_precision_reaches_its_own_digits():
    reference = np.random.default_rng(0).dirichlet(np.ones(50), 3).astype(np.float32)
    for kind, make in KINDS.items():
        found = dg.solve(dg.AlignmentGame(reference, make(1.0), beta=1.0), tol=1e-6)
        assert found.method == "normalisers", kind
        assert found.policy.dtype == np.float32
        assert found.certificate.relative_gap <= 1e-6


@pytest.mark.parametrize("kind", ["geometric", "kl"])
def test_without_a_common_answer_it_is_infeasible(kind):
    reference = [[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]]
    found = dg.solve(dg.AlignmentGame(reference, KINDS[kind](1.0), beta=1.0))
    assert list(found.statuses) == [dg.Status.INFEASIBLE, dg.Status.SOLVED]
    assert found.value[0] == -np.inf


def test_what_it_does_not_reach_is_left_to_newton():
    rng = np.random.default_rng(0)
    mixed = dg.Reward(1e3 * rng.normal(size=(2, 3, 4)) * np.array([1.0, 1e-3])[:, None, None])
    reference = rng.dirichlet(np.ones(4), (2, 3))
    game = dg.AlignmentGame(reference, dg.Coherence(10.0, "geometric") + mixed, beta=1.0)
    found = dg.solve(game, throw=False)
    assert found.solved[1]
    assert found.method.startswith("normalisers")


@pytest.mark.parametrize(
    "objective",
    [
        dg.Coherence(1.0, "geometric") + dg.PairwiseCoherence(1.0, "kl"),
        dg.Coherence(1.0, "geometric") + dg.GiniDiversity(),
        dg.PairwiseCoherence(1.0, "jensen_shannon"),
        dg.ShannonDiversity(),
    ],
)
def test_other_sums_have_no_such_form(objective):
    game = dg.AlignmentGame([[0.5, 0.5], [0.2, 0.8]], objective, beta=1.0)
    with pytest.raises(InvalidObjective):
        dg.solve(game, "normalisers")


@pytest.mark.parametrize("name", COUPLINGS)
def test_the_hessian_is_the_derivative_of_the_masses(name):
    """By finite differences of sum_z v with every answer solved anew."""
    from dagame.solvers.per_answer import Piece

    rng = np.random.default_rng(1)
    weights = np.array([[0.5, 0.3, 0.2]])
    coupling = COUPLINGS[name](1.7)
    piece = Piece(coupling, np.log(rng.dirichlet(np.ones(6), (1, 3))), weights, None)

    def gradient(point):
        c, k = point[None, :3], point[3:]
        at = piece.started(c, k)
        for _ in range(6):
            at, log_r, off = piece.corrected(at, c, k)
        sums = piece.sums(at, log_r, k, off)
        overlap = coupling.kappa * np.exp(k) * sums.overlap
        return np.append(weights[0] * sums.masses[0], overlap), sums

    point = np.array([-1.5, -1.8, -1.2, 0.3 if coupling.geometric else 0.0])
    d = 4 if coupling.geometric else 3
    _, sums = gradient(point)
    hessian = sums.outer[0] * (coupling.kappa * np.exp(0.3) if coupling.geometric else 1.0)
    hessian[range(3), range(3)] += sums.diagonal[0]
    step = 1e-5 * np.eye(4)[:d]
    moved = [(gradient(point + h)[0] - gradient(point - h)[0])[:d] / 2e-5 for h in step]
    np.testing.assert_allclose(hessian, moved, rtol=1e-6, atol=1e-8)


def test_wright_omega_is_that_of_scipy():
    s = np.concatenate([np.linspace(-60, 60, 4001), np.geomspace(60, 1e12, 100), [-700.0, -1e30]])
    np.testing.assert_allclose(wright_omega(s), wrightomega(s).real, rtol=2e-14, atol=0)
    single = wright_omega(s.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single[:4001], wrightomega(s[:4001]).real, rtol=2e-5)


def test_the_steps_that_are_told_are_the_moves_that_were_made():
    """On arrays, contexts apart and weakly coupled, so that the first normaliser is far from 0."""
    reference = [[[0.9998, 1e-4, 1e-4], [1e-4, 0.9998, 1e-4]]]
    game = dg.AlignmentGame(reference, dg.Coherence(0.1, "geometric"), beta=1.0).unit
    found = _attempt(game, game.objective.exponential_form(), 1e-10, 1)
    assert list(found.steps) == [1]
