"""Index map, padded map and channel: one interface, checked against dense matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.numerics.arrays import LOG_ZERO
from tests.games import SEEDS


def dense(index, n):
    return np.eye(n)[index]


@given(SEEDS, st.integers(1, 6), st.integers(1, 12))
def test_index_padded_and_channel_push_the_same(seed, n, traces):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, n, traces)
    rows = [np.flatnonzero(index == z) for z in range(n)]
    width = max(len(r) for r in rows)
    padded = np.array([np.pad(r, (0, width - len(r)), constant_values=-1) for r in rows])
    p = rng.dirichlet(np.ones(traces), (2, 3))
    u = rng.normal(size=(2, 3, n))
    maps = [dg.AnswerMap.index(index, n), dg.AnswerMap.padded(padded)]
    maps.append(dg.AnswerMap.channel(dense(index, n)))
    for amap in (m.bind(p) for m in maps):
        np.testing.assert_allclose(amap.push_forward(p), p @ dense(index, n), atol=1e-15)
        np.testing.assert_allclose(amap.pull_back(u), u @ dense(index, n).T)
        pushed = amap.log_push_forward(np.log(p))
        np.testing.assert_allclose(np.exp(pushed), p @ dense(index, n), atol=1e-15)


@given(SEEDS)
def test_per_context_index_maps(seed):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, 3, (2, 5))
    index[:, 0] = 2
    game = dg.AlignmentGame(
        rng.dirichlet(np.ones(5), (4, 2)), dg.Coherence(2.0), beta=1.0, answers=index
    )
    nu = game.marginals(game.reference)
    for x in range(2):
        np.testing.assert_allclose(nu[:, x], game.reference[:, x] @ dense(index[x], 3))
    assert dg.solve(game).solved.all()


def test_conditioning_and_lifting_undo_each_other(rng):
    amap = dg.AnswerMap.index([0, 0, 1, 1, 1])
    log_p = np.log(rng.dirichlet(np.ones(5), 2))
    given_answer = amap.condition(log_p)
    np.testing.assert_allclose(amap.push_forward(np.exp(given_answer)), 1)
    back = given_answer + amap.pull_back(amap.log_push_forward(log_p))
    np.testing.assert_allclose(back, log_p)
    np.testing.assert_allclose(amap.lift(log_p, np.zeros((2, 2))), log_p)


def test_log_push_forward_keeps_tiny_masses():
    amap = dg.AnswerMap.index([0, 1, 1])
    log_p = np.array([[0.0, -680.0, -680.0]])
    assert amap.log_push_forward(log_p)[0, 1] == pytest.approx(-680 + np.log(2))
    log_p = np.array([[0.0, LOG_ZERO, LOG_ZERO]])
    assert amap.log_push_forward(log_p)[0, 1] == LOG_ZERO


def test_channel_needs_determinism_where_it_matters():
    amap = dg.AnswerMap.channel([[0.5, 0.5], [0.0, 1.0]])
    for function in (lambda: amap.condition(np.zeros((1, 2))), lambda: amap.lift(0, 0)):
        with pytest.raises(dg.DagameError, match="deterministic"):
            function()
