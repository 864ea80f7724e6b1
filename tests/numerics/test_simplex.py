"""Divergences in log space, and the scalar equations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from dagame.numerics.arrays import log, logsumexp
from dagame.numerics.scalar import increasing_root, wright_omega
from dagame.numerics.simplex import entropy, kl, total_variation
from tests.games import SEEDS


@given(SEEDS, st.integers(2, 9))
def test_kl_and_entropy_against_scipy(seed, n):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(n) * 0.3, (2, 5)) + 1e-12
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    np.testing.assert_allclose(kl(p, q), stats.entropy(p, q, axis=-1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(entropy(p), stats.entropy(p, axis=-1), rtol=1e-10)


def test_kl_keeps_relative_precision_near_equality():
    p = np.array([0.5, 0.3, 0.2])
    q = p * (1 + 1e-9 * np.array([1.0, -1.0, -1.0]))
    exact = (p * (1e-9 * np.array([1.0, -1.0, -1.0])) ** 2).sum() / 2
    assert kl(p, q / q.sum()) == pytest.approx(exact, rel=1e-5)
    assert kl(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == np.inf
    assert kl(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0
    assert total_variation(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1


def test_zero_is_finite_and_normal():
    x = log(np.array([0.0, 0.0]))
    assert np.isfinite(x).all()
    assert logsumexp(x) < -1e29


@given(st.floats(-700, 700))
def test_wright_omega_against_scipy(s):
    found = float(wright_omega(np.array([s]))[0])
    assert found == pytest.approx(float(special.wrightomega(s)), rel=1e-12)


@given(st.floats(-3, 3), st.floats(0.1, 10))
def test_increasing_root(root, slope):
    def f(t):
        return slope * (t - root) ** 3 + (t - root), 3 * slope * (t - root) ** 2 + 1

    found = increasing_root(f, np.array([-5.0]), np.array([5.0]))
    assert float(found[0]) == pytest.approx(root, abs=1e-12)
