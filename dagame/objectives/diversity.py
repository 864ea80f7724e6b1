"""Diversity of answers: Shannon entropy, the Gini index, Tsallis and Rényi entropies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from ..numerics.arrays import LOG_ZERO, Array, exp_capped, namespace
from ..numerics.roots import DAMPED, rows
from ..numerics.scalar import Omegas, normaliser
from ..numerics.shapes import Numbers, Table, Weights
from ..numerics.simplex import log_entropy
from .forms import CountedForm, ExponentialForm, Hessian, SmoothForm
from .objective import Objective, Scaled
from .pairing import per_context, weighted


@dataclass(frozen=True, eq=False)
class _Shannon(Objective):
    concave, smoothness, curvature = True, 1.0, 1.0  # type: ignore[assignment]

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x H(nu_x)."""
        return weighted(log_entropy(log_nu), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """-log nu."""
        return -log_nu

    def exponential_form(self) -> ExponentialForm:
        """Reward 0, entropy 1."""
        return ExponentialForm(0.0, 1.0)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """w / nu, scaled: w."""
        return Hessian(0 * log_nu + weights[..., None])

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Entropy atoms."""
        import cvxpy as cp

        return cp.sum(cp.multiply(weights[:, None], cp.entr(nu)))

    def counted_form(self) -> CountedForm:
        """f'(p) = -log p, up to a constant."""
        return CountedForm(lambda p: -np.log(p))


@dataclass(frozen=True, eq=False)
class ShannonDiversity(Scaled):
    """Phi(nu) = strength * sum_x w_x H(nu_x), reward -strength log nu_x(z) (docs/theory/objectives.md).

    L = mu = strength, as B(p, q) is strength * KL exactly; nu* ∝ nu0^{beta/(beta+strength)}.

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    strength: float = 1.0
    unit = _Shannon


@dataclass(frozen=True, eq=False)
class _Gini(Objective):
    concave, smoothness = True, 1.0

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x (1 - ||nu_x||^2)."""
        xp = namespace(log_nu)
        return weighted(1 - xp.sum(xp.exp(2 * log_nu), axis=-1), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """-2 nu."""
        return -2 * namespace(log_nu).exp(log_nu)

    def closed_form(self, log_nu0: Table, weights: Weights, beta: float) -> Table | None:
        """log nu = t + log nu0 - a nu, the root t of sum nu = 1 lies in [0, a]."""
        a, zero = 2 / beta, 0 * log_nu0[..., :1]
        found = rows(DAMPED, log_nu0, (), a)
        if found is not None:
            return found
        omegas = Omegas(log_nu0 + (math.log(2) - math.log(beta)), 1.0)

        def masses(_: int, y: Array, _t: Array) -> tuple[Array, Array]:
            return y / a, y / (a * (1 + y))

        return omegas.log_at(normaliser(omegas, masses, zero, zero + a)) - math.log(a)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """2 w, scaled: 2 w nu."""
        return Hessian(2 * weights[..., None] * namespace(log_nu).exp(log_nu))

    def smooth_form(self) -> SmoothForm:
        """Tsallis of order 2."""
        return SmoothForm((("tsallis", 1.0, 2.0),))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Sum of squares."""
        import cvxpy as cp

        root = np.sqrt(weights)[:, None]
        return weights.sum() - cp.sum_squares(cp.multiply(root, nu))

    def counted_form(self) -> CountedForm:
        """f'(p) = -2 p."""
        return CountedForm(lambda p: -2 * p)


@dataclass(frozen=True, eq=False)
class GiniDiversity(Scaled):
    """Phi(nu) = strength * sum_x w_x (1 - sum_z nu_x(z)^2), reward -2 strength nu_x(z).

    L = strength by Pinsker's inequality, mu = 0 (docs/theory/objectives.md#why-gini-has-l). Closed form by
    Wright's omega: nu = omega(t + log(a nu0)) / a with a = 2 strength / beta and t the normalising root.

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    strength: float = 1.0
    unit = _Gini


@dataclass(frozen=True, eq=False)
class _Tsallis(Objective):
    order: float
    concave = True

    @property
    def magnitude(self) -> float:
        """t / |t - 1|."""
        return self.order / abs(self.order - 1)

    @property
    def smoothness(self) -> float | None:  # type: ignore[override]
        """t for t > 1, else None."""
        return self.order if self.order > 1 else None

    @property
    def curvature(self) -> float:
        """t for t < 1, else 0."""
        return self.order if self.order < 1 else 0.0

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x (1 - sum nu^t)/(t - 1)."""
        xp, t = namespace(log_nu), self.order
        return 1 / (t - 1) * weighted(1 - xp.sum(xp.exp(t * log_nu), axis=-1), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """-t nu^{t-1}/(t-1), large but finite where nu is 0 and the exponent negative."""
        t = self.order
        return -t / (t - 1) * exp_capped((t - 1) * log_nu)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """t w nu^{t-2}, scaled: t w nu^{t-1}."""
        xp, t = namespace(log_nu), self.order
        bend = xp.where(log_nu > LOG_ZERO / 2, exp_capped((t - 1) * log_nu), 0.0)
        return Hessian(t * weights[..., None] * bend)

    def smooth_form(self) -> SmoothForm:
        """Factor 1."""
        return SmoothForm((("tsallis", 1.0, float(self.order)),))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Power atoms."""
        import cvxpy as cp

        t = self.order
        total = cp.sum(cp.multiply(weights[:, None], cp.power(nu, t)))
        return 1 / (t - 1) * (weights.sum() - total)

    def counted_form(self) -> CountedForm:
        """f'(p) = -t p^{t-1}/(t-1)."""
        t = self.order
        return CountedForm(lambda p: -t / (t - 1) * np.asarray(p) ** (t - 1))


@dataclass(frozen=True, eq=False)
class TsallisDiversity(Scaled):
    """Phi(nu) = strength * sum_x w_x (1 - sum_z nu_x(z)^t)/(t - 1), order t > 0, t != 1.

    Reward -strength t nu^{t-1}/(t-1). t > 1: L = strength t (not tight), mu = 0; t < 1: no finite L,
    mu = strength t (docs/theory/objectives.md). t -> 1 is Shannon's entropy, t = 2 the Gini index.

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
        order: t > 0, not 1; 2 is the Gini index.
    """

    strength: float = 1.0
    order: float = 2.0
    unit = _Tsallis

    def __post_init__(self) -> None:
        if not (isinstance(self.order, Real) and 0 < self.order < np.inf and self.order != 1):
            raise InvalidObjective(
                f"TsallisDiversity: order is {self.order!r}; give a number > 0 other than 1 "
                "(order 1 is ShannonDiversity)."
            )
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class _Renyi(Objective):
    """Written with S - 1 = sum_z (nu^t - nu), so that digits are kept as t tends to 1."""

    order: float
    concave = True
    low_rank = True

    def _log_sum(self, log_nu: Array) -> Array:
        """log S, S = sum_z nu^t, (*batch, m, 1)."""
        xp, t = namespace(log_nu), self.order
        nu, apart = xp.exp(log_nu), (t - 1) * log_nu
        near = nu * xp.expm1(xp.clip(apart, None, 1.0))
        more = xp.where(apart < 1, near, xp.exp(t * log_nu) - nu)
        return xp.log1p(xp.sum(more, axis=-1, keepdims=True))

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x log S_x / (1 - t)."""
        return weighted(self._log_sum(log_nu)[..., 0] / (1 - self.order), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """t/(1-t) (nu^{t-1}/S - 1), large but finite where nu is 0; a constant per context is free."""
        xp, t = namespace(log_nu), self.order
        apart = (t - 1) * log_nu - self._log_sum(log_nu)
        return (
            t
            / (1 - t)
            * xp.where(apart < 1, xp.expm1(xp.clip(apart, None, 1.0)), exp_capped(apart) - 1)
        )

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """w (t nu^{t-2}/S delta + t^2/(1-t) nu^{t-1} nu'^{t-1}/S^2) per context, scaled."""
        xp, t = namespace(log_nu), self.order
        live, log_sum = log_nu > LOG_ZERO / 2, self._log_sum(log_nu)
        bend = xp.where(live, exp_capped((t - 1) * log_nu - log_sum), 0.0)
        column = xp.where(live, exp_capped((t - 0.5) * log_nu - log_sum), 0.0)
        factor = t * (weights[..., None] / (1 - t)) ** 0.5
        return Hessian(t * weights[..., None] * bend, per_context(factor * column))

    def smooth_form(self) -> SmoothForm:
        """Factor 1."""
        return SmoothForm((("renyi", 1.0, float(self.order)),))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Logarithms of sums of power atoms."""
        import cvxpy as cp

        return weights @ cp.log(cp.sum(cp.power(nu, self.order), axis=1)) / (1 - self.order)


@dataclass(frozen=True, eq=False)
class RenyiDiversity(Scaled):
    """Phi(nu) = strength * sum_x w_x H_t(nu_x), H_t = log(sum_z nu^t)/(1 - t), order t in (0, 1].

    Reward strength t/(1-t) nu_x(z)^{t-1} / sum nu_x^t; no finite L, mu = 0 for t < 1; t = 1 is Shannon's
    entropy. t -> 0 counts the answers of positive mass, on a log scale. Orders above 1 are not concave in
    general (docs/theory/objectives.md#why-renyi-diversity-stops-at-order-1) and are refused:
    `TsallisDiversity` of that order is concave, and it orders the distributions of one context in the
    same way.

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
        order: t in (0, 1]; 1 is Shannon's entropy.
    """

    strength: float = 1.0
    order: float = 0.5

    def __post_init__(self) -> None:
        if not (isinstance(self.order, Real) and 0 < self.order <= 1):
            raise InvalidObjective(
                f"RenyiDiversity: order is {self.order!r}; give a number in (0, 1], above which it is not "
                "concave; TsallisDiversity(strength, order) is, and orders distributions alike."
            )
        super().__post_init__()

    def row(self) -> Objective:
        """At strength 1."""
        return _Shannon() if self.order == 1 else _Renyi(self.order)
