"""Compiled kernels: the same to rounding, loaded when they pay, and not needed."""

import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.games.library import random_reference
from dagame.numerics import fast
from dagame.solvers import consensus
from tests.games import SEEDS


@pytest.fixture
def kernel(monkeypatch):
    """The compiled kernel from the first game on."""
    pytest.importorskip("numba")
    monkeypatch.setattr(fast, "LOADING", 0.0)


def on_both(game, tol=1e-11):
    """The consensus by the kernel and on arrays."""
    inner = game.flat()
    form = consensus._form(inner)
    assert consensus.KERNEL.ready(inner.log_reference)
    return consensus._in_kernel(inner, form, tol), consensus._on_arrays(inner, form, tol)


def assert_equal(one, other, strength):
    """But for rounding of the rewards, which hold log nu strength times, and may decide on a last move."""
    assert list(one.statuses) == list(other.statuses)
    if strength <= 1e4:
        np.testing.assert_array_equal(one.steps, other.steps)
    zero = np.asarray(other.log_policy) == -1e30
    np.testing.assert_array_equal(one.log_policy == -1e30, zero)
    rounding = 1e-14 * (10 + strength) * (1 + np.abs(other.log_policy))
    assert (np.abs(one.log_policy - other.log_policy) <= rounding)[~zero].all()


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 5), st.integers(2, 70), st.floats(-3, 4), st.booleans(), st.booleans())
def test_games_with_zeros_are_solved_alike(kernel, seed, m, n, size, paid, diverse):
    rng = np.random.default_rng(seed)
    table = random_reference(rng, (5, m, n), floor=1e-300, zeros=0.3)
    objective = dg.Coherence(10**size)
    if paid:
        objective = objective + dg.Reward(10 * rng.normal(size=(5, m, n)))
    if diverse:
        objective = objective + dg.ShannonDiversity(rng.uniform(0, 2))
    game = dg.AlignmentGame(table, objective, beta=1.0, weights=rng.dirichlet(np.ones(m), 5))
    assert_equal(*on_both(game), 10**size)


def test_edges_of_the_floats_are_solved_alike(kernel):
    """Subnormal references, an answer that nobody gives, contexts apart, a context that loses all."""
    tiny = 5e-324
    tables = np.array(
        [
            [[1.0, tiny, 0.0, 0.0], [0.5, 0.5, 0.0, tiny]],
            [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.25, 0.75]],
            [[1.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]],
            [[0.1, 0.2, 0.3, 0.4], [1e-308, 1e-200, 0.0, 1.0]],
        ]
    )
    objective = dg.Coherence(3.0) + dg.TargetMatching([0.0, 0.5, 0.25, 0.25])
    for phi in (dg.Coherence(3.0), objective, dg.Coherence(1e6)):
        form = phi.exponential_form()
        assert_equal(*on_both(dg.AlignmentGame(tables, phi, beta=1.0)), form.strength)
    found = dg.solve(dg.AlignmentGame(tables, objective, beta=1.0), throw=False)
    assert list(found.statuses == dg.Status.INFEASIBLE) == [False, False, True, False]


def test_far_starts_take_shorter_moves_alike(kernel):
    """Rewards of hundreds, opposed: Newton's moves rise or are not tried."""
    rng = np.random.default_rng(0)
    game = dg.AlignmentGame(
        rng.dirichlet(np.ones(6), (30, 3)),
        dg.Coherence(50.0) + dg.Reward(100 * rng.normal(size=(30, 3, 6))),
        beta=1.0,
    )
    ours, theirs = on_both(game)
    assert theirs.steps.max() > 8
    assert {dg.Status.SOLVED, dg.Status.STALLED} == set(theirs.statuses)
    assert_equal(ours, theirs, 50.0)


@pytest.mark.parametrize("contexts", [31, 32, 33])
def test_many_contexts_are_left_to_matrix_products(kernel, contexts, rng):
    table = rng.dirichlet(np.ones(40), contexts)
    game = dg.AlignmentGame(table, dg.Coherence(5.0), beta=1.0)
    assert consensus.KERNEL.ready(game.log_reference) == (contexts <= 32)
    assert dg.solve(game, tol=1e-12).certificate.relative_gap <= 1e-12


def test_threads_do_not_change_a_bit(kernel, rng, monkeypatch):
    game = dg.AlignmentGame(rng.dirichlet(np.ones(9), (50, 3)), dg.Coherence(5.0), beta=1.0)
    alone = dg.solve(game)
    monkeypatch.setattr(fast, "_ALONE", 0)
    monkeypatch.setattr(fast.os, "cpu_count", lambda: 7)
    threads = dg.solve(game)
    np.testing.assert_array_equal(threads.log_policy, alone.log_policy)
    np.testing.assert_array_equal(threads.steps, alone.steps)
    pieces = dg.solve(game, max_bytes=1)
    np.testing.assert_array_equal(pieces.log_policy, alone.log_policy)


def test_read_only_and_strided_references_are_not_changed(kernel, rng):
    table = np.asfortranarray(rng.dirichlet(np.ones(9), 3))
    table.flags.writeable = False
    before = table.copy()
    game = dg.AlignmentGame(table, dg.Coherence(5.0), beta=1.0)
    log_reference = game.log_reference.copy()
    assert dg.solve(game, tol=1e-12).solved
    np.testing.assert_array_equal(table, before)
    np.testing.assert_array_equal(game.log_reference, log_reference)


def test_it_is_loaded_once_it_pays(monkeypatch):
    """After so many small games, or for one that is large enough."""
    pytest.importorskip("numba")
    monkeypatch.setattr(fast._Process, "solved", 0.0)
    monkeypatch.setattr(fast, "LOADING", 3 * (fast.CALL + 4))
    small = dg.AlignmentGame([[0.5, 0.5], [0.2, 0.8]], dg.Coherence(2.0), beta=1.0)
    large = dg.AlignmentGame(np.full((3, 10_000), 1e-4), dg.Coherence(2.0), beta=1.0)
    assert consensus.KERNEL.ready(large.log_reference)
    for solved in range(3):
        assert not consensus.KERNEL.ready(small.log_reference), solved
        dg.solve(small)
    assert consensus.KERNEL.ready(small.log_reference)
    dg.solve(dg.AlignmentGame(small.reference, dg.ShannonDiversity(), beta=1.0))
    assert fast._Process.solved == 3 * (fast.CALL + 4)  # what has no kernel does not count


@pytest.fixture
def unloaded(monkeypatch):
    """The consensus kernel before anything has asked for it."""
    monkeypatch.setattr(fast, "LOADING", 0.0)
    kernel = fast.Kernel(consensus._load, 1.0)
    monkeypatch.setattr(consensus, "KERNEL", kernel)
    return kernel


def test_no_numba_and_no_kernel_for_single_precision(monkeypatch, unloaded):
    assert not unloaded.ready(np.full((2, 4), 0.25, dtype=np.float32))
    monkeypatch.setattr(fast, "find_spec", lambda name: None)
    game = dg.AlignmentGame([[0.5, 0.5], [0.2, 0.8]], dg.Coherence(2.0), beta=1.0)
    assert not unloaded.ready(game.log_reference)
    assert dg.solve(game, tol=1e-12).method == "consensus"


def full_disk(*args):
    raise OSError("No space left on device")


@pytest.mark.parametrize("module", [None, SimpleNamespace(solve_games=full_disk)])
def test_a_numba_that_does_not_load_is_said_once(monkeypatch, unloaded, module):
    monkeypatch.setattr(fast, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "dagame.solvers.consensus_kernel", module)
    game = dg.AlignmentGame([[0.5, 0.5], [0.2, 0.8]], dg.Coherence(2.0), beta=1.0)
    with pytest.warns(UserWarning, match="numba is installed but does not load"):
        assert dg.solve(game).solved
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dg.solve(game).solved


def test_exponentials_and_logarithms_have_all_digits(kernel, rng):
    from dagame.numerics import compiled_functions

    x = np.concatenate(
        [rng.uniform(-745, 709, 3000), rng.uniform(-1, 1, 3000), [0.0, -708.5, 709.7]]
    )
    found = np.array([compiled_functions.exp(v) for v in x])
    ulp = np.spacing(np.maximum(np.exp(x), 5e-324))
    assert (np.abs(found - np.exp(x)) <= 2 * ulp).all()
    assert [compiled_functions.exp(v) for v in (-1e30, -np.inf, np.inf)] == [0.0, 0.0, np.inf]
    y = np.concatenate([np.exp(x), rng.uniform(0.5, 2, 1000), [5e-324, 1e-310, 1e308]])
    y = y[y > 0]
    found = np.array([compiled_functions.log(v) for v in y])
    assert (np.abs(found - np.log(y)) <= 2 * np.spacing(np.abs(np.log(y)) + 1e-300)).all()


def test_numba_is_loaded_by_no_import_and_no_small_game():
    code = (
        "import sys, numpy as np, dagame as dg\n"
        "dg.solve(dg.AlignmentGame(np.full((2, 4), 0.25), dg.Coherence(2.0), beta=1.0))\n"
        "print('numba' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
