"""Multipliers that explain a residual of the rewards best: a least-squares problem with its oracle."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..numerics.arrays import Array, namespace
from .forms import DualForm


def fit_oracle(
    form: DualForm, log_nu: Array, weights: Array, residual: Array, support: Array
) -> Callable[[Array], tuple[Array, Array, Array]]:
    """||residual - sum_i y_i rows_i - constant_x||^2 / 2 + y . slack, as an oracle of flat y.

    The norm is that of w nu, slack_i = bound_i + <rows_i, nu> >= 0 what the target loses by y_i: to
    second order this is what the two players can gain, so the least y gives the tightest bound.
    """
    xp, rows = namespace(log_nu), form.rows
    r = rows.shape[-3]
    mass = xp.where(support, xp.exp(log_nu), 0.0)
    mass = mass / xp.sum(mass, axis=-1, keepdims=True)
    norm = (mass * weights[..., None])[..., None, :, :]

    def centred(table: Array) -> Array:
        mean = xp.sum(table * mass[..., None, :, :], axis=-1, keepdims=True)
        return xp.where(support[..., None, :, :], table - mean, 0.0)

    a, b = centred(rows), centred(xp.where(support, residual, 0.0)[..., None, :, :])
    a = xp.broadcast_to(a, (*log_nu.shape[:-2], *a.shape[-3:]))
    left = xp.reshape(a * norm, (-1, r, math.prod(a.shape[-2:])))
    gram = left @ xp.matrix_transpose(xp.reshape(a, left.shape))
    right = xp.sum(left * xp.reshape(b, (left.shape[0], 1, -1)), axis=-1)
    slack = form.bound + xp.sum(rows * norm, axis=(-2, -1))
    if form.simplex:
        slack = slack - xp.min(slack, axis=-1, keepdims=True)
    slack = xp.where(form.positive, xp.maximum(slack, 0 * slack), 0 * slack)
    right = right - xp.reshape(xp.broadcast_to(slack, (*log_nu.shape[:-2], r)), (-1, r))

    def oracle(y: Array) -> tuple[Array, Array, Array]:
        moved = (gram @ y[..., None])[..., 0]
        return xp.sum(y * (moved / 2 - right), axis=-1), moved - right, gram

    return oracle
