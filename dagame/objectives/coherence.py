"""Agreement of the contexts of one class: soft coherence with a consensus, and hard coherence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import LOG_ZERO, Array, log_normalise, namespace
from ..errors import InvalidObjective
from ..simplex import log_kl
from .base import ExponentialForm, Hessian, Objective, check_strength, mean_log, pairing, weighted


@dataclass(frozen=True, eq=False)
class ArithmeticCoherence(Objective):
    """Phi(nu) = -strength * min_q sum_x w_x KL(nu_x || q), the generalised Jensen-Shannon divergence.

    The minimiser is q = sum_x w_x nu_x; reward -strength log(nu_x(z) / q(z)); L = strength, mu = 0
    (theory, sections 3 and 4).
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        check_strength("Coherence", self.strength)

    def __repr__(self) -> str:
        return f"Coherence({self.strength:g})"

    @property
    def concave(self) -> bool | None:
        """KL is jointly convex."""
        return True

    @property
    def smoothness(self) -> float | None:
        """L = strength."""
        return self.strength

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum_x w_x KL(nu_x || q)."""
        q = mean_log(log_nu, weights)[..., None, :]
        return -self.strength * weighted(log_kl(log_nu, q), weights)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * (log nu - log q)."""
        return -self.strength * (log_nu - mean_log(log_nu, weights)[..., None, :])

    def value_and_reward_log(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        """Phi = <u, nu>, as Phi is homogeneous of degree 1."""
        u = self.reward_log(log_nu, weights)
        return pairing(u, log_nu, weights), u

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """Per answer strength * (w_x delta_xx' / nu_x - w_x w_x' / q), scaled by sqrt(nu nu')."""
        xp = namespace(log_nu)
        q = mean_log(log_nu, weights)[..., None, :]
        share = weights[..., None] * xp.exp((log_nu - q) / 2)
        share = xp.matrix_transpose(xp.where(log_nu > LOG_ZERO / 2, share, 0.0))
        eye = xp.eye(weights.shape[-1], dtype=log_nu.dtype, device=log_nu.device)
        diagonal = weights[..., None, None, :] * eye
        return Hessian(self.strength * (diagonal - share[..., :, None] * share[..., None, :]))

    def cvxpy(self, nu: Any, weights: np.ndarray) -> Any:
        """Relative entropy to the mean, row by row."""
        import cvxpy as cp

        q = weights @ nu
        return -self.strength * sum(
            w * cp.sum(cp.rel_entr(nu[x], q)) for x, w in enumerate(weights)
        )


@dataclass(frozen=True, eq=False)
class HardCoherence(Objective):
    """nu_x the same for every context x: Phi = 0 there, -inf elsewhere (theory, section 3).

    nu* ∝ prod_x nu0_x^{w_x} (with other terms of exponential form: their rewards enter the
    exponent). The target's multipliers are reward tables u with sum_x w_x u_x = 0, shape (m, n).
    Without an answer that every context can give the game is infeasible.
    """

    has_multipliers = True
    tolerance = 1e-9

    @property
    def concave(self) -> bool | None:
        """The indicator of a convex set."""
        return True

    def violation(self, log_nu: Array, weights: Array) -> Array | float:
        """max_x TV(nu_x, consensus)."""
        xp = namespace(log_nu)
        nu, q = xp.exp(log_nu), xp.exp(mean_log(log_nu, weights))
        return xp.max(xp.sum(xp.abs(nu - q[..., None, :]), axis=-1) / 2, axis=-1)

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """0 where the contexts agree within 1e-9 in total variation, else -inf."""
        xp = namespace(log_nu)
        off = self.violation(log_nu, weights)
        return xp.where(off <= self.tolerance, 0 * off, LOG_ZERO)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """0, a valid supergradient at every coherent point; `game.rewards` gives the multipliers."""
        return 0 * log_nu

    def project(self, log_nu: Array, weights: Array) -> Array:
        """Every context replaced by the geometric consensus."""
        q = self.consensus_log(log_nu, weights)
        return namespace(log_nu).broadcast_to(q[..., None, :], log_nu.shape)

    def consensus_log(self, log_nu: Array, weights: Array) -> Array:
        """The normalised geometric mean of the marginals."""
        xp = namespace(log_nu)
        return log_normalise(xp.sum(log_nu * weights[..., None], axis=-2))

    def multipliers(
        self, log_nu: Array, weights: Array, residual: Array, support: Array
    ) -> Array | None:
        """`residual` less its mean over contexts; minus infinity where another context lacks the
        answer (that context, out of its support, takes up the balance).
        """
        xp = namespace(residual)
        common = xp.all(support, axis=-2, keepdims=True)
        finite = common & (log_nu > LOG_ZERO / 2)
        residual = xp.where(finite, residual, 0.0)
        centred = residual - xp.sum(residual * weights[..., None], axis=-2, keepdims=True)
        return xp.where(common, centred, xp.where(support, LOG_ZERO, 0 * centred))

    def linearise(
        self, log_target: Array, weights: Array, multipliers: Array | None = None
    ) -> tuple[Array, Array]:
        """C = 0, u the multipliers: <u, nu> = 0 for every coherent nu."""
        u = self.reward_log(log_target, weights) if multipliers is None else multipliers
        return 0 * weighted(u[..., 0], weights), u

    def exponential_form(self) -> ExponentialForm:
        """(0, 0, tied)."""
        return ExponentialForm(0.0, 0.0, tied=True)

    def cvxpy_constraints(self, nu: Any) -> list[Any]:
        """Equal rows."""
        return [nu[x] == nu[0] for x in range(1, nu.shape[0])]

    def cvxpy(self, nu: Any, weights: np.ndarray) -> Any:
        """0; the equality of the rows is a constraint."""
        return 0.0


def Coherence(strength: float = 1.0, consensus: str = "arithmetic") -> Objective:
    """Pull the contexts of a class towards a consensus: -strength * min_q sum_x w_x D(nu_x, q).

    consensus "arithmetic": D = KL(nu_x || q), q the weighted mean.
    """
    if consensus == "arithmetic":
        return ArithmeticCoherence(strength)
    raise InvalidObjective(f'consensus is {consensus!r}; choose "arithmetic".')
