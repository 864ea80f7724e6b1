"""Probabilities in log space: checks, divergences, entropies, and the rules for zero mass.

Log-probabilities hold `arrays.LOG_ZERO` where a probability is zero. Functions named `log_...` or
taking `log_p` work on those; `kl`, `entropy` and `total_variation` take plain probabilities.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

from ..errors import InvalidDistribution, InvalidGame
from .arrays import LOG_ZERO, Array, as_floating, infinities, like, log, namespace, to_numpy

_RATIO, _RATIO_SINGLE = 1e9, 1e4
"""How large rewards may be in units of beta, in double and single precision."""

_BETA, _BETA_SINGLE = (1e-30, 1e12), (1e-4, 1e4)
"""From where to where beta may lie: what stands for infinity has to stay far above it."""

_FINITE = 500.0
"""e^this, times a probability, is a float."""

_PIECE = 1 << 14
"""Numbers at a time in long sums, so that temporaries stay in cache."""


def check_distribution(p: Array, name: str) -> Array:
    """`p` (..., n) as floating probabilities along the last axis, or `InvalidDistribution`.

    A row must be finite, non-negative and sum to 1 within 1e-8 (1e-4 in single precision).
    """
    p = as_floating(p, name)
    if p.ndim == 0 or p.shape[-1] == 0:
        raise InvalidDistribution(f"{name} has no entries; give at least one answer per row.")
    xp = namespace(p)
    total = xp.sum(p, axis=-1)
    tolerance = 1e-8 if p.dtype == xp.float64 else 1e-4
    if bool(xp.all(xp.abs(total - 1) <= tolerance)) and bool(xp.min(p) >= 0):
        return p
    raise InvalidDistribution(_diagnose(to_numpy(p), name, tolerance))


def _diagnose(p: np.ndarray, name: str, tolerance: float) -> str:
    for wrong, what, fix in (
        (~np.isfinite(p), "is not finite", "remove NaN and infinite entries"),
        (p < 0, "is negative", "clip or re-count it"),
    ):
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            return f"{name}{list(where)} = {p[where]:g} {what}; {fix}."
    total = p.sum(-1)
    row = tuple(int(i) for i in np.argwhere(np.abs(total - 1) > tolerance)[0])
    at = f" in row {list(row)}" if row else ""
    return f"{name} sums to {total[row]:.10g}{at}, not 1; divide each row by its sum."


def check_weights(weights: Array | None, shape: tuple[int, ...], like_: Array) -> Array:
    """Context weights of a game whose marginals have `shape` (*batch, m, n): (m,) or (*batch, m)."""
    xp = namespace(like_)
    m = shape[-2]
    if weights is None:
        return xp.zeros((m,), dtype=like_.dtype, device=like_.device) + 1.0 / m
    w = like(as_floating(weights, "weights"), like_)
    if w.shape != (m,) and w.shape != shape[:-1]:
        raise InvalidGame(
            f"weights have shape {tuple(w.shape)}, but the reference has {m} contexts and batch "
            f"shape {tuple(shape[:-2])}; give ({m},) or {tuple(shape[:-1])}."
        )
    if not bool(xp.all(w > 0)):
        raise InvalidGame("weights must all be positive; leave out contexts that do not count.")
    if not bool(xp.all(xp.abs(xp.sum(w, axis=-1) - 1) < 1e-6)):
        raise InvalidGame("weights must sum to 1 over the contexts; divide them by their sum.")
    return w / xp.sum(w, axis=-1, keepdims=True)


def check_scale(beta: float, magnitude: float, like_: Array) -> float:
    """beta as a float, or `InvalidGame` where the precision of `like_` cannot hold the game."""
    if not (isinstance(beta, Real) and 0 < beta < math.inf):
        raise InvalidGame(f"beta is {beta!r}; the KL coefficient must be a finite number > 0.")
    beta, double = float(beta), like_.dtype == namespace(like_).float64
    ratio, (low, high) = (_RATIO, _BETA) if double else (_RATIO_SINGLE, _BETA_SINGLE)
    if low <= beta <= high and magnitude <= ratio * beta:
        return beta
    raise InvalidGame(
        f"beta is {beta:g} and the objective's rewards are of size {magnitude:g}: the size must be at "
        f"most {ratio:g} times beta, and beta from {low:g} to {high:g}, in "
        f"{'double' if double else 'single'} precision; raise beta or use less extreme rewards."
    )


def log_mix(log_p: Array, log_q: Array, share: Any) -> Array:
    """log((1 - share) p + share q), from log-probabilities."""
    xp = namespace(log_p)
    top = xp.maximum(log_p, log_q)
    total = (1 - share) * xp.exp(log_p - top) + share * xp.exp(log_q - top)
    return xp.where(top > LOG_ZERO / 2, xp.maximum(top + log(total), 0 * top + LOG_ZERO), LOG_ZERO)


def log_kl(log_p: Array, log_q: Array) -> Array:
    """KL(p || q) = sum p log(p/q) along the last axis, from log-probabilities.

    Summed as p (d + e^-d - 1), d = log p - log q: every term is >= 0 (its modulus is taken, as
    rounding breaks that below d = 1e-16), so a small divergence keeps its relative precision. Where
    p has mass and q has none the result is of size 1e30.
    """
    xp = namespace(log_p, log_q)
    plain = isinstance(log_p, np.ndarray) and log_p.size > _PIECE
    if not plain or log_p.shape != log_q.shape:
        return _log_kl(xp, log_p, log_q)
    n, parts = log_p.shape[-1], 0.0
    step = max(1, _PIECE * n // log_p.size)
    for start in range(0, n, step):
        some = slice(start, start + step)
        parts = parts + _log_kl(xp, log_p[..., some], log_q[..., some])
    return parts


def _log_kl(xp: Any, log_p: Array, log_q: Array) -> Array:
    d = log_p - log_q
    p = xp.exp(log_p)
    if isinstance(d, np.ndarray) and d.size and xp.min(d) > -_FINITE:  # a transfer elsewhere
        return xp.sum(p * xp.abs(d + xp.expm1(-d)), axis=-1)
    near, q = xp.abs(d) < 0.5, xp.exp(log_q)
    small = xp.where(near, d, 0.0)
    return xp.sum(xp.where(near, p * xp.abs(small + xp.expm1(-small)), p * (d - 1) + q), axis=-1)


def log_entropy(log_p: Array) -> Array:
    """Shannon entropy -sum p log p (nats) along the last axis, from log-probabilities."""
    xp = namespace(log_p)
    return -xp.sum(xp.exp(log_p) * log_p, axis=-1)


def kl(p: Array, q: Array) -> Array:
    """KL(p || q) in nats along the last axis; inf where p has mass and q has none."""
    return infinities(log_kl(log(as_floating(p)), log(as_floating(q))))


def entropy(p: Array) -> Array:
    """Shannon entropy of p in nats along the last axis."""
    return log_entropy(log(as_floating(p)))


def total_variation(p: Array, q: Array) -> Array:
    """Total variation distance, half the L1 distance, along the last axis."""
    xp = namespace(p, q)
    return xp.sum(xp.abs(p - q), axis=-1) / 2
