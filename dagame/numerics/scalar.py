"""Scalar equations solved for a whole batch at once: Wright's omega and a safeguarded Newton root."""

from __future__ import annotations

from collections.abc import Callable

from .arrays import Array, namespace

_FLOOR = -40.0
"""Below, omega(s) = e^s to the precision of float64."""


def wright_omega(s: Array) -> Array:
    """omega(s) > 0 with omega + log omega = s, i.e. W(e^s) for real s, to float precision.

    log omega(s) = s - omega(s) without cancellation for s < 1. Two steps of `refined_omega` from a start
    within 30%.
    """
    xp = namespace(s)
    small, e = s < 1.0, xp.exp(xp.clip(s, None, 1.0))
    high = xp.where(small, 1.0, s)
    y = xp.where(small, e / (1 + e), high - xp.log(high) * high / (1 + high))
    y = xp.where(s < _FLOOR, 1.0, y)
    inside = xp.where(s < _FLOOR, 1.0, s)
    for _ in range(2):
        y = refined_omega(y, inside - y - xp.log(y))
    return xp.where(s < _FLOOR, e, y)


def refined_omega(y: Array, off: Array) -> Array:
    """An omega(s) nearer than y > 0 is, off = s - y - log y (Fritsch, Shafer and Crowley 1973).

    Of fourth order: the relative error of a y within 30% falls to 1e-4, and from there to rounding.
    """
    more = 1 + y
    q = 2 * more * (more + off * (2 / 3))
    return y * (1 + off * (q - off) / (more * (q - 2 * off)))


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
