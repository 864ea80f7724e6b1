"""Rows of sum 1 whose only unknown is one number, in compiled code where that is loaded.

The objectives' own formulas on arrays stand in objectives/; each has the same equation and bracket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import Array
from .fast import Kernel, row_table


def _loader(name: str, tables: int, *numbers: float) -> Callable[[], Callable[..., None]]:
    """What loads a function of roots_kernel.py, called once on rows of one answer."""

    def load() -> Callable[..., None]:
        from . import roots_kernel

        function, one = getattr(roots_kernel, name), np.zeros((1, 1))
        function(*(one for _ in range(tables)), *numbers, one.copy())
        return function

    return load


DAMPED = Kernel(_loader("damped_rows", 1, 1.0), 3.0)
"""log nu + a nu = log p + t."""

RAISED = Kernel(_loader("raised_rows", 3, 1.0), 3.0)
"""log nu - g/nu = log p + c."""

TILTED = Kernel(_loader("tilted_rows", 2, 1, 1.0), 3.0)
"""nu ∝ p e^{s c}."""


def rows(kernel: Kernel, log_p: Array, tables: tuple[Any, ...], *numbers: float) -> Array | None:
    """log nu (*batch, n) by a kernel, of tables (n,) or (*batch, n) and numbers; None if it is not ready."""
    if not kernel.ready(log_p):
        kernel.without(log_p)
        return None
    n = log_p.shape[-1]
    flat = log_p.size // n, n
    given = [row_table(log_p.reshape(flat), flat)]
    for table in tables:
        values = np.asarray(table, dtype=np.float64)
        if values.ndim == 1:
            given.append(row_table(values[None], (1, n)))
        else:
            given.append(row_table(np.broadcast_to(values, log_p.shape).reshape(flat), flat))
    found = np.empty(flat)
    kernel.run(tuple(given), numbers, (found,))
    return found.reshape(log_p.shape)
