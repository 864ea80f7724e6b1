"""numpy without the layers that its functions have in Python, which on small arrays cost more than the sums.

The same routines with the same results, bit for bit: `sum` and its kind are the reductions of their ufuncs,
shapes and types are changed by the array's own methods, and what has nothing to change is not changed. With
further arguments it is numpy's own function.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

Axis = int | tuple[int, ...] | None


def _reduction(ufunc: np.ufunc, whole: Any) -> Any:
    reduce: Any = ufunc.reduce

    def reduced(
        x: Any, axis: Axis = None, *more: Any, keepdims: bool = False, **options: Any
    ) -> Any:
        if more or options:
            return whole(x, axis, *more, keepdims=keepdims, **options)
        return reduce(x, axis, None, None, keepdims)

    return reduced


def _clip(x: Any, low: Any = None, high: Any = None, **options: Any) -> Any:
    if options:
        return np.clip(x, *(end for end in (low, high) if end is not None), **options)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _reshape(x: Any, shape: Any, **options: Any) -> Any:
    return np.reshape(x, shape, **options) if options or not _is_array(x) else x.reshape(shape)


def _broadcast_to(x: Any, shape: Any, **options: Any) -> Any:
    if options or not _is_array(x) or type(shape) is not tuple:
        return np.broadcast_to(x, shape, **options)
    if x.shape == shape:
        return x
    view = _iterator(x, _ANY, _READ, itershape=shape, order="C").itviews[0]
    return view if view.shape == shape else np.broadcast_to(x, shape)


_iterator: Any = np.nditer
_ANY, _READ = ["multi_index", "zerosize_ok", "refs_ok"], [["readonly"]]


def _astype(x: Any, dtype: Any, **options: Any) -> Any:
    return x.astype(dtype, **options)


def _matrix_transpose(x: Any) -> Any:
    return x.swapaxes(-1, -2) if _is_array(x) else np.matrix_transpose(x)


def _is_array(x: Any) -> bool:
    return type(x) is np.ndarray


NUMPY = SimpleNamespace(
    **{
        **vars(np),
        "sum": _reduction(np.add, np.sum),
        "max": _reduction(np.maximum, np.max),
        "min": _reduction(np.minimum, np.min),
        "all": _reduction(np.logical_and, np.all),
        "any": _reduction(np.logical_or, np.any),
        "clip": _clip,
        "reshape": _reshape,
        "broadcast_to": _broadcast_to,
        "astype": _astype,
        "matrix_transpose": _matrix_transpose,
    }
)
"""What `arrays.namespace` gives for numpy arrays."""
