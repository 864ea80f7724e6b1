"""Every dynamic: where it goes, at which rate, and that its recorded gap is a bound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import random_reference
from dagame.numerics.simplex import kl, total_variation
from dagame.solvers import DYNAMICS
from dagame.solvers.no_regret import average_gap_bound
from tests.games import SEEDS

CONVERGING = sorted(DYNAMICS.keys() - {"best_response"})


def floored(rng, m=2, n=4, floor=0.05):
    return floor + (1 - n * floor) * random_reference(rng, (m, n))


@pytest.mark.parametrize("name", CONVERGING)
@given(SEEDS)
def test_every_gap_is_a_bound_and_shrinks(name, seed):
    rng = np.random.default_rng(seed)
    phi = [dg.GiniDiversity(1.5), dg.Coherence(1.0), dg.Coherence(2.0, "euclidean")][seed % 3]
    game = dg.AlignmentGame(floored(rng), phi, beta=1.0)
    best = dg.solve(game, tol=1e-13, throw=False).value
    history = dg.run(game, name, 60)
    assert (history.gaps >= best - history.values - 1e-10).all()
    assert history.gaps[-1] <= max(0.35 * history.gaps[0], 1e-9)
    assert history.marginals.shape == (61, 2, 4)
    np.testing.assert_allclose(history.marginals.sum(-1), 1)


@pytest.mark.parametrize("name", ["multiplicative_weights", "ftrl"])
@given(SEEDS, st.sampled_from([10, 100, 400]))
def test_no_regret_bound(name, seed, rounds):
    """Rewards of Gini diversity lie in [-2 strength, 0]: span G = 2 strength."""
    game = dg.AlignmentGame(floored(np.random.default_rng(seed)), dg.GiniDiversity(1.0), beta=0.5)
    gap = dg.run(game, name, rounds).gaps[-1]
    assert gap <= average_gap_bound(2.0, 0.5, rounds)


@given(SEEDS)
def test_optimism_is_of_order_one_over_t(seed):
    game = dg.AlignmentGame(floored(np.random.default_rng(seed)), dg.GiniDiversity(2.0), beta=1.0)
    gaps = dg.run(game, "optimistic_multiplicative_weights", 400).gaps
    assert gaps[400] <= 0.35 * gaps[100] + 1e-12
    assert gaps[400] <= 8 / 400


@pytest.mark.parametrize(("name", "constant"), [("frank_wolfe", 1), ("fictitious_play", 3)])
@given(SEEDS)
def test_frank_wolfe_rate(name, constant, seed):
    """J* - J(pi_t) <= 2 C / (t + 2), C = 4 strength for Gini; log t / t for averaging."""
    game = dg.AlignmentGame(floored(np.random.default_rng(seed)), dg.GiniDiversity(1.0), beta=1.0)
    best = dg.solve(game).value
    values = dg.run(game, name, 100).values
    t = np.arange(1, 101)
    assert (best - values[1:] <= constant * 8 / (t + 2) + 1e-12).all()


@given(SEEDS)
def test_extragradient_is_linear(seed):
    game = dg.AlignmentGame(floored(np.random.default_rng(seed)), dg.Coherence(2.0), beta=1.0)
    best = dg.solve(game, tol=1e-13, throw=False)
    history = dg.run(game, "extragradient", 60)
    distance = [(kl(best.marginals, nu) * game.weights).sum() for nu in history.marginals]
    assert distance[60] <= 1e-4 * distance[0] + 1e-12


@pytest.mark.parametrize("name", ["frank_wolfe", "fictitious_play", "ftrl", "extragradient"])
@given(SEEDS)
def test_they_commute_with_marginalisation(name, seed):
    rng = np.random.default_rng(seed)
    reference = floored(rng, n=6, floor=0.02)
    game = dg.AlignmentGame(reference, dg.GiniDiversity(1.0), beta=1.0, answers=[0, 0, 1, 2, 2, 2])
    traces, answers = dg.run(game, name, 8), dg.run(game.on_answers(), name, 8)
    np.testing.assert_allclose(traces.marginals, answers.marginals, atol=1e-10)


def test_a_slower_target_still_ends_at_the_equilibrium(rng):
    game = dg.AlignmentGame(floored(rng), dg.GiniDiversity(1.0), beta=1.0)
    best = dg.solve(game)
    slow = dg.run(game, dg.solvers.MultiplicativeWeights(target_share=0.3), 800)
    assert slow.gaps[-1] < 0.01
    assert total_variation(slow.marginals[-1], best.marginals).max() < 0.05


def test_parameters_are_checked():
    for make in (
        lambda: dg.solvers.MultiplicativeWeights(step_size=0.0),
        lambda: dg.solvers.FTRL(target_share=0.0),
    ):
        with pytest.raises(dg.DagameError, match="give"):
            make()
