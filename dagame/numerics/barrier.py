"""Small convex problems in a few multipliers, for a whole batch at once: a log-barrier Newton method."""

from __future__ import annotations

from collections.abc import Callable

from .arrays import Array, namespace, solve

Oracle = Callable[[Array], tuple[Array, Array, Array]]
"""y (B, r) -> value (B,), gradient (B, r), Hessian (B, r, r); value inf outside the domain."""


FLAT = 1e12
"""Where a multiplier y_i >= 0 is larger than this, F is flat in it and the barrier's slope alone is left.
Newton's method would then double y_i in every step; so y_i gets the ridge that free multipliers have."""

RUNAWAY = 1e25
"""Multipliers beyond this belong to a minimum that is not attained."""

NEAR, LESS = 3.0, 1e-3
"""The Newton decrement in units of t at which t is lowered, and to what share of itself."""

LONGEST = 1 - LESS
"""The share of y_i or z_i that a step may take away: what is proportional to t follows it at once."""

UNEVEN = 1e6
"""How far y_i z_i may be from t, up or down."""

ACCURACY, ROUNDS = 1e-14, 400
"""By default: how near the least value, and the most Newton steps."""


def barrier_minimise(
    oracle: Oracle,
    start: Array,
    positive: Array,
    *,
    simplex: bool = False,
    accuracy: float = ACCURACY,
    rounds: int = ROUNDS,
) -> Array:
    """argmin F(y) over y_i >= 0 where `positive` (r,) or (B, r), for each game of a batch: (B, r) -> (B, r).

    Damped primal-dual Newton on F - t sum log y_i with t driven to `accuracy` * max(1, |F|): F is then within
    r t of its least value and the gradient at rounding error, in about 10 to 20 steps. The curvature of the
    barrier is z_i / y_i, the slopes z_i taking steps of their own towards y_i z_i = t: t / y_i^2 would hold
    in a neighbourhood that shrinks with t. With `simplex` also sum y = 1, which the start must satisfy. Games
    whose minimum is not attained run away, are stopped beyond 1e25 and return large y; the caller looks at
    the primal residual.
    """
    xp = namespace(start)
    y, r = start, start.shape[-1]
    eye = xp.eye(r, dtype=y.dtype, device=y.device)
    bounded = xp.astype(positive, y.dtype)
    value, gradient, hessian = oracle(y)
    size = xp.maximum(xp.abs(value), xp.ones_like(value))
    t = size if bool(xp.any(positive)) else 0 * size
    z, polished = t[:, None, ...] * bounded / xp.where(positive, y, 1.0), t < 0
    for _ in range(rounds):
        inverse = bounded / xp.where(positive, y, 1.0)
        slope = gradient - t[:, None, ...] * inverse
        own = xp.linalg.diagonal(hessian) + z * inverse
        free = 1 + xp.max(xp.abs(hessian), axis=(-2, -1))
        ridge = 1e-14 * xp.where(positive & (y < FLAT), own, free[:, None, ...])
        bend = hessian + (z * inverse + ridge)[:, None, :] * eye
        move = _newton_step(bend, slope, y, simplex)
        decrement = -xp.sum(slope * move, axis=-1)
        limit = accuracy * xp.maximum(xp.abs(value), xp.ones_like(value))
        centred = decrement <= xp.where(t > limit, NEAR * t, 1e-8 * limit)
        last = centred & (t <= limit)
        done = (last & polished) | (xp.max(xp.abs(y), axis=-1) > RUNAWAY)
        if bool(xp.all(done)):
            break
        aim, polished = t, last
        t = xp.where(centred & (t > limit), xp.maximum(LESS * t, 0.99 * limit), t)
        z = xp.where(done[:, None, ...], z, _slopes(z, move, inverse, aim[:, None, ...]))
        y, value, gradient, hessian = _line_search(
            oracle, y, value, gradient, hessian, move, decrement, aim, positive, done
        )
        even = t[:, None, ...] * bounded / xp.where(positive, y, 1.0)
        z = xp.minimum(xp.maximum(z, even / UNEVEN), even * UNEVEN)
    return y / xp.sum(y, axis=-1, keepdims=True) if simplex else y


def _slopes(z: Array, move: Array, inverse: Array, t: Array) -> Array:
    """z after the step of `move`, z + dz with y dz + z dy = t - y z, cut short so that it stays positive."""
    xp = namespace(z)
    change = (t - z * move) * inverse - z
    shrink = xp.max(xp.where(z > 0, -change / xp.where(z > 0, z, 1.0), 0.0), axis=-1, keepdims=True)
    return z + LONGEST / xp.maximum(shrink, 0 * shrink + LONGEST) * change


def _newton_step(bend: Array, slope: Array, y: Array, simplex: bool) -> Array:
    """-bend^-1 slope; on the simplex with its largest coordinate p eliminated, y_p = 1 - the others.

    Eliminating p keeps the huge curvatures t / y_i^2 of vanishing coordinates on the diagonal, where
    a linear solve is accurate; a common multiplier would mix them with the small ones.
    """
    xp = namespace(bend)
    if not simplex:
        return solve(bend, -slope[..., None])[..., 0]
    place = xp.arange(y.shape[-1], device=y.device)
    pivot = place == xp.argmax(y, axis=-1)[:, None, ...]
    chosen = xp.astype(pivot, y.dtype)
    row = xp.sum(bend * chosen[:, :, None], axis=1)
    corner = xp.sum(row * chosen, axis=-1)[:, None, None]
    reduced = bend - row[:, :, None] - row[:, None, :] + corner
    either = pivot[:, :, None] | pivot[:, None, :]
    reduced = xp.where(either, chosen[:, :, None] * chosen[:, None, :], reduced)
    right = xp.sum(slope * chosen, axis=-1, keepdims=True) - slope
    right = xp.where(pivot, 0.0, right)
    move = solve(reduced, right[..., None])[..., 0]
    return xp.where(pivot, -xp.sum(move, axis=-1, keepdims=True), move)


def _line_search(
    oracle: Oracle,
    y: Array,
    value: Array,
    gradient: Array,
    hessian: Array,
    move: Array,
    decrement: Array,
    t: Array,
    positive: Array,
    done: Array,
) -> tuple[Array, Array, Array, Array]:
    """Halve each game's step until the barrier function falls by a tenth of what Newton promises."""
    xp = namespace(y)
    shrink = xp.where(positive & (move < 0), -move / xp.where(positive, y, 1.0), 0.0)
    length = LONGEST / xp.maximum(xp.max(shrink, axis=-1), 0 * value + LONGEST)
    length = xp.where(done, 0 * length, length)
    slack = 1e-13 * xp.maximum(xp.abs(value), xp.ones_like(value))
    for _ in range(60):
        new = y + length[:, None, ...] * move
        found = oracle(new)
        ratio = xp.where(positive, new / xp.where(positive, y, 1.0), 1.0)
        gain = value - found[0] + t * xp.sum(xp.log(xp.where(ratio > 0, ratio, 1.0)), axis=-1)
        good = (gain >= 0.1 * length * decrement - slack) & xp.isfinite(found[0])
        if bool(xp.all(good)):
            break
        length = xp.where(good, length, length / 2)
    good = good[:, None, ...]
    return (
        xp.where(good, new, y),
        xp.where(good[:, 0], found[0], value),
        xp.where(good, found[1], gradient),
        xp.where(good[..., None], found[2], hessian),
    )
