"""Matching a given target distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from ..numerics.arrays import LOG_ZERO, Array, exp_capped, like, log, namespace
from ..numerics.roots import RAISED, rows
from ..numerics.scalar import Omegas, normaliser
from ..numerics.shapes import Mask, Numbers, Table, Weights
from ..numerics.simplex import check_distribution, log_kl
from .domain import Domain
from .forms import ExponentialForm, Hessian
from .objective import Objective, Scaled
from .pairing import minus_infinity_where, weighted


@dataclass(frozen=True, eq=False)
class _Matching(Objective):
    target: Any
    log_target: Any
    tables = {"target": "m n", "log_target": "m n"}  # noqa: RUF012
    concave = True

    def _log_rho(self, log_nu: Array) -> Array:
        table = like(self.log_target, log_nu)
        return namespace(log_nu).broadcast_to(table, log_nu.shape)


class _Reverse(Domain, _Matching):
    """-sum_x w_x KL(nu_x || rho_x); where rho is 0, nu* is 0."""

    smoothness, curvature = 1.0, 1.0  # type: ignore[assignment]

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x KL(nu_x || rho_x)."""
        xp, log_rho = namespace(log_nu), self._log_rho(log_nu)
        outside = (log_nu > LOG_ZERO / 2) & (log_rho < LOG_ZERO / 2)
        value = -weighted(log_kl(log_nu, log_rho), weights)
        return minus_infinity_where(value, xp.any(xp.any(outside, axis=-1), axis=-1))

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """log(rho / nu)."""
        return self._log_rho(log_nu) - log_nu

    def forbidden(self, log_nu0: Table, weights: Weights) -> Mask | None:
        """Answers that rho lacks."""
        return self._log_rho(log_nu0) < LOG_ZERO / 2

    def exponential_form(self) -> ExponentialForm:
        """Reward log rho, entropy 1."""
        return ExponentialForm(self.log_target, 1.0)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """w / nu, scaled: w."""
        return Hessian(0 * log_nu + weights[..., None])

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Entropy plus a linear term (rel_entr fails in CLARABEL at n = 200)."""
        import cvxpy as cp

        table = np.broadcast_to(np.asarray(self._log_rho(np.zeros(nu.shape))), nu.shape)
        finite = np.where(table > LOG_ZERO / 2, table, -1e3)
        w = weights[:, None]
        return cp.sum(cp.multiply(w, cp.entr(nu))) + cp.sum(cp.multiply(w * finite, nu))


class _Forward(_Matching):
    """-sum_x w_x KL(rho_x || nu_x): nu = s / omega(log s - log nu0 - c), s = rho / beta, c a root."""

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x KL(rho_x || nu_x)."""
        xp, log_rho = namespace(log_nu), self._log_rho(log_nu)
        missing = (log_rho > LOG_ZERO / 2) & (log_nu < LOG_ZERO / 2)
        value = -weighted(log_kl(log_rho, log_nu), weights)
        return minus_infinity_where(value, xp.any(xp.any(missing, axis=-1), axis=-1))

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """rho / nu."""
        return exp_capped(self._log_rho(log_nu) - log_nu)

    def closed_form(self, log_nu0: Table, weights: Weights, beta: float) -> Table | None:
        """log nu - s/nu = log nu0 + c per answer; the normalising c lies in [-1/beta, 0]."""
        found = rows(RAISED, log_nu0, (self.target, self.log_target), beta)
        if found is not None:
            return found
        xp, zero = namespace(log_nu0), 0 * log_nu0[..., :1]
        log_s = self._log_rho(log_nu0) - math.log(beta)
        paid = log_s > LOG_ZERO / 2
        unpaid = not bool(xp.all(paid))
        s = log_s - log_nu0
        omegas = Omegas(xp.where(paid, s, 0.0) if unpaid else s, -1.0)
        parts = omegas.pieces
        gains = [xp.exp(log_s[..., some]) for some in parts]
        rest = [xp.exp(xp.where(paid, LOG_ZERO, log_nu0)[..., some]) for some in parts if unpaid]

        def masses(i: int, y: Array, c: Array) -> tuple[Array, Array]:
            nu = gains[i] / y
            change = nu / (1 + y)
            if not unpaid:
                return nu, change
            alone = rest[i] * xp.exp(c)
            return nu + alone, change + alone

        c = normaliser(omegas, masses, zero - 1 / beta, zero)
        log_nu = log_s - omegas.log_at(c)
        return xp.where(paid, log_nu, log_nu0 + c) if unpaid else log_nu

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """w rho / nu^2, scaled: w rho / nu."""
        ratio = exp_capped(self._log_rho(log_nu) - log_nu)
        return Hessian(weights[..., None] * ratio)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Logarithms of the entries where rho has mass."""
        import cvxpy as cp

        rho = np.broadcast_to(np.asarray(self.target), nu.shape)
        live = np.nonzero(rho > 0)
        paid = (weights[:, None] * rho)[live]
        constant = (paid * np.log(rho[live])).sum()
        return paid @ cp.log(nu[live]) - constant


@dataclass(frozen=True, eq=False)
class TargetMatching(Scaled):
    """Pull the answers towards a distribution rho: (n,), (m, n) or (*batch, m, n).

    direction "reverse": Phi = -strength * sum_x w_x KL(nu_x || rho_x), reward -strength log(nu_x / rho_x),
    avoids answers that rho lacks; L = mu = strength and
    nu* ∝ nu0^{beta/(beta+strength)} rho^{strength/(beta+strength)}.
    "forward": Phi = -strength * sum_x w_x KL(rho_x || nu_x), reward strength rho_x(z) / nu_x(z), covers
    every answer that rho has; no finite L, mu = 0, nu* by Wright's omega and a scalar root; infeasible
    where rho has mass and the reference none (docs/theory/objectives.md).

    Args:
        target: rho, (n,), (m, n) or (*batch, m, n), rows of sum 1.
        strength: lambda >= 0, by which value and reward are multiplied.
        direction: "reverse" avoids answers that rho lacks, "forward" covers all that it has.
    """

    target: Any
    strength: float = 1.0
    direction: str = "reverse"
    tables = {"target": "m n"}  # noqa: RUF012

    def __post_init__(self) -> None:
        if self.direction not in _DIRECTIONS:
            raise InvalidObjective(
                f'direction is {self.direction!r}; choose "reverse" or "forward".'
            )
        object.__setattr__(self, "target", check_distribution(self.target, "target"))
        super().__post_init__()

    def row(self) -> Objective:
        """At strength 1."""
        return _DIRECTIONS[self.direction](self.target, log(self.target))


_DIRECTIONS = {"reverse": _Reverse, "forward": _Forward}
