"""Arithmetic coherence in the space of the consensus: against other methods, cvxpy and the certificate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import random_reference
from dagame.numerics.simplex import total_variation
from dagame.objectives.parameters import taken
from tests.games import SEEDS
from tests.kinds import ROWS, made, those

pytestmark = pytest.mark.usefixtures("arrays_and_kernel")


def drawn(seed, m=3, n=5, batch=(4,), zeros=0.2):
    """References with exact and tiny zeros, and uneven weights."""
    rng = np.random.default_rng(seed)
    reference = random_reference(rng, (*batch, m, n), floor=1e-9, zeros=zeros)
    return rng, reference, rng.dirichlet(np.ones(m), batch)


def coherent(reference, objective, weights=None, beta=1.0):
    return dg.AlignmentGame(reference, objective, beta=beta, weights=weights)


def has_form(coupling):
    def fact(phi):
        form = phi.exponential_form()
        return form is not None and form.coupling == coupling

    return fact


TOGETHER = those(has_form("arithmetic"))
"""Kinds, and sums, whose target is one consensus of all contexts."""

APART = those(has_form(None), ROWS)
"""Kinds that leave the consensus as it is."""

MILD = 0.6
"""The strength of what is added: beta is 0.8, so that also what is not concave may be."""


def terms(rng, n, positive):
    """Sums whose target is shared: the strength of coherence is `positive`."""
    seed = int(rng.integers(2**32))
    added = {name: made(name, MILD, 3, n, seed) for name in APART}
    coherence, rewards = dg.Coherence(positive), dg.Reward(rng.normal(size=(3, n)) * 3)
    return {
        **{name: made(name, positive, 3, n, seed) for name in TOGETHER},
        **{f"and {name}": coherence + phi for name, phi in added.items()},
        "reward": coherence + rewards,
        "all": sum(phi for phi in added.values() if phi.concave) + coherence + rewards,
        "multiple": 0.5 * dg.Coherence(2 * positive) + MILD * dg.ShannonDiversity(),
        "difference": dg.Coherence(positive + 0.5) - 0.5 * dg.Coherence() + rewards,
    }


SUMS = sorted(terms(np.random.default_rng(0), 5, 1.0))


@pytest.mark.parametrize("kind", SUMS)
@settings(max_examples=6)
@given(SEEDS, st.floats(-3, 2))
def test_it_finds_what_rounds_on_policies_find(kind, seed, size):
    """Of sums that are concave in all games; the others that it stalls in are left to rounds."""
    rng, reference, weights = drawn(seed)
    objective = terms(rng, 5, 10.0**size)[kind]
    game = coherent(reference, objective, weights, beta=0.8)
    alone = dg.solve(game, "consensus", tol=1e-12, throw=bool(objective.concave))
    ours, theirs = dg.solve(game, tol=1e-12), dg.solve(game, "anderson", tol=1e-12)
    assert ours.method == ("consensus" if alone.solved.all() else "consensus+anderson")
    np.testing.assert_array_equal(ours.policy[alone.solved], alone.policy[alone.solved])
    assert (ours.certificate.relative_gap <= 1e-12).all()
    np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-11, atol=1e-11)
    bound = np.sqrt(ours.certificate.distance_bound) + np.sqrt(theirs.certificate.distance_bound)
    apart = (weights * total_variation(ours.policy, theirs.policy)).sum(-1)
    assert (apart <= bound + 1e-12).all()


@pytest.mark.parametrize("strength", [1e-6, 1.0, 1e2])
@pytest.mark.parametrize("kind", ["coherence", "all"])
def test_newton_and_cvxpy_agree(kind, strength):
    rng, reference, weights = drawn(3, batch=())
    game = coherent(reference, terms(rng, 5, strength)[kind], weights)
    ours = dg.solve(game, "consensus", tol=1e-12)
    np.testing.assert_allclose(ours.value, dg.solve(game, "newton", tol=1e-12).value, atol=1e-11)
    referee = dg.solve(game, "convex", throw=False)
    np.testing.assert_allclose(referee.value, ours.value, rtol=1e-6, atol=1e-6)
    assert total_variation(ours.marginals, referee.marginals).max() < 2e-3


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 5), st.integers(2, 7), st.floats(-6, 9), st.floats(-13, -1))
def test_solved_means_certified(seed, m, n, size, digits):
    """At every strength and tolerance the certificate, which reads the policy alone, agrees."""
    _, reference, weights = drawn(seed, m, n)
    found = dg.solve(coherent(reference, dg.Coherence(10**size), weights), tol=10**digits)
    assert (found.statuses == dg.Status.SOLVED).all()
    assert (found.certificate.relative_gap <= 10**digits).all()
    np.testing.assert_allclose(found.marginals.sum(-1), 1, rtol=1e-12)
    assert (found.marginals[reference == 0] == 0).all()


@pytest.mark.parametrize("strength", [1e6, 1e9])
def test_strong_coherence_is_hard_coherence(strength):
    _, reference, weights = drawn(0, 3, 40, zeros=0.0)
    ours = dg.solve(coherent(reference, dg.Coherence(strength), weights), "consensus", tol=1e-12)
    hard = dg.solve(coherent(reference, dg.HardCoherence(), weights))
    np.testing.assert_allclose(ours.value, hard.value, rtol=1e3 / strength)
    assert total_variation(ours.marginals, hard.marginals).max() < 1e3 / strength


@pytest.mark.parametrize("strength", [0.5, 1e3])
def test_disjoint_supports_and_one_context_have_their_formulas(strength):
    apart = coherent([[0.25, 0.75, 0, 0], [0, 0, 0.5, 0.5]], dg.Coherence(strength), [0.7, 0.3])
    found = dg.solve(apart, "consensus", tol=1e-12)  # q = w_x nu_x, so nothing can be gained
    np.testing.assert_allclose(found.policy, apart.reference, atol=1e-9)
    alone = coherent([[0.2, 0.0, 0.8]], dg.Coherence(strength))
    found = dg.solve(alone, "consensus", tol=1e-12)
    np.testing.assert_allclose(found.policy, alone.reference, atol=1e-12)
    assert found.steps == 0


def test_answers_far_below_the_range_of_floats_keep_their_digits():
    """Both contexts lose answer 1 alike, so that it is paid -9000 and no more."""
    reference, table = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], [[0.0, -9e3, 0.0], [0.0, -9e3, 0.0]]
    game = coherent(reference, dg.Coherence(2.0) + dg.Reward(table))
    found = dg.solve(game, "consensus", tol=1e-12)
    assert (np.abs(found.log_policy[:, 1] + 9e3) < 5).all()
    apart = [[0.0, -9e3, 0.0], [0.0, 0.0, -9e3]]
    game = coherent(reference, dg.Coherence(2.0) + dg.Reward(apart))
    ours, theirs = dg.solve(game, tol=1e-12), dg.solve(game, "anderson", tol=1e-12)
    np.testing.assert_allclose(ours.log_policy, theirs.log_policy, atol=1e-5)


def test_what_it_does_not_reach_is_left_to_rounds_on_policies():
    """Rewards a hundred times a strong pull, opposed: the normalisers are e^-2e6 and less."""
    table = [[0.0, -1e8, -1e8], [-1e8, 0.0, 0.0]]
    reference = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]
    mixed = dg.Reward(np.array([table, np.zeros((2, 3))]))
    game = coherent(np.array([reference, reference]), dg.Coherence(1e6) + mixed)
    alone = dg.solve(game, "consensus", throw=False)
    assert list(alone.statuses) == [dg.Status.STALLED, dg.Status.SOLVED]
    found = dg.solve(game)
    assert found.method.startswith("consensus+")
    assert found.solved.all()
    np.testing.assert_array_equal(found.policy[1], alone.policy[1])


def test_a_context_without_an_answer_left_is_infeasible():
    rows = [[[1.0, 0.0, 0.0], [0.5, 0.25, 0.25]], [[0.5, 0.5, 0.0], [0.5, 0.25, 0.25]]]
    game = coherent(rows, dg.Coherence(2.0) + dg.TargetMatching([0.0, 0.5, 0.5]))
    found = dg.solve(game, tol=1e-12)
    assert list(found.statuses) == [dg.Status.INFEASIBLE, dg.Status.SOLVED]
    assert found.value[0] == -np.inf
    assert found.certificate.relative_gap[1] <= 1e-12


@settings(max_examples=10)
@given(SEEDS, st.sampled_from(SUMS))
def test_batches_are_loops_and_orders_do_not_matter(seed, kind):
    rng, reference, weights = drawn(seed, batch=(6,))
    objective = terms(rng, 5, 20.0)[kind]
    whole = dg.solve(coherent(reference, objective, weights), "consensus")
    for b in range(6):
        one = dg.solve(coherent(reference[b], objective, weights[b]), "consensus")
        np.testing.assert_allclose(whole.policy[b], one.policy, rtol=1e-12, atol=1e-300)
        assert whole.steps[b] == one.steps
    pieces = dg.solve(coherent(reference, objective, weights), "consensus", max_bytes=1)
    np.testing.assert_allclose(whole.policy, pieces.policy, rtol=1e-12, atol=1e-300)
    order = rng.permutation(5)
    other = coherent(reference[..., order], taken(objective, "n", order), weights)
    moved = dg.solve(other, "consensus")
    np.testing.assert_allclose(moved.policy, whole.policy[..., order], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_backends_agree(xp, dtype):
    rng, reference, weights = drawn(5, zeros=0.3)
    objective = terms(rng, 5, 3.0)["all"]
    game = coherent(xp(reference.astype(dtype)), objective, xp(weights.astype(dtype)))
    plain, tol = coherent(reference, objective, weights), 1e-12 if dtype is np.float64 else 1e-6
    found, known = dg.solve(game, "consensus", tol=tol), dg.solve(plain, "consensus", tol=1e-12)
    assert str(found.policy.dtype).endswith(np.dtype(dtype).name)
    np.testing.assert_allclose(np.asarray(found.policy), known.policy, atol=3e4 * tol)


def test_many_answers_are_multiplied_in_parts(rng, monkeypatch):
    game = coherent(rng.dirichlet(np.ones(50), 3), dg.Coherence(30.0))
    whole = dg.solve(game, "consensus", tol=1e-12)
    monkeypatch.setattr("dagame.solvers.consensus._COLUMNS", 7)
    parts = dg.solve(game, "consensus", tol=1e-12)
    np.testing.assert_allclose(parts.policy, whole.policy, rtol=1e-9)


@pytest.mark.parametrize(
    "objective",
    [
        dg.Coherence(1.0, "geometric"),
        dg.Coherence() + dg.Coherence(1.0, "euclidean"),
        dg.Coherence() + dg.HardCoherence(),
        dg.Coherence() + dg.GiniDiversity(),
        -0.5 * dg.Coherence() + dg.ShannonDiversity(),
        dg.ShannonDiversity(),
    ],
    ids=repr,
)
def test_other_sums_have_no_consensus_form(objective):
    with pytest.raises(dg.DagameError, match="has no consensus here"):
        dg.solve(coherent([[0.5, 0.5], [0.2, 0.8]], objective), "consensus")


def test_the_form_adds_and_scales_as_its_objective(rng):
    """Phi(nu) is what the form says, up to a constant."""
    nu = rng.dirichlet(np.ones(5), (2, 3))
    weights = np.array([0.5, 0.3, 0.2])
    for kind, objective in terms(rng, 5, 1.7).items():
        form = objective.exponential_form()
        said = (
            form.strength * dg.Coherence().value(nu, weights)
            + form.entropy * dg.ShannonDiversity().value(nu, weights)
            + (weights[:, None] * nu * form.reward).sum((-1, -2))
        )
        off = objective.value(nu, weights) - said
        assert off[0] == pytest.approx(off[1], abs=1e-12), kind


def test_a_wrong_form_from_outside_the_package_is_found_out():
    class Odd(dg.Objective):
        concave, smoothness = True, 0.0

        def value(self, marginals, weights=None):
            return 0 * marginals[..., 0, 0]

        def reward(self, marginals, weights=None):
            return 0 * marginals

        def exponential_form(self):
            return dg.Reward([1.0, 0.0]).exponential_form()

    game = coherent([[0.5, 0.5], [0.2, 0.8]], dg.Coherence() + Odd())
    assert dg.solve(game, "consensus", throw=False).status is dg.Status.STALLED
    assert dg.solve(game).method == "consensus+anderson"
