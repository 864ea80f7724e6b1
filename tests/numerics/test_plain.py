"""numpy's functions without their layers give what numpy's own give, to the bit and the type."""

import numpy as np
import pytest

from dagame.numerics.arrays import infinities, namespace
from dagame.numerics.plain import NUMPY

TABLE = np.random.default_rng(0).normal(size=(3, 4, 5))
TABLE[0, 1, 2], TABLE[2, 0, 0], TABLE[1, 3, 4] = np.nan, np.inf, -0.0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["sum", "max", "min", "any", "all"])
@pytest.mark.parametrize(
    "how", [{}, {"axis": -1}, {"axis": (-2, -1)}, {"axis": 0, "keepdims": True}]
)
def test_reductions(name, how, dtype):
    table = TABLE.astype(dtype)
    given = table > 0 if name in ("any", "all") else table
    ours, theirs = getattr(NUMPY, name)(given, **how), getattr(np, name)(given, **how)
    assert type(ours) is type(theirs)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("low", "high"), [(-0.5, None), (None, 0.5), (-0.5, 0.5)])
def test_clip(low, high):
    np.testing.assert_array_equal(NUMPY.clip(TABLE, low, high), np.clip(TABLE, low, high))
    assert NUMPY.clip(TABLE.astype(np.float32), low, high).dtype == np.float32


def test_shapes_and_types():
    row = TABLE[0, 0]
    np.testing.assert_array_equal(
        NUMPY.broadcast_to(row, TABLE.shape), np.broadcast_to(row, TABLE.shape)
    )
    np.testing.assert_array_equal(NUMPY.reshape(TABLE, (12, 5)), np.reshape(TABLE, (12, 5)))
    np.testing.assert_array_equal(NUMPY.matrix_transpose(TABLE), np.matrix_transpose(TABLE))
    counted = NUMPY.astype(TABLE > 0, np.float32)
    assert counted.dtype == np.float32
    assert counted.sum() == (TABLE > 0).sum()


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (0, 4, 5), (3, -1, 5), (4, 5), ()])
@pytest.mark.parametrize("at", [np.s_[:1], np.s_[0], np.s_[..., :1], np.s_[:0], np.s_[0, 0, 0]])
def test_views_are_numpys_and_so_are_refusals(at, shape):
    given = np.asarray(TABLE[at])
    try:
        theirs = np.broadcast_to(given, shape)
    except ValueError:
        with pytest.raises(ValueError, match=r"broadcast|negative|dimensions"):
            NUMPY.broadcast_to(given, shape)
        return
    ours = NUMPY.broadcast_to(given, shape)
    assert ours.shape == theirs.shape
    assert np.shares_memory(ours, given) == np.shares_memory(theirs, given)
    assert ours is given or not ours.flags.writeable
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "call",
    [
        lambda xp: xp.sum(TABLE, axis=0, dtype=np.float32),
        lambda xp: xp.sum(TABLE, 0, np.float32),
        lambda xp: xp.max(TABLE[:1], axis=-1, initial=9.0),
        lambda xp: xp.any(TABLE, axis=0, where=TABLE > 0),
        lambda xp: xp.clip(TABLE, min=-0.5),
        lambda xp: xp.clip(TABLE, max=0.5),
        lambda xp: xp.clip(TABLE, min=-0.5, max=0.5),
        lambda xp: xp.reshape(TABLE, (12, 5), order="F"),
        lambda xp: xp.reshape([1, 2, 3, 4], (2, 2)),
        lambda xp: xp.broadcast_to([1.0, 2.0], (2,)),
        lambda xp: xp.matrix_transpose([[1, 2], [3, 4]]),
        lambda xp: xp.astype(TABLE, np.float64, copy=False),
    ],
)
def test_an_objective_may_use_all_arguments_of_numpy(call):
    """A user's objective calls them by `namespace(marginals)`."""
    ours, theirs = call(NUMPY), call(np)
    assert type(ours) is type(theirs)
    np.testing.assert_array_equal(ours, theirs)


def test_scalars_and_arrays_of_numpy_share_it():
    assert namespace(TABLE, 1.0, None, np.float64(2)) is NUMPY is namespace(np.float64(2))


def test_infinities_are_a_copy():
    table = np.array([1.0, -2.0])
    found = infinities(table)
    found[0] = 5.0
    assert table[0] == 1.0
    np.testing.assert_array_equal(infinities(np.array([1e30, -1e30, 3.0])), [np.inf, -np.inf, 3.0])
    assert np.isnan(infinities(np.array([np.nan]))).all()
