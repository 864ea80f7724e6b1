"""Compiled Newton: its functions are the objectives', its optima those of the rounds on arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import random_reference
from dagame.numerics import fast
from dagame.objectives import Generator
from dagame.solvers import smooth
from tests.games import SEEDS
from tests.kinds import made, those


def concave_and_stated(phi):
    """A smooth form with more than rewards in it."""
    form = phi.smooth_form()
    return phi.concave is True and form is not None and bool(form.terms)


KINDS = those(concave_and_stated)
DIRECT = those(lambda phi: concave_and_stated(phi) and phi.exponential_form() is not None)
"""Kinds that another method than Newton's is chosen for."""


@pytest.fixture(autouse=True)
def kernel(monkeypatch):
    """The compiled kernel from the first game on."""
    pytest.importorskip("numba")
    monkeypatch.setattr(fast, "LOADING", 0.0)


def game_of(seed, kind, strength, m=3, n=6, batch=(2,), floor=1e-12):
    """References with zeros, weights and, every other time, rewards."""
    rng = np.random.default_rng(seed)
    table = random_reference(rng, (*batch, m, n), floor=floor, zeros=0.2)
    objective = made(kind, strength, m, n, seed)
    if seed % 2:
        objective = objective + dg.Reward(rng.normal(size=(*batch, m, n)))
    return dg.AlignmentGame(table, objective, beta=0.7, weights=rng.dirichlet(np.ones(m)))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(SEEDS, st.floats(-2, 2))
def test_values_rewards_and_optima_are_those_of_the_objective(kind, seed, size):
    inner = game_of(seed, kind, 10**size).solved_form
    found = smooth.smooth_solve(inner, 1e-11)
    now, at = inner.evaluate(found.log_policy), np.arange(2)
    near = now.gap <= 1e-11 * np.maximum(np.abs(now.value), 1)
    assert near.all()
    values, gaps = np.stack(found.values), np.stack(found.gaps)
    rounding = 1e-13 * (1 + np.abs(now.value) + np.abs(now.rewards).max((-2, -1)))
    assert (np.abs(values[found.steps, at] - now.value) <= rounding).all()
    assert (np.abs(gaps[found.steps, at] - now.gap) <= 1e-3 * now.gap + 1e-15 * rounding).all()
    np.testing.assert_array_equal(found.log_policy <= -1e30, inner.log_reference <= -1e30)


@pytest.mark.parametrize("kind", KINDS)
def test_moves_are_newtons(kind):
    """Few, and the last ones square what is missing."""
    found = smooth.smooth_solve(game_of(3, kind, 1.0, floor=1e-3).solved_form, 1e-13)
    assert found.steps.max() <= 8
    gaps = np.stack(found.gaps)
    for game, last in enumerate(found.steps):
        assert gaps[last, game] <= 1e-5 * gaps[last - 1, game]


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in DIRECT])
def test_policies_are_those_of_the_rounds_on_arrays(kind, monkeypatch):
    game = game_of(5, kind, 3.0)
    compiled = dg.solve(game, tol=1e-12)
    assert compiled.method == "newton"
    assert compiled.history.gaps.shape == (compiled.steps.max() + 1, 2)
    monkeypatch.setattr(fast, "LOADING", np.inf)
    plain = dg.solve(game, tol=1e-14, throw=False)
    np.testing.assert_allclose(compiled.policy, plain.policy, atol=1e-6)
    np.testing.assert_allclose(compiled.value, plain.value, rtol=1e-11)


def test_what_it_does_not_solve_is_solved_in_rounds(monkeypatch):
    monkeypatch.setattr(smooth, "_ROUNDS", 2)
    found = dg.solve(game_of(4, "euclidean", 3.0), tol=1e-12)
    assert found.method == "newton+anderson"
    assert (found.certificate.relative_gap <= 1e-12).all()


def test_objectives_that_are_not_concave_and_channels_have_none(rng):
    table = rng.dirichlet(np.ones(4), 3)
    less = dg.AlignmentGame(table, -0.5 * dg.GiniDiversity() + dg.Coherence(), beta=1.0)
    assert smooth.smooth_solve(less.solved_form, 1e-10) is None
    noisy = dg.AlignmentGame(
        table, dg.TsallisDiversity(), beta=1.0, answers=rng.dirichlet(np.ones(3), 4)
    )
    assert smooth.smooth_solve(noisy.solved_form, 1e-10) is None
    handmade = Generator(lambda p: p**2, lambda p: 2 * p, lambda p: 2 + 0 * p)
    assert dg.BregmanCoherence(handmade).smooth_form() is None
