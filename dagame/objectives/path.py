"""The central path of a weighted complementarity problem, by relative Newton steps: exact at zeros.

**Problem.** v, s > 0 with

    A v = b,   s = A'y,   v_j s_j = c_j,

where the costs c >= 0 are given, or follow v: c_x(z) = w_x nu_x(z) on the answers of context x with
nu_x ∝ nu0_x^(1-theta) q_x^theta, q the answers of v, theta = sigma/(1+sigma) (`Tilt`; sigma = 0 is nu = nu0).
As v s = c, that is nu ∝ nu0 (s/w)^-sigma, but with exponents of at most 1: a large sigma bends nothing.

**Path.** v s = c + t e from t = 1 to 1e-20, e equal shares: the optima of a concave program with a barrier,
max_{A v = b} 1/theta sum_x w_x log sum_z nu0_x^(1-theta) q_x^theta + t sum_j e_j log v_j.

**Newton's step** for relative changes p of v and r of s: c changes by theta c (p - <nu, p>), so that

    D p + v s r = g = c + t e - v s,   D = K^2 + U U',   K^2 = h (t e + (1 - theta) c),   h = v s/(c + t e),

with a column sqrt(theta h / w_x) c_x of U for each context, v p in the null space of A and s r in the range
of A'; h, 1 on the path, makes D symmetric. So (K p, U'p) and (K^-1 (v s r + U U'p), -U'p) are orthogonal
and add up to (K^-1 g, 0): two projections, by one QR factorisation of (K, U') N/v, N a basis of the null
space of A, or, where it has fewer columns, of v A'/K beside those of U. Rows are sorted by size: relative
changes keep their digits however small v_j or s_j are, where c/s would be 0/0 in rounding error.

**Rounding.** Each step also brings back what A v = b misses, if that is more than rounding error of the
terms of its row: coordinates that a row ties to each other keep their ratio however small they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..numerics.arrays import LOG_ZERO, Array, log_normalise, namespace

LEAST = 1e-20
"""The end of the path: the optimum is missed by at most this times the number of coordinates."""

_RUNAWAY = 1e60
"""Prices beyond this belong to a set that has no point."""

_STUCK = 1e25
"""A coordinate that is this far off the path stays at its bound: the path is lost."""

_ROUNDS = 100

_ROUNDING = 2e-16
"""Residuals of A v = b below this, for each coordinate and relative to the row's terms, are none."""


class Space(NamedTuple):
    """A (G, r, N), b (G, r), which coordinates are not 0 throughout (G, N), and N (G, N, d) or None.

    G is 1 or the size of the batch. Columns of `null` that are 0 throughout fill it up; with it comes an
    `inverse` (G, N, r) of A, A inverse = I.
    """

    matrix: Array
    bound: Array
    open: Array
    null: Array | None = None
    inverse: Array | None = None

    def miss(self, v: Array) -> Array:
        """b - A v (B, r), 0 where it is rounding error of its terms."""
        xp = namespace(v)
        terms = self.matrix * v[:, None, :]
        miss = self.bound - xp.sum(terms, axis=-1)
        size = xp.abs(self.bound) + xp.sum(xp.abs(terms), axis=-1)
        return xp.where(xp.abs(miss) > _ROUNDING * v.shape[-1] * size, miss, 0.0)


class Tilt(NamedTuple):
    """nu ∝ nu0^(1/(1+sigma)) q^(sigma/(1+sigma)) on the answers `on` (B, m, n), w (B, m)."""

    log_nu0: Array
    on: Array
    weights: Array
    sigma: float

    def rows(self, index: Array) -> Tilt:
        """That of the games `index`."""
        xp, parts = namespace(self.weights), (self.log_nu0, self.on, self.weights)
        log_nu0, on, weights = (xp.take(part, index, axis=0) for part in parts)
        return Tilt(log_nu0, on, weights, self.sigma)

    @property
    def share(self) -> float:
        """The exponent of q."""
        return self.sigma / (1 + self.sigma)

    def log_policy(self, v: Array) -> Array:
        """log nu (B, m, n) for the target in v."""
        xp, (_, m, n) = namespace(v), self.on.shape
        log_q = xp.log(xp.reshape(v[:, : m * n], self.on.shape))
        line = self.log_nu0 / (1 + self.sigma) + self.share * log_q
        return xp.where(self.on, log_normalise(xp.where(self.on, line, LOG_ZERO)), LOG_ZERO)

    def cost(self, v: Array) -> Array:
        """w nu on the answers, 0 on the slacks (B, N)."""
        xp, (size, m, n) = namespace(v), self.on.shape
        mass = xp.where(self.on, xp.exp(self.log_policy(v)), 0.0) * self.weights[..., None]
        return xp.concat([xp.reshape(mass, (size, m * n)), 0 * v[:, m * n :]], axis=-1)

    def means(self, cost: Array) -> Array:
        """Columns c_x / sqrt(w_x), the costs of one context each (B, N, m)."""
        xp, (size, m, n) = namespace(cost), self.on.shape
        each = xp.reshape(cost[:, : m * n], (size, m, n)) / xp.sqrt(self.weights)[..., None]
        eye = xp.eye(m, dtype=cost.dtype, device=cost.device)
        table = xp.reshape(each[..., None] * eye[:, None, :], (size, m * n, m))
        rest = xp.zeros((size, cost.shape[-1] - m * n, m), dtype=cost.dtype, device=cost.device)
        return xp.concat([table, rest], axis=1)


class End(NamedTuple):
    """v and s (B, N) where the path ends, and the largest residual of A v = b (B,)."""

    v: Array
    s: Array
    off: Array


@np.errstate(all="ignore")
def follow(space: Space, cost: Array, v: Array, s: Array, tilt: Tilt | None = None) -> End:
    """The end of the path from v, s > 0 (B, N), s in the range of A'; a `tilt` makes the costs follow v.

    Without `null` v may miss A v = b; a basis of the null space keeps to the b that v starts with.
    About 10 to 25 steps, each a QR factorisation of N rows and the fewer of r and d columns.
    """
    xp, live = namespace(v), space.open
    here = xp.astype(live, v.dtype)
    even = here / xp.sum(here, axis=-1, keepdims=True)
    t = 1.0 + 0 * v[:, 0]
    scale = 1 + xp.max(xp.abs(space.bound), axis=-1)
    close = 1e-9 if tilt is None else max(1e-12, 1e-9 / (1 + tilt.sigma))
    was, least = t < 0, 0 * t
    for _ in range(_ROUNDS):
        cost = cost if tilt is None else tilt.cost(v)
        far = _off(v * s, cost + t[:, None] * even, live)
        t = xp.maximum(t * _cut(t, far, least), 0 * t + LEAST)
        bar = xp.where(live, t[:, None] * even, 1.0)
        far = _off(v * s, cost + bar, live)
        miss = space.miss(v)
        off = xp.max(xp.abs(miss), axis=-1) / scale
        done = was | ~(xp.max(s, axis=-1) < _RUNAWAY) | ~xp.isfinite(off) | ~(far < _STUCK)
        if bool(xp.all(done)):
            break
        was = was | ((t <= LEAST) & (far < close) & (off < 1e-13))
        p, r = _newton(space, v, s, cost, bar, miss, tilt)
        step_v, step_s = _length(p, done), _length(r, done)
        least = xp.minimum(step_v, step_s)
        if tilt is not None:
            step_v = step_s = least
        v = xp.where(done[:, None], v, v * (1 + step_v[:, None] * p))
        s = xp.where(done[:, None], s, s * (1 + step_s[:, None] * r))
    return End(v, s, off)


def _off(vs: Array, aim: Array, live: Array) -> Array:
    """The largest relative distance of v s from its aim."""
    xp = namespace(vs)
    return xp.max(xp.where(live, xp.abs(aim / vs - 1), 0.0), axis=-1)


def _cut(t: Array, far: Array, least: Array) -> Array:
    """The factor of t after a step of the length `least` that ended so far off the path."""
    xp = namespace(t)
    near = xp.minimum(xp.maximum(xp.sqrt(t), 0 * t + 1e-6), 0 * t + 0.01)
    fast = xp.where(far < 0.05, near, 0 * t + 0.01)
    slow = xp.where(far < 2, 0 * t + 0.2, 0 * t + 1)
    return xp.where(least > 0, xp.where((least > 0.9) & (far < 0.5), fast, slow), 0 * t + 1)


def _newton(
    space: Space, v: Array, s: Array, cost: Array, bar: Array, miss: Array, tilt: Tilt | None
) -> tuple[Array, Array]:
    """Relative changes p, r with D p + v s r = c + bar - v s, A v p = miss and s r in the range of A'."""
    xp, vs = namespace(v), v * s
    aim = cost + bar
    if tilt is None:
        k, u = xp.sqrt(vs), xp.zeros((*v.shape, 0), dtype=v.dtype, device=v.device)
    else:
        own = vs / aim
        k = xp.sqrt(own * (bar + cost / (1 + tilt.sigma)))
        u = tilt.means(xp.sqrt(tilt.share * own) * cost)
    extra, cross = u.shape[-1], xp.matrix_transpose(u)
    right = ((aim - vs) / k)[..., None]
    first = 0 * right
    if space.null is not None:
        table, first = space.null / v[..., None], space.inverse @ miss[..., None] / v[..., None]
        first = xp.clip(first, -0.5, 1.0)
        table = xp.concat([k[..., None] * table, cross @ table], axis=1)
    else:
        table = xp.concat([v[..., None] * xp.matrix_transpose(space.matrix), u], axis=-1)
        width = table.shape[-1]
        last = -xp.eye(extra, width, k=width - extra, dtype=v.dtype, device=v.device)
        last = xp.broadcast_to(last, (v.shape[0], extra, width))
        table = xp.concat([table / k[..., None], last], axis=1)
    right = xp.concat([right - k[..., None] * first, -cross @ first], axis=1)
    order = xp.argsort(-xp.max(xp.abs(table), axis=-1), axis=-1)
    basis, triangle = xp.linalg.qr(_taken(table, order))
    along = xp.matrix_transpose(basis) @ _taken(right, order)
    if space.null is not None:
        along = xp.where(xp.any(space.null != 0, axis=1)[..., None], along, 0.0)
    elif bool(xp.any(miss != 0)):
        miss = xp.concat([miss, 0 * u[:, 0, :]], axis=-1)
        along = along - _forward(triangle, miss)[..., None]
    found = _taken(basis @ along, xp.argsort(order, axis=-1))[..., 0]
    right, size = right[..., 0], v.shape[-1]
    z, x = (right - found, found) if space.null is None else (found, right - found)
    last = (u @ x[:, size:, None])[..., 0]
    return z[:, :size] / k + first[..., 0], (k * x[:, :size] + last) / vs


def _taken(table: Array, order: Array) -> Array:
    """The rows of a table (B, N, c) in an order (B, N) for each game."""
    xp = namespace(table)
    if order.shape[0] == 1:
        return xp.take(table, order[0, ...], axis=1)
    return xp.take_along_axis(table, xp.broadcast_to(order[..., None], table.shape), axis=1)


def _forward(triangle: Array, right: Array) -> Array:
    """y with triangle' y = right; rows of no size, or dependent to rounding error, ask for nothing."""
    xp = namespace(triangle)
    size = xp.sqrt(xp.sum(triangle**2, axis=-2))
    usable = (size > 0) & xp.isfinite(size)
    scale = xp.where(usable, 1 / xp.where(usable, size, 1.0), 0.0)
    unit = xp.where(scale[:, None, :] > 0, triangle * scale[:, None, :], 0.0)
    eye = xp.eye(unit.shape[-1], dtype=unit.dtype, device=unit.device)
    flat = xp.abs(xp.linalg.diagonal(unit)) < 1e-15
    unit = unit + eye * xp.astype(flat, unit.dtype)[:, None, :]
    right = xp.where(flat, 0.0, right * scale)
    try:
        return xp.linalg.solve(xp.matrix_transpose(unit), right[..., None])[..., 0]
    except (
        np.linalg.LinAlgError,
        RuntimeError,
    ):  # its pivots can cancel; torch's is a RuntimeError
        return _substituted(unit, right)


def _substituted(triangle: Array, right: Array) -> Array:
    """The same row by row, whose pivots are the diagonal."""
    xp, found = namespace(triangle), right[:, :0]
    for k in range(triangle.shape[-1]):
        known = xp.sum(triangle[:, :k, k] * found, axis=-1)
        found = xp.concat([found, ((right[:, k] - known) / triangle[:, k, k])[:, None]], axis=-1)
    return found


def _length(change: Array, done: Array) -> Array:
    """The longest step, at most 1, that keeps 1 + step * change >= 1/100; 0 for games that are done."""
    xp = namespace(change)
    length = 0.99 / xp.clip(-xp.min(change, axis=-1), 0.99, None)
    return xp.where(done, 0 * length, length)
