"""Scalar equations solved for a whole batch at once: Wright's omega and a safeguarded Newton root."""

from __future__ import annotations

from collections.abc import Callable

from .arrays import Array, namespace


def wright_omega(s: Array) -> Array:
    """omega(s) > 0 with omega + log omega = s, i.e. W(e^s) for real s, to float precision.

    log omega(s) = s - omega(s) without cancellation for s < 1. Newton on the concave side (in log
    omega for small s, in omega for large s), quadratic from a start within 30%; four steps suffice.
    """
    xp = namespace(s)
    small = s < 1.0
    # v = log omega solves e^v + v = s: convex, Newton from above converges monotonically.
    low = xp.where(small, s, 0.0)
    v = low
    for _ in range(6):
        e = xp.exp(v)
        v = v - (e + v - low) / (e + 1)
    high = xp.where(small, 1.0, s)
    y = xp.where(high > 2, high - xp.log(high), 1 + (high - 1) / 2)
    for _ in range(5):
        y = y * (1 + high - xp.log(y)) / (1 + y)
    return xp.where(small, xp.exp(v), y)


def increasing_root(
    f: Callable[[Array], tuple[Array, Array]], low: Array, high: Array, steps: int = 100
) -> Array:
    """The root of an increasing f in [low, high], elementwise; f returns (value, slope).

    Newton, replaced by bisection where it leaves the bracket: never worse than halving, quadratic
    near the root. An element stays where its bracket or step is at rounding error, so that its root
    does not depend on the others of the batch; ends when all do.
    """
    xp = namespace(low)
    eps = 4 * xp.finfo(low.dtype).eps
    t = (low + high) / 2
    found = xp.zeros_like(low) > 0
    for _ in range(steps):
        value, slope = f(t)
        low, high = xp.where(value <= 0, t, low), xp.where(value >= 0, t, high)
        steep = slope > 8 * xp.finfo(low.dtype).smallest_normal * xp.abs(value)
        newton = t - value / xp.where(steep, slope, 1.0)
        inside = (newton > low) & (newton < high) & steep
        new = xp.where(inside, newton, (low + high) / 2)
        moved = xp.abs(new - t)
        t = xp.where(found, t, new)
        found = found | (moved <= eps * (1 + xp.abs(new))) | (value == 0)
        if bool(xp.all(found)):
            break
    return t
