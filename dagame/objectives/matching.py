"""Matching a given target distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import LOG_ZERO, Array, like, log, namespace
from ..errors import InvalidObjective
from ..simplex import check_distribution, log_kl
from .base import ExponentialForm, Hessian, Objective, check_strength, weighted


@dataclass(frozen=True, eq=False)
class ReverseMatching(Objective):
    """Phi(nu) = -strength * sum_x w_x KL(nu_x || rho_x), reward -strength log(nu_x / rho_x).

    L = mu = strength; nu* ∝ nu0^{beta/(beta+strength)} rho^{strength/(beta+strength)} (theory,
    section 3). Where rho is 0, nu* is 0.
    """

    target: Any
    strength: float = 1.0
    tables = ("target", "log_target")

    def __post_init__(self) -> None:
        check_strength("TargetMatching", self.strength)
        object.__setattr__(self, "target", check_distribution(self.target, "target"))
        object.__setattr__(self, "log_target", log(self.target))

    @property
    def concave(self) -> bool | None:
        """KL is convex in its first argument."""
        return True

    @property
    def smoothness(self) -> float | None:
        """L = strength."""
        return self.strength

    @property
    def curvature(self) -> float:
        """Mu = strength."""
        return self.strength

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum_x w_x KL(nu_x || rho_x)."""
        return -self.strength * weighted(log_kl(log_nu, self._log_target(log_nu)), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * log(nu / rho)."""
        return -self.strength * (log_nu - self._log_target(log_nu))

    def _log_target(self, log_nu: Array) -> Array:
        table = like(getattr(self, "log_target"), log_nu)  # noqa: B009 - set in __post_init__
        return namespace(log_nu).broadcast_to(table, log_nu.shape)

    def exponential_form(self) -> ExponentialForm:
        """(strength log rho, strength)."""
        return ExponentialForm(self.strength * getattr(self, "log_target"), self.strength)  # noqa: B009

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """Strength * w / nu, scaled: strength * w."""
        return Hessian(0 * log_nu + self.strength * weights[..., None])

    def cvxpy(self, nu: Any, weights: np.ndarray) -> Any:
        """Entropy plus a linear term (rel_entr fails in CLARABEL at n = 200)."""
        import cvxpy as cp

        table = np.broadcast_to(np.asarray(self._log_target(np.zeros(nu.shape))), nu.shape)
        finite = np.where(table > LOG_ZERO / 2, table, -1e3)
        w = weights[:, None]
        return self.strength * (
            cp.sum(cp.multiply(w, cp.entr(nu))) + cp.sum(cp.multiply(w * finite, nu))
        )


def TargetMatching(target: Any, strength: float = 1.0, direction: str = "reverse") -> Objective:
    """Pull the answers towards a distribution rho: (n,), (m, n) or (*batch, m, n).

    direction "reverse": -strength * sum_x w_x KL(nu_x || rho_x), avoids answers that rho lacks.
    """
    if direction == "reverse":
        return ReverseMatching(target, strength)
    raise InvalidObjective(f'direction is {direction!r}; choose "reverse".')
