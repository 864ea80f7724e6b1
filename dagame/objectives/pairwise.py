"""Agreement of the contexts pair by pair, in O(m) where the divergence has such a form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import LOG_ZERO, Array, exp_capped, namespace
from ..errors import InvalidObjective
from ..simplex import log_kl
from .base import ConcaveObjective, Hessian, Objective, mean_log, sunk, weighted
from .coherence import EuclideanCoherence


def _diagonal(values: Array) -> Array:
    """(*batch, m, n) as diagonal blocks (*batch, n, m, m)."""
    xp = namespace(values)
    eye = xp.eye(values.shape[-2], dtype=values.dtype, device=values.device)
    return xp.matrix_transpose(values)[..., None] * eye


def _outer(weights: Array) -> Array:
    """W w' as (*batch, 1, m, m)."""
    w = weights[..., None, :]
    return w[..., :, None] * w[..., None, :]


@dataclass(frozen=True, eq=False, repr=False)
class PairwiseKL(ConcaveObjective):
    """Phi = -strength * sum_{x,x'} w_x w_x' KL(nu_x || nu_x'), in O(m) by the mean of the logs l.

    = -strength * sum_x w_x sum_z nu_x (log nu_x - l), reward -strength (log nu_x - l - q / nu_x) with
    q the mean (theory, section 3). No finite L. An answer that some context lacks is avoided by all.
    """

    answerwise: ClassVar[bool] = True
    between_contexts: ClassVar[bool] = True

    jeffreys: bool = False

    def __repr__(self) -> str:
        return f"PairwiseCoherence({self.strength:g}, {'jeffreys' if self.jeffreys else 'kl'!r})"

    @property
    def _scale(self) -> float:
        """Jeffreys' divergence, KL both ways, is twice KL summed over all pairs."""
        return self.strength * (2 if self.jeffreys else 1)

    def forbidden(self, log_nu0: Array, weights: Array) -> Array | None:
        """Answers outside the common support."""
        xp = namespace(log_nu0)
        lacking = xp.any(log_nu0 < LOG_ZERO / 2, axis=-2, keepdims=True)
        return lacking if self.strength > 0 else None

    def _logs(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        """log nu - l and log(q / nu)."""
        xp = namespace(log_nu)
        mean_of_logs = xp.sum(log_nu * weights[..., None], axis=-2, keepdims=True)
        return log_nu - mean_of_logs, mean_log(log_nu, weights)[..., None, :] - log_nu

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum_x w_x sum_z nu_x (log nu_x - l)."""
        xp, live = namespace(log_nu), log_nu > LOG_ZERO / 2
        off, _ = self._logs(log_nu, weights)
        value = -self._scale * weighted(xp.sum(xp.exp(log_nu) * off, axis=-1), weights)
        apart = xp.any(live, axis=-2) & ~xp.all(live, axis=-2) & (self.strength > 0)
        return sunk(value, xp.any(apart, axis=-1))

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength (log nu - l - q / nu)."""
        off, ratio = self._logs(log_nu, weights)
        return -self._scale * (off - exp_capped(ratio))

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """diag(w (1 + q/nu)) - w w' (sqrt(nu/nu') + sqrt(nu'/nu)) per answer, scaled."""
        xp = namespace(log_nu)
        _, ratio = self._logs(log_nu, weights)
        diagonal = weights[..., None] * (1 + exp_capped(ratio))
        half = xp.matrix_transpose(log_nu) / 2
        apart = xp.clip(half[..., :, None] - half[..., None, :], -600.0, 600.0)
        cross = _outer(weights) * (xp.exp(apart) + xp.exp(-apart))
        return Hessian(self._scale * (_diagonal(diagonal) - cross))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Relative entropies of all pairs."""
        import cvxpy as cp

        pairs = _pairs(weights)
        return -self._scale * sum(w * cp.sum(cp.rel_entr(nu[x], nu[y])) for x, y, w in pairs)


@dataclass(frozen=True, eq=False, repr=False)
class PairwiseHellinger(ConcaveObjective):
    """Phi = -strength * sum_{x,x'} w_x w_x' (1 - sum_z sqrt(nu_x nu_x')) = -strength (1 - sum_z s^2).

    s = sum_x w_x sqrt(nu_x), in O(m); reward strength s(z) / sqrt(nu_x(z)). No finite L (theory,
    section 3).
    """

    answerwise: ClassVar[bool] = True
    between_contexts: ClassVar[bool] = True

    def __repr__(self) -> str:
        return f"PairwiseCoherence({self.strength:g}, 'hellinger')"

    def _log_share(self, log_nu: Array, weights: Array) -> Array:
        """log(s / sqrt(nu_x)), LOG_ZERO where s is 0."""
        xp = namespace(log_nu)
        s = mean_log(log_nu / 2, weights)[..., None, :]
        return xp.where(s > LOG_ZERO / 4, s - log_nu / 2, LOG_ZERO)

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength (1 - sum_z s^2)."""
        xp = namespace(log_nu)
        s = mean_log(log_nu / 2, weights)
        return -self.strength * (1 - xp.sum(xp.exp(2 * s), axis=-1))

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """strength * s / sqrt(nu)."""
        return self.strength * exp_capped(self._log_share(log_nu, weights))

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """diag(w s / (2 sqrt(nu))) - w w'/2 per answer, scaled."""
        xp = namespace(log_nu)
        share = exp_capped(self._log_share(log_nu, weights))
        live = xp.astype(xp.matrix_transpose(log_nu) > LOG_ZERO / 2, log_nu.dtype)
        cross = _outer(weights) * live[..., :, None] * live[..., None, :]
        return Hessian(self.strength / 2 * (_diagonal(weights[..., None] * share) - cross))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Geometric means of pairs."""
        import cvxpy as cp

        total = 0.0
        for x, y, w in _pairs(weights):
            root = cp.Variable(nu.shape[1], nonneg=True)
            constraints += [
                cp.SOC(nu[x] + nu[y], cp.vstack([2 * root, nu[x] - nu[y]]), axis=0),
            ]
            total += w * (1 - cp.sum(root))
        return -self.strength * total


@dataclass(frozen=True, eq=False, repr=False)
class PairwiseJensenShannon(ConcaveObjective):
    """Phi = -strength * sum_{x,x'} w_x w_x' JS(nu_x, nu_x'), pair by pair: O(m^2 n).

    Reward -strength sum_x' w_x' log(2 nu_x / (nu_x + nu_x')); L = strength (theory, section 3).
    """

    answerwise: ClassVar[bool] = True
    between_contexts: ClassVar[bool] = True

    def __repr__(self) -> str:
        return f"PairwiseCoherence({self.strength:g}, 'jensen_shannon')"

    @property
    def smoothness(self) -> float | None:
        """L = strength."""
        return self.strength

    def _log_mean(self, log_nu: Array) -> Array:
        """log((nu_x + nu_x') / 2) as (*batch, m, m, n)."""
        xp = namespace(log_nu)
        one, other = log_nu[..., :, None, :], log_nu[..., None, :, :]
        top = xp.maximum(one, other)
        gap = xp.clip(xp.minimum(one, other) - top, -700.0, 0.0)
        return top + xp.log1p(xp.exp(gap)) - float(np.log(2))

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum w w' KL(nu_x || (nu_x + nu_x')/2), by symmetry of the sum."""
        xp = namespace(log_nu)
        divergence = log_kl(log_nu[..., :, None, :], self._log_mean(log_nu))
        return -self.strength * weighted(
            xp.sum(divergence * weights[..., None, :], axis=-1), weights
        )

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum_x' w_x' log(nu_x / mean)."""
        xp = namespace(log_nu)
        off = log_nu[..., :, None, :] - self._log_mean(log_nu)
        off = xp.where(log_nu[..., :, None, :] > LOG_ZERO / 2, off, 0.0)
        return -self.strength * xp.sum(off * weights[..., None, :, None], axis=-2)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian:
        """diag(w sum_x' w' (1 - nu/(nu + nu'))) - w w' sqrt(nu nu')/(nu + nu') per answer, scaled."""
        xp = namespace(log_nu)
        double = self._log_mean(log_nu) + float(np.log(2))
        share = xp.exp(log_nu[..., :, None, :] - double)
        diagonal = weights[..., None] * xp.sum((1 - share) * weights[..., None, :, None], axis=-2)
        both = log_nu[..., :, None, :] / 2 + log_nu[..., None, :, :] / 2 - double
        cross = xp.moveaxis(xp.exp(both), -1, -3) * _outer(weights)
        return Hessian(self.strength * (_diagonal(diagonal) - cross))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Relative entropies to the means of pairs."""
        import cvxpy as cp

        return -self.strength * sum(
            w * cp.sum(cp.rel_entr(nu[x], (nu[x] + nu[y]) / 2)) for x, y, w in _pairs(weights)
        )


def _pairs(weights: np.ndarray) -> list[tuple[int, int, float]]:
    m = len(weights)
    return [(x, y, weights[x] * weights[y]) for x in range(m) for y in range(m) if x != y]


def PairwiseCoherence(strength: float = 1.0, divergence: str = "jensen_shannon") -> Objective:
    """Pull the contexts together pair by pair: -strength * sum_{x,x'} w_x w_x' D(nu_x, nu_x').

    divergence "kl"; "jeffreys" KL both ways; "hellinger" 1 - sum sqrt(pq); "jensen_shannon";
    "euclidean" ||p - q||^2, which is twice `Coherence(strength, "euclidean")`.
    """
    kinds = {
        "kl": PairwiseKL,
        "jeffreys": lambda s: PairwiseKL(s, jeffreys=True),
        "hellinger": PairwiseHellinger,
        "jensen_shannon": PairwiseJensenShannon,
        "euclidean": lambda s: 2.0 * EuclideanCoherence(s),
    }
    if divergence not in kinds:
        raise InvalidObjective(f"divergence is {divergence!r}; choose one of {', '.join(kinds)}.")
    return kinds[divergence](strength)
