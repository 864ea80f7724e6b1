"""Diversity of answers: Shannon entropy, the Gini index, Tsallis entropies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ..arrays import LOG_ZERO, Array, exp_capped, logsumexp, namespace
from ..errors import InvalidObjective
from ..scalar import increasing_root, wright_omega
from ..simplex import log_entropy
from .base import ConcaveObjective, ExponentialForm, Hessian, weighted


@dataclass(frozen=True, eq=False)
class ShannonDiversity(ConcaveObjective):
    """Phi(nu) = strength * sum_x w_x H(nu_x), reward -strength log nu_x(z) (theory, section 3).

    L = mu = strength; nu* ∝ nu0^{beta/(beta+strength)}.
    """

    @property
    def smoothness(self) -> float | None:
        """L = strength."""
        return self.strength

    @property
    def curvature(self) -> float:
        """mu = strength: B(p, q) is strength * KL exactly."""
        return self.strength

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * sum_x w_x H(nu_x)."""
        return self.strength * weighted(log_entropy(log_nu), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * log nu."""
        return -self.strength * log_nu

    def exponential_form(self) -> ExponentialForm:
        """(0, strength)."""
        return ExponentialForm(0.0, self.strength)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """strength * w / nu, scaled: strength * w."""
        return Hessian(0 * log_nu + self.strength * weights[..., None])

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Entropy atoms."""
        import cvxpy as cp

        return self.strength * cp.sum(cp.multiply(weights[:, None], cp.entr(nu)))

    def separable_derivative(self) -> Callable[[Any], Any]:
        """f'(p) = -strength log p, up to a constant."""
        return lambda p: -self.strength * np.log(p)


@dataclass(frozen=True, eq=False)
class GiniDiversity(ConcaveObjective):
    """Phi(nu) = strength * sum_x w_x (1 - sum_z nu_x(z)^2), reward -2 strength nu_x(z).

    L = strength by Pinsker's inequality, mu = 0 (theory, section 3). Closed form by Wright's omega:
    nu = omega(t + log(a nu0)) / a with a = 2 strength / beta and t the normalising root.
    """

    @property
    def smoothness(self) -> float | None:
        """L = strength."""
        return self.strength

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * sum_x w_x (1 - ||nu_x||^2)."""
        xp = namespace(log_nu)
        return self.strength * weighted(1 - xp.sum(xp.exp(2 * log_nu), axis=-1), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-2 strength nu."""
        return -2 * self.strength * namespace(log_nu).exp(log_nu)

    def closed_form(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """log nu = t + log nu0 - a nu, the root t of sum nu = 1 lies in [0, a]."""
        if self.strength == 0:
            return log_nu0
        xp, a = namespace(log_nu0), 2 * self.strength / beta
        shift = math.log(2 * self.strength) - math.log(beta)

        def excess(t: Array) -> tuple[Array, Array]:
            omega = wright_omega(t + shift + log_nu0)
            log_nu = t + log_nu0 - omega
            nu = xp.exp(log_nu)
            total = xp.sum(nu, axis=-1, keepdims=True)
            slope = xp.sum(nu / (1 + omega), axis=-1, keepdims=True) / total
            return logsumexp(log_nu, keepdims=True), slope

        zero = 0 * log_nu0[..., :1]
        t = increasing_root(excess, zero, zero + a)
        return t + log_nu0 - wright_omega(t + shift + log_nu0)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """2 strength * w, scaled: 2 strength * w nu."""
        xp = namespace(log_nu)
        return Hessian(2 * self.strength * weights[..., None] * xp.exp(log_nu))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Sum of squares."""
        import cvxpy as cp

        root = np.sqrt(weights)[:, None]
        return self.strength * (weights.sum() - cp.sum_squares(cp.multiply(root, nu)))

    def separable_derivative(self) -> Callable[[Any], Any]:
        """f'(p) = -2 strength p."""
        return lambda p: -2 * self.strength * p


@dataclass(frozen=True, eq=False)
class TsallisDiversity(ConcaveObjective):
    """Phi(nu) = strength * sum_x w_x (1 - sum_z nu_x(z)^t)/(t - 1), order t > 0, t != 1.

    Reward -strength t nu^{t-1}/(t-1). t > 1: L = strength t (not tight), mu = 0; t < 1: no finite L,
    mu = strength t (theory, section 3). t -> 1 is Shannon's entropy, t = 2 the Gini index.
    """

    order: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.order, Real) and 0 < self.order < np.inf and self.order != 1):
            raise InvalidObjective(
                f"TsallisDiversity: order is {self.order!r}; give a number > 0 other than 1 "
                "(order 1 is ShannonDiversity)."
            )

    @property
    def magnitude(self) -> float:
        """Strength t / |t - 1|."""
        return self.strength * self.order / abs(self.order - 1)

    @property
    def smoothness(self) -> float | None:
        """Strength t for t > 1, else None."""
        return self.strength * self.order if self.order > 1 else None

    @property
    def curvature(self) -> float:
        """Strength t for t < 1, else 0."""
        return self.strength * self.order if self.order < 1 else 0.0

    def _power(self, log_nu: Array, exponent: float) -> Array:
        """nu^exponent, large but finite where nu is 0 and the exponent negative."""
        return exp_capped(exponent * log_nu)

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * sum_x w_x (1 - sum nu^t)/(t - 1)."""
        xp, t = namespace(log_nu), self.order
        return self.strength / (t - 1) * weighted(1 - xp.sum(xp.exp(t * log_nu), axis=-1), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength t nu^{t-1}/(t-1)."""
        t = self.order
        return -self.strength * t / (t - 1) * self._power(log_nu, t - 1)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """Strength t w nu^{t-2}, scaled: strength t w nu^{t-1}."""
        xp, t = namespace(log_nu), self.order
        bend = xp.where(log_nu > LOG_ZERO / 2, self._power(log_nu, t - 1), 0.0)
        return Hessian(self.strength * t * weights[..., None] * bend)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Power atoms."""
        import cvxpy as cp

        t = self.order
        total = cp.sum(cp.multiply(weights[:, None], cp.power(nu, t)))
        return self.strength / (t - 1) * (weights.sum() - total)

    def separable_derivative(self) -> Callable[[Any], Any]:
        """f'(p) = -strength t p^{t-1}/(t-1)."""
        t = self.order
        return lambda p: -self.strength * t / (t - 1) * np.asarray(p) ** (t - 1)
