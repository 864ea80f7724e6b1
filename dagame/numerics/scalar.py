"""Scalar equations solved for a whole batch at once: Wright's omega and a safeguarded Newton root."""

from __future__ import annotations

import math
from collections.abc import Callable

from .arrays import Array, namespace

_FLOOR = -40.0
"""Below, omega(s) = e^s to the precision of float64."""

_LOWEST = -80.0
"""What smaller arguments are taken for where only sums of omegas are asked for."""

_TINY = 1e-30
"""Below, log omega(s) = s to the precision of float64."""


def wright_omega(s: Array, steps: int = 2) -> Array:
    """omega(s) > 0 with omega + log omega = s, i.e. W(e^s) for real s, to float precision.

    log omega(s) = s - omega(s) without cancellation for s < 1. Two steps of `refined_omega` from a start
    within 30%; fewer leave that, or 1e-4.
    """
    xp = namespace(s)
    small, e = s < 1.0, xp.exp(xp.clip(s, None, 1.0))
    high = xp.where(small, 1.0, s)
    y = xp.where(small, e / (1 + e), high - xp.log(high) * high / (1 + high))
    y = xp.where(s < _FLOOR, 1.0, y)
    inside = xp.where(s < _FLOOR, 1.0, s)
    for _ in range(steps):
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
    f: Callable[[Array], tuple[Array, Array]],
    low: Array,
    high: Array,
    steps: int = 100,
    start: Array | None = None,
) -> Array:
    """The root of an increasing f in [low, high], elementwise, from `start` or the middle.

    f returns (value, slope).

    Newton, replaced by bisection where it leaves the bracket: never worse than halving, quadratic
    near the root. An element stays where its bracket or step is at rounding error, so that its root
    does not depend on the others of the batch; ends when all do.
    """
    xp = namespace(low)
    eps = 4 * xp.finfo(low.dtype).eps
    t = (low + high) / 2 if start is None else start
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


class Omegas:
    """omega(s + sign c) for a moving c (*batch, 1) and s (*batch, n), each from the last, in pieces of n.

    A call takes one logarithm a number where c has moved by little; the pieces' temporaries stay in cache.
    """

    def __init__(self, s: Array, sign: float, size: int = 1 << 15) -> None:
        """At no c yet."""
        self.sign, rows = sign, math.prod(s.shape[:-1])
        step, n = max(1, size // max(rows, 1)), s.shape[-1]
        self.pieces = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        self._s = [s[..., some] for some in self.pieces]
        self._y: list[Array] = []
        self._c: Array = None

    def at(self, c: Array) -> list[Array]:
        """The omegas at c, by pieces: to fourth order in its move, exact where that is large or c stays."""
        xp, moved = namespace(c), None
        if self._y:
            moved = self.sign * (c - self._c)
            moved = moved if float(xp.max(xp.abs(moved))) <= 1 else None
        for i in range(len(self._s)):
            s = self._argument(i, c)
            if moved is None:
                exact = wright_omega(s)
                self._y = [*self._y[:i], exact, *self._y[i + 1 :]]
            else:
                y = self._y[i]
                x = moved / (1 + y)
                y = y * ((2 + x) / (2 - x))
                self._y[i] = refined_omega(y, s - y - xp.log(y))
        self._c = c
        return self._y

    def _argument(self, i: int, c: Array) -> Array:
        """s + sign c of a piece, raised to where omega is a float > 0."""
        xp, s = namespace(c), self._s[i] + self.sign * c
        return xp.clip(s, _LOWEST, None) if float(xp.min(s)) < _LOWEST else s

    def log_at(self, c: Array) -> Array:
        """Their logarithms at c (*batch, n), of omegas below the range of floats too."""
        xp, logs = namespace(c), []
        for y, s in zip(self.at(c), self._s, strict=True):
            if float(xp.min(y)) > _TINY:
                logs.append(xp.log(y))
            else:
                small = y <= _TINY
                logs.append(xp.where(small, s + self.sign * c, xp.log(xp.where(small, 1.0, y))))
        return xp.concat(logs, axis=-1)


def normaliser(
    omegas: Omegas,
    masses: Callable[[int, Array, Array], tuple[Array, Array]],
    low: Array,
    high: Array,
) -> Array:
    """The c in [low, high] (*batch, 1) at which masses of sum 1 belong to omega(s + sign c), from `low`.

    `masses(i, y, c)` gives those of piece i and their derivatives by c, both >= 0.
    """
    xp = namespace(low)

    def excess(c: Array) -> tuple[Array, Array]:
        total = slope = 0 * c
        for i, y in enumerate(omegas.at(c)):
            nu, change = masses(i, y, c)
            total = total + xp.sum(nu, axis=-1, keepdims=True)
            slope = slope + xp.sum(change, axis=-1, keepdims=True)
        return xp.log(total), slope / total

    return increasing_root(excess, low, high, start=low)
