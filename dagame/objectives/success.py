"""Objectives of the probability of success p_x = sum_z c_x(z) nu_x(z), with c in [0, 1]."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from ..numerics.arrays import LOG_ZERO, Array, exp_capped, like, log, log_normalise, namespace
from ..numerics.roots import TILTED, rows
from ..numerics.scalar import increasing_root
from ..numerics.shapes import Numbers, Table, Weights
from .forms import CountedForm, Hessian
from .objective import Objective, Scaled
from .pairing import minus_infinity_where, per_context, weighted
from .parameters import as_table

_TABLES = {"success": "m n"}


@dataclass(frozen=True, eq=False)
class _Success(Objective):
    """A concave function of p_x per context; nu* ∝ nu0 e^{s c} with a scalar root s per context."""

    success: Any
    tables = _TABLES
    concave = True
    low_rank = True

    def _log_mass(self, log_nu: Array, table: Array) -> Array:
        """log sum_z table * nu, (*batch, m), with its derivative by the table also where that is 0."""
        xp, c = namespace(log_nu), like(table, log_nu)
        top = xp.max(xp.where(c > 0, log_nu, LOG_ZERO), axis=-1, keepdims=True)
        total = xp.sum(exp_capped(log_nu - top) * c, axis=-1)
        return xp.clip(log(total) + top[..., 0], LOG_ZERO, None)

    def _tilt(self, log_nu0: Array, s: Array) -> Array:
        return log_normalise(log_nu0 + s * like(self.success, log_nu0))

    def _moments(self, log_nu: Array) -> tuple[Array, Array, Array]:
        """log p, log(1 - p), Var(c), each (*batch, m, 1)."""
        xp, c = namespace(log_nu), like(self.success, log_nu)
        nu, log_p = xp.exp(log_nu), self._log_mass(log_nu, c)[..., None]
        rest = self._log_mass(log_nu, 1 - c)[..., None]
        centred = c - xp.exp(log_p)
        return log_p, rest, xp.sum(nu * centred**2, axis=-1, keepdims=True)

    def _rank_one(self, log_nu: Array, factor: Array) -> Hessian:
        """factor_x c c' per context, (*batch, m) -> scaled low rank, one column per context."""
        xp = namespace(log_nu)
        column = xp.sqrt(factor)[..., None] * like(self.success, log_nu) * xp.exp(log_nu / 2)
        return Hessian(0 * log_nu, per_context(column))


@dataclass(frozen=True, eq=False)
class _LogSuccess(_Success):
    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x log p_x."""
        log_p = self._log_mass(log_nu, self.success)
        return minus_infinity_where(
            weighted(log_p, weights), namespace(log_nu).any(log_p < LOG_ZERO / 2, axis=-1)
        )

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """c / p."""
        c = like(self.success, log_nu)
        return c * exp_capped(-self._log_mass(log_nu, c))[..., None]

    def counted_form(self) -> CountedForm:
        """The derivative F'(p) = 1 / p of F(p) = log p."""
        return CountedForm(lambda p: 1 / np.asarray(p, float), self.success)

    def closed_form(self, log_nu0: Table, weights: Weights, beta: float) -> Table | None:
        """Root of t + log p(e^t) = -log beta, t = log s, increasing in t."""
        found = rows(TILTED, log_nu0, (self.success,), 0, beta)
        if found is not None:
            return found
        xp, aim = namespace(log_nu0), -math.log(beta)

        def excess(t: Array) -> tuple[Array, Array]:
            log_p, _, variance = self._moments(self._tilt(log_nu0, xp.exp(t)))
            return t + log_p - aim, 1 + exp_capped(t - log_p) * variance

        log_p0 = xp.clip(self._log_mass(log_nu0, self.success)[..., None], -690.0, 0.0)
        return self._tilt(log_nu0, xp.exp(increasing_root(excess, 0 * log_p0 + aim, aim - log_p0)))

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """w_x c c' / p_x^2 per context."""
        log_p = self._log_mass(log_nu, self.success)
        return self._rank_one(log_nu, weights * namespace(log_nu).exp(-2 * log_p))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Logarithms of linear expressions."""
        import cvxpy as cp

        c = np.broadcast_to(np.asarray(self.success), nu.shape)
        return weights @ cp.log(cp.sum(cp.multiply(c, nu), axis=1))


@dataclass(frozen=True, eq=False)
class _PassAtK(_Success):
    k: int

    @property
    def low_rank(self) -> bool:  # type: ignore[override]
        """Unless it is linear."""
        return self.k > 1

    @property
    def magnitude(self) -> float:
        """k."""
        return float(self.k)

    @property
    def smoothness(self) -> float | None:  # type: ignore[override]
        """L = (k - 1)(1 - 1/k)^{k-1}."""
        return (self.k - 1) * (1 - 1 / self.k) ** (self.k - 1)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x (1 - (1 - p_x)^k)."""
        rest = self._log_mass(log_nu, 1 - like(self.success, log_nu))
        return -weighted(namespace(log_nu).expm1(self.k * rest), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """k (1 - p)^{k-1} c."""
        xp, c = namespace(log_nu), like(self.success, log_nu)
        rest = self._log_mass(log_nu, 1 - c)[..., None]
        return self.k * xp.exp((self.k - 1) * rest) * c

    def counted_form(self) -> CountedForm:
        """The derivative F'(p) = k (1 - p)^{k-1} of F(p) = 1 - (1 - p)^k."""
        return CountedForm(
            lambda p: self.k * (1 - np.asarray(p, float)) ** (self.k - 1), self.success
        )

    def closed_form(self, log_nu0: Table, weights: Weights, beta: float) -> Table | None:
        """Root of s - (k / beta)(1 - p(s))^{k-1}, increasing in s."""
        found = rows(TILTED, log_nu0, (self.success,), self.k, beta)
        if found is not None:
            return found
        xp, top = namespace(log_nu0), self.k / beta
        k = self.k

        def excess(s: Array) -> tuple[Array, Array]:
            _, rest, variance = self._moments(self._tilt(log_nu0, s))
            bend = (k - 1) * xp.exp(max(k - 2, 0) * rest) * variance if k > 1 else 0.0
            return s - top * xp.exp((k - 1) * rest), 1 + top * bend

        zero = 0 * log_nu0[..., :1]
        return self._tilt(log_nu0, increasing_root(excess, zero, zero + top))

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """k (k - 1)(1 - p)^{k-2} w_x c c' per context."""
        if self.k == 1:
            return Hessian(0 * log_nu)
        rest = self._log_mass(log_nu, 1 - like(self.success, log_nu))
        bend = namespace(log_nu).exp((self.k - 2) * rest)
        return self._rank_one(log_nu, self.k * (self.k - 1) * weights * bend)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Powers of the probability of failure."""
        import cvxpy as cp

        c = np.broadcast_to(np.asarray(self.success), nu.shape)
        rest = cp.sum(cp.multiply(1 - c, nu), axis=1)
        return weights.sum() - weights @ cp.power(rest, self.k)


class _OfSuccess(Scaled):
    """An objective of a table of success in [0, 1]."""

    success: Any
    tables = _TABLES

    def __post_init__(self) -> None:
        table = as_table(self.success, "success")
        xp = namespace(table)
        if bool(xp.any((table < 0) | (table > 1))):
            raise InvalidObjective(f"{type(self).__name__}: success must lie in [0, 1].")
        object.__setattr__(self, "success", table)
        super().__post_init__()


@dataclass(frozen=True, eq=False)
class LogSuccess(_OfSuccess):
    """Phi(nu) = strength * sum_x w_x log p_x; reward strength c(z) / p_x (docs/theory/objectives.md).

    `success` c has shape (n,), (m, n) or (*batch, m, n), in [0, 1]. No finite L; nu* ∝ nu0 e^{s c}
    with s = strength / (beta p(s)). Infeasible where no answer of the reference can succeed.

    Args:
        success: chance that an answer is right, in [0, 1]: (n,), (m, n) or (*batch, m, n).
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    success: Any
    strength: float = 1.0
    unit = _LogSuccess


@dataclass(frozen=True, eq=False)
class PassAtK(_OfSuccess):
    """Phi(nu) = strength * sum_x w_x (1 - (1 - p_x)^k): success of the best of k samples.

    Reward strength k (1 - p)^{k-1} c(z); L = strength (k - 1)(1 - 1/k)^{k-1} (docs/theory/objectives.md);
    nu* ∝ nu0 e^{s c} with s = strength k (1 - p(s))^{k-1} / beta.

    Args:
        success: chance that an answer is right, in [0, 1]: (n,), (m, n) or (*batch, m, n).
        k: samples of which the best counts, an integer >= 1.
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    success: Any
    k: int
    strength: float = 1.0
    unit = _PassAtK

    def __post_init__(self) -> None:
        if not isinstance(self.k, int | np.integer) or self.k < 1:
            raise InvalidObjective(f"PassAtK: k is {self.k!r}; give an integer >= 1.")
        object.__setattr__(self, "k", int(self.k))
        super().__post_init__()
