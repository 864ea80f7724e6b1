"""The dual of KL-regularised linear games with few multipliers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..numerics.arrays import LOG_ZERO, Array, log_normalise, logsumexp, namespace
from ..numerics.barrier import ACCURACY, ROUNDS, Oracle, barrier_minimise
from ..numerics.fast import Kernel, row_table
from .forms import DualForm
from .pairing import weighted

_ROWS = 32
"""With more multipliers the products of matrices in numpy are faster."""


def dual_log_policy(form: DualForm, log_reference: Array, y: Array, beta: float) -> Array:
    """log of nu0 e^{u/beta} / Z at u = sum_i y_i rows_i, (B, m, n)."""
    tilted = _tilted(form, log_reference, y, beta)
    xp = namespace(tilted)
    return xp.where(tilted > -xp.inf, log_normalise(tilted), LOG_ZERO)


def _tilted(form: DualForm, log_reference: Array, y: Array, beta: float) -> Array:
    """log nu0 + u / beta, minus infinity off the support however large the multipliers are."""
    xp = namespace(log_reference)
    u = xp.sum(y[..., None, None] * form.rows, axis=-3)
    return xp.where(log_reference > LOG_ZERO / 2, log_reference + u / beta, -xp.inf)


def _load() -> Callable[..., None]:
    """The kernel, called once."""
    from .dual_kernel import minimise

    one = np.ones((1, 1))
    numbers = True, 1.0, ACCURACY, ROUNDS
    minimise(one[None, None], one, one > 0, np.zeros((1, 1, 1)), one, *numbers, one.copy())
    return minimise


KERNEL = Kernel(_load, 5.0)
"""`dual_kernel.minimise`."""


def solve_dual(form: DualForm, log_reference: Array, weights: Array, beta: float) -> Array:
    """argmin_y y . bound + beta sum_x w_x log sum_z nu0 e^{u/beta}, for a flat batch: (B, r).

    Smooth and convex in y; its gradient is bound + <rows, nu>, its Hessian the weighted covariance
    of the rows over beta. Solved to a gap of r * 1e-14 (`barrier.barrier_minimise`), in multipliers of
    rows whose largest entry is 1.
    """
    xp, size, r = namespace(log_reference), log_reference.shape[0], form.rows.shape[1]
    if isinstance(form.rows, np.ndarray) and form.rows.strides[0] == 0:  # the same for all games
        form = form._replace(rows=form.rows[:1])
    unit = 1.0
    if not form.simplex:
        largest = xp.max(xp.abs(form.rows), axis=(-2, -1))
        scale = xp.where(largest > 0, largest, xp.abs(form.bound))  # of a row of zeros its bound
        unit = 1 / xp.where(scale > 0, scale, 1.0)
        form = form._replace(rows=form.rows * unit[..., None, None], bound=form.bound * unit)
    y = xp.zeros((size, r), dtype=log_reference.dtype, device=log_reference.device)
    y = y + (1 / r if form.simplex else beta * xp.astype(form.positive, y.dtype))
    if r <= _ROWS and KERNEL.ready(log_reference):
        shared = (_per_game(part) for part in (form.bound, form.positive))
        given = [row_table(part, part.shape) for part in (form.rows, *shared, log_reference)]
        given.append(row_table(weights, log_reference.shape[:-1]))
        KERNEL.run(tuple(given), (form.simplex, float(beta), ACCURACY, ROUNDS), (y,))
    else:
        if r <= _ROWS:
            KERNEL.without(log_reference)
        oracle = _oracle(form, log_reference, weights, beta)
        y = barrier_minimise(oracle, y, form.positive, simplex=form.simplex)
    return y * unit


def _per_game(row: Array) -> Array:
    """(B or 1, r) of one row for all games (r,) or one for each."""
    return row[None] if row.ndim == 1 else row


def _oracle(form: DualForm, log_reference: Array, weights: Array, beta: float) -> Oracle:
    """The function that `solve_dual` minimises, with its gradient and Hessian."""
    xp, (size, r) = namespace(log_reference), (log_reference.shape[0], form.rows.shape[1])
    w = xp.broadcast_to(weights, log_reference.shape[:-1])

    def oracle(y: Array) -> tuple[Array, Array, Array]:
        tilted = _tilted(form, log_reference, y, beta)
        total = logsumexp(tilted, keepdims=True)
        nu = xp.exp(tilted - total)
        value = xp.sum(y * form.bound, axis=-1) + beta * weighted(total[..., 0], w)
        means = xp.sum(form.rows * nu[:, None, ...], axis=-1)
        gradient = form.bound + xp.sum(means * w[:, None, ...], axis=-1)
        centred = form.rows - means[..., None]
        left = xp.reshape(centred * (nu * w[..., None])[:, None, ...], (size, r, -1))
        hessian = left @ xp.matrix_transpose(xp.reshape(centred, (size, r, -1))) / beta
        return value, gradient, hessian

    return oracle
