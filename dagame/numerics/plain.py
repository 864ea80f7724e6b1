"""numpy without the layers that its functions have in Python, which on small arrays cost more than the sums.

The same routines with the same results, bit for bit: `sum` and its kind are the reductions of their ufuncs,
shapes and types are changed by the array's own methods, and what has nothing to change is not changed.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

Axis = int | tuple[int, ...] | None


def _reduction(ufunc: np.ufunc) -> Any:
    reduce: Any = ufunc.reduce

    def reduced(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
        return reduce(x, axis, None, None, keepdims)

    return reduced


def _clip(x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _reshape(x: Any, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape)


def _broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    return x if np.shape(x) == tuple(shape) else np.broadcast_to(x, shape)


def _astype(x: Any, dtype: Any) -> Any:
    return x.astype(dtype)


def _matrix_transpose(x: Any) -> Any:
    return x.swapaxes(-1, -2)


NUMPY = SimpleNamespace(
    **{
        **vars(np),
        "sum": _reduction(np.add),
        "max": _reduction(np.maximum),
        "min": _reduction(np.minimum),
        "all": _reduction(np.logical_and),
        "any": _reduction(np.logical_or),
        "clip": _clip,
        "reshape": _reshape,
        "broadcast_to": _broadcast_to,
        "astype": _astype,
        "matrix_transpose": _matrix_transpose,
    }
)
"""What `arrays.namespace` gives for numpy arrays."""
