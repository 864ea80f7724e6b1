"""The rounds of the game: the four moves in their order, and where they lead."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.estimators.kl import less_the_others
from dagame.games.play import DistributionalGame, pay, play


class Counting(DistributionalGame):
    """Notes its moves; the policy is the number of steps taken."""

    def __init__(self):
        self.moves = []

    def marginals(self, policy):
        self.moves.append(("marginals", policy))
        return f"nu{policy}"

    def target_reply(self, marginals):
        self.moves.append(("reply", marginals))
        return f"q of {marginals}"

    def rewards(self, marginals, target):
        self.moves.append(("rewards", marginals, target))
        return f"u at {target}"

    def policy_step(self, policy, rewards, step):
        self.moves.append(("step", policy, rewards, step))
        return policy + 1


def test_a_round_is_the_four_moves_in_order():
    game, seen = Counting(), []
    assert play(game, 0, 2, lambda t: t / 10, lambda t, p: seen.append((t, p))) == 2
    assert seen == [(1, 1), (2, 2)]
    assert game.moves[:4] == [
        ("marginals", 0),
        ("reply", "nu0"),
        ("rewards", "nu0", "q of nu0"),
        ("step", 0, "u at q of nu0", 0.1),
    ]
    assert [move[0] for move in game.moves[4:]] == ["marginals", "reply", "rewards", "step"]
    assert game.moves[-1][-1] == 0.2


def test_watching_ends_the_play():
    game = Counting()
    assert play(game, 0, 9, None, lambda t, p: t == 3) == 3
    assert len(game.moves) == 12


REFERENCE = np.array([[0.5, 0.3, 0.2, 0.0], [0.1, 0.6, 0.0, 0.3]])


@pytest.mark.parametrize("objective", [dg.Coherence(0.5), dg.GiniDiversity(1.0)], ids=repr)
def test_tables_reach_the_equilibrium_and_stay_there(objective):
    game = dg.AlignmentGame(REFERENCE, objective, beta=0.7)
    solution = dg.solve(game)
    found = play(game, REFERENCE, 400, 0.3)
    np.testing.assert_allclose(found, solution.policy, atol=1e-8)
    np.testing.assert_allclose(play(game, solution.policy, 1, 0.3), solution.policy, atol=1e-8)
    np.testing.assert_allclose(pay(game, found), solution.rewards, atol=1e-7)


@given(st.lists(st.lists(st.floats(-5, 5), min_size=2, max_size=6), min_size=1, max_size=4))
def test_a_cost_is_less_the_mean_of_the_other_samples(groups):
    for group in groups:
        cost, size = np.array(group), len(group)
        wanted = [c - np.mean([*group[:i], *group[i + 1 :]]) for i, c in enumerate(group)]
        np.testing.assert_allclose(less_the_others(cost, cost.sum(), size), wanted, atol=1e-12)
        trainers = less_the_others(cost, 0.0, size)
        np.testing.assert_allclose(trainers - trainers.mean(), wanted, atol=1e-12)
    assert less_the_others([3.0], [3.0], [1]) == less_the_others([3.0], 0.0, 1) == 3.0
