"""Hard coherence: every context has the same answer distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics.arrays import LOG_ZERO, Array, log_normalise, namespace
from ..numerics.shapes import Mask, Numbers, Shared, Table, Weights
from .domain import Domain
from .forms import ExponentialForm
from .objective import Objective
from .pairing import geometric_mean_log, mean_log, outside_common_support, weighted
from .reply import Reply


@dataclass(frozen=True, eq=False)
class HardCoherence(Domain, Reply, Objective):
    """nu_x the same for every context x: Phi = 0 there, -inf elsewhere (docs/theory/objectives.md#coherence).

    nu* ∝ prod_x nu0_x^{w_x} (with other terms of exponential form: their rewards enter the
    exponent). The target's multipliers are reward tables u with sum_x w_x u_x = 0, shape (m, n).
    Without an answer that every context can give the game is infeasible. For a stochastic channel
    use HardConstraint(Parity(0.0)).
    """

    has_multipliers = True
    deterministic_only = True
    common_support = True
    concave = True

    def violation(self, log_nu: Table, weights: Weights) -> Numbers | float:
        """max_x TV(nu_x, consensus)."""
        xp = namespace(log_nu)
        nu, q = xp.exp(log_nu), xp.exp(mean_log(log_nu, weights))
        return xp.max(xp.sum(xp.abs(nu - q[..., None, :]), axis=-1) / 2, axis=-1)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """0 where the contexts agree within 1e-9 (single precision: 1e-6) in total variation, else -inf."""
        xp = namespace(log_nu)
        off = self.violation(log_nu, weights)
        tolerance = 1e-9 if log_nu.dtype == xp.float64 else 1e-6
        return xp.where(off <= tolerance, 0 * off, LOG_ZERO)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """0, a valid supergradient at every coherent point; `game.rewards` gives the multipliers."""
        return 0 * log_nu

    def forbidden(self, log_nu0: Table, weights: Weights) -> Mask | None:
        """Answers outside the common support."""
        return outside_common_support(log_nu0)

    def project(self, log_nu: Table, weights: Weights) -> Table:
        """Every context replaced by the geometric consensus."""
        q = self.consensus_log(log_nu, weights)
        return namespace(log_nu).broadcast_to(q[..., None, :], log_nu.shape)

    def consensus_log(self, log_nu: Table, weights: Weights) -> Shared:
        """The normalised geometric mean of the marginals."""
        return log_normalise(geometric_mean_log(log_nu, weights))

    def multipliers(
        self, log_nu: Table, weights: Weights, residual: Table, support: Mask, factor: float = 1.0
    ) -> Array | None:
        """`residual` less its mean over contexts; minus infinity where another context lacks the
        answer (that context, out of its support, takes up the balance).
        """
        xp = namespace(residual)
        common = xp.all(support, axis=-2, keepdims=True)
        finite = common & (log_nu > LOG_ZERO / 2)
        residual = xp.where(finite, residual, 0.0)
        centred = residual - xp.sum(residual * weights[..., None], axis=-2, keepdims=True)
        return xp.where(common, centred, xp.where(support, LOG_ZERO, 0 * centred)) / factor

    def linearise(
        self, log_target: Table, weights: Weights, multipliers: Array | None = None
    ) -> tuple[Numbers, Table]:
        """c = 0, u the multipliers: <u, nu> = 0 for every coherent nu."""
        u = self.reward_log(log_target, weights) if multipliers is None else multipliers
        return 0 * weighted(u[..., 0], weights), u

    def exponential_form(self) -> ExponentialForm:
        """Reward 0, entropy 0, one marginal shared by the contexts."""
        return ExponentialForm(0.0, 0.0, "equal")

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """0; the rows are equal."""
        constraints += [nu[x] == nu[0] for x in range(1, nu.shape[0])]
        return 0.0
