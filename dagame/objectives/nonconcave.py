"""Objectives that are not concave: solved where curvature transfer applies (T6), else refused or explicit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numerics.arrays import LOG_ZERO, Array, log_normalise, namespace, to_numpy
from ..numerics.shapes import Numbers, Table, Weights
from ..numerics.simplex import log_entropy
from .forms import CountedForm, ExponentialForm, Hessian
from .objective import Objective, Scaled
from .pairing import pairing, weighted


@dataclass(frozen=True, eq=False)
class _Sharpening(Objective):
    concave, smoothness, curvature = False, -1.0, -1.0  # type: ignore[assignment]

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x H(nu_x)."""
        return -weighted(log_entropy(log_nu), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """log nu."""
        return log_nu

    def exponential_form(self) -> ExponentialForm:
        """Reward 0, entropy -1."""
        return ExponentialForm(0.0, -1.0)

    def counted_form(self) -> CountedForm:
        """f'(p) = log p, up to a constant."""
        return CountedForm(np.log)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """-w / nu, scaled: -w."""
        return Hessian(0 * log_nu - weights[..., None])

    def closed_form(self, log_nu0: Table, weights: Weights, beta: float) -> Table | None:
        """The mode, where beta <= 1."""
        return _one_hot(log_nu0) if beta <= 1 else None

    def optimum(self, log_nu0: Table, weights: Weights, beta: float) -> Numbers | None:
        """beta * sum_x w_x log max_z nu0_x, where beta <= 1."""
        if beta > 1:
            return None
        return beta * weighted(namespace(log_nu0).max(log_nu0, axis=-1), weights)


@dataclass(frozen=True, eq=False)
class Sharpening(Scaled):
    """Phi(nu) = -strength * sum_x w_x H(nu_x): entropy minimisation; L = mu = -strength (T6).

    Below beta the equilibrium is nu0^{beta/(beta - strength)} / Z; from beta on the optimum is the
    mode of each reference, J* = beta * sum_x w_x log max_z nu0_x.

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    strength: float = 1.0
    unit = _Sharpening


@dataclass(frozen=True, eq=False)
class _SelfConsistency(Objective):
    concave, smoothness, curvature = False, 0.0, -1.0  # type: ignore[assignment]

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x ||nu_x||^2."""
        xp = namespace(log_nu)
        return weighted(xp.sum(xp.exp(2 * log_nu), axis=-1), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """2 nu."""
        return 2 * namespace(log_nu).exp(log_nu)

    def counted_form(self) -> CountedForm:
        """f'(p) = 2 p."""
        return CountedForm(lambda p: 2 * p)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """-2 w, scaled: -2 w nu."""
        return Hessian(-2 * weights[..., None] * namespace(log_nu).exp(log_nu))


@dataclass(frozen=True, eq=False)
class SelfConsistency(Scaled):
    """Phi(nu) = strength * sum_x w_x ||nu_x||^2, reward 2 strength nu_x(z): a soft majority vote.

    L = 0, mu = -strength: solved and certified for strength < beta (T6), refused from beta on.

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    strength: float = 1.0
    unit = _SelfConsistency


@dataclass(frozen=True, eq=False)
class _Agreement(Objective):
    concave, smoothness, curvature = False, 1.0, -1.0  # type: ignore[assignment]
    answerwise = True
    affine = True
    between_contexts = True

    def curvature_for(self, weights: Array) -> float:
        """-eigmax(sqrt(w) sqrt(w)' - diag w), the least over a batch."""
        w = to_numpy(weights).astype(float)
        root = np.sqrt(w)
        matrix = root[..., :, None] * root[..., None, :] - w[..., :, None] * np.eye(w.shape[-1])
        return -float(np.linalg.eigvalsh(matrix)[..., -1].max())

    def _others(self, log_nu: Array, weights: Array) -> Array:
        xp = namespace(log_nu)
        paid = xp.exp(log_nu) * weights[..., None]
        return xp.sum(paid, axis=-2, keepdims=True) - paid

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x <nu_x, sum_{x' != x} w_x' nu_x'>."""
        return pairing(self._others(log_nu, weights), log_nu, weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """2 sum_{x' != x} w_x' nu_x'."""
        return 2 * self._others(log_nu, weights)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """-2 (w w' - diag w^2) per answer, scaled by sqrt(nu nu')."""
        xp = namespace(log_nu)
        root = xp.matrix_transpose(xp.exp(log_nu / 2))
        w = weights[..., None, :]
        off = 1 - xp.eye(weights.shape[-1], dtype=log_nu.dtype, device=log_nu.device)
        cross = w[..., :, None] * w[..., None, :] * off
        return Hessian(-2 * cross * root[..., :, None] * root[..., None, :])


@dataclass(frozen=True, eq=False)
class Agreement(Scaled):
    """Phi(nu) = strength * sum_{x != x'} w_x w_x' <nu_x, nu_x'>, expected agreement of two contexts.

    Reward 2 strength sum_{x' != x} w_x' nu_x'(z); L = strength max w,
    mu = -strength eigmax(sqrt(w) sqrt(w)' - diag w), for uniform weights -strength (1 - 1/m).

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    strength: float = 1.0
    unit = _Agreement


@dataclass(frozen=True, eq=False)
class _MajorityVote(Objective):
    concave, smoothness, curvature = False, 0.0, -np.inf  # type: ignore[assignment]

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x max_z nu_x(z)."""
        xp = namespace(log_nu)
        return weighted(xp.exp(xp.max(log_nu, axis=-1)), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """1 at the mode."""
        return namespace(log_nu).exp(_one_hot(log_nu))

    def closed_form(self, log_nu0: Table, weights: Weights, beta: float) -> Table | None:
        """nu0 tilted by 1 / beta at its mode."""
        top = namespace(log_nu0).exp(_one_hot(log_nu0))
        return log_normalise(log_nu0 + top / beta)

    def optimum(self, log_nu0: Table, weights: Weights, beta: float) -> Numbers | None:
        """beta * sum_x w_x log(1 + max nu0 (e^{1/beta} - 1))."""
        xp = namespace(log_nu0)
        top, ratio = xp.max(log_nu0, axis=-1), 1 / beta
        rest = xp.log1p(-xp.clip(xp.exp(top), None, 1 - 1e-16))
        large = xp.maximum(top + ratio, rest)
        total = large + xp.log(xp.exp(top + ratio - large) + xp.exp(rest - large))
        return beta * weighted(total, weights)


@dataclass(frozen=True, eq=False)
class MajorityVote(Scaled):
    """Phi(nu) = strength * sum_x w_x max_z nu_x(z), reward strength 1{z = argmax} (as in TTRL).

    mu = -infinity, T6 never applies; the optimum is explicit: reward the mode of each reference,
    J* = sum_x w_x max_z beta log(1 + nu0_x(z) (e^{strength/beta} - 1)). Ties: the first answer.

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    strength: float = 1.0
    unit = _MajorityVote


def _one_hot(log_nu: Array) -> Array:
    """Log of the point mass at the first mode."""
    xp = namespace(log_nu)
    first = xp.argmax(log_nu, axis=-1)[..., None]
    place = xp.arange(log_nu.shape[-1], device=log_nu.device)
    return xp.where(place == first, 0 * log_nu, LOG_ZERO)
