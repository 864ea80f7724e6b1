"""The central path of a weighted complementarity problem, by relative Newton steps: exact at zeros.

**Problem.** v, s > 0 with

    A v = b,   s = A'y,   v_j s_j = c_j,

where the costs c >= 0 are given, or follow s: c_x(z) = w_x nu_x(z) on the answers of context x with
nu_x(z) ∝ nu0_x(z) (s_x(z)/w_x)^{-sigma} (`Tilt`; sigma = 0 is nu = nu0).

**Path.** v s = c + t e from t = 1 to 1e-20, e equal shares. With a tilt sigma also grows, from 1, tenfold
a step: at once, a large sigma would make nu a point mass at the start.

**Newton's step** for relative changes p of v, r of s, and of log nu by d. On the line, log nu + sigma
log s being constant in each context up to rho, d = rho - sigma (r - <nu, r>), so that

    v s p + D r = g = c (1 + rho) + t e - v s,   D = K^2 - sigma sum_x c_x c_x'/w_x,   K^2 = v s + sigma c,

with v p in the null space of A and s r in the range of A'. D = L L' with L = K (I - gamma u u'), u =
sqrt(sigma/w) c/K in each context, whose |u|^2 = 1 - sum_z nu v s/K^2 is known without cancellation.
Then z = L^-1 (v s p) and x = L' r are orthogonal and z + x = L^-1 g: two projections, by one QR factorisation
of L' S^-1 A' or, where it has fewer columns, of L^-1 S N, N a basis of the null space of A. Rows are sorted
by size: relative changes keep their digits however small v_j or s_j are, where c/s would be 0/0 in rounding
error. Between log nu and log s the equation is linear in logarithms, so that large sigma bends nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..numerics.arrays import LOG_ZERO, Array, log_normalise, namespace

LEAST = 1e-20
"""The end of the path: the optimum is missed by at most this times the number of coordinates."""

_RUNAWAY = 1e60
"""Prices beyond this belong to a set that has no point."""

_STUCK = 1e25
"""A coordinate that is this far off the path stays at its bound: the path is lost."""

_ROUNDS = 100

_ROUNDING = 1e-15
"""Residuals of A v = b below this are not reduced further."""


class Space(NamedTuple):
    """A (G, r, N), b (G, r), which coordinates are not 0 throughout (G, N), and N (G, N, d) or None.

    G is 1 or the size of the batch. Columns of `null` that are 0 throughout fill it up.
    """

    matrix: Array
    bound: Array
    open: Array
    null: Array | None = None


class Tilt(NamedTuple):
    """nu ∝ nu0 (s/w)^-sigma on the answers `on` (B, m, n), log nu0 normalised on them, w (B, m)."""

    log_nu0: Array
    on: Array
    weights: Array
    sigma: float

    def line(self, s: Array, sigma: Array) -> Array:
        """log nu0 - sigma log(s/w), 0 off the support."""
        xp, (size, m, n) = namespace(s), self.on.shape
        price = xp.reshape(s[:, : m * n], (size, m, n)) / self.weights[..., None]
        return xp.where(self.on, self.log_nu0 - sigma[:, None, None] * xp.log(price), 0.0)

    def log_policy(self, s: Array) -> Array:
        """log nu (B, m, n) at the prices s."""
        xp = namespace(s)
        line = self.line(s, self.sigma + 0 * s[:, 0])
        return xp.where(self.on, log_normalise(xp.where(self.on, line, LOG_ZERO)), LOG_ZERO)

    def moved(self, log_nu: Array, change: Array) -> Array:
        """log nu after a change of at most 50, normalised."""
        xp = namespace(log_nu)
        moved = xp.where(self.on, log_nu + xp.clip(change, -50.0, 50.0), LOG_ZERO)
        return xp.where(self.on, log_normalise(moved), LOG_ZERO)


class End(NamedTuple):
    """v and s (B, N) where the path ends, and the largest residual of A v = b (B,)."""

    v: Array
    s: Array
    off: Array


@np.errstate(all="ignore")
def follow(space: Space, cost: Array, v: Array, s: Array, tilt: Tilt | None = None) -> End:
    """The end of the path from v, s > 0 (B, N), s in the range of A': `cost` (B, N) are those at nu0.

    Without `null` v may miss A v = b; a basis of the null space keeps to the b that v starts with.
    About 10 to 25 steps, each a QR factorisation of N rows and the fewer of r and d columns.
    """
    xp, live = namespace(v), space.open
    here = xp.astype(live, v.dtype)
    even = here / xp.sum(here, axis=-1, keepdims=True)
    t = 1.0 + 0 * v[:, 0]
    scale = 1 + xp.max(xp.abs(space.bound), axis=-1)
    goal = 0.0 if tilt is None else tilt.sigma
    sigma = min(goal, 1.0) + 0 * t
    log_nu = None if tilt is None else tilt.log_nu0
    was = t < 0
    for _ in range(_ROUNDS):
        rho = 0 * cost
        if tilt is not None and log_nu is not None:
            cost, rho = _on_line(tilt, log_nu, s, sigma, cost)
        aim = xp.where(live, cost + t[:, None] * even, 1.0)
        miss = space.bound - xp.sum(space.matrix * v[:, None, :], axis=-1)
        off = xp.max(xp.abs(miss), axis=-1) / scale
        vs = v * s
        far = xp.max(xp.abs(aim / vs - 1), axis=-1)
        bent = xp.max(xp.abs(cost * rho), axis=-1)
        done = was | ~(xp.max(s, axis=-1) < _RUNAWAY) | ~xp.isfinite(off) | ~(far < _STUCK)
        if bool(xp.all(done)):
            break
        was = was | (
            (t <= LEAST)
            & (sigma >= goal)
            & (far < 1e-9)
            & (off < 1e-13)
            & (bent < max(1e-9, 1e-14 * goal))
        )
        p, r = _newton(
            space,
            v,
            s,
            cost * (1 + rho) + xp.where(live, t[:, None] * even, 1.0 - cost) - vs,
            miss,
            cost,
            sigma,
            tilt,
        )
        step_v, step_s = _length(p, done), _length(r, done)
        least = xp.minimum(step_v, step_s)
        if tilt is not None and log_nu is not None:
            step_v = step_s = least
            change = least[:, None] * _bend(tilt, cost, rho, r, sigma)
            shape = tilt.on.shape
            log_nu = tilt.moved(log_nu, xp.reshape(change[:, : shape[1] * shape[2]], shape))
            bent = xp.max(xp.abs(change * cost), axis=-1)
        v = xp.where(done[:, None], v, v * (1 + step_v[:, None] * p))
        s = xp.where(done[:, None], s, s * (1 + step_s[:, None] * r))
        far = xp.max(xp.abs(aim / (v * s) - 1), axis=-1)
        fast = (least > 0.9) & (far < 0.5)
        near = xp.minimum(xp.maximum(xp.sqrt(t), 0 * t + 1e-6), 0 * t + 0.01)
        cut = xp.where(fast, xp.where(far < 0.05, near, 0.01), xp.where(far < 2, 0 * t + 0.2, 1.0))
        cut = xp.where(bent > 0.5, 1.0, cut)
        t = xp.where(done, t, xp.maximum(cut * t, 0 * t + LEAST))
        sigma = xp.where(cut < 1, xp.minimum(10 * sigma, 0 * t + goal), sigma)
    return End(v, s, off)


def _on_line(tilt: Tilt, log_nu: Array, s: Array, sigma: Array, cost: Array) -> tuple[Array, Array]:
    """c and rho (B, N) at log nu: how far log nu is off its line, less the mean of each context."""
    xp, (size, m, n) = namespace(s), tilt.on.shape
    nu = xp.where(tilt.on, xp.exp(log_nu), 0.0)
    rho = xp.where(tilt.on, tilt.line(s, sigma) - log_nu, 0.0)
    rho = xp.where(tilt.on, rho - xp.sum(nu * rho, axis=-1, keepdims=True), 0.0)
    rest = 0 * cost[:, m * n :]
    mass = xp.reshape(nu * tilt.weights[..., None], (size, m * n))
    return xp.concat([mass, rest], axis=-1), xp.concat(
        [xp.reshape(rho, (size, m * n)), rest], axis=-1
    )


def _bend(tilt: Tilt, cost: Array, rho: Array, r: Array, sigma: Array) -> Array:
    """The change d of log nu (B, N) that belongs to relative changes r of s."""
    xp, (size, m, n) = namespace(r), tilt.on.shape
    answers = xp.reshape(r[:, : m * n], (size, m, n))
    nu = xp.reshape(cost[:, : m * n], (size, m, n)) / tilt.weights[..., None]
    d = -sigma[:, None, None] * (answers - xp.sum(nu * answers, axis=-1, keepdims=True))
    d = xp.where(tilt.on, d, 0.0)
    return rho + xp.concat([xp.reshape(d, (size, m * n)), 0 * r[:, m * n :]], axis=-1)


def _newton(
    space: Space,
    v: Array,
    s: Array,
    g: Array,
    miss: Array,
    cost: Array,
    sigma: Array,
    tilt: Tilt | None,
) -> tuple[Array, Array]:
    """Relative changes p, r with v s p + D r = g, A (v p) = miss and s r in the range of A'."""
    xp = namespace(v)
    factor = _Factor.of(v, s, cost, sigma, tilt)
    k = factor.k
    aim = factor.inverse(g[..., None])
    by_null = space.null is not None
    if by_null:
        table = factor.inverse(space.null * s[..., None])
        order = xp.argsort(-s / k, axis=-1)
    else:
        table = factor.transposed(xp.matrix_transpose(space.matrix / s[:, None, :]))
        order = xp.argsort(-k / s, axis=-1)
    basis, triangle = xp.linalg.qr(_taken(table, order))
    along = xp.matrix_transpose(basis) @ _taken(aim, order)
    if by_null:
        along = xp.where(xp.any(space.null != 0, axis=1)[..., None], along, 0.0)
    elif bool(xp.any(xp.abs(miss) > _ROUNDING)):
        along = along - _forward(triangle, miss)[..., None]
    found = _taken(basis @ along, xp.argsort(order, axis=-1))
    z, x = (found, aim - found) if by_null else (aim - found, found)
    return factor.times(z)[..., 0] / (v * s), factor.transposed_inverse(x)[..., 0]


def _taken(table: Array, order: Array) -> Array:
    """The rows of a table (B, N, c) in an order (B, N) for each game."""
    xp = namespace(table)
    if order.shape[0] == 1:
        return xp.take(table, order[0, ...], axis=1)
    return xp.take_along_axis(table, xp.broadcast_to(order[..., None], table.shape), axis=1)


class _Factor(NamedTuple):
    """L = K (I - gamma u u') of D = L L', on tables (B, N, c); u (B, m, n) or None for sigma = 0."""

    k: Array
    u: Array | None
    gamma: Any
    back: Any

    @classmethod
    def of(cls, v: Array, s: Array, cost: Array, sigma: Array, tilt: Tilt | None) -> _Factor:
        xp, vs = namespace(v), v * s
        if tilt is None:
            return cls(xp.sqrt(vs), None, None, None)
        size, m, n = tilt.on.shape
        square = vs + sigma[:, None] * cost
        k = xp.sqrt(square)

        def answers(table: Array) -> Array:
            return xp.reshape(table[:, : m * n], (size, m, n))

        nu, w = answers(cost) / tilt.weights[..., None], tilt.weights[..., None]
        root = xp.sqrt(xp.sum(nu * answers(vs / square), axis=-1, keepdims=True))
        u = xp.sqrt(sigma[:, None, None] / w) * answers(cost / k)
        gamma = 1 / (1 + root)
        return cls(k, u, gamma, gamma / root)

    def _mixed(self, table: Array, factor: Any) -> Array:
        """(I + factor u u') on each context's answers."""
        if self.u is None:
            return table
        xp, (size, m, n) = namespace(table), self.u.shape
        answers = xp.reshape(table[:, : m * n, ...], (table.shape[0], m, n, table.shape[-1]))
        along = xp.sum(self.u[..., None] * answers, axis=2, keepdims=True)
        moved = answers + (factor * self.u)[..., None] * along
        return xp.concat([xp.reshape(moved, (size, m * n, -1)), table[:, m * n :, ...]], axis=1)

    def times(self, table: Array) -> Array:
        """L table."""
        return self.k[..., None] * self._mixed(table, None if self.u is None else -self.gamma)

    def inverse(self, table: Array) -> Array:
        """L^-1 table."""
        return self._mixed(table / self.k[..., None], self.back)

    def transposed(self, table: Array) -> Array:
        """L' table."""
        return self._mixed(table * self.k[..., None], None if self.u is None else -self.gamma)

    def transposed_inverse(self, table: Array) -> Array:
        """L'^-1 table."""
        return self._mixed(table, self.back) / self.k[..., None]


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
    return xp.linalg.solve(xp.matrix_transpose(unit), right[..., None])[..., 0]


def _length(change: Array, done: Array) -> Array:
    """The longest step, at most 1, that keeps 1 + step * change >= 1/100; 0 for games that are done."""
    xp = namespace(change)
    length = 0.99 / xp.clip(-xp.min(change, axis=-1), 0.99, None)
    return xp.where(done, 0 * length, length)
