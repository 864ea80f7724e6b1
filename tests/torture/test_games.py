"""Games at the edge of float64: a right answer with its certificate, an honest status, or one error."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from budget import scale, settings
from hostile_games import DOMAINS, TOLERANCE, check, specs
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import DagameError, Infeasible, InvalidDistribution, InvalidGame, NotConcave
from dagame.numerics.arrays import solve as solve_all
from dagame.objectives.catalogue import CATALOGUE
from dagame.solvers import DYNAMICS, METHODS
from tests.kinds import HOSTILE, ROWS, made, those

pytestmark = pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
ROOT = Path(__file__).parents[2]


def _solved_or_refused(spec, method="auto", **options):
    """The solution, or None where the game is refused for being neither concave nor explicit."""
    try:
        return dg.solve(spec.game(), method, throw=False, **options)
    except NotConcave:
        return None


@settings(80)
@given(specs())
def test_hostile_games_end_in_a_certificate_or_a_status(spec):
    kept = spec.reference.copy(), spec.weights.copy()
    solution = _solved_or_refused(spec, max_steps=300)
    np.testing.assert_array_equal(spec.reference, kept[0])
    np.testing.assert_array_equal(spec.weights, kept[1])
    if solution is not None:
        check(spec, solution)


@settings(30)
@given(specs(strengths=(1e-3, 0.1, 1.0, 10.0, 1e3), betas=(0.1, 1.0, 10.0), small=(1e-12, 1e-9)))
def test_games_without_extremes_are_all_solved(spec):
    solution = _solved_or_refused(spec)
    if solution is None:
        assert spec.objective.curvature <= -spec.beta
        return
    check(spec, solution)
    assert solution.status in (dg.Status.SOLVED, dg.Status.INFEASIBLE)


@settings(60)
@given(specs(widths=(1, 2, 3)), st.sampled_from(sorted(METHODS)))
def test_every_method_ends_honestly(spec, method):
    try:
        solution = dg.solve(spec.game(), method, throw=False, max_steps=60)
    except DagameError:
        return
    if method == "convex":  # the referee says infeasible by its own tolerance
        assert solution.status is not dg.Status.SOLVED or solution.certificate.relative_gap <= 1e-6
        return
    if solution.status is dg.Status.SOLVED:
        check(spec, solution)
    assert not np.isnan(solution.policy).any()


@settings(40)
@given(specs(widths=(1, 2, 3), small=(0.0, 1e-300, 1e-12)), st.sampled_from(sorted(DYNAMICS)))
def test_dynamics_keep_distributions(spec, dynamic):
    try:
        history = dg.run(spec.game(), dynamic, 8)
    except DagameError:
        return
    if np.isfinite(history.values).all():
        assert not np.isnan(history.marginals).any()
        assert np.abs(history.marginals.sum(-1) - 1).max() < 1e-9


@settings(40)
@given(specs(), st.integers(0, 2**32 - 1))
def test_certificates_of_arbitrary_policies_bound_the_solution(spec, seed):
    solution = _solved_or_refused(spec, max_steps=300)
    if solution is None or solution.status is not dg.Status.SOLVED:
        return
    game, rng = solution.game, np.random.default_rng(seed)
    policy = np.where(spec.reference > 0, rng.dirichlet(np.ones(game.n), game.contexts), 0)
    policy[policy.sum(-1) == 0] = spec.reference[policy.sum(-1) == 0]
    proof = dg.certify(game, policy / policy.sum(-1, keepdims=True))
    best = solution.certificate
    size = 1 + abs(best.value) + spec.beta + spec.objective.magnitude
    assert not np.isnan([proof.value, proof.gap, proof.upper_bound]).any()
    assert proof.upper_bound >= best.value - 1e-12 * size
    if np.all(proof.violation == 0):
        assert proof.value <= best.upper_bound + 1e-12 * size


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_vanishing_strength_leaves_the_reference(kind):
    if kind in ("large reward", "sum", "difference") or kind in DOMAINS:
        pytest.skip("has terms of its own strength")
    rng = np.random.default_rng(0)
    reference = rng.dirichlet(np.ones(5), 3)
    for strength in (0.0, 1e-300, 5e-324):
        game = dg.AlignmentGame(reference, HOSTILE[kind](strength, rng, 3, 5), beta=1.0)
        moved = np.abs(dg.solve(game).policy - reference).max()
        assert moved < 1e-12


# -- one bad game among good ones -------------------------------------------------------------------

_BAD = {
    "denormals": [[5e-324, 1.0, 5e-324, 5e-324], [1.0, 5e-324, 5e-324, 5e-324]],
    "disjoint": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
    "powers": [[1e-300, 1e-100, 1.0, 1e-200], [1.0, 1e-300, 1e-9, 1e-30]],
}


@pytest.mark.parametrize("bad", sorted(_BAD))
@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_bad_game_leaves_the_others_of_its_batch_alone(kind, bad):
    rng = np.random.default_rng(3)
    good = rng.dirichlet(np.ones(4), (3, 2))
    objective = HOSTILE[kind](0.5, rng, 2, 4)
    options = {"throw": False, "max_steps": 200}
    alone = dg.solve(dg.AlignmentGame(good, objective, beta=1.0), **options)
    mixed = np.concatenate([good[:1], [_BAD[bad]], good[1:]])
    together = dg.solve(dg.AlignmentGame(mixed, objective, beta=1.0), **options)
    assert (alone.statuses == dg.Status.SOLVED).all()
    assert (together.statuses[[0, 2, 3]] == dg.Status.SOLVED).all()
    np.testing.assert_allclose(together.policy[[0, 2, 3]], alone.policy, rtol=0, atol=1e-9)
    assert not np.isnan(together.policy).any()
    assert not np.isnan(together.certificate.gap).any()


# -- sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["coherence", "geometric", "hard-coherence", "shannon", "sum"])
@pytest.mark.parametrize(("m", "n"), [(5000, 3), (2, 20000), (1, 1)])
def test_thousands_of_contexts_or_answers(kind, m, n):
    if (kind, m) == ("geometric", 5000) or (kind, m) == ("sum", 5000):
        m = 500  # blocks of m x m per answer
    rng = np.random.default_rng(1)
    reference = rng.dirichlet(np.ones(n), m)
    if n > 1:
        reference[0, 1:2] = 0
        reference /= reference.sum(-1, keepdims=True)
    game = dg.AlignmentGame(reference, HOSTILE[kind](1.0, rng, m, n), beta=1.0)
    solution = dg.solve(game, max_steps=300)
    assert solution.certificate.relative_gap <= TOLERANCE
    if kind in ("geometric", "hard-coherence") and n == 3:
        assert solution.policy[:, 1].max() < (1e-300 if kind == "hard-coherence" else 1)


@pytest.mark.parametrize(
    "objective", [dg.HardCoherence(), dg.Coherence(1.0, "geometric")], ids=repr
)
def test_an_answer_that_a_context_of_little_weight_lacks_is_no_common_answer(objective):
    reference = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    weights = [1e-7, 1 - 2e-7, 1e-7]
    game = dg.AlignmentGame(reference, objective, beta=1.0, weights=weights)
    assert dg.solve(game, throw=False).status is dg.Status.INFEASIBLE


# -- input ------------------------------------------------------------------------------------------

_GOOD = np.array([[0.5, 0.25, 0.25], [0.125, 0.375, 0.5]])


@pytest.mark.parametrize(
    "same",
    [
        _GOOD.tolist(),
        np.asfortranarray(_GOOD),
        np.repeat(_GOOD, 2, axis=1)[:, ::2],
        _GOOD.astype(">f8"),
        _GOOD.astype(object),
        _GOOD.astype(np.longdouble),
        _GOOD.astype(np.float16),
        np.array(_GOOD),
    ],
    ids=["list", "fortran", "strided", "big-endian", "object", "long double", "half", "read-only"],
)
def test_layouts_and_dtypes_of_the_same_numbers(same):
    if isinstance(same, np.ndarray):
        same.flags.writeable = False
    expected = dg.solve(dg.AlignmentGame(_GOOD, dg.Coherence(), beta=1.0))
    found = dg.solve(dg.AlignmentGame(same, dg.Coherence(), beta=1.0))
    np.testing.assert_array_equal(found.policy, expected.policy)
    assert found.policy.dtype == np.float64


def test_integers_and_single_precision():
    point = dg.solve(dg.AlignmentGame(np.eye(3, dtype=int), dg.GiniDiversity(), beta=1))
    np.testing.assert_array_equal(point.policy, np.eye(3))
    single = dg.AlignmentGame(_GOOD.astype(np.float32), dg.Coherence(), beta=1.0)
    assert dg.solve(single).policy.dtype == np.float32


_NUMBERS = [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300, 1e-10, 1e13, "1", None, 1j]


@pytest.mark.parametrize("beta", _NUMBERS, ids=str)
def test_a_beta_that_float64_cannot_hold_is_refused(beta):
    game = dg.AlignmentGame(_GOOD, dg.Coherence(), beta=1.0)
    with pytest.raises(InvalidGame, match="beta is"):
        dg.AlignmentGame(_GOOD, dg.Coherence(), beta=beta)
    if beta is not None:
        with pytest.raises(InvalidGame, match="beta is"):
            game.with_objective(dg.Coherence(), beta=beta)


@pytest.mark.parametrize("strength", [math.nan, math.inf, -1.0, "1", None, 1j], ids=str)
@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_strength_that_is_no_number_is_refused(kind, strength):
    if "hard" in kind:
        pytest.skip("has no strength")
    rng = np.random.default_rng(0)
    if kind in ("reward", "large reward", "sum", "multiple") and strength in (-1.0, None, "1", 1j):
        return
    with pytest.raises(DagameError):
        dg.AlignmentGame(_GOOD, HOSTILE[kind](strength, rng, 2, 3), beta=1.0)


STRONG = {name: ROWS[name] for name, kind in CATALOGUE.items() if kind.strengths is not None}
SIZED = [
    *(lambda s, name=name: made(name, s, 2, 3) for name in STRONG),
    *(lambda s, name=name: s * made(name, 1.0, 2, 3) for name in STRONG),
    *(
        lambda s, name=name: s * made(name, 1.0, 2, 3) + dg.HardCoherence()
        for name in those(lambda phi: not phi.has_multipliers, STRONG)
    ),
    lambda s: dg.Reward([0, -s, 1]),
    lambda s: dg.WorstCase([[0, s, 1]]),
    lambda s: dg.HardConstraint(dg.Moment([0, s, 1], 1.0)),
    lambda s: dg.HardConstraint(dg.Moment([0, 1 / s, 0], 1.0)),
]
"""Strengths, factors of a sum, and numbers of tables."""


@pytest.mark.parametrize("size", [1.1e9, 1e300], ids=str)
@pytest.mark.parametrize("make", SIZED)
def test_sizes_beyond_float64_are_refused(make, size):
    with pytest.raises(InvalidGame, match=r"1e\+09"):
        dg.AlignmentGame(_GOOD, make(size), beta=1.0)


def test_sizes_beyond_float32_are_refused():
    with pytest.raises(InvalidGame, match="10000"):
        dg.AlignmentGame(_GOOD.astype(np.float32), 2e4 * dg.GiniDiversity(), beta=1.0)


@pytest.mark.parametrize(
    "reference",
    [
        [0.5, 0.5],
        [[[]]],
        np.zeros((0, 2, 3)),
        [[0.5, 0.5], [1.0]],
        [["a", "b"]],
        [[0.5, None]],
        [[10**400, 1]],
        [[0.5 + 0j, 0.5]],
        [[math.nan, 1]],
        [[math.inf, 0]],
        [[-0.5, 1.5]],
        [[0.0, 0.0]],
        [[0.5, 0.49]],
        np.datetime64("2020-01-01"),
        "a table",
        None,
        {},
    ],
    ids=lambda r: str(r)[:40],
)
def test_references_that_are_none(reference):
    with pytest.raises((InvalidGame, InvalidDistribution)):
        dg.AlignmentGame(reference, dg.Coherence(), beta=1.0)


@pytest.mark.parametrize(
    "weights",
    [
        [0, 1],
        [-1, 2],
        [math.nan, 1],
        [math.inf, 1],
        [1e300, 1e300],
        [1.0],
        [0.5, 0.6],
        "a",
        [[1], 2],
    ],
    ids=str,
)
def test_weights_that_are_none(weights):
    with pytest.raises(DagameError):
        dg.AlignmentGame(_GOOD, dg.Coherence(), beta=1.0, weights=weights)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_tables_must_be_finite(value):
    for make in (dg.Reward, dg.WorstCase, dg.LogSuccess, lambda t: dg.PassAtK(t, 2)):
        with pytest.raises(DagameError):
            make([0.0, value, 1.0])


@pytest.mark.parametrize(
    "empty",
    [
        dg.Cap([0, 1, 2], 0.2),
        dg.Floor([0], 0.8) & dg.Floor([1], 0.8),
        dg.Moment([1.0, 2.0, 3.0], 0.5),
        dg.Quota([0], 0.3) & dg.Quota([0], 0.4),
    ],
    ids=repr,
)
def test_an_empty_set_has_no_distance_and_no_policy(empty):
    with pytest.raises(Infeasible, match="no marginals meet"):
        dg.AlignmentGame(_GOOD, dg.SoftConstraint(empty), beta=1.0)
    game = dg.AlignmentGame(_GOOD, dg.HardConstraint(empty), beta=1.0)
    solution = dg.solve(game, throw=False)
    assert solution.status is dg.Status.INFEASIBLE
    assert "clash" in solution.notes[0]


# -- regressions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1e-9, 1e-6, 1e-3])
def test_a_small_cap_is_priced_to_the_last_digit(limit):
    """nu* caps the answer and scales the rest: J* = -KL of the two-point distributions."""
    solution = dg.solve(
        dg.AlignmentGame([[0.7, 0.3]], dg.HardConstraint(dg.Cap([1], limit)), beta=1)
    )
    best = -(limit * math.log(limit / 0.3) + (1 - limit) * math.log((1 - limit) / 0.7))
    assert solution.value == pytest.approx(best, abs=1e-12)
    assert solution.multipliers[0] == pytest.approx(
        math.log((1 - limit) * 0.3 / limit / 0.7), rel=1e-4
    )


_RESTS = {
    "cap": (dg.Cap([1], 0.05), dg.Cap([0], 0.05)),
    "floor": (dg.Floor([1], 0.7), dg.Floor([0], 0.7)),
    "moment": (dg.Moment([0.0, 1.0, 2.0], 1.2), dg.Moment([1.0, 2.0], 1.2)),
    "parity": (dg.Parity(0.05), dg.Parity(0.05)),
}


@pytest.mark.parametrize("kind", [dg.HardConstraint, dg.SoftConstraint])
@pytest.mark.parametrize("rest", sorted(_RESTS))
@pytest.mark.parametrize("m", [1, 2])
def test_a_cap_of_zero_beside_another_row_is_the_game_without_the_answer(kind, rest, m):
    """J* = J* of the game on the answers left + beta sum_x w_x log of their mass in the reference."""
    reference = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])[:m]
    whole, part = _RESTS[rest]
    left = reference[:, 1:].sum(-1, keepdims=True)
    small = dg.solve(dg.AlignmentGame(reference[:, 1:] / left, kind(part), beta=1.0))
    game = dg.AlignmentGame(reference, kind(dg.Cap([0], 0.0) & whole), beta=1.0)
    solution = dg.solve(game)
    assert solution.value == pytest.approx(small.value + np.log(left).mean(), abs=1e-9)
    np.testing.assert_allclose(solution.policy[:, 1:], small.policy, rtol=0, atol=1e-7)
    on_it = dg.certify(game, reference)
    assert on_it.value <= solution.value + 1e-9
    assert on_it.upper_bound >= solution.value - 1e-9


@pytest.mark.parametrize("kind", [dg.HardConstraint, dg.SoftConstraint])
@pytest.mark.parametrize(
    "idle", [dg.Floor([0], 0.0), dg.Parity(0.0), dg.Moment([1.0, 0.0, 0.0], 0.0)], ids=repr
)
def test_a_row_without_a_slope_leaves_the_others_theirs(kind, idle):
    reference, cap = [[0.0, 0.6, 0.4]], dg.Cap([1], 0.05)
    alone = dg.solve(dg.AlignmentGame(reference, kind(cap), beta=1.0))
    both = dg.solve(dg.AlignmentGame(reference, kind(idle & cap), beta=1.0))
    assert both.value == pytest.approx(alone.value, abs=1e-9)
    np.testing.assert_allclose(both.policy, alone.policy, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", [dg.HardConstraint, dg.SoftConstraint])
@pytest.mark.parametrize(
    "thin",
    [
        dg.Cap([0], 0.3) & dg.Floor([0], 0.3),
        dg.Cap([0], 0.3, across=True) & dg.Floor([0], 0.3, across=True),
        dg.Moment([0.0, 1.0, 2.0], 0.9) & dg.Moment([-0.0, -1.0, -2.0], -0.9),
    ],
    ids=lambda s: type(s.sets[0]).__name__,
)
def test_opposite_rows_are_an_equality(kind, thin):
    """As Polytope(equal=True) on the same rows, from which J* must not differ by a digit."""
    reference, weights = [[0.5, 0.3, 0.2], [0.25, 0.5, 0.25]], np.array([0.25, 0.75])
    rows = thin.rows(2, 3, weights)
    half = slice(0, len(rows.bound) // 2)
    same = dg.Polytope(rows.matrix[half], rows.bound[half], equal=True)
    games = [dg.AlignmentGame(reference, kind(s), beta=1.0, weights=weights) for s in (thin, same)]
    found = [dg.solve(game) for game in games]
    assert found[0].value == pytest.approx(found[1].value, abs=1e-12)
    np.testing.assert_allclose(found[0].policy, found[1].policy, rtol=0, atol=1e-9)
    assert abs(found[0].gap) <= 1e-12


def test_a_row_that_every_policy_meets_has_no_price():
    """Nor does it, by a multiplier of 1e11 that cancels, hide what the others are off by."""
    game = dg.AlignmentGame(
        np.ones((5, 1)), dg.HardConstraint(dg.Cap([0], 1.0) & dg.Moment([0.0], 1.2)), beta=1e-6
    )
    y = dg.solve(game).multipliers
    assert y.max() < 1e-10


def test_rows_that_vanish_at_weights_zero_are_not_opposite():
    pair = dg.Cap([0], 0.3, across=True) & dg.Floor([1], 0.3, across=True)
    assert not pair.rows(2, 3, np.zeros(2)).equal.any()


def test_a_singular_matrix_moves_nothing_that_has_no_curvature():
    a = np.stack([np.diag([2.0, 0, 0, 0]), np.diag([2.0, 4, 4, 4]), np.zeros((4, 4))])
    found = solve_all(a, np.ones((3, 4, 1)))[..., 0]
    np.testing.assert_allclose(
        found, [[0.5, 0, 0, 0], [0.5, 0.25, 0.25, 0.25], [0, 0, 0, 0]], atol=1e-9
    )


def test_the_value_of_another_iterate_does_not_widen_the_tolerance():
    rng = np.random.default_rng(1)
    for _ in range(scale(10)):
        reference = np.where(rng.random((5, 20)) < 0.5, 0, rng.dirichlet(np.full(20, 0.5), 5))
        reference[:, 0] += 1e-3
        game = dg.AlignmentGame(
            reference / reference.sum(-1, keepdims=True), dg.PairwiseCoherence(1e9), beta=1.0
        )
        solution = dg.solve(game, throw=False)
        if solution.status is dg.Status.SOLVED:
            assert solution.certificate.relative_gap <= TOLERANCE


def test_the_slice_of_ten_thousand_games(tmp_path):
    place = ROOT / "benchmarks" / "ten_thousand.py"
    module = importlib.util.module_from_spec(
        loaded := importlib.util.spec_from_file_location("ten_thousand", place)
    )
    loaded.loader.exec_module(module)
    module.main(["--games", "50", "--worst", "50", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["solved"] + found["infeasible"] == found["games"] >= 50
    assert found["largest relative gap"] <= TOLERANCE
    assert found["certificates below the true gap"] == 0
    assert found["worst checked"] == 50
    assert found["largest difference of values, relative"] < 1e-12
