"""Streaming push-forward equals the in-memory game."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.scale.streaming import answer_masses, solve_streamed
from tests.games import SEEDS


@given(SEEDS, st.integers(1, 3), st.integers(1, 50), st.integers(1, 20))
def test_masses_for_any_piece(seed, m, traces, piece):
    rng = np.random.default_rng(seed)
    p, index = rng.random((m, traces)), rng.integers(0, 5, traces)
    dense = p @ np.eye(5)[index]
    np.testing.assert_allclose(answer_masses(p, index, 5, piece=piece), dense, rtol=1e-12)
    counted = answer_masses(None, index, 5, piece=piece)
    np.testing.assert_array_equal(counted[0], np.bincount(index, minlength=5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_give_the_in_memory_equilibrium(tmp_path, rng, dtype):
    p = rng.dirichlet(np.ones(5000), 2).astype(dtype)
    index = rng.integers(0, 30, (2, 5000)).astype(np.int32)
    np.save(tmp_path / "p.npy", p)
    np.save(tmp_path / "a.npy", index)
    streamed = solve_streamed(
        tmp_path / "p.npy", tmp_path / "a.npy", dg.Coherence(3.0), beta=1.0, n=30, piece=700
    )
    exact = p.astype(np.float64)
    exact /= exact.sum(-1, keepdims=True)
    whole = dg.solve(dg.AlignmentGame(exact, dg.Coherence(3.0), beta=1.0, answers=index))
    np.testing.assert_allclose(streamed.solution.value, whole.value, rtol=1e-6)
    written = np.load(streamed.write_weights(tmp_path / "w.npy", piece=900))
    np.testing.assert_allclose(written, whole.weights_on_traces(), rtol=2e-3)


@pytest.mark.parametrize(
    ("p", "index", "message"),
    [
        ([0.5, 0.5], [0, 5], "outside 0..2"),
        ([0.5, -0.5], [0, 1], "negative"),
        ([0.5, np.nan], [0, 1], "NaN"),
        ([0.5, 0.5], [0.0, 1.0], "does not fit"),
        ([0.5, 0.5], [0, 1, 2], "does not fit"),
        ("missing.npy", [0, 1], "no readable .npy"),
    ],
)
def test_bad_tables(p, index, message):
    table = p if isinstance(p, str) else np.array(p)
    with pytest.raises(dg.DagameError, match=message):
        answer_masses(table, np.array(index), 3)


def test_an_empty_context_is_refused():
    with pytest.raises(dg.DagameError, match="no mass"):
        solve_streamed(np.zeros(3), np.array([0, 1, 2]), dg.Coherence(), beta=1.0)
