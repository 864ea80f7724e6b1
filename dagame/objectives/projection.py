"""The nearest point of a polytope in KL, the target of a soft set: exact at masses of zero.

**Problem.** Given marginals nu (m, n) with weights w, and a set C = {q : sum_z q_x(z) = 1, q >= 0,
G q <= h (or =)}: least sum_x w_x KL(nu_x || q_x) over *all* of C. Where nu is 0 the mass of q costs
nothing, but C may need it; a target confined to the support of nu is another one.

**Derivation.** Put q and the slacks h - G q of inequalities into one vector v >= 0, the rows of C into
A v = b, and the costs into c = (w nu, 0). The Lagrangian of min -sum_j c_j log v_j subject to A v = b is
stationary where c_j / v_j = (A'y)_j; with s = A'y the optimum is the *weighted complementarity problem*

    A v = b,   s = A'y,   v, s >= 0,   v_j s_j = c_j.

A coordinate of no cost has v_j s_j = 0: either it gets no mass, or its price s_j is 0.

**Duality gap.** Every s >= 0 in the range of A' prices a bound that is *linear in nu*: as log a <= a - 1,

    sum_x w_x KL(nu_x || q_x) >= <log d, nu> + 1 - <v, s>   for all q in C,   d = s / w on the answers,

with <v, s> = b'y the same for every v with A v = b. At the optimum d = nu / q and <v, s> = 1, so that this
is an equality. The reward of a soft set is -strength log d: valid wherever the method stops, also
where nu is 0, and there it is the limit of -strength log(nu / q).

**Method** (`_follow`). The path v s = c + t e from t = 1 to 1e-20, e the mass that each coordinate would
have on average. A Newton step for relative changes p of v and r of s asks p + r = (c + t e)/(v s) - 1,
with k p in the null space of B = A diag(v / k) and k r in the range of B', k = sqrt(v s): two orthogonal
projections, by one QR factorisation of B' with its rows sorted by size. Relative changes keep their
digits however small v_j or s_j are, where q = nu / (theta + G'y) would be 0 / 0 in rounding error.

**Sets without an interior** (`_opened`). The path needs a point with v > 0. If following it for equal
costs finds none, a linear program finds the coordinates that are 0 throughout C; those leave, and rows
that have become dependent with them.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..arrays import LOG_ZERO, Array, float64, like, log, namespace, to_numpy
from .sets import ConstraintSet, Rows

_LEAST = 1e-20
"""The end of the path: the optimum is missed by at most this times the number of coordinates."""

_MET = 1e-8
"""Largest residual of a row, scaled to a largest entry of 1, at which a point counts as one of C."""

_THIN = 1e-10
"""Where the central point of C has less than this, a linear program says whether it is 0 on all of C."""

_RUNAWAY = 1e60
"""Prices beyond this belong to a set that has no point."""

_ROUNDS = 100

_SUPPORTS = 32
"""Most different supports of a batch on which a hard set is compiled."""


class Projection(NamedTuple):
    """log q, log d (both (B, m, n)), the constant 1 - <v, s> of the bound, and whether C has a point (B,)."""

    log_q: Array
    log_price: Array
    constant: Array
    found: Array


class Program(NamedTuple):
    """A v = b for each of G weight vectors: v holds the m n answers and one slack per row of the set.

    matrix (G, m + r, m n + r), bound (G, m + r); `open` (G, m n + r) marks the coordinates that are not 0
    on all of C (an equality's slack is), `empty` (G,) the sets without a point.
    """

    matrix: np.ndarray
    bound: np.ndarray
    open: np.ndarray
    empty: np.ndarray

    def closed_answers(self, m: int, n: int) -> np.ndarray:
        """Answers (G, m, n) that no point of C gives any mass."""
        return ~self.open[:, : m * n].reshape(-1, m, n)


def project(log_nu: Array, weights: Array, chosen: ConstraintSet) -> Projection:
    """argmin_{q in C} sum_x w_x KL(nu_x || q_x) for a flat batch: log_nu (B, m, n), weights (m,) or (B, m).

    To a duality gap of about 1e-15 in 12 to 25 Newton steps of O(m n (m + r)^2) each, r the rows of C.
    Mass of nu on answers that C gives none is left out: the divergence is infinite, the caller says so.
    """
    xp, (size, m, n) = namespace(log_nu), log_nu.shape
    program = compiled(chosen, m, n, weights)
    wide = float64(log_nu)
    w = xp.broadcast_to(float64(weights), (size, m))
    put = functools.partial(like, reference=wide)
    matrix, bound, live = put(program.matrix), put(program.bound), put(program.open * 1.0) > 0
    mass = xp.reshape(xp.exp(wide) * w[..., None], (size, m * n))
    spare = xp.zeros((size, matrix.shape[-1] - m * n), dtype=mass.dtype, device=mass.device)
    cost = xp.where(live, xp.concat([mass, spare], axis=-1), 0.0)
    v, s, off = _follow(matrix, bound, cost, live, w, n)
    answers = live[:, : m * n]
    q = xp.reshape(xp.where(answers, v[:, : m * n], 0.0), (size, m, n))
    d = xp.reshape(s[:, : m * n], (size, m, n)) / w[..., None]
    total = xp.sum(xp.where(live, v * s, 0.0), axis=-1)
    open_ = xp.broadcast_to(xp.reshape(answers, (-1, m, n)), q.shape)
    found = (off <= _MET) & ~(put(program.empty * 1.0) > 0)
    price = xp.where(open_, log(d), -LOG_ZERO)
    return Projection(log(q / xp.sum(q, axis=-1, keepdims=True)), price, 1 - total, found)


@np.errstate(all="ignore")
def _follow(
    matrix: Array, bound: Array, cost: Array, live: Array, w: Array, n: int
) -> tuple[Array, Array, Array]:
    """v and s at the end of the path, and the largest residual of A v = b: `cost` (B, N), `live` (B|1, N)."""
    xp = namespace(cost)
    even, v, s = _start(matrix, bound, cost, live, w, n)
    t = 1.0 + 0 * cost[:, 0]
    scale = 1 + xp.max(xp.abs(bound), axis=-1)
    for _ in range(_ROUNDS):
        aim = xp.where(live, cost + t[:, None] * even, 1.0)
        miss = bound - xp.sum(matrix * v[:, None, :], axis=-1)
        off = xp.max(xp.abs(miss), axis=-1) / scale
        wrong = aim / (v * s) - 1
        done = (t <= _LEAST) & (xp.max(xp.abs(wrong), axis=-1) < 1e-9) & (off < 4e-15)
        done = done | ~(xp.max(s, axis=-1) < _RUNAWAY) | ~xp.isfinite(off)
        if bool(xp.all(done)):
            break
        p, r = _newton(matrix, v, s, wrong, miss)
        step_v, step_s = (_length(x, done) for x in (p, r))
        v = xp.where(done[:, None], v, v * (1 + step_v[:, None] * p))
        s = xp.where(done[:, None], s, s * (1 + step_s[:, None] * r))
        far = xp.max(xp.abs(aim / (v * s) - 1), axis=-1)
        fast = (xp.minimum(step_v, step_s) > 0.9) & (far < 0.5)
        cut = xp.where(fast, 0.01, xp.where(far < 2, 0.2, 1.0))
        t = xp.where(done, t, xp.maximum(cut * t, 0 * t + _LEAST))
    return v, s, off


def _start(
    matrix: Array, bound: Array, cost: Array, live: Array, w: Array, n: int
) -> tuple[Array, Array, Array]:
    """e, and v > 0 and s > 0 to begin with: s = A'y with y = 1/10 on open slacks, v half uniform."""
    xp = namespace(cost)
    size, m = w.shape
    answers = m * n
    here = xp.astype(live, cost.dtype)
    wide = xp.reshape(xp.broadcast_to(w[..., None], (size, m, n)), (size, answers))
    count = xp.sum(here[:, answers:], axis=-1, keepdims=True)
    even = xp.concat(
        [wide / n, 0 * cost[:, answers:] + 1 / xp.maximum(count, 0 * count + 1)], axis=-1
    )
    q = xp.where(live[:, :answers], (1 / n + cost[:, :answers] / wide) / 2, 1.0)
    rows = matrix[:, m:, :answers]
    slack = bound[:, m:] - xp.sum(rows * q[:, None, :], axis=-1)
    slack = xp.where(live[:, answers:], xp.maximum(slack, 0 * slack + 0.1), 1.0)
    y = 0.1 * here[:, answers:]
    price = xp.sum(rows * y[:, :, None], axis=1)
    price = xp.broadcast_to(price, (size, answers))
    least = xp.min(xp.reshape(price, (size, m, n)), axis=-1)
    theta = w + xp.maximum(-least, 0 * least)
    theta = xp.reshape(xp.broadcast_to(theta[..., None], (size, m, n)), (size, answers))
    s = xp.concat([theta + price, y + 0 * cost[:, answers:]], axis=-1)
    return even, xp.concat([q, slack], axis=-1), xp.where(live, s, 1.0)


def _newton(matrix: Array, v: Array, s: Array, wrong: Array, miss: Array) -> tuple[Array, Array]:
    """Relative changes p, r with p + r = wrong, A (v p) = miss and s r in the range of A'."""
    xp = namespace(v)
    k = xp.sqrt(v * s)
    order = xp.argsort(-v / k, axis=-1)
    back = xp.argsort(order, axis=-1)
    table = xp.matrix_transpose(matrix * (v / k)[:, None, :])
    index = xp.broadcast_to(order[..., None], table.shape)
    basis, triangle = xp.linalg.qr(xp.take_along_axis(table, index, axis=1))
    aim = xp.take_along_axis(k * wrong, order, axis=-1)
    along = (xp.matrix_transpose(basis) @ aim[..., None])[..., 0]
    along = along - _forward(triangle, miss)
    kr = xp.take_along_axis((basis @ along[..., None])[..., 0], back, axis=-1)
    return wrong - kr / k, kr / k


def _forward(triangle: Array, right: Array) -> Array:
    """y with triangle' y = right; rows of no size, or dependent to rounding error, ask for nothing."""
    xp = namespace(triangle)
    size = xp.sqrt(xp.sum(triangle**2, axis=-2))
    usable = (size > 0) & xp.isfinite(size)
    scale = xp.where(usable, 1 / xp.where(usable, size, 1.0), 0.0)
    unit = xp.where(scale[:, None, :] > 0, triangle * scale[:, None, :], 0.0)
    eye = xp.eye(unit.shape[-1], dtype=unit.dtype, device=unit.device)
    flat = xp.abs(xp.linalg.diagonal(unit)) < 1e-15
    unit = unit + eye * xp.where(flat, 1.0, 0.0)[:, None, :]
    right = xp.where(flat, 0.0, right * scale)
    return xp.linalg.solve(xp.matrix_transpose(unit), right[..., None])[..., 0]


def _length(change: Array, done: Array) -> Array:
    """The longest step, at most 1, that keeps 1 + step * change >= 1/100; 0 for games that are done."""
    xp = namespace(change)
    fall = xp.max(-change, axis=-1)
    length = xp.minimum(0.99 / xp.maximum(fall, 0 * fall + 0.99), 1 + 0 * fall)
    return xp.where(done, 0 * length, length)


# -- the set, compiled once for its weights ---------------------------------------------------------


def compiled(chosen: ConstraintSet, m: int, n: int, weights: Array) -> Program:
    """The program of a set for context weights (m,) or (G, m), kept for the next call."""
    w = to_numpy(weights).astype(np.float64).reshape(-1, m)
    w = w / w.sum(axis=-1, keepdims=True)
    if len(w) > 1 and not _weighs(chosen, m, n):
        w = w[:1]
    return _compiled(chosen, m, n, w.tobytes())


def compiled_on(chosen: ConstraintSet, live: np.ndarray, weights: Array) -> list[Program] | None:
    """The programs of a set on the answers `live` (B, m, n) of each game; None: more than 32 different."""
    size, m, n = live.shape
    w = to_numpy(weights).astype(np.float64).reshape(-1, m)
    w = np.broadcast_to(w / w.sum(axis=-1, keepdims=True), (size, m))
    if not _weighs(chosen, m, n):
        w = np.full((size, m), 1 / m)
    keys = [(row.tobytes(), mask.tobytes()) for row, mask in zip(w, live, strict=True)]
    if len(set(keys)) > _SUPPORTS:
        return None
    return [_compiled(chosen, m, n, *key) for key in keys]


def _weighs(chosen: ConstraintSet, m: int, n: int) -> bool:
    """Whether the rows depend on the weights of the contexts."""
    plain = chosen.rows(m, n, np.zeros(m)).matrix
    return not np.array_equal(plain, chosen.rows(m, n, np.ones(m)).matrix)


@functools.lru_cache(maxsize=256)
def _compiled(
    chosen: ConstraintSet, m: int, n: int, weights: bytes, live: bytes | None = None
) -> Program:
    w = np.frombuffer(weights).reshape(-1, m)
    on = None if live is None else np.frombuffer(live, dtype=bool)
    built = [stated(chosen.rows(m, n, row), m, n, on) for row in w]
    opened = _opened(Program(*(np.stack(part) for part in zip(*built, strict=True))), w, n)
    return _independent(opened, m)


def stated(
    rows: Rows, m: int, n: int, live: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """The fields of a `Program` of one game before anything is left out, rows scaled to largest entry 1."""
    r, answers = len(rows.bound), m * n
    table = rows.matrix.reshape(r, answers)
    size = np.abs(table).max(axis=-1, initial=0.0)
    unit = 1 / np.where(size > 0, size, 1.0)
    matrix = np.zeros((m + r, answers + r))
    matrix[:m, :answers] = np.kron(np.eye(m), np.ones(n))
    matrix[m:, :answers] = table * unit[:, None]
    matrix[m:, answers:] = np.diag(~rows.equal * 1.0)
    bound = np.concatenate([np.ones(m), rows.bound * unit])
    open_ = np.concatenate([np.ones(answers, bool) if live is None else live.ravel(), ~rows.equal])
    return matrix * open_, bound, open_, False


def _opened(program: Program, w: np.ndarray, n: int) -> Program:
    """Without the coordinates that are 0 on all of C, and with the sets that have no point marked."""
    first = _independent(program, w.shape[-1])
    cost = np.where(first.open, 1 / first.open.shape[-1], 0.0)
    v, _, off = _follow(first.matrix, first.bound, cost, first.open, w, n)
    met = np.abs(program.bound - (program.matrix @ v[..., None])[..., 0]).max(-1) <= _MET
    inside = (off < 1e-12) & (np.where(first.open, v, 1).min(-1) > _THIN) & met
    matrix, open_, empty = program.matrix.copy(), program.open.copy(), program.empty.copy()
    for g in np.flatnonzero(~inside):
        found = possible(matrix[g], program.bound[g], open_[g])
        empty[g] = found is None
        if found is not None:
            open_[g] &= found
            matrix[g] *= open_[g]
    return Program(matrix, program.bound, open_, empty)


def possible(matrix: np.ndarray, bound: np.ndarray, live: np.ndarray) -> np.ndarray | None:
    """Coordinates that some v >= 0 with A v = b has positive, among `live`; None: there is no such v.

    A linear program: max sum_j min(v_j, 1) over A v = b tau, tau >= 1.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    index = np.flatnonzero(live)
    a, k = matrix[:, index], len(index)
    eye = sparse.eye_array(k)
    found: Any = linprog(
        np.concatenate([np.zeros(k), -np.ones(k), [0.0]]),
        A_eq=sparse.hstack(
            [sparse.csr_array(a), sparse.csr_array((len(a), k)), -sparse.csr_array(bound[:, None])],
            format="csr",
        ),
        b_eq=np.zeros(len(a)),
        A_ub=sparse.hstack([-eye, eye, sparse.csr_array((k, 1))], format="csr"),
        b_ub=np.zeros(k),
        bounds=[*[(0, None)] * k, *[(0, 1)] * k, (1, None)],
    )
    if found.x is None:
        return None
    out = np.zeros(live.shape, bool)
    out[index] = found.x[k : 2 * k] > 0.5
    return out


def _independent(program: Program, m: int) -> Program:
    """Rows of no open slack that depend on others become 0 v + slack = 1, which ask nothing."""
    matrix, bound, open_ = (part.copy() for part in program[:3])
    r = matrix.shape[1] - m
    for g in range(len(matrix)):
        slack = matrix.shape[-1] - r
        basis: list[np.ndarray] = []
        for i in range(m + r):
            if i >= m and open_[g, slack + i - m]:
                continue
            row = matrix[g, i].copy()
            for e in basis:
                row -= (e @ row) * e
            for e in basis:
                row -= (e @ row) * e
            length = np.linalg.norm(row)
            if length > 1e-9:
                basis.append(row / length)
            elif i >= m:
                matrix[g, i] = 0.0
                matrix[g, i, slack + i - m], bound[g, i], open_[g, slack + i - m] = 1.0, 1.0, True
    return Program(matrix, bound, open_, program.empty)
