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

At the end of `path.follow` with these costs, from the central point of C.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..numerics.arrays import (
    LOG_ZERO,
    Array,
    float64,
    like,
    log,
    log_normalise,
    namespace,
    to_numpy,
)
from ..numerics.shapes import Table, Weights
from .path import Space, Tilt, follow
from .program import MET, Program, Reduced, compiled, key, reduced, reduced_rows, untied
from .sets import ConstraintSet


class Projection(NamedTuple):
    """log q, log d (both (B, m, n)), the constant 1 - <v, s> of the bound, and whether C has a point (B,)."""

    log_q: Array
    log_price: Array
    constant: Array
    found: Array


def project(log_nu: Table, weights: Weights, chosen: ConstraintSet) -> Projection:
    """argmin_{q in C} sum_x w_x KL(nu_x || q_x) for a flat batch: log_nu (B, m, n), weights (m,) or (B, m).

    To a duality gap of about 1e-15 in 10 to 25 Newton steps of O(N d^2) each, N = m n + r for the r rows of
    C, d the lesser of m + r and m n. Mass of nu on answers that C gives none is left out: the divergence is
    infinite, the caller says so.
    """
    return _ended(log_nu, weights, chosen, 0.0)[0]


def reply(
    log_reference: Array, weights: Array, chosen: ConstraintSet, sigma: float
) -> tuple[Projection, Array]:
    """The projection of nu ∝ nu0 (nu/q)^-sigma, its own fixed point, and log nu (B, m, n).

    For sigma = lambda/beta it is the maximum of -lambda min_{q in C} sum_x w_x KL(nu_x || q_x)
    - beta sum_x w_x KL(nu_x || nu0_x): as the duality of the module is linear in nu, that maximum is

        min_{s = A'y >= 0} lambda (b'y - 1) + beta sum_x w_x log sum_z nu0_x(z) (s_x(z)/w_x)^{-sigma},

    a convex program in y, stationary where v s = w nu(s) on the answers and v s = 0 on the slacks. Every
    y prices a bound, so that the rewards -lambda log d are a certificate wherever the method stops.
    """
    return _ended(log_reference, weights, chosen, sigma)


def _ended(
    log_nu: Array, weights: Array, chosen: ConstraintSet, sigma: float
) -> tuple[Projection, Array]:
    xp, (size, m, n) = namespace(log_nu), log_nu.shape
    program = compiled(chosen, m, n, weights)
    wide = float64(log_nu)
    w = xp.broadcast_to(float64(weights), (size, m))

    def put(table: Any) -> Array:
        return like(table, wide)

    live, rows = put(program.open * 1.0) > 0, reduced_rows(chosen, m, n, key(chosen, m, n, weights))
    answers = live[:, : m * n]
    on = xp.broadcast_to(xp.reshape(answers, (-1, m, n)), (size, m, n))
    mass = xp.where(on, xp.exp(wide) * w[..., None], 0.0)
    width = (size, live.shape[-1])
    cost = xp.concat(
        [
            xp.reshape(mass, (size, m * n)),
            xp.zeros((size, width[1] - m * n), dtype=mass.dtype, device=mass.device),
        ],
        axis=-1,
    )
    tilt = None
    if sigma > 0:
        alive = on & (wide > LOG_ZERO / 2)
        log_nu0 = xp.where(alive, log_normalise(xp.where(alive, wide, LOG_ZERO)), LOG_ZERO)
        tilt = Tilt(log_nu0, alive, w, sigma)
    v, s = (xp.broadcast_to(put(part), width) for part in (program.v, program.s))
    start = (cost, v, s)
    v, s, off = follow(_space(program, rows, wide), *start, tilt)
    again = None if rows is None else np.flatnonzero(untied(rows, to_numpy(v), m, n))
    if again is not None and again.size:
        index = xp.asarray(again, device=wide.device)
        few, sizes = program.rows(again), to_numpy(xp.take(v, index, axis=0))
        space = _space(few, reduced(few, sizes, m, n), wide)
        start = (xp.take(part, index, axis=0) for part in start)
        found = follow(space, *start, None if tilt is None else tilt.rows(index))
        place = np.arange(size)
        place[again] = size + np.arange(again.size)
        place = xp.asarray(place, device=wide.device)
        v, s, off = (
            xp.take(xp.concat([old, new]), place, axis=0)
            for old, new in zip((v, s, off), found, strict=True)
        )
    q = xp.reshape(xp.where(answers, v[:, : m * n], 0.0), (size, m, n))
    d = xp.reshape(s[:, : m * n], (size, m, n)) / w[..., None]
    total = xp.sum(xp.where(live, v * s, 0.0), axis=-1)
    found = (off <= MET) & ~(put(program.empty * 1.0) > 0)
    price = xp.where(on, log(d), -LOG_ZERO)
    point = Projection(log(q / xp.sum(q, axis=-1, keepdims=True)), price, 1 - total, found)
    return point, wide if tilt is None else tilt.log_policy(v)


def _space(program: Program, rows: Reduced | None, reference: Array) -> Space:
    """The program's, with the rows reduced or as they are."""

    def put(table: Any) -> Array:
        return like(table, reference)

    live = put(program.open * 1.0) > 0
    if rows is None:
        return Space(put(program.matrix), put(program.bound), live)
    return Space(put(rows.matrix), put(rows.bound), live, put(rows.null), put(rows.inverse))
