"""A polytope of marginals as A v = b, v >= 0, compiled once for its weights, with a point inside.

**Sets without an interior** (`_opened`). The path of `path.py` needs a point with v > 0. If following it
for equal costs finds none, a linear program finds the coordinates that are 0 throughout C; those leave,
and rows that have become dependent with them.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..numerics.arrays import Array, to_numpy
from .path import End, Space, follow
from .set_rows import Rows
from .sets import ConstraintSet, compiled_rows

MET = 1e-8
"""Largest residual of a row, scaled to a largest entry of 1, at which a point counts as one of C."""

_THIN = 1e-10
"""Where the central point of C has less than this, a linear program says whether it is 0 on all of C."""

_FAR = 1e6
"""An answer that is solved for from others this much larger may have lost what ties it to small ones."""

_SUPPORTS = 32
"""Most different supports of a batch on which a hard set is compiled."""


class Program(NamedTuple):
    """A v = b for each of G weight vectors: v holds the m n answers and one slack per row of the set.

    matrix (G, m + r, m n + r), bound (G, m + r); `open` (G, m n + r) marks the coordinates that are not 0
    on all of C (an equality's slack is), `empty` (G,) the sets without a point; v and s (G, m n + r) are the
    central point of C and its prices, v s = 1/N.
    """

    matrix: np.ndarray
    bound: np.ndarray
    open: np.ndarray
    empty: np.ndarray
    v: np.ndarray
    s: np.ndarray

    def rows(self, index: np.ndarray) -> Program:
        """The sets of the games `index` of a batch."""
        return self if len(self.open) == 1 else Program(*(part[index] for part in self))

    def closed_answers(self, m: int, n: int) -> np.ndarray:
        """Answers (G, m, n) that no point of C gives any mass."""
        return ~self.open[:, : m * n].reshape(-1, m, n)


def compiled(chosen: ConstraintSet, m: int, n: int, weights: Array) -> Program:
    """The program of a set for context weights (m,) or (G, m), kept for the next call."""
    return _compiled(chosen, m, n, key(chosen, m, n, weights))


def key(chosen: ConstraintSet, m: int, n: int, weights: Array) -> bytes:
    """What of the context weights the program of a set depends on."""
    if not compiled_rows(chosen, m, n).across.any():
        return np.full((1, m), 1 / m).tobytes()
    w = to_numpy(weights).astype(np.float64).reshape(-1, m)
    return (w / w.sum(axis=-1, keepdims=True)).tobytes()


def compiled_on(chosen: ConstraintSet, live: np.ndarray, weights: Array) -> list[Program] | None:
    """The programs of a set on the answers `live` (B, m, n) of each game; None: more than 32 different."""
    size, m, n = live.shape
    w = to_numpy(weights).astype(np.float64).reshape(-1, m)
    w = np.broadcast_to(w / w.sum(axis=-1, keepdims=True), (size, m))
    if not compiled_rows(chosen, m, n).across.any():
        w = np.full((size, m), 1 / m)
    keys = [(row.tobytes(), mask.tobytes()) for row, mask in zip(w, live, strict=True)]
    if len(set(keys)) > _SUPPORTS:
        return None
    return [_compiled(chosen, m, n, *key) for key in keys]


@functools.lru_cache(maxsize=256)
def _compiled(
    chosen: ConstraintSet, m: int, n: int, weights: bytes, live: bytes | None = None
) -> Program:
    w = np.frombuffer(weights).reshape(-1, m)
    on = None if live is None else np.frombuffer(live, dtype=bool)
    found = [stated(chosen.rows(m, n, row), m, n, on) for row in w]
    matrix, bound, open_, empty = (np.stack(part) for part in zip(*found, strict=True))
    return _opened(matrix, bound, open_, empty, w, n)


class Reduced(NamedTuple):
    """A v = b solved for one coordinate of each row, the others being free (G sets; see `reduced`).

    matrix (G, m + r, m n + r) and bound (G, m + r): the tight rows in reduced echelon form, 1 in their own
    coordinate; inverse (G, m n + r, m + r), matrix @ inverse = I; null (G, m n + r, d) a basis of the null
    space, 1 in its own of the coordinates `free` (G, d). Columns of 0 fill up.
    """

    matrix: np.ndarray
    bound: np.ndarray
    inverse: np.ndarray
    null: np.ndarray
    free: np.ndarray


@functools.lru_cache(maxsize=256)
def reduced_rows(chosen: ConstraintSet, m: int, n: int, weights: bytes) -> Reduced | None:
    """The rows reduced at the central point; None where A has no more rows than free coordinates."""
    program = _compiled(chosen, m, n, weights)
    answers, r = m * n, program.bound.shape[-1] - m
    tight = m + (~program.open[:, answers:]).sum(axis=-1)
    if m + r <= (program.open[:, :answers].sum(axis=-1) - tight).max():
        return None
    return reduced(program, program.v, m, n)


def reduced(program: Program, size: np.ndarray, m: int, n: int) -> Reduced:
    """The rows solved for coordinates that are large in `size` (G, m n + r): zeros and ties stay exact.

    Where a tight row ties coordinates that become tiny together (v_i = 2 v_j), each keeps its digits, if
    those that are solved for from large ones are themselves large.
    """
    found = [
        _reduced(p.matrix[0], p.bound[0], p.open[0], row, m, n)
        for row, p in ((row, program.rows(np.array([g]))) for g, row in enumerate(size))
    ]
    d = max(1, *(part.free.shape[-1] for part in found))
    wide = [
        part._replace(
            null=np.pad(part.null, ((0, 0), (0, d - len(part.free)))),
            free=np.pad(part.free, (0, d - len(part.free))),
        )
        for part in found
    ]
    return Reduced(*(np.stack(part) for part in zip(*wide, strict=True)))


def untied(rows: Reduced, v: np.ndarray, m: int, n: int) -> np.ndarray:
    """Games (B,) in which what ties small coordinates of v (B, m n + r) may be lost to rounding.

    An answer is solved for from others far larger, and there are equalities besides the m simplices or a
    row whose terms are all small.
    """
    answers = m * n
    free = np.take_along_axis(v, np.broadcast_to(rows.free, (len(v), rows.free.shape[-1])), axis=-1)
    share = (np.abs(rows.null[:, :answers]) * free[:, None, :]).max(axis=-1)
    own = np.any(rows.inverse[:, :answers] != 0, axis=-1)
    terms = np.abs(rows.bound) + (np.abs(rows.matrix) @ v[..., None])[..., 0]
    ties = (own.sum(axis=-1) > m) | (terms * _FAR < 1).any(axis=-1)
    return (own & (share > _FAR * v[:, :answers])).any(axis=-1) & ties


def _reduced(
    matrix: np.ndarray, bound: np.ndarray, open_: np.ndarray, size: np.ndarray, m: int, n: int
) -> Reduced:
    answers, (rows, width) = m * n, matrix.shape
    slack = np.any(matrix[:, answers:] != 0, axis=-1)
    table = np.concatenate([matrix, bound[:, None]], axis=-1)
    weight = np.where(open_ & np.isfinite(size), size, 0.0)[:answers]
    inverse, own = np.zeros((width, rows)), np.zeros(width, bool)
    for i in np.flatnonzero(~slack):
        entries = np.abs(table[i, :answers])
        choice = np.where(entries > 1e-9, entries, 0.0) * weight
        j = int(choice.argmax())
        if not choice[j] > 0:
            continue
        table[i] /= table[i, j]
        others = np.flatnonzero(~slack & (np.arange(rows) != i) & (table[:, j] != 0))
        table[others] -= table[others, j][:, None] * table[i]
        own[j], inverse[j, i] = True, 1.0
    free = np.flatnonzero(open_[:answers] & ~own[:answers])
    null = np.zeros((width, len(free)))
    null[free, np.arange(len(free))] = 1.0
    null[own] = -inverse[own] @ table[:, free]
    for part, unit in ((null, 0.0), (inverse, np.eye(rows)[slack])):
        part[answers:][slack[m:]] = unit - matrix[slack, :answers] @ part[:answers]
    return Reduced(table[:, :-1], table[:, -1], inverse, null, free)


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


def _opened(
    matrix: np.ndarray,
    bound: np.ndarray,
    open_: np.ndarray,
    empty: np.ndarray,
    w: np.ndarray,
    n: int,
) -> Program:
    """Leave out the coordinates that are 0 on all of C; mark the sets without a point as `empty`."""
    m = w.shape[-1]
    first = _independent(matrix, bound, open_, m)
    centre = _centre(*first, w, n)
    met = np.abs(bound - (matrix @ centre.v[..., None])[..., 0]).max(-1) <= MET
    thin = np.where(first[2], centre.v, 1).min(-1) <= _THIN
    inside = (centre.off < 1e-12) & ~thin & met
    if inside.all():
        return Program(*first, empty, centre.v, centre.s)
    matrix, open_, empty = matrix.copy(), open_.copy(), empty.copy()
    for g in np.flatnonzero(~inside):
        found = possible(matrix[g], bound[g], open_[g])
        empty[g] = found is None
        if found is not None:
            open_[g] &= found
            matrix[g] *= open_[g]
    last = _independent(matrix, bound, open_, m)
    centre = _centre(*last, w, n)
    return Program(*last, empty, centre.v, centre.s)


def _centre(matrix: np.ndarray, bound: np.ndarray, open_: np.ndarray, w: np.ndarray, n: int) -> End:
    """The path of equal costs, from v uniform and s = A'y with y = 1/10 on open slacks."""
    m, answers = w.shape[-1], w.shape[-1] * n
    q = np.where(open_[:, :answers], 1 / n, 1.0)
    rows = matrix[:, m:, :answers]
    slack = bound[:, m:] - (rows @ q[..., None])[..., 0]
    slack = np.where(open_[:, answers:], np.maximum(slack, 0.1), 1.0)
    y = 0.1 * open_[:, answers:]
    price = np.sum(rows * y[:, :, None], axis=1)
    least = price.reshape(-1, m, n).min(axis=-1)
    theta = np.repeat(1 / m + np.maximum(-least, 0), n, axis=-1)
    s = np.where(open_, np.concatenate([theta + price, y], axis=-1), 1.0)
    cost = open_ / open_.sum(axis=-1, keepdims=True)
    return follow(Space(matrix, bound, open_), cost, np.concatenate([q, slack], axis=-1), s)


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


def _independent(
    matrix: np.ndarray, bound: np.ndarray, open_: np.ndarray, m: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Replace rows without an open slack that depend on others by 0 v + slack = 1, which always holds."""
    matrix, bound, open_ = matrix.copy(), bound.copy(), open_.copy()
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
    return matrix, bound, open_
