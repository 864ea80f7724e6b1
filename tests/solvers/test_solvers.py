"""Solvers against each other, against cvxpy, against definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import (
    KINKED,
    OBJECTIVES,
    named,
    random_game,
    random_game_of,
    reference_games,
)
from dagame.numerics.simplex import kl, total_variation
from dagame.objectives.parameters import taken
from dagame.solvers import DYNAMICS, METHODS
from tests.games import SEEDS, games

REFERENCES = sorted(reference_games())


@pytest.mark.parametrize("method", ["auto", "anderson", "mirror", "newton"])
@pytest.mark.parametrize("name", REFERENCES)
def test_reference_games(name, method):
    known = named(name)
    hard, channel = known.game.objective.has_multipliers, known.game.answer_map.kind == "channel"
    if (hard and method != "auto") or (channel and method == "newton"):
        with pytest.raises(dg.DagameError):
            dg.solve(known.game, method)
        return
    solution = dg.solve(known.game, method, throw=False)
    scale = max(1, abs(known.value))
    assert float(solution.gap) <= 1e-9 * scale
    assert abs(float(solution.value) - known.value) <= 1e-9 * scale
    np.testing.assert_allclose(solution.policy, known.policy, atol=2e-5)
    np.testing.assert_allclose(solution.marginals, known.marginals, atol=2e-5)
    if known.rewards is not None and method == "auto":
        seen = known.game.answer_support & (known.marginals > 1e-9)
        free = np.where(seen, solution.rewards - known.rewards, np.nan)
        assert np.nanmax(np.nanmax(free, -1) - np.nanmin(free, -1)) < 1e-4


@pytest.mark.parametrize("name", REFERENCES)
def test_a_known_equilibrium_is_a_fixed_point(name):
    """One best-response step of the game leaves it, and its certificate is zero."""
    known = named(name)
    found = dg.certify(known.game, known.policy)
    assert float(found.gap) <= 1e-9 * max(1, abs(known.value))
    reply = known.game.best_response(known.game.rewards(known.marginals, known.marginals))
    np.testing.assert_allclose(reply, known.policy, atol=1e-7)


MAKERS = OBJECTIVES | KINKED
DRAWN = {name: make(np.random.default_rng(0), 2, 3) for name, make in MAKERS.items()}
CONCAVE = {name for name, phi in DRAWN.items() if phi.concave is True}
SMOOTH = {name for name in CONCAVE if DRAWN[name].smoothness is not None}


@pytest.mark.parametrize("kind", sorted(CONCAVE - {"bregman"}))  # of a generator that is a function
def test_cvxpy_agrees(kind, rng):
    game = random_game_of(kind, rng, 3, 5, floor=1e-5)
    ours, theirs = dg.solve(game, tol=1e-12), dg.solve(game, "convex", throw=False)
    np.testing.assert_allclose(theirs.value, ours.value, atol=1e-7)
    assert total_variation(ours.marginals, theirs.marginals).max() < 1e-3


def test_cvxpy_on_traces_and_channels(rng):
    for channel in (False, True):
        game = random_game(rng, contexts=2, answers=3, traces=6, channel=channel, floor=1e-6)
        ours, theirs = dg.solve(game), dg.solve(game, "convex", throw=False)
        np.testing.assert_allclose(theirs.value, ours.value, atol=1e-7)


@pytest.mark.parametrize("kind", sorted(OBJECTIVES | KINKED))
@settings(max_examples=4)
@given(SEEDS)
def test_a_batch_is_the_loop_of_its_games(kind, seed):
    rng = np.random.default_rng(seed)
    batch = random_game_of(kind, rng, 2, 4, batch=(2, 3), traces=7, zeros=0.0)
    whole = dg.solve(batch, tol=1e-12, throw=False)
    assert whole.value.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            single = dg.AlignmentGame(
                batch.reference[i, j],
                batch.objective,
                beta=batch.beta,
                weights=batch.weights[i, j],
                answers=batch.answer_map,
            )
            one = dg.solve(single, tol=1e-12, throw=False)
            np.testing.assert_allclose(whole.value[i, j], one.value, rtol=1e-10, atol=1e-11)
            np.testing.assert_allclose(whole.policy[i, j], one.policy, atol=1e-5)


@given(games(kinds=sorted(OBJECTIVES.keys() - {"soft-cap"}), batch=(3,)), SEEDS)
def test_permuting_answers_permutes_the_equilibrium(game, seed):
    order = np.random.default_rng(seed).permutation(game.n)
    objective = taken(game.objective, "n", order)
    other = dg.AlignmentGame(
        game.reference[..., order], objective, beta=game.beta, weights=game.weights
    )
    one, two = (dg.solve(g, tol=1e-13, throw=False) for g in (game, other))
    np.testing.assert_allclose(one.marginals[..., order], two.marginals, atol=1e-5)
    np.testing.assert_allclose(one.value, two.value, rtol=1e-10, atol=1e-11)


@given(games(zeros=0.5))
def test_zero_mass_answers_stay_at_zero_and_nothing_is_nan(game):
    solution = dg.solve(game, throw=False)
    assert np.all(solution.marginals[~game.answer_support] == 0)
    for array in (solution.policy, solution.rewards, solution.value, solution.gap):
        assert not np.isnan(array).any()


@settings(max_examples=80)
@given(games(kinds=SMOOTH))
def test_mirror_keeps_its_rate_and_never_goes_down(game):
    history = dg.run(game, "mirror", 15)
    assert (np.diff(history.values) >= -1e-12 * np.abs(history.values[1:]) - 1e-13).all()
    best = dg.solve(game, tol=1e-13, throw=False).marginals
    distance = np.array([(kl(best, nu) * game.weights).sum() for nu in history.marginals])
    smooth, mu = game.objective.smoothness, game.objective.curvature
    rate = (smooth - mu) / (smooth + game.beta)
    assert (distance <= distance[0] * rate ** np.arange(16) * (1 + 1e-6) + 1e-9).all()


def test_undamped_best_response_diverges_above_beta_into_a_two_cycle():
    reference = [[0.5, 0.3, 0.2]]
    below = dg.AlignmentGame(reference, dg.ShannonDiversity(0.9), beta=1.0)
    assert dg.solve(below, "best_response").solved
    above = dg.AlignmentGame(reference, dg.ShannonDiversity(1.1), beta=1.0)
    history = dg.run(above, "best_response", 200)
    assert history.gaps[-1] > history.gaps[0]
    late = history.marginals[-4:, 0]
    np.testing.assert_allclose(late[0], late[2], atol=1e-3)
    assert total_variation(late[0], late[1]) > 0.9
    solution = dg.solve(above, "best_response", max_steps=50, throw=False)
    assert solution.status in (dg.Status.MAX_STEPS, dg.Status.STALLED)


@pytest.mark.parametrize("strength", [1e-2, 1.0, 1e2, 1e3])
@pytest.mark.parametrize("m", [2, 8])
def test_coherence_over_many_strengths(strength, m, rng):
    game = random_game(rng, batch=(4,), contexts=m, answers=300, objective=dg.Coherence(strength))
    solution = dg.solve(game)
    assert (solution.gap <= 1e-10 * np.maximum(1, np.abs(solution.value))).all()


def test_auto_decides_as_documented(rng):
    def chosen(objective, **options):
        game = random_game(rng, contexts=2, answers=4, floor=1e-3, objective=objective, **options)
        return dg.solve(game, throw=False).method.partition("+")[0]

    assert chosen(dg.ShannonDiversity()) == "closed_form"
    assert chosen(dg.GiniDiversity()) == "closed_form"
    assert chosen(dg.Coherence()) == "consensus"
    assert chosen(dg.Reward(np.zeros(4)) + dg.ShannonDiversity()) == "closed_form"
    assert chosen(dg.ShannonDiversity(), channel=True, traces=5) == "anderson"
    assert chosen(dg.HardCoherence() + dg.GiniDiversity()) == "convex"
    assert chosen(dg.LogSuccess([1.0, 0, 0, 0])) == "closed_form"
    assert chosen(dg.TsallisDiversity(1.0, 0.5)) == "newton"
    assert chosen(dg.Coherence(1.0, "geometric")) == "normalisers"
    assert chosen(dg.WorstCase(np.eye(4)) + dg.Reward(np.zeros(4))) == "dual"
    assert chosen(dg.HardConstraint(dg.Cap([1], 0.1)) + dg.GiniDiversity()) == "convex"
    assert chosen(dg.MajorityVote(2.0)) == "closed_form"
    assert chosen(dg.Sharpening(2.0)) == "closed_form"
    with pytest.raises(dg.DagameError, match="T6"):
        chosen(dg.SelfConsistency(2.0))


def test_infeasible_is_a_status_and_the_others_are_solved():
    reference = [[[0.5, 0.5, 0], [0, 0.5, 0.5]], [[1, 0, 0], [0, 0, 1]]]
    solution = dg.solve(dg.AlignmentGame(reference, dg.HardCoherence(), beta=1.0))
    assert list(solution.statuses) == [dg.Status.SOLVED, dg.Status.INFEASIBLE]
    assert solution.value[1] == -np.inf
    assert solution.gap[1] == np.inf
    np.testing.assert_allclose(solution.marginals[0], [[0, 1, 0], [0, 1, 0]])
    assert not np.isnan(solution.rewards).any()


def test_an_early_stop_raises_or_is_a_status():
    game = dg.AlignmentGame([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]], dg.Coherence(1e3), beta=1.0)
    with pytest.raises(dg.DagameError, match="raise max_steps"):
        dg.solve(game, "mirror", max_steps=3)
    solution = dg.solve(game, "mirror", max_steps=3, throw=False)
    assert solution.status is dg.Status.MAX_STEPS
    assert not solution.solved
    assert solution.gap > 1e-6


def test_not_finite_is_a_status():
    class Broken(dg.Objective):
        def value(self, marginals, weights=None):
            return np.nan * marginals.sum((-1, -2))

        def reward(self, marginals, weights=None):
            return marginals

    with pytest.raises(dg.DagameError, match="value is NaN"):
        dg.AlignmentGame([[0.5, 0.5]], Broken(), beta=1.0)
    game = dg.AlignmentGame([[0.5, 0.5]], Broken(), beta=1.0, check=False)
    assert dg.solve(game, throw=False).status is dg.Status.NOT_FINITE


@given(st.integers(1, 4), SEEDS)
def test_solution_shows_itself(m, seed):
    game = random_game(np.random.default_rng(seed), contexts=m)
    solution = dg.solve(game)
    assert "solved" in str(solution)
    assert "<table>" in solution._repr_html_()
    np.testing.assert_allclose(solution.consensus.sum(), 1)
    np.testing.assert_allclose(
        solution.rewards, game.rewards(solution.marginals, solution.target), atol=1e-12
    )
    assert "rounds" in str(dg.run(game, steps=2))


def test_cvxpys_accuracy_is_certified_not_assumed(rng, monkeypatch):
    game = random_game(rng, contexts=2, answers=4, zeros=0.0, objective=dg.Coherence(1.0))
    assert dg.solve(game, "convex").solved
    far = np.log(game.reference)[None]
    monkeypatch.setattr("dagame.solvers.direct.convex_solve", lambda g: (far, np.array([True])))
    assert dg.solve(game, "convex", throw=False).status is dg.Status.STALLED


@pytest.mark.parametrize(
    "objective",
    [
        dg.HardConstraint(dg.Cap([0], 0.05)),
        dg.HardCoherence(),
        dg.WorstCase([[0.0, 1, 0], [1, 0, 0]]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("traces", [None, [0, 1, 2, 0, 1]])
def test_kinks_in_single_precision_agree_with_double(objective, traces, rng):
    """By default and without an infinite value; weights of single precision do not sum to 1 in double."""
    width = 3 if traces is None else len(traces)
    reference = rng.dirichlet(np.ones(width), (30, 3))
    weights = rng.dirichlet(np.ones(3), 30)
    options = {"beta": 1.0, "answers": traces}
    single = dg.solve(
        dg.AlignmentGame(
            reference.astype(np.float32), objective, weights=weights.astype(np.float32), **options
        )
    )
    double = dg.solve(dg.AlignmentGame(reference, objective, weights=weights, **options))
    assert single.solved.all()
    assert single.policy.dtype == np.float32
    np.testing.assert_allclose(single.value, double.value, atol=1e-5)
    np.testing.assert_allclose(single.game.value(single.policy), double.value, atol=1e-5)
    assert single.certificate.relative_gap.max() <= 1e-6


@pytest.mark.parametrize(
    ("thin", "best"),
    [
        (
            dg.Moment([0.0, 1, 2], 0.9) & dg.Moment([0.0, -2, -4], -1.8),
            dg.Moment([0.0, -1, -2], -0.9),  # the reference has 0.7, so this side binds
        ),
        (dg.Cap([0, 1], 0.3) & dg.Floor([1], 0.3), dg.Cap([0], 0.0) & dg.Cap([1], 0.3)),
    ],
)
def test_a_gap_below_zero_is_no_proof(thin, best):
    """Multipliers of 1e8 on a set without interior: the bound falls below J*, that of the same set."""
    thin, best = (
        dg.solve(dg.AlignmentGame([[0.5, 0.3, 0.2]], dg.HardConstraint(s), beta=1.0), throw=False)
        for s in (thin, best)
    )
    assert best.status is dg.Status.SOLVED
    assert thin.status is not dg.Status.SOLVED or thin.value == pytest.approx(best.value, abs=1e-10)


# -- one registry, one loop, frozen games ------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(DYNAMICS))
def test_a_name_is_its_object_and_a_solve_plays_the_rounds_of_a_run(name):
    game = dg.AlignmentGame([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]], dg.GiniDiversity(1.5), beta=1.0)
    by_name, by_object = (
        dg.solve(game, method, max_steps=20, throw=False) for method in (name, DYNAMICS[name])
    )
    assert by_name.method == name
    assert by_name.status is by_object.status
    np.testing.assert_array_equal(by_name.policy, by_object.policy)
    if name != "newton":  # which climbs a ladder of strengths when it solves
        played = dg.run(game, dg.solvers.Mirror() if name == "mirror" else name, steps=20)
        if not hasattr(DYNAMICS[name], "target_share"):  # these record their average
            shown = len(by_name.history)
            np.testing.assert_allclose(played.values[:shown], by_name.history.values, rtol=1e-12)


@pytest.mark.parametrize("beta", [0.25, 4.0])
def test_a_step_means_the_same_to_solve_and_run_and_the_game(beta):
    """pi^{1 - eta beta} pi0^{eta beta} e^{eta u}."""
    game = dg.AlignmentGame([[0.5, 0.3, 0.2]], dg.GiniDiversity(1.5), beta=beta)
    for solver in (dg.solvers.Mirror(0.1), dg.solvers.Extragradient(0.1)):
        solved = dg.solve(game, solver, max_steps=3, throw=False).history.values
        played = dg.run(game, solver, 3).values
        np.testing.assert_allclose(solved, played[: len(solved)], rtol=1e-12)
    policy, mirror = game.reference, dg.run(game, dg.solvers.Mirror(0.1), 3)
    for _ in range(3):
        u = game.rewards(game.marginals(policy), game.marginals(policy))
        policy = game.policy_step(policy, u, 0.1)
    assert mirror.values[-1] == pytest.approx(float(game.value(policy)), rel=1e-12)


def test_what_has_no_rounds_says_so_in_one_sentence():
    game = dg.AlignmentGame([[0.5, 0.3, 0.2]], dg.Coherence(), beta=1.0)
    for name in METHODS:
        if name in ("auto", *DYNAMICS):
            continue
        with pytest.raises(dg.DagameError, match=f"'{name}' plays no rounds"):
            dg.run(game, name)
    with pytest.raises(dg.DagameError, match="did you mean 'frank_wolfe'"):
        dg.solve(game, "frank_wolf")


def test_pages_and_command_line_name_every_method():
    import runpy
    from pathlib import Path

    from typer.testing import CliRunner

    from dagame.apps.cli import app

    docs = Path(__file__).parents[2] / "docs"
    filled = runpy.run_path(str(docs / "hooks.py"))["filled"]
    choose, reference = (
        filled((docs / page).read_text(encoding="utf-8"))
        for page in ("choose.md", "reference/solvers.md")
    )
    for name in METHODS[1:]:
        assert f"| `{name}` | " in choose, name
    for solver in DYNAMICS.values():
        where = f"::: dagame.solvers.{type(solver).__name__}\n"
        assert where in reference, where
    shown = CliRunner().invoke(app, ["solve", "--help"], env={"COLUMNS": "400"}).output
    assert not [name for name in METHODS if name not in shown]


@pytest.mark.parametrize("name", sorted(DYNAMICS))
def test_states_keep_their_type_when_games_leave_the_batch(name, rng):
    """A batch whose first game is done at once is the loop of its games, in every field of the state."""
    from dagame.solvers.loop import rounds

    game = dg.AlignmentGame(
        rng.dirichlet(np.ones(4), (3, 2)), dg.LogSuccess([1, 1, 0, 0]), beta=1.0
    )
    played = rounds(game, DYNAMICS[name])
    for _ in range(3):
        whole = next(played)
    left = played.send(np.asarray([2]))
    alone = rounds(game.rows(np.asarray([2])), DYNAMICS[name])
    for _ in range(4):
        one = next(alone)
    assert type(left.state) is type(whole.state) is type(one.state)
    np.testing.assert_allclose(left.now.log_policy, one.now.log_policy, rtol=1e-9, atol=1e-9)
    for ours, theirs in zip(left.state or (), one.state or (), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


def test_a_game_is_frozen_and_other_forms_compute_anew():
    game = dg.AlignmentGame([[0.5, 0.3, 0.2]], dg.Coherence(2.0), beta=1.0)
    before = dg.certify(game, game.reference)
    for name in ("beta", "objective", "weights", "log_reference", "unknown"):
        with pytest.raises(AttributeError, match="a game does not change"):
            setattr(game, name, 5)
    with pytest.raises(AttributeError, match="a game does not change"):
        del game.beta
    assert dg.certify(game, game.reference).gap == before.gap
    assert game.unit is game
    other = game.with_objective(dg.ShannonDiversity(-0.5 + 1), beta=2.0)
    assert other.unit is not game
    assert other.unit.beta == 1
    assert game.with_objective(dg.Sharpening(0.5)).transfer == pytest.approx(0.5)
    assert game.transfer == 0


def test_a_plot_of_a_run_in_a_batch_shows_that_game(rng):
    game = random_game(rng, batch=(2, 2), answers=3, objective=dg.Coherence(2.0))
    history = dg.run(game, "mirror", 6)
    axes = history.plot(game=3).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), history.gaps[:, 1, 1])
