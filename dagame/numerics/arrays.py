"""The array namespace (numpy, torch, any array-API library) and the few functions the standard lacks."""

from __future__ import annotations

from types import NoneType
from typing import Any

import array_api_compat
import numpy as np

from ..errors import InvalidGame
from ..text import on_one_line
from .plain import NUMPY

Array = Any
"""A numpy array, torch tensor or array-API array; shapes are stated in each docstring."""

LOG_ZERO = -1e30
"""The logarithm of an exact zero. A finite stand-in for -inf: differences and products with a zero
probability stay finite (0 * LOG_ZERO = 0, LOG_ZERO - LOG_ZERO = 0), so no step needs a NaN guard."""

_INFINITE = 1e20

_OF_NUMPY = (np.ndarray, np.generic, float, int, NoneType)
"""What numpy computes with; scalars and None leave the choice to others."""


def namespace(*arrays: Array) -> Any:
    """The array-API namespace shared by `arrays` (Python scalars and None are ignored)."""
    for values in arrays:
        if type(values) is not np.ndarray and not isinstance(values, _OF_NUMPY):
            break
    else:
        return NUMPY
    found = [a for a in arrays if is_array(a) and not isinstance(a, _OF_NUMPY)]
    return array_api_compat.array_namespace(*found) if found else NUMPY


def is_array(values: Any) -> bool:
    """Whether `values` is an array of a library that the package computes with."""
    return array_api_compat.is_array_api_obj(values)


def as_floating(values: Any, name: str = "an array") -> Array:
    """`values` as an array of native single or double precision; tensors stay tensors.

    Errors call it `name`.
    Lists, integers and every other real dtype (half, long double, big-endian, objects that are
    numbers) become float64.

    Raises:
        InvalidGame: they are no real numbers, or rows differ in length.
    """
    if isinstance(values, np.ndarray) or not is_array(values):
        return _as_floating_numpy(values, name)
    xp = namespace(values)
    if values.dtype in (xp.float64, xp.float32):
        return values
    if not xp.isdtype(values.dtype, ("real floating", "integral", "bool")):
        raise InvalidGame(f"{name} of dtype {values.dtype} holds no real numbers.")
    return xp.astype(values, xp.float64)


def _as_floating_numpy(values: Any, name: str) -> np.ndarray:
    try:
        table = np.asarray(values)
        if table.dtype.kind not in "biufO":
            raise TypeError(f"the dtype is {table.dtype}")
        single = table.dtype.kind == "f" and table.dtype.itemsize == 4
        return table.astype(np.float32 if single else np.float64, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidGame(
            f"{name} holds no real numbers in rows of one length: {on_one_line(str(error), 120)}."
        ) from error


def like(values: Any, reference: Array) -> Array:
    """`values` as an array of the namespace, dtype and device of `reference`."""
    xp = namespace(reference)
    if type(values) is type(reference) and values.dtype == reference.dtype:
        return values if xp is NUMPY else array_api_compat.to_device(values, _device(reference))
    if xp is not NUMPY and isinstance(values, np.ndarray) and not values.flags.writeable:
        values = values.copy()  # torch would share the memory, and warns that it can write there
    return xp.asarray(values, dtype=reference.dtype, device=_device(reference))


def _device(x: Array) -> Any:
    return array_api_compat.device(x)


def float64(x: Array) -> Array:
    """`x` in double precision, same namespace and device."""
    xp = namespace(x)
    return x if x.dtype == xp.float64 else xp.astype(x, xp.float64)


def to_numpy(x: Array) -> np.ndarray:
    """`x` as a numpy array on the host."""
    if isinstance(x, np.ndarray | np.generic):
        return np.asarray(x)
    if array_api_compat.is_torch_array(x):
        return x.detach().cpu().numpy()
    if is_array(x) and hasattr(x, "__array_namespace__"):
        return np.from_dlpack(x)
    return np.asarray(x)


def row_major(x: Array) -> Array:
    """`x` with its last axis contiguous, as matrix products round by the layout; a copy only if it is not."""
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x)
    return x.contiguous() if array_api_compat.is_torch_array(x) else x


def log(p: Array) -> Array:
    """log p with log 0 = LOG_ZERO and no warning."""
    xp = namespace(p)
    positive = p > 0
    return xp.where(positive, xp.log(xp.where(positive, p, 1.0)), LOG_ZERO)


def exp_capped(x: Array) -> Array:
    """e^x, at most 1e260 (5e21 in single precision): beyond what counts as infinite, short of overflow."""
    xp = namespace(x)
    return xp.exp(xp.clip(x, None, 600.0 if x.dtype == xp.float64 else 50.0))


def logsumexp(x: Array, axis: int = -1, keepdims: bool = False) -> Array:
    """log sum exp(x) along `axis`; a row of LOG_ZERO gives about LOG_ZERO."""
    xp = namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    out = top + xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True))
    return out if keepdims else xp.squeeze(out, axis=axis)


def log_normalise(x: Array) -> Array:
    """x - logsumexp(x): log-probabilities along the last axis, of sum 1 however large x is."""
    xp = namespace(x)
    x = x - xp.max(x, axis=-1, keepdims=True)
    return x - xp.log(xp.sum(xp.exp(x), axis=-1, keepdims=True))


def infinities(x: Array) -> Array:
    """Values that came from LOG_ZERO turned into the infinities that they stand for."""
    xp = namespace(x)
    if xp is NUMPY and (abs(x) <= _INFINITE).all():  # the usual case, a transfer elsewhere
        return x + 0.0
    x = xp.where(x > _INFINITE, xp.inf, x)
    return xp.where(x < -_INFINITE, -xp.inf, x)


def solve(a: Array, b: Array) -> Array:
    """a^-1 b for a batch of positive semidefinite matrices, none of which can spoil the others.

    Where LU meets a zero pivot or the solution is not finite, that matrix is scaled to a unit diagonal
    and lifted by 1e-12 of it; rows of a zero diagonal, and a matrix that is still singular, give 0: no
    step.
    """
    xp = namespace(a, b)
    try:
        found = xp.linalg.solve(a, b)
        if bool(xp.all(xp.isfinite(found))):
            return found
    except (np.linalg.LinAlgError, RuntimeError):  # torch's is a RuntimeError
        pass
    diagonal = xp.linalg.diagonal(a)
    scale = xp.where(diagonal > 0, 1 / xp.sqrt(xp.where(diagonal > 0, diagonal, 1.0)), 0.0)[
        ..., None
    ]
    eye = xp.eye(a.shape[-1], dtype=a.dtype, device=_device(a))
    unit = a * scale * xp.matrix_transpose(scale)
    plain, bad = _solve_or_nan(a, b, eye)
    lifted, lost = _solve_or_nan(unit + 1e-12 * eye, scale * b, eye)
    return xp.where(bad, xp.where(lost, 0.0, scale * lifted), plain)


def _solve_or_nan(a: Array, b: Array, eye: Array) -> tuple[Array, Array]:
    """a^-1 b, and where (..., 1, 1) it does not exist in finite numbers."""
    xp = namespace(a, b)
    with np.errstate(all="ignore"):
        bad = ~(xp.abs(xp.linalg.slogdet(a)[0]) > 0)[..., None, None]
    found = xp.linalg.solve(xp.where(bad, eye, a), b)
    bad = bad | ~xp.all(xp.isfinite(found), axis=(-2, -1), keepdims=True)
    return xp.where(bad, 0.0, found), bad


def segment_sum(values: Array, index: Array, segments: int) -> Array:
    """Sums of `values` (..., t) by `index` (..., t) or (t,) in 0..segments-1: (..., segments).

    numpy adds in row order (bincount) and is deterministic; torch uses scatter_add, whose order of
    additions on CUDA is not fixed.
    """
    xp = namespace(values)
    lead, t = values.shape[:-1], values.shape[-1]
    if xp is NUMPY:
        rows = int(np.prod(lead))
        flat_index = np.broadcast_to(index, values.shape).reshape(rows, t)
        flat_index = flat_index + segments * np.arange(rows)[:, None]
        total = np.bincount(flat_index.ravel(), values.ravel(), rows * segments)
        return total.reshape(*lead, segments).astype(values.dtype, copy=False)
    if array_api_compat.is_torch_array(values):
        out = xp.zeros((*lead, segments), dtype=values.dtype, device=_device(values))
        return out.scatter_add(-1, xp.broadcast_to(index, values.shape), values)
    member = index[..., None] == xp.arange(segments, dtype=index.dtype)
    return xp.sum(xp.where(member, values[..., None], 0.0), axis=-2)


def gather(table: Array, index: Array) -> Array:
    """table[..., index] along the last axis: table (..., n), index (t,) or (..., t) -> (..., t)."""
    xp = namespace(table)
    if index.ndim == 1:
        return xp.take(table, index, axis=-1)
    lead = np.broadcast_shapes(table.shape[:-1], index.shape[:-1])
    table = xp.broadcast_to(table, (*lead, table.shape[-1]))
    return xp.take_along_axis(table, xp.broadcast_to(index, (*lead, index.shape[-1])), axis=-1)
