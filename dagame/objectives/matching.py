"""Matching a given target distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import LOG_ZERO, Array, exp_capped, like, log, logsumexp, namespace
from ..errors import InvalidObjective
from ..scalar import increasing_root, wright_omega
from ..simplex import check_distribution, log_kl
from .base import ExponentialForm, Hessian, Objective, check_strength, sunk, weighted


@dataclass(frozen=True, eq=False)
class _Matching(Objective):
    target: Any
    strength: float = 1.0
    log_target: Any = field(init=False, repr=False)
    tables = ("target", "log_target")

    def __post_init__(self) -> None:
        check_strength("TargetMatching", self.strength)
        object.__setattr__(self, "target", check_distribution(self.target, "target"))
        object.__setattr__(self, "log_target", log(self.target))

    @property
    def concave(self) -> bool | None:
        """KL is convex in either argument."""
        return True

    def _log_rho(self, log_nu: Array) -> Array:
        table = like(self.log_target, log_nu)
        return namespace(log_nu).broadcast_to(table, log_nu.shape)


@dataclass(frozen=True, eq=False)
class ReverseMatching(_Matching):
    """Phi(nu) = -strength * sum_x w_x KL(nu_x || rho_x), reward -strength log(nu_x / rho_x).

    L = mu = strength; nu* ∝ nu0^{beta/(beta+strength)} rho^{strength/(beta+strength)} (theory,
    section 3). Where rho is 0, nu* is 0.
    """

    @property
    def smoothness(self) -> float | None:
        """L = strength."""
        return self.strength

    @property
    def curvature(self) -> float:
        """mu = strength."""
        return self.strength

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum_x w_x KL(nu_x || rho_x)."""
        xp, log_rho = namespace(log_nu), self._log_rho(log_nu)
        outside = (log_nu > LOG_ZERO / 2) & (log_rho < LOG_ZERO / 2) & (self.strength > 0)
        value = -self.strength * weighted(log_kl(log_nu, log_rho), weights)
        return sunk(value, xp.any(xp.any(outside, axis=-1), axis=-1))

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * log(nu / rho)."""
        return -self.strength * (log_nu - self._log_rho(log_nu))

    def forbidden(self, log_nu0: Array, weights: Array) -> Array | None:
        """Answers that rho lacks."""
        lacking = self._log_rho(log_nu0) < LOG_ZERO / 2
        return lacking if self.strength > 0 else None

    def exponential_form(self) -> ExponentialForm:
        """(strength log rho, strength)."""
        return ExponentialForm(self.strength * self.log_target, self.strength)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """strength * w / nu, scaled: strength * w."""
        return Hessian(0 * log_nu + self.strength * weights[..., None])

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Entropy plus a linear term (rel_entr fails in CLARABEL at n = 200)."""
        import cvxpy as cp

        table = np.broadcast_to(np.asarray(self._log_rho(np.zeros(nu.shape))), nu.shape)
        finite = np.where(table > LOG_ZERO / 2, table, -1e3)
        w = weights[:, None]
        return self.strength * (
            cp.sum(cp.multiply(w, cp.entr(nu))) + cp.sum(cp.multiply(w * finite, nu))
        )


@dataclass(frozen=True, eq=False)
class ForwardMatching(_Matching):
    """Phi(nu) = -strength * sum_x w_x KL(rho_x || nu_x), reward strength rho_x(z) / nu_x(z).

    No finite L, mu = 0 (theory, section 3). nu = s / omega(log s - log nu0 - c), s = strength rho /
    beta, Wright's omega, c the normalising root. Infeasible where rho has mass and nu0 has none.
    """

    def __repr__(self) -> str:
        return f"TargetMatching({self.strength:g}, direction='forward')"

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum_x w_x KL(rho_x || nu_x)."""
        xp, log_rho = namespace(log_nu), self._log_rho(log_nu)
        missing = (log_rho > LOG_ZERO / 2) & (log_nu < LOG_ZERO / 2) & (self.strength > 0)
        value = -self.strength * weighted(log_kl(log_rho, log_nu), weights)
        return sunk(value, xp.any(xp.any(missing, axis=-1), axis=-1))

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * rho / nu."""
        return self.strength * exp_capped(self._log_rho(log_nu) - log_nu)

    def closed_form(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """log nu - s/nu = log nu0 + c per answer; the normalising c lies in [-strength/beta, 0]."""
        xp = namespace(log_nu0)
        if self.strength == 0:
            return log_nu0
        log_s = self._log_rho(log_nu0) + math.log(self.strength) - math.log(beta)
        paid = log_s > LOG_ZERO / 2

        def at(c: Array) -> tuple[Array, Array]:
            argument = xp.where(paid, log_s - log_nu0 - c, -c)
            v = wright_omega(argument)
            log_v = xp.where(argument < 1, argument - v, xp.log(xp.where(argument < 1, 1.0, v)))
            return xp.where(paid, log_s - log_v, log_nu0 + c), xp.where(paid, v, 0.0)

        def excess(c: Array) -> tuple[Array, Array]:
            log_nu, v = at(c)
            nu = xp.exp(log_nu)
            total = xp.sum(nu, axis=-1, keepdims=True)
            slope = xp.sum(nu / (1 + v), axis=-1, keepdims=True) / total
            return logsumexp(log_nu, keepdims=True), slope

        zero = 0 * log_nu0[..., :1]
        return at(increasing_root(excess, zero - self.strength / beta, zero))[0]

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """Strength w rho / nu^2, scaled: strength w rho / nu."""
        ratio = exp_capped(self._log_rho(log_nu) - log_nu)
        return Hessian(self.strength * weights[..., None] * ratio)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Logarithms of the entries where rho has mass."""
        import cvxpy as cp

        rho = np.broadcast_to(np.asarray(self.target), nu.shape)
        live = np.nonzero(rho > 0)
        paid = (weights[:, None] * rho)[live]
        constant = (paid * np.log(rho[live])).sum()
        return self.strength * (paid @ cp.log(nu[live]) - constant)


def TargetMatching(target: Any, strength: float = 1.0, direction: str = "reverse") -> Objective:
    """Pull the answers towards a distribution rho: (n,), (m, n) or (*batch, m, n).

    direction "reverse": -strength * sum_x w_x KL(nu_x || rho_x), avoids answers that rho lacks;
    "forward": -strength * sum_x w_x KL(rho_x || nu_x), covers every answer that rho has.
    """
    if direction == "reverse":
        return ReverseMatching(target, strength)
    if direction == "forward":
        return ForwardMatching(target, strength)
    raise InvalidObjective(f'direction is {direction!r}; choose "reverse" or "forward".')
