"""WorstCase: the mixture, its matrix game, kinks."""

import nashpy
import numpy as np
import pytest
from hypothesis import given

import dagame as dg
from dagame.games.library import random_game
from tests.games import SEEDS


@given(SEEDS)
def test_as_beta_vanishes_it_is_a_matrix_game(seed):
    """Against nashpy's linear program for the zero-sum game of answers against graders."""
    rng = np.random.default_rng(seed)
    payoff = rng.integers(-5, 6, size=(2, 3)).astype(float) + rng.normal(size=(2, 3)) * 1e-3
    matrix = nashpy.Game(payoff.T)
    row, column = matrix.linear_program()
    value = row @ payoff.T @ column
    game = dg.AlignmentGame(np.full((1, 3), 1 / 3), dg.WorstCase(payoff), beta=1e-3)
    solution = dg.solve(game)
    assert abs(float(solution.value) - value) <= 1e-3 * np.log(3) + 1e-6


@given(SEEDS)
def test_the_mixture_lies_on_the_worst_graders(seed):
    rng = np.random.default_rng(seed)
    phi = dg.WorstCase(rng.normal(size=(4, 5)), 3.0)
    game = random_game(rng, contexts=2, answers=5, zeros=0.0, objective=phi)
    solution = dg.solve(game)
    alpha, nu = solution.multipliers, solution.marginals
    grades = game.objective.rewards @ (game.weights @ nu)
    assert alpha.sum() == pytest.approx(1)
    assert (alpha >= 0).all()
    assert (alpha * (grades - grades.min())).sum() < 1e-9
    np.testing.assert_allclose(solution.rewards[0], 3.0 * alpha @ game.objective.rewards)


def test_a_wrong_supergradient_leaves_a_gap_the_right_one_none():
    game = dg.AlignmentGame([[0.5, 0.5]], dg.WorstCase([[1.0, 0.0], [0.0, 1.0]]), beta=1.0)
    solution = dg.solve(game)
    np.testing.assert_allclose(solution.marginals, [[0.5, 0.5]])
    assert solution.gap < 1e-12
    assert dg.certify(game, solution.policy).gap < 1e-9
    wrong = dg.certify(game, solution.policy, multipliers=np.array([1.0, 0.0])).gap
    assert wrong == pytest.approx(np.log((np.e + 1) / 2) - 0.5)


def test_one_grader_is_a_reward(rng):
    r = rng.normal(size=4)
    game = random_game(rng, contexts=2, answers=4, objective=dg.WorstCase(r))
    np.testing.assert_allclose(
        dg.solve(game).value, dg.solve(game.with_objective(dg.Reward(r))).value, atol=1e-12
    )


def test_dynamics_and_gradient_methods_refuse_it(rng):
    game = random_game(rng, objective=dg.WorstCase(rng.normal(size=(2, 5))))
    for call in (lambda: dg.solve(game, "mirror"), lambda: dg.run(game, "mirror")):
        with pytest.raises(dg.DagameError, match="no gradient to follow"):
            call()
