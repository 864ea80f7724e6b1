"""Objectives that are not concave: solved where curvature transfer applies (T6), else refused or explicit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import LOG_ZERO, Array, log_normalise, namespace, to_numpy
from ..simplex import log_entropy
from .base import ExponentialForm, Hessian, Objective, check_strength, pairing, weighted


@dataclass(frozen=True, eq=False)
class _NonConcave(Objective):
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_strength(type(self).__name__, self.strength)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.strength:g})"

    @property
    def concave(self) -> bool | None:
        """False, but for strength 0."""
        return self.strength == 0

    @property
    def curvature(self) -> float:
        """mu = -strength."""
        return -self.strength


@dataclass(frozen=True, eq=False, repr=False)
class Sharpening(_NonConcave):
    """Phi(nu) = -strength * sum_x w_x H(nu_x): entropy minimisation; L = mu = -strength (T6).

    Below beta the equilibrium is nu0^{beta/(beta - strength)} / Z; from beta on the optimum is the
    mode of each reference, J* = beta * sum_x w_x log max_z nu0_x.
    """

    @property
    def smoothness(self) -> float | None:
        """L = -strength: one mirror step."""
        return -self.strength

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum_x w_x H(nu_x)."""
        return -self.strength * weighted(log_entropy(log_nu), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * log nu."""
        return self.strength * log_nu

    def exponential_form(self) -> ExponentialForm:
        """(0, -strength)."""
        return ExponentialForm(0.0, -self.strength)

    def separable_derivative(self) -> Callable[[Any], Any]:
        """F'(p) = strength log p, up to a constant."""
        return lambda p: self.strength * np.log(p)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """-strength w / nu, scaled: -strength w."""
        return Hessian(0 * log_nu - self.strength * weights[..., None])

    def closed_form(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """The mode, from beta on."""
        return _one_hot(log_nu0) if self.strength >= beta else None

    def optimum(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """beta * sum_x w_x log max_z nu0_x, from beta on."""
        if self.strength < beta:
            return None
        return beta * weighted(namespace(log_nu0).max(log_nu0, axis=-1), weights)


@dataclass(frozen=True, eq=False, repr=False)
class SelfConsistency(_NonConcave):
    """Phi(nu) = strength * sum_x w_x ||nu_x||^2, reward 2 strength nu_x(z): a soft majority vote.

    L = 0, mu = -strength: solved and certified for strength < beta (T6), refused from beta on.
    """

    @property
    def smoothness(self) -> float | None:
        """L = 0: best response never decreases J."""
        return 0.0

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * sum_x w_x ||nu_x||^2."""
        xp = namespace(log_nu)
        return self.strength * weighted(xp.sum(xp.exp(2 * log_nu), axis=-1), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """2 strength nu."""
        return 2 * self.strength * namespace(log_nu).exp(log_nu)

    def separable_derivative(self) -> Callable[[Any], Any]:
        """F'(p) = 2 strength p."""
        return lambda p: 2 * self.strength * p

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """-2 strength w, scaled: -2 strength w nu."""
        return Hessian(-2 * self.strength * weights[..., None] * namespace(log_nu).exp(log_nu))


@dataclass(frozen=True, eq=False, repr=False)
class Agreement(_NonConcave):
    """Phi(nu) = strength * sum_{x != x'} w_x w_x' <nu_x, nu_x'>, expected agreement of two contexts.

    Reward 2 strength sum_{x' != x} w_x' nu_x'(z); L = strength max w,
    mu = -strength eigmax(sqrt(w) sqrt(w)' - diag w), for uniform weights -strength (1 - 1/m).
    """

    answerwise: ClassVar[bool] = True
    between_contexts: ClassVar[bool] = True

    @property
    def smoothness(self) -> float | None:
        """L <= strength (strength max w)."""
        return self.strength

    def curvature_for(self, weights: Array) -> float:
        """-strength eigmax(sqrt(w) sqrt(w)' - diag w), the least over a batch."""
        w = to_numpy(weights).astype(float)
        root = np.sqrt(w)
        matrix = root[..., :, None] * root[..., None, :] - w[..., :, None] * np.eye(w.shape[-1])
        return -self.strength * float(np.linalg.eigvalsh(matrix)[..., -1].max())

    def _others(self, log_nu: Array, weights: Array) -> Array:
        xp = namespace(log_nu)
        paid = xp.exp(log_nu) * weights[..., None]
        return xp.sum(paid, axis=-2, keepdims=True) - paid

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * sum_x w_x <nu_x, sum_{x' != x} w_x' nu_x'>."""
        return self.strength * pairing(self._others(log_nu, weights), log_nu, weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """2 strength * sum_{x' != x} w_x' nu_x'."""
        return 2 * self.strength * self._others(log_nu, weights)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """-2 strength (w w' - diag w^2) per answer, scaled by sqrt(nu nu')."""
        xp = namespace(log_nu)
        root = xp.matrix_transpose(xp.exp(log_nu / 2))
        w = weights[..., None, :]
        off = 1 - xp.eye(weights.shape[-1], dtype=log_nu.dtype, device=log_nu.device)
        cross = w[..., :, None] * w[..., None, :] * off
        return Hessian(-2 * self.strength * cross * root[..., :, None] * root[..., None, :])


@dataclass(frozen=True, eq=False, repr=False)
class MajorityVote(_NonConcave):
    """Phi(nu) = strength * sum_x w_x max_z nu_x(z), reward strength 1{z = argmax} (as in TTRL).

    mu = -infinity, T6 never applies; the optimum is explicit: reward the mode of each reference,
    J* = sum_x w_x max_z beta log(1 + nu0_x(z) (e^{strength/beta} - 1)). Ties: the first answer.
    """

    @property
    def curvature(self) -> float:
        """-infinity: the maximum has kinks."""
        return -np.inf if self.strength else 0.0

    @property
    def smoothness(self) -> float | None:
        """L = 0: the maximum is convex."""
        return 0.0

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * sum_x w_x max_z nu_x(z)."""
        xp = namespace(log_nu)
        return self.strength * weighted(xp.exp(xp.max(log_nu, axis=-1)), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """strength at the mode."""
        return self.strength * namespace(log_nu).exp(_one_hot(log_nu))

    def closed_form(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """nu0 tilted by strength / beta at its mode."""
        top = namespace(log_nu0).exp(_one_hot(log_nu0))
        return log_normalise(log_nu0 + self.strength / beta * top)

    def optimum(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """beta * sum_x w_x log(1 + max nu0 (e^{strength/beta} - 1))."""
        xp = namespace(log_nu0)
        top, ratio = xp.max(log_nu0, axis=-1), self.strength / beta
        rest = xp.log1p(-xp.clip(xp.exp(top), None, 1 - 1e-16))
        large = xp.maximum(top + ratio, rest)
        total = large + xp.log(xp.exp(top + ratio - large) + xp.exp(rest - large))
        return beta * weighted(total, weights)


def _one_hot(log_nu: Array) -> Array:
    """Log of the point mass at the first mode."""
    xp = namespace(log_nu)
    first = xp.argmax(log_nu, axis=-1)[..., None]
    place = xp.arange(log_nu.shape[-1], device=log_nu.device)
    return xp.where(place == first, 0 * log_nu, LOG_ZERO)
