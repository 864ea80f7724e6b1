"""Kaniadakis' entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics.arrays import LOG_ZERO, Array, exp_capped, namespace
from .forms import CountedForm, Hessian
from .objective import Objective, Scaled
from .pairing import weighted


@dataclass(frozen=True, eq=False)
class _Kaniadakis(Objective):
    k: float
    concave = True

    @property
    def curvature(self) -> float:
        """sqrt(1 - k^2), the least of nu Phi'' over nu."""
        return (1 - self.k**2) ** 0.5

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        xp, k = namespace(log_nu), self.k
        powers = xp.exp((1 - k) * log_nu) - xp.exp((1 + k) * log_nu)
        return weighted(xp.sum(powers, axis=-1) / (2 * k), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        k = self.k
        return ((1 - k) * exp_capped(-k * log_nu) - (1 + k) * exp_capped(k * log_nu)) / (2 * k)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        xp, k = namespace(log_nu), self.k
        bend = ((1 - k) * exp_capped(-k * log_nu) + (1 + k) * exp_capped(k * log_nu)) / 2
        return Hessian(weights[..., None] * xp.where(log_nu > LOG_ZERO / 2, bend, 0.0))

    def counted_form(self) -> CountedForm:
        k = self.k
        return CountedForm(
            lambda p: ((1 - k) * np.asarray(p) ** -k - (1 + k) * np.asarray(p) ** k) / (2 * k)
        )


@dataclass(frozen=True, eq=False)
class KaniadakisDiversity(Scaled):
    """Phi(nu) = strength * sum_x w_x sum_z (nu^(1-k) - nu^(1+k))/(2k), 0 < k < 1; k -> 0 is Shannon's."""

    strength: float = 1.0
    k: float = 0.5
    unit = _Kaniadakis


def definition(o: Any, p: list[Any], log: Any, infinity: Any) -> tuple[Any, list[Any]]:
    k = o.k
    value = sum(v ** (1 - k) - v ** (1 + k) for v in p) / (2 * k)
    slope = [((1 - k) * v**-k - (1 + k) * v**k) / (2 * k) if v else infinity for v in p]
    return value, slope
