"""The dual in few multipliers: compiled and on arrays the same to rounding, also without a minimum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import random_reference
from dagame.numerics import fast
from dagame.objectives import dual
from tests.games import SEEDS

SETS = {
    "moment": lambda n: dg.Moment(np.arange(n), 0.6 * n, across=True),
    "moments": lambda n: dg.Moment(np.arange(n), 0.6 * n) & dg.Floor([0], 0.1, across=True),
    "parity": lambda n: dg.Parity(0.05, answers=[0, 1]),
    "equal": lambda n: dg.Quota([0], 0.3, across=True),
}


@pytest.fixture(autouse=True)
def needs_numba():
    """Both ways are compared."""
    pytest.importorskip("numba")


def on_both(solve):
    """What a function finds with the kernel and without."""
    found = []
    for loading in (0.0, np.inf):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast, "LOADING", loading)
            found.append(solve())
    return found


@pytest.mark.parametrize("kind", [*SETS, "worst"])
@settings(max_examples=8)
@given(SEEDS, st.booleans())
def test_multipliers_are_the_same(kind, seed, paid):
    rng = np.random.default_rng(seed)
    m, n = 3, 5
    table = random_reference(rng, (4, m, n), floor=1e-6, zeros=0.1)
    if kind == "worst":
        objective = dg.WorstCase(rng.normal(size=(4, 3, n)) if paid else rng.normal(size=(3, n)))
    else:
        objective = dg.HardConstraint(SETS[kind](n))
    objective = objective + dg.Reward(rng.normal(size=(4, m, n))) if paid else objective
    game = dg.AlignmentGame(table, objective, beta=0.5, weights=rng.dirichlet(np.ones(m), 4))
    ours, theirs = on_both(lambda: dg.solve(game, "dual", throw=False))
    assert list(ours.statuses) == list(theirs.statuses)
    solved = ours.solved
    np.testing.assert_allclose(ours.policy[solved], theirs.policy[solved], atol=1e-10)
    np.testing.assert_allclose(ours.value[solved], theirs.value[solved], rtol=1e-11, atol=1e-12)
    assert (ours.certificate.relative_gap[solved] <= 1e-10).all()
    assert ours.notes == theirs.notes


def test_sets_without_a_point_run_away_alike():
    table = np.array([[[0.5, 0.5, 0.0]], [[0.2, 0.3, 0.5]]])
    chosen = dg.Moment([0.0, 1.0, 2.0], -0.5) & dg.Moment([1.0, 1.0, 0.0], 0.9)
    game = dg.AlignmentGame(table, dg.HardConstraint(chosen), beta=1.0)
    ours, theirs = on_both(lambda: dg.solve(game, throw=False))
    assert set(ours.statuses) == {dg.Status.INFEASIBLE}
    assert list(ours.statuses) == list(theirs.statuses)
    assert ours.notes == theirs.notes


def test_many_rows_are_left_to_matrix_products(rng):
    rows = rng.normal(size=(33, 4))
    game = dg.AlignmentGame(rng.dirichlet(np.ones(4), 2), dg.WorstCase(rows), beta=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "LOADING", 0.0)
        patch.setattr(dual.KERNEL, "run", None)
        assert dg.solve(game).solved
