"""Couplings of contexts whose equilibrium is one number per answer: geometric mean, pairwise KL, Hellinger.

At an equilibrium every answer's masses v_x(z) obey, with a per-context constant c_x and L = log nu0 (rewards
and entropies folded in), kappa = strength/beta, and r_x the ratio of v_x (Hellinger: of its root) to a mean
over the contexts,

    a log r_x - kappa'/r_x = L_x + c_x + t,     M(r) = 1,

a monotone equation in t for each answer (docs/theory/dynamics.md#one-number-per-answer):

    coupling   a          kappa'     M           log v_x                          r
    geometric  1          kappa e^k  geometric   log r_x - t                      v/g, g = prod v^w
    kl         1 + kappa  kappa      arithmetic  log r_x + kappa mean(log r) - t  v/q, q = sum w v
    hellinger  2          kappa      arithmetic  2 log r_x - t                    sqrt(v)/s, s = sum w sqrt(v)

With y = kappa'/(a r) each is y + log y = log(kappa'/a) - (L_x + c_x + t)/a: Wright's omega, whose logarithm
has the slope p = 1/(1 + y) in the right side.
"""

from __future__ import annotations

from typing import NamedTuple

from ..numerics.arrays import Array, namespace


class Masses(NamedTuple):
    """Of some answers: v (B, m, k), and the answers' part of the dual function's Hessian.

    That is diag(diagonal) + sum_i sign_i columns_i columns_i' over answers, diagonal (B, m, k), columns
    (B, m or m + 1, k); `overlap` (B, 1, k) are the g of the geometric coupling.
    """

    v: Array
    diagonal: Array
    columns: tuple[tuple[float, Array], ...]
    overlap: Array | None = None


class Coupling:
    """One row of the table above, at kappa."""

    geometric = False

    def __init__(self, kappa: float) -> None:
        """At strength/beta."""
        self.kappa = kappa

    @property
    def order(self) -> float:
        """The a of the table."""
        raise NotImplementedError

    def log_masses(self, log_r: Array, mean_log_r: Array, t: Array) -> Array:
        """The column log v of the table."""
        raise NotImplementedError

    def mass(self, r: Array, mean_log_r: Array, t: Array) -> Array:
        """The v of the table."""
        raise NotImplementedError

    def masses(self, r: Array, mean_log_r: Array, t: Array, w: Array, p: Array) -> Masses:
        """v and the Hessian; w (B, m, k or 1) the contexts' weights, 0 where one lacks the answer."""
        raise NotImplementedError


class GeometricCoupling(Coupling):
    """Phi = kappa log sum_z prod_x nu_x^{w_x}; the k of kappa' is a further unknown of the dual."""

    geometric = True
    order = 1.0  # type: ignore[assignment]

    def log_masses(self, log_r: Array, mean_log_r: Array, t: Array) -> Array:
        """log r - t."""
        return log_r - t

    def mass(self, r: Array, mean_log_r: Array, t: Array) -> Array:
        """g r."""
        return r * namespace(r).exp(-t)

    def masses(self, r: Array, mean_log_r: Array, t: Array, w: Array, p: Array) -> Masses:
        """diag(w v p), and kappa' g (w p, 1)(w p, 1)' / P without the kappa', P = sum w p."""
        xp = namespace(r)
        g, wp = xp.exp(-t), w * p
        v = g * r
        scale = xp.sqrt(g / _safe(xp.sum(wp, axis=-2, keepdims=True)))
        return Masses(v, v * wp, ((1.0, xp.concat([wp * scale, scale], axis=-2)),), g)


class KLCoupling(Coupling):
    """Phi = -kappa sum_{x,x'} w_x w_x' KL(nu_x || nu_x')."""

    @property
    def order(self) -> float:
        """1 + kappa."""
        return 1 + self.kappa

    def log_masses(self, log_r: Array, mean_log_r: Array, t: Array) -> Array:
        """log r + kappa mean(log r) - t."""
        return log_r + (self.kappa * mean_log_r - t)

    def mass(self, r: Array, mean_log_r: Array, t: Array) -> Array:
        """q r."""
        return r * namespace(r).exp(self.kappa * mean_log_r - t)

    def masses(self, r: Array, mean_log_r: Array, t: Array, w: Array, p: Array) -> Masses:
        """q [diag(mu p)/a - (mu p)(mu p)'/(a P) + mu mu'], mu = w r, P = sum mu p."""
        xp, a = namespace(r), self.order
        q, mu = xp.exp(self.kappa * mean_log_r - t), w * r
        root, mp = xp.sqrt(q), mu * p
        total = _safe(xp.sum(mp, axis=-2, keepdims=True))
        minus = mp * (root / xp.sqrt(a * total))
        return Masses(q * r, mp * (q / a), ((-1.0, minus), (1.0, mu * root)))


class HellingerCoupling(Coupling):
    """Phi = kappa (sum_z s^2 - 1)."""

    order = 2.0  # type: ignore[assignment]

    def log_masses(self, log_r: Array, mean_log_r: Array, t: Array) -> Array:
        """2 log r - t."""
        return 2 * log_r - t

    def mass(self, r: Array, mean_log_r: Array, t: Array) -> Array:
        """s^2 r^2."""
        return r * r * namespace(r).exp(-t)

    def masses(self, r: Array, mean_log_r: Array, t: Array, w: Array, p: Array) -> Masses:
        """s^2 [diag(w r^2 p) + kappa/2 (mu p)(mu p)'/P], mu = w r, P = sum mu p."""
        xp = namespace(r)
        square, mp = xp.exp(-t), w * r * p
        total = _safe(xp.sum(mp, axis=-2, keepdims=True))
        column = mp * xp.sqrt(self.kappa / 2 * square / total)
        return Masses(square * r * r, mp * r * square, ((1.0, column),))


def _safe(total: Array) -> Array:
    """1 for answers that no context gives."""
    return namespace(total).where(total > 0, total, 1.0)


COUPLINGS = {
    "geometric": GeometricCoupling,
    "kl": KLCoupling,
    "hellinger": HellingerCoupling,
}
"""The rows of the table by name."""
