"""Closed forms with one number a row: their equation, and the same in compiled code as on arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import random_reference
from dagame.numerics import fast
from tests.games import SEEDS

KINDS = {
    "gini": lambda rng, m, n, s: dg.GiniDiversity(s),
    "forward": lambda rng, m, n, s: dg.TargetMatching(_target(rng, n), s, "forward"),
    "log-success": lambda rng, m, n, s: dg.LogSuccess(_chances(rng, (n,)), s),
    "pass-at-1": lambda rng, m, n, s: dg.PassAtK(_chances(rng, (m, n)), 1, s),
    "pass-at-2": lambda rng, m, n, s: dg.PassAtK(_chances(rng, (3, m, n)), 2, s),
    "pass-at-7": lambda rng, m, n, s: dg.PassAtK(_chances(rng, (n,)), 7, s),
}


def _target(rng, n):
    """With zeros, and mass on the first answer, which all contexts can give."""
    rho = rng.dirichlet(np.ones(n)) * (rng.random(n) < 0.6)
    rho[0] += 0.1
    return rho / rho.sum()


def _chances(rng, shape):
    """Graded, and sure or impossible; the first answer can succeed."""
    c = np.clip(rng.uniform(-0.5, 1.5, shape), 0, 1)
    c[..., 0] = rng.uniform(0.1, 1)
    return c


def drawn(seed, kind, size, floor):
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 4)), int(rng.integers(2, 40))
    table = random_reference(rng, (3, m, n), floor=floor, zeros=0.0 if kind == "forward" else 0.2)
    table = table * 0.9 + 0.1 * (np.arange(n) == 0)
    return dg.AlignmentGame(table, KINDS[kind](rng, m, n, 10.0**size), beta=0.7)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(SEEDS, st.floats(-4, 2), st.floats(-12, -3))
def test_rows_obey_their_equation_on_both_paths(kind, seed, size, floor):
    """log nu - u/beta - log nu0 is one number a row, and both paths find the same."""
    pytest.importorskip("numba")
    game, found = drawn(seed, kind, size, 10.0**floor), {}
    for loading in (np.inf, 0.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fast, "LOADING", loading)
            found[loading] = dg.solve(game, tol=1e-9)
            assert found[loading].method == "closed_form"
    one, other = found[0.0], found[np.inf]
    np.testing.assert_allclose(one.policy, other.policy, rtol=1e-9, atol=1e-14)
    nu = one.policy
    np.testing.assert_allclose(nu.sum(-1), 1, rtol=1e-12)
    assert ((nu == 0) == (game.reference == 0)).all()
    rewards = game.rewards(nu, nu)
    excess = np.where(nu > 0, one.log_policy - game.log_reference - rewards / 0.7, 0.0)
    rows = np.where(nu > 0, excess - excess[..., :1], 0.0)
    assert (nu * np.abs(rows) <= 1e-11 * (1 + 10**size)).all()


def test_a_batch_is_a_loop_and_threads_do_not_change_a_bit(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setattr(fast, "LOADING", 0.0)
    game = drawn(3, "log-success", 0.5, 1e-6)
    alone = dg.solve(game)
    monkeypatch.setattr(fast, "_ALONE", 0)
    monkeypatch.setattr(fast.os, "cpu_count", lambda: 4)
    np.testing.assert_array_equal(dg.solve(game).log_policy, alone.log_policy)
    for b in range(3):
        one = dg.AlignmentGame(game.reference[b], game.objective, beta=0.7)
        np.testing.assert_allclose(dg.solve(one).policy, alone.policy[b], rtol=1e-12)
