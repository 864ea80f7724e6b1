"""Matrix games: against nashpy and a linear program, the dynamics that play them, two-sided logit replies."""

import nashpy
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import linprog

import dagame as dg
from dagame.games.library import matrix_game
from dagame.solvers import DYNAMICS
from dagame.solvers.no_regret import average_gap_bound
from tests.games import SEEDS

AVERAGED = (
    "fictitious_play",
    "multiplicative_weights",
    "ftrl",
    "optimistic_multiplicative_weights",
)


def payoffs(seed, low=2, high=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=rng.integers(low, high, 2))


def security_level(table):
    """max_p min_j (pA)_j by a linear program in (p, v), and a maximin p."""
    n, k = table.shape
    solved = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=np.column_stack([-table.T, np.ones(k)]),
        b_ub=np.zeros(k),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, 1)] * n + [(None, None)],
    )
    return -solved.fun


@given(SEEDS)
@settings(max_examples=15)
def test_small_beta_gives_the_value_and_both_strategies(seed):
    table, beta = payoffs(seed), 1e-3
    value, room = security_level(table), beta * np.log(table.shape[0]) + 1e-9
    row, column = nashpy.Game(table).linear_program()
    assert row @ table @ column == pytest.approx(value, abs=1e-8)
    solution = dg.solve(matrix_game(table, beta=beta))
    assert -room <= float(solution.value) - value <= 1e-9
    assert (solution.marginals[0] @ table).min() >= value - room
    assert (table @ solution.opponent).max() <= value + room
    assert solution.opponent.sum() == pytest.approx(1)
    assert (solution.opponent >= 0).all()


@given(SEEDS)
@settings(max_examples=4)
def test_averaged_play_is_certified_and_comes_to_the_equilibrium(seed):
    table, beta, rounds = payoffs(seed), 0.1, 200
    game, span = matrix_game(table, beta=beta), np.ptp(table)
    best, value = float(dg.solve(game).value), security_level(table)
    for name in AVERAGED:
        history = dg.run(game, name, rounds)
        gap, room = history.gaps[-1], beta * np.log(table.shape[0])
        assert (history.gaps > -1e-12).all()
        assert -1e-12 <= best - history.values[-1] <= gap + 1e-12
        assert (history.marginals[-1, 0] @ table).min() >= value - gap - room - 1e-9
        assert gap < 0.1 * span
    for name in ("multiplicative_weights", "ftrl"):
        gaps = dg.run(game, name, rounds).gaps
        bounds = [average_gap_bound(span, beta, t) for t in range(1, rounds + 1)]
        assert (gaps[1:] <= np.array(bounds) + 1e-12).all()


def test_fictitious_play_is_browns():
    """By hand: each replies to the mean of what the other has played, the policy by a logit."""
    table, beta = payoffs(3, 3, 4), 0.2
    n, k = table.shape
    mean, named = np.full(n, 1 / n), np.zeros(k)
    history = dg.run(matrix_game(table, beta=beta), "fictitious_play", 12)
    for t in range(12):
        np.testing.assert_allclose(history.marginals[t, 0], mean, atol=1e-12)
        named[np.argmin(mean @ table)] += 1
        reply = np.exp(table @ named / named.sum() / beta)
        mean = mean + (reply / reply.sum() - mean) / (t + 2)
        bound = beta * np.log(np.exp(table @ named / named.sum() / beta).mean())
        assert history.values[t + 1] + history.gaps[t + 1] == pytest.approx(bound, abs=1e-12)


def test_the_best_response_swings_for_ever():
    """Matching pennies with an edge: no round is near the equilibrium, as the target's reply jumps."""
    game = matrix_game([[2.0, -1.0], [-1.0, 1.0]], beta=0.05)
    history = dg.run(game, "best_response", 40)
    assert history.gaps[-10:].min() > 0.5
    assert dg.run(game, "fictitious_play", 400).gaps[-1] < 0.05


def test_a_batch_and_traces_are_played_as_single_games():
    tables = np.random.default_rng(0).normal(size=(3, 4, 3))
    batch = matrix_game(tables, beta=0.3)
    solved = dg.solve(batch)
    for name in AVERAGED:
        gaps = dg.run(batch, name, 20).gaps
        for k in range(3):
            single = matrix_game(tables[k], beta=0.3)
            np.testing.assert_allclose(gaps[:, k], dg.run(single, name, 20).gaps, atol=1e-12)
            np.testing.assert_allclose(solved.opponent[k], dg.solve(single).opponent, atol=1e-9)
    traces = dg.AlignmentGame(
        np.full((1, 8), 1 / 8), dg.WorstCase(tables[0].T), beta=0.3, answers=[0, 1, 2, 3] * 2
    )
    single = dg.run(matrix_game(tables[0], beta=0.3), "fictitious_play", 20)
    np.testing.assert_allclose(dg.run(traces, "fictitious_play", 20).gaps, single.gaps, atol=1e-12)


def test_smooth_terms_beside_a_worst_case_are_certified_too():
    table = payoffs(1)
    game = matrix_game(table, beta=0.5)
    game = game.with_objective(game.objective + 0.3 * dg.ShannonDiversity())
    best = float(dg.solve(game).value)
    for name in ("fictitious_play", "ftrl"):
        history = dg.run(game, name, 300)
        assert -1e-12 <= best - history.values[-1] <= history.gaps[-1] + 1e-12
        assert history.gaps[-1] < 0.01


def test_who_plays_what():
    kinked, hard = matrix_game(payoffs(0)), dg.library.safety()
    for name, dynamic in DYNAMICS.items():
        if dynamic.plays_kinks:
            assert len(dg.run(kinked, name, 2)) == 3
        else:
            with pytest.raises(dg.DagameError, match=f"which {name} needs.*fictitious_play, "):
                dg.run(kinked, name, 2)
        with pytest.raises(dg.DagameError, match="no gradient to follow"):
            dg.run(hard, name, 2)
    with pytest.raises(dg.DagameError, match=r"leave the method out"):
        dg.solve(kinked, "mirror")
    with pytest.raises(
        dg.DagameError, match=r"method of dagame.solve; dagame.run plays one of anderson"
    ):
        dg.run(kinked, "auto")


def test_opponents_have_names_and_other_objectives_no_opponent():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], list("rps"), list("RPS"))
    solution = dg.solve(matrix_game(frame))
    assert solution.game.answer_names == ("r", "p", "s")
    assert "R 0.333, P 0.333, S 0.333" in str(solution)
    assert "opponent" in solution._repr_html_()
    assert dg.solve(dg.library.gini.game).opponent is None
    assert "opponent" not in str(dg.solve(dg.library.safety()))
    with pytest.raises(dg.DagameError, match="2 names for 3 graders"):
        dg.WorstCase(np.eye(3), names=["a", "b"])
    with pytest.raises(dg.DagameError, match=r"payoffs have shape \(3,\)"):
        matrix_game([1.0, 2, 3])
