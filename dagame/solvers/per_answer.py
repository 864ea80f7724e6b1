"""The answers' side of `normalisers`: Wright's omegas y and t of some answers, kept solved as c and k move.

The unknowns of each answer are those of `objectives.couplings`; here they are followed to first order when
the contexts' constants c (and the coupling's k) move, and corrected by Newton steps for all contexts and t
at once: with e = s - y - log y the residual of an omega, d log y_x = p_x (e_x - dt/a) and the mean of r tell
dt. A step takes one logarithm a number and is quadratic; where an omega is far off it is solved first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..numerics.arrays import LOG_ZERO, Array, namespace
from ..numerics.scalar import refined_omega, wright_omega
from ..objectives.couplings import Coupling

STEPS = 30
"""Newton steps on t: 2 or 3 at the start, 1 later."""

NEAR = 0.03
"""Change of log y after which its square is left to the next round."""

LAST = 1e-4
"""Last change of log y at which what another correction leaves is rounding; no gap is known before."""

OFF = 0.1
"""Residual of an omega above which it is solved by itself."""

_PIECE = 1 << 15
"""Numbers of one piece, so that its temporaries stay in cache."""


class Solved(NamedTuple):
    """y (B, m, k) and t (B, 1, k) of the answers of a piece."""

    y: Array
    t: Array


class Sums(NamedTuple):
    """Over answers: S (B, m), the Hessian's diagonal (B, m) and outer products (B, d, d), the overlap (B,),
    sum_z v (a y)^2 and max_z a y (B, m), and the last change of log y (B,).
    """

    masses: Array
    diagonal: Array
    outer: Array
    overlap: Array
    square: Array
    top: Array
    off: Array

    def joined(self, other: Sums) -> Sums:
        """Over the answers of both."""
        xp = namespace(self.top)
        added = Sums._make(one + more for one, more in zip(self, other, strict=True))
        top, off = xp.maximum(self.top, other.top), xp.maximum(self.off, other.off)
        return added._replace(top=top, off=off)


def slices(shape: tuple[int, ...]) -> list[slice]:
    """Answers by pieces, of tables (B, m, n)."""
    size, m, n = shape
    step = max(1, _PIECE // (size * m))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


class Piece:
    """Some answers: L (B, m, k), the contexts' weights (B, m), and live (B, m, k), 1 or 0, None for all 1."""

    def __init__(
        self, coupling: Coupling, logits: Array, weights: Array, live: Array | None
    ) -> None:
        """See the class."""
        self.coupling, self.logits, self.live = coupling, logits, live
        self.weights = weights[:, :, None] if live is None else weights[:, :, None] * live

    def _arguments(self, c: Array, k: Array) -> tuple[Array, Array]:
        """log(kappa'/a) (B, 1, 1), and s + t/a of the omegas' arguments s."""
        a = self.coupling.order
        base = (k + math.log(self.coupling.kappa / a))[:, None, None]
        logits = self.logits if a == 1 else self.logits / a
        return base, base - c[:, :, None] / a - logits

    def _shares(self, base: Array, y: Array) -> Array:
        """How much each log r_x moves the log of their mean: w, or w r."""
        if self.coupling.geometric:
            return self.weights
        return self.weights * (namespace(y).exp(base) / y)

    def started(self, c: Array, k: Array) -> Solved:
        """At the t of log r with mean 0 where kappa is small, and omegas within 30%."""
        xp, a = namespace(c), self.coupling.order
        total = _safe(xp.sum(self.weights, axis=-2, keepdims=True))
        t = -xp.sum(self.weights * self.logits, axis=-2, keepdims=True) / total
        if not self.coupling.geometric and self.live is not None:  # r is 1/total on average
            t = t + self.coupling.kappa * (1 - total) - a * xp.log(total)
        return Solved(wright_omega(self._arguments(c, k)[1] - t / a, 0), t)

    def log_overlap(self) -> Array:
        """log prod_x e^{w_x L_x} of the answers that all contexts can give (B, k)."""
        xp = namespace(self.logits)
        means = xp.sum(self.weights * self.logits, axis=-2)
        if self.live is None:
            return means
        return xp.where(xp.min(self.live, axis=-2) > 0, means, LOG_ZERO)

    def followed(self, at: Solved, k: Array, dc: Array, dk: Array) -> Solved:
        """To first order, after c and k have moved from k by dc and dk."""
        xp, a = namespace(dc), self.coupling.order
        p = 1 / (1 + at.y)
        shares = self._shares(self._arguments(dc, k)[0], at.y) * p
        total = xp.sum(shares, axis=-2, keepdims=True)
        dk, dc = dk[:, None, None], dc[:, :, None]
        moved = xp.sum(shares * dc, axis=-2, keepdims=True)
        if self.coupling.geometric:
            moved = moved + dk * (1 - total)
        dt = -moved / _safe(total)
        x = p * ((dk - dc / a) - dt / a)
        return Solved(at.y * _exp(x, float(xp.max(xp.abs(x)))), at.t + dt)

    def corrected(self, at: Solved, c: Array, k: Array) -> tuple[Solved, Array, Array]:
        """The answers at c and k, log r (B, m, k), and the last change of log y (B,), off by its square."""
        xp, a, (y, t) = namespace(c), self.coupling.order, at
        (base, arguments), off, log_y, x = self._arguments(c, k), 0 * k, y, y
        for _ in range(STEPS):
            s = arguments - t / a
            log_y = xp.log(y)
            e = s - y - log_y
            worst = float(xp.max(xp.abs(e)))
            if not worst <= OFF:
                y = refined_omega(y, e) if worst <= 2 else wright_omega(s)
                log_y, e = s - y, 0 * e
            p = 1 / (1 + y)
            shares = self._shares(base, y)
            slopes = shares * p
            known = xp.sum(slopes * e, axis=-2, keepdims=True)
            if self.coupling.geometric:
                mean = xp.sum(shares * (base - log_y), axis=-2, keepdims=True)
            else:
                total = _safe(xp.sum(shares, axis=-2, keepdims=True))
                mean = total * xp.log(total)
            dt = a * (known - mean) / _safe(xp.sum(slopes, axis=-2, keepdims=True))
            x = p * (e - dt / a)
            off = xp.max(xp.max(xp.abs(x), axis=-1), axis=-1)
            most = float(xp.max(off))
            y, t = y * _exp(x, most), t + dt
            if most <= NEAR:
                break
        return Solved(y, t), base - (log_y + x), off

    def sums(self, at: Solved, log_r: Array, k: Array, off: Array) -> Sums:
        """What the dual function is made of."""
        xp, coupling, (y, t) = namespace(k), self.coupling, at
        r = xp.exp(self._arguments(0 * y[..., 0], k)[0]) / y
        found = coupling.masses(r, self._mean(log_r), self._shown(t), self.weights, 1 / (1 + y))
        products = [sign * (u @ xp.matrix_transpose(u)) for sign, u in found.columns]
        v, square, top = self._masked(found.v), 0 * off[:, None], 0 * off[:, None]
        if bool(xp.any(off <= LAST)):  # else not asked for
            paid = self._masked(y if coupling.order == 1 else coupling.order * y)
            square, top = xp.sum(v * paid * paid, axis=-1), xp.max(paid, axis=-1)
        overlap = 0 * k if found.overlap is None else xp.sum(found.overlap, axis=-1)[:, 0]
        return Sums(
            xp.sum(v, axis=-1),
            xp.sum(found.diagonal, axis=-1),
            sum(products[1:], products[0]),
            overlap,
            square + 0 * self.weights[..., 0],
            top + 0 * self.weights[..., 0],
            off,
        )

    def ended(self, at: Solved, c: Array, k: Array) -> tuple[Array, Array]:
        """log v (B, m, k) and S (B, m), after one more correction."""
        xp = namespace(c)
        (y, t), log_r, _ = self.corrected(at, c, k)
        r = xp.exp(self._arguments(c, k)[0]) / y
        mean, t = self._mean(log_r), self._shown(t)
        v = self._masked(self.coupling.mass(r, mean, t))
        return self.coupling.log_masses(log_r, mean, t), xp.sum(v, axis=-1)

    def _mean(self, log_r: Array) -> Array:
        return namespace(log_r).sum(self.weights * log_r, axis=-2, keepdims=True)

    def _shown(self, t: Array) -> Array:
        """t, such that answers that no context can give have no mass."""
        if self.live is None:
            return t
        xp = namespace(t)
        return xp.where(xp.max(self.live, axis=-2, keepdims=True) > 0, t, 1e4)

    def _masked(self, table: Array) -> Array:
        return table if self.live is None else namespace(table).where(self.live > 0, table, 0.0)


def _safe(total: Array) -> Array:
    """1 in place of 0, for answers that no context can give."""
    return namespace(total).where(total > 0, total, 1.0)


def _exp(x: Array, most: float) -> Array:
    """e^x for |x| <= most; up to 1 by (2 + x)/(2 - x), to x^3/12, which a Newton step does not feel."""
    xp = namespace(x)
    if most <= 1:
        return (2 + x) / (2 - x)
    return xp.exp(xp.clip(x, -500.0, 500.0))
