"""Sets, projections and multipliers, against cvxpy, scipy and definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import dagame as dg
from dagame.errors import Infeasible
from dagame.games.library import random_game
from dagame.numerics.simplex import kl
from dagame.objectives import Intersection
from tests.games import SEEDS

SETS = {
    "cap": lambda n: dg.Cap([0, 1], 0.15),
    "floor": lambda n: dg.Floor([n - 1], 0.3),
    "quota": lambda n: dg.Quota([[0], [1, 2]], [0.4, 0.35]),
    "cap and floor": lambda n: dg.Cap([0], 0.1) & dg.Floor([1], 0.2),
    "moment": lambda n: dg.Moment(np.arange(n), 0.8),
    "moment across": lambda n: dg.Moment(np.arange(n), 1.0, across=True),
    "parity": lambda n: dg.Parity(0.05, answers=[0, 1]),
    "parity exact": lambda n: dg.Parity(0.0),
    "parity together": lambda n: dg.Parity(0.1, answers=[0, 1], together=True),
    "polytope": lambda n: dg.Polytope(np.eye(n)[:2], [0.3, 0.4]),
}


@pytest.mark.parametrize("name", SETS)
@given(SEEDS)
def test_hard_constraints_hold_and_are_certified(name, seed):
    rng = np.random.default_rng(seed)
    game = random_game(
        rng,
        contexts=3,
        answers=5,
        zeros=0.0,
        floor=1e-9,
        objective=dg.HardConstraint(SETS[name](5)),
    )
    solution = dg.solve(game)
    assert solution.method == "dual"
    assert solution.gap <= 1e-9 * max(1, abs(float(solution.value)))
    assert solution.certificate.violation <= 1e-9
    y, form = solution.multipliers, game.objective.dual_form(game.log_reference, game.weights)
    assert (y[np.asarray(form.positive)] >= 0).all()
    np.testing.assert_allclose(
        solution.rewards, np.einsum("r,rxz->xz", y, form.rows), atol=1e-9 * max(1, np.abs(y).max())
    )
    tilted = game.reference * np.exp(solution.rewards / game.beta)
    np.testing.assert_allclose(solution.policy, tilted / tilted.sum(-1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_hard_and_soft_against_cvxpy(name, rng):
    for objective in (dg.HardConstraint(SETS[name](5)), dg.SoftConstraint(SETS[name](5), 2.0)):
        game = random_game(
            rng, contexts=3, answers=5, zeros=0.0, floor=1e-5, objective=objective, beta=0.7
        )
        ours, theirs = dg.solve(game), dg.solve(game, "convex", throw=False)
        np.testing.assert_allclose(theirs.value, ours.value, atol=2e-7)


@pytest.mark.parametrize("name", SETS)
def test_soft_projection_is_the_least_divergence(name, rng):
    """The projection, over random points of the set found by scipy."""
    phi = dg.SoftConstraint(SETS[name](5), 1.0)
    w, nu = np.array([0.2, 0.3, 0.5]), rng.dirichlet(np.ones(5), 3)
    q = np.exp(phi.projection_log(np.log(nu), w))
    rows = phi.set.rows(3, 5, w)
    slack = (rows.matrix * q).sum((1, 2)) - rows.bound
    assert (slack[~rows.equal] <= 1e-9).all()
    np.testing.assert_allclose(slack[rows.equal], 0, atol=1e-9)
    np.testing.assert_allclose(q.sum(-1), 1)
    constraints = [{"type": "eq", "fun": lambda v: v.reshape(3, 5).sum(-1) - 1}]
    for kind, chosen in (("ineq", ~rows.equal), ("eq", rows.equal)):
        if chosen.any():
            g, h = rows.matrix[chosen].reshape(-1, 15), rows.bound[chosen]
            constraints.append({"type": kind, "fun": lambda v, g=g, h=h: h - g @ v})
    found = minimize(
        lambda v: -(w[:, None] * nu * np.log(np.maximum(v.reshape(3, 5), 1e-12))).sum(),
        q.ravel() * 0.9 + 0.1 / 5,
        bounds=[(1e-9, 1)] * 15,
        constraints=constraints,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    ours = -(w[:, None] * nu * np.log(q)).sum()
    assert ours <= found.fun + 1e-6
    np.testing.assert_allclose(phi.value(nu, w), -(kl(nu, q) * w).sum(), atol=1e-10)


@given(SEEDS, st.floats(0.01, 100))
def test_soft_becomes_hard(seed, scale):
    rng = np.random.default_rng(seed)
    hard = random_game(rng, zeros=0.0, objective=dg.HardConstraint(dg.Cap([0], 0.2)))
    soft = dg.solve(hard.with_objective(dg.SoftConstraint(dg.Cap([0], 0.2), 1e4 * scale)))
    best = dg.solve(hard)
    assert soft.value >= best.value - 1e-9
    np.testing.assert_allclose(soft.value, best.value, atol=0.05)
    assert soft.marginals[..., 0].max() <= 0.2 + 0.05


def test_a_cap_of_zero_takes_the_mass_out():
    game = dg.AlignmentGame(
        [[0.5, 0.3, 0.2]], dg.HardConstraint(dg.Cap([0], 0.0)) + dg.Reward([5.0, 0, 0]), beta=1.0
    )
    solution = dg.solve(game)
    np.testing.assert_allclose(solution.marginals, [[0, 0.6, 0.4]])
    assert solution.gap < 1e-12
    assert solution.rewards[0, 0] == -np.inf


def test_clashing_constraints_are_named():
    reference = [[[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]], [[0.2, 0.3, 0.5], [0.2, 0.3, 0.5]]]
    clash = dg.HardConstraint(dg.Cap([0, 1], 0.6) & dg.Floor([0], 0.1))
    solution = dg.solve(dg.AlignmentGame(reference, clash, beta=1.0))
    assert [s.name for s in solution.statuses] == ["INFEASIBLE", "SOLVED"]
    assert solution.notes == ("game 0: clash of cap 0.6 in context 0",)
    assert solution.value[0] == -np.inf


def test_a_clash_across_contexts_is_named_whatever_rows_are_beside_it():
    clash = dg.Cap([0, 1, 2], 0.2, across=True) & dg.Quota([[0, 2]], [0.6])
    beside = dg.Moment([-0.9, -0.7, -0.9, 0.3], 0.2)
    game = dg.AlignmentGame(np.full((2, 4), 0.25), dg.HardConstraint(clash & beside), beta=1.0)
    solution = dg.solve(game, throw=False)
    assert solution.status.name == "INFEASIBLE"
    assert "cap 0.2 across contexts" in solution.notes[0]
    assert "quota 0.6" in solution.notes[0]


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("beta", [1e-3, 1.0])
def test_an_answer_of_next_to_no_mass_is_raised_to_a_bound(backend, beta):
    """A quota leaves the ratios within its group as the reference has them."""
    reference = np.array([[1e-17, 0.3, 0.7]])
    if backend == "torch":
        reference = pytest.importorskip("torch").tensor(reference)
    slack = dg.Moment([0.1, 0.2, 0.3], 1.0)
    hard = dg.HardConstraint(dg.Quota([[1, 2]], [0.2]) & slack)
    solution = dg.solve(dg.AlignmentGame(reference, hard, beta=beta))
    np.testing.assert_allclose(solution.marginals, [[0.8, 0.06, 0.14]], rtol=1e-9)


@pytest.mark.parametrize("beta", [1e-29, 1e-20, 1.0, 1e11])
def test_a_row_that_always_holds_changes_nothing_at_any_beta(beta):
    floor = dg.Floor([0], 0.9)
    slack = dg.Moment([-0.4, 0.07, -0.01], 0.2)
    reference = [[0.1, 0.8, 0.1], [0.3, 0.5, 0.2]]
    game = dg.AlignmentGame(reference, dg.HardConstraint(floor & slack), beta=beta)
    np.testing.assert_allclose(
        dg.solve(game).marginals,
        [[0.9, 0.1 * 8 / 9, 0.1 / 9], [0.9, 0.1 * 5 / 7, 0.1 * 2 / 7]],
        rtol=1e-9,
    )


def test_constraints_with_rewards_and_diversity(rng):
    objective = (
        dg.HardConstraint(dg.Cap([1], 0.1))
        + dg.Reward(rng.normal(size=4))
        + 0.5 * dg.ShannonDiversity()
    )
    game = random_game(rng, contexts=2, answers=4, zeros=0.0, objective=objective)
    ours, theirs = dg.solve(game), dg.solve(game, "convex", throw=False)
    assert ours.method == "dual"
    np.testing.assert_allclose(theirs.value, ours.value, atol=1e-7)


def test_constraints_on_a_channel(rng):
    game = random_game(
        rng,
        contexts=2,
        answers=3,
        traces=6,
        channel=True,
        zeros=0.0,
        objective=dg.HardConstraint(dg.Cap([0], 0.3)),
    )
    solution = dg.solve(game)
    assert solution.gap < 1e-10
    assert solution.marginals[..., 0].max() <= 0.3 + 1e-9
    np.testing.assert_allclose(
        dg.solve(game, "convex", throw=False).value, solution.value, atol=1e-7
    )


def test_the_frontier_of_a_cap_has_the_multiplier_as_its_slope():
    """Envelope theorem: dJ*/d limit = multiplier."""
    reference = np.array([[0.5, 0.3, 0.2]])

    def at(limit):
        return dg.solve(
            dg.AlignmentGame(reference, dg.HardConstraint(dg.Cap([0], limit)), beta=1.0)
        )

    h = 1e-4
    slope = (at(0.2 + h).value - at(0.2 - h).value) / (2 * h)
    np.testing.assert_allclose(at(0.2).multipliers, [slope], rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dg.Cap([0], 1.5), "limit is 1.5"),
        (lambda: dg.Quota([[0], [1]], [0.5]), "2 sets but 1 shares"),
        (lambda: dg.HardConstraint("cap"), "is not a set"),
        (lambda: dg.HardConstraint(dg.Cap([7], 0.1)), "outside 0..2"),
        (lambda: dg.HardConstraint(dg.Cap([0.5], 0.1)), "indices or a boolean mask"),
        (lambda: dg.HardConstraint(dg.Cap([True, False], 0.1)), "the mask has shape"),
        (lambda: dg.HardConstraint(dg.Moment([1.0], 0.1)), "values have shape"),
        (lambda: dg.HardConstraint(dg.Polytope(np.eye(2), [1, 1])), "matrix has shape"),
        (lambda: dg.SoftConstraint(dg.Polytope(np.eye(3), [1]), 1.0), "bound has shape"),
        (
            lambda: dg.HardConstraint(dg.Cap([0], 0.5)) + dg.WorstCase(np.eye(3)),
            "one term with mult",
        ),
    ],
)
def test_sets_that_do_not_fit(make, message):
    with pytest.raises(dg.DagameError, match=message):
        dg.AlignmentGame([[0.2, 0.3, 0.5]], make(), beta=1.0)


def test_intersections_flatten():
    three = dg.Cap([0], 0.1) & dg.Floor([1], 0.2) & dg.Parity(0.1)
    assert isinstance(three, Intersection)
    assert len(three.parts()) == 3
    assert three.groups(4) is None
    same = (dg.Cap([0], 0.5) & dg.Floor([0], 0.2)).groups(3)
    assert (same.low[0], same.high[0]) == (0.2, 0.5)


# -- sets without a point ---------------------------------------------------------------------------

_HALF = [[0.4, 0.3, 0.3], [0.4, 0.3, 0.3]]


def _uneven(cap):
    """The mean of nu(0) at most `cap`, that of the first context alone at least 0.9."""
    return dg.Cap([0], cap, across=True) & dg.Polytope([[[-1, 0, 0], [0, 0, 0]]], [-0.9])


@pytest.mark.parametrize("kind", [dg.HardConstraint, dg.SoftConstraint])
def test_a_set_across_contexts_is_empty_or_not_by_the_weights_of_the_game(kind):
    """The least mean is 0.9 w_0, at nu_1(0) = 0."""
    full = dg.AlignmentGame(_HALF, kind(_uneven(0.3)), beta=1.0, weights=[0.1, 0.9])
    assert np.isfinite(dg.solve(full).value)
    if kind is dg.SoftConstraint:
        with pytest.raises(Infeasible, match=r"cap 0\.45 across contexts, row 0"):
            dg.AlignmentGame(_HALF, kind(_uneven(0.45)), beta=1.0, weights=[0.9, 0.1])
        with pytest.raises(Infeasible):
            dg.AlignmentGame(
                _HALF, dg.Reward([0.0, 1, 2]), beta=1.0, weights=[0.9, 0.1]
            ).with_objective(kind(_uneven(0.45)))
    each = dg.AlignmentGame(
        [_HALF, _HALF], kind(_uneven(0.45)), beta=1.0, weights=[[0.9, 0.1], [0.1, 0.9]]
    )
    solution = dg.solve(each, throw=False)
    assert [s.name for s in solution.statuses] == ["INFEASIBLE", "SOLVED"]
    assert solution.value[0] == -np.inf


@pytest.mark.parametrize(
    ("sets", "empty"),
    [
        (dg.Quota([[0], [1]], [0.5, 0.6]), True),
        (dg.Cap([0], 0.5) & dg.Cap([1, 2], 0.4), True),
        (dg.Cap([0], 0.5) & dg.Cap([1, 2], 0.5), False),
        (dg.Floor([0], 0.4) & dg.Cap([0], 0.3), True),
        (dg.Quota([[0], [1], [2]], [0.1, 0.2, 0.7]), False),
    ],
)
def test_groups_of_answers_are_empty_by_their_sums(sets, empty, monkeypatch):
    """The linear program runs only to name the rows of a set that is empty."""
    from dagame.objectives import soft

    calls = []
    real = soft.clashing
    monkeypatch.setattr(soft, "clashing", lambda *a: calls.append(a) or real(*a))
    if empty:
        with pytest.raises(Infeasible, match="no marginals meet"):
            dg.AlignmentGame(_HALF, dg.SoftConstraint(sets), beta=1.0)
    else:
        dg.AlignmentGame(_HALF, dg.SoftConstraint(sets), beta=1.0)
    assert len(calls) == empty


@pytest.mark.parametrize("shut", [dg.Quota([0], 0.0), dg.Polytope([[-1.0, 0, 0]], [0.0], True)])
def test_a_soft_set_gives_an_answer_without_mass_exactly_none(shut):
    found = [
        dg.solve(dg.AlignmentGame(_HALF, dg.SoftConstraint(s & moment), beta=1.0))
        for moment in [dg.Moment([0.0, 1, 2], 1.2)]
        for s in (shut, dg.Cap([0], 0.0))
    ]
    assert (found[0].policy[:, 0] == 0).all()
    assert found[0].value == pytest.approx(found[1].value, abs=1e-12)
    assert dg.certify(found[0].game, np.array(_HALF)).value == -np.inf


def test_a_projection_of_many_batch_axes_is_that_of_each(rng):
    weights = rng.dirichlet(np.ones(2), (2, 3))
    log_nu = np.log(rng.dirichlet(np.ones(4), (5, 2, 3, 2)))
    chosen = dg.HardConstraint(dg.Moment(np.arange(4.0), 1.0, across=True))
    whole = chosen.project(log_nu, weights)
    for place in np.ndindex(5, 2, 3):
        alone = chosen.project(log_nu[place], weights[place[1:]])
        np.testing.assert_allclose(np.exp(whole[place]), np.exp(alone), atol=1e-12)
