"""Agreement of the contexts pair by pair, in O(m) where the divergence has such a form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from ..numerics.arrays import LOG_ZERO, Array, exp_capped, namespace
from ..numerics.shapes import Mask, Numbers, Table, Weights
from ..numerics.simplex import log_kl
from .coherence import EuclideanCoherence
from .domain import Domain
from .forms import ExponentialForm, Hessian, SmoothForm
from .objective import Objective, Scaled
from .pairing import mean_log, minus_infinity_where, outside_common_support, weighted


def _diagonal(values: Array) -> Array:
    """(*batch, m, n) as diagonal blocks (*batch, n, m, m)."""
    xp = namespace(values)
    eye = xp.eye(values.shape[-2], dtype=values.dtype, device=values.device)
    return xp.matrix_transpose(values)[..., None] * eye


def _outer(weights: Array) -> Array:
    """The products w_x w_x' of two contexts' weights, shape (*batch, 1, m, m)."""
    w = weights[..., None, :]
    return w[..., :, None] * w[..., None, :]


class _Pairwise(Objective):
    concave = True
    answerwise = True
    between_contexts = True


class PairwiseKL(Domain, _Pairwise):
    """-sum_{x,x'} w_x w_x' KL(nu_x || nu_x'), in O(m) by the mean of the logs l.

    = -sum_x w_x sum_z nu_x (log nu_x - l), reward -(log nu_x - l - q / nu_x) with q the mean. No finite L.
    """

    common_support = True

    def forbidden(self, log_nu0: Table, weights: Weights) -> Mask | None:
        """Answers outside the common support."""
        return outside_common_support(log_nu0)

    def _logs(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        """log nu - l and log(q / nu)."""
        xp = namespace(log_nu)
        mean_of_logs = xp.sum(log_nu * weights[..., None], axis=-2, keepdims=True)
        return log_nu - mean_of_logs, mean_log(log_nu, weights)[..., None, :] - log_nu

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x sum_z nu_x (log nu_x - l)."""
        xp, live = namespace(log_nu), log_nu > LOG_ZERO / 2
        off, _ = self._logs(log_nu, weights)
        value = -weighted(xp.sum(xp.exp(log_nu) * off, axis=-1), weights)
        apart = xp.any(live, axis=-2) & ~xp.all(live, axis=-2)
        return minus_infinity_where(value, xp.any(apart, axis=-1))

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """q / nu + l - log nu."""
        off, ratio = self._logs(log_nu, weights)
        return exp_capped(ratio) - off

    def exponential_form(self) -> ExponentialForm:
        """The coupling alone."""
        return ExponentialForm(0.0, 0.0, "kl", 1.0)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """diag(w (1 + q/nu)) - w w' (sqrt(nu/nu') + sqrt(nu'/nu)) per answer, scaled."""
        xp = namespace(log_nu)
        _, ratio = self._logs(log_nu, weights)
        diagonal = weights[..., None] * (1 + exp_capped(ratio))
        half = xp.matrix_transpose(log_nu) / 2
        apart = xp.clip(half[..., :, None] - half[..., None, :], -600.0, 600.0)
        cross = _outer(weights) * (xp.exp(apart) + xp.exp(-apart))
        return Hessian(_diagonal(diagonal) - cross)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Relative entropies of all pairs."""
        import cvxpy as cp

        pairs = _pairs(weights)
        return -sum(w * cp.sum(cp.rel_entr(nu[x], nu[y])) for x, y, w in pairs)


class PairwiseHellinger(_Pairwise):
    """-sum_{x,x'} w_x w_x' (1 - sum_z sqrt(nu_x nu_x')) = -(1 - sum_z s^2), s = sum_x w_x sqrt(nu_x): O(m).

    Reward s(z) / sqrt(nu_x(z)). No finite L.
    """

    def _log_share(self, log_nu: Array, weights: Array) -> Array:
        """log(s / sqrt(nu_x)), LOG_ZERO where s is 0."""
        xp = namespace(log_nu)
        s = mean_log(log_nu / 2, weights)[..., None, :]
        return xp.where(s > LOG_ZERO / 4, s - log_nu / 2, LOG_ZERO)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-(1 - sum_z s^2)."""
        xp = namespace(log_nu)
        s = mean_log(log_nu / 2, weights)
        return xp.sum(xp.exp(2 * s), axis=-1) - 1

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """s / sqrt(nu)."""
        return exp_capped(self._log_share(log_nu, weights))

    def exponential_form(self) -> ExponentialForm:
        """The coupling alone."""
        return ExponentialForm(0.0, 0.0, "hellinger", 1.0)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """diag(w s / (2 sqrt(nu))) - w w'/2 per answer, scaled."""
        xp = namespace(log_nu)
        share = exp_capped(self._log_share(log_nu, weights))
        live = xp.astype(xp.matrix_transpose(log_nu) > LOG_ZERO / 2, log_nu.dtype)
        cross = _outer(weights) * live[..., :, None] * live[..., None, :]
        return Hessian((_diagonal(weights[..., None] * share) - cross) / 2)

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
        return -total


class PairwiseJensenShannon(_Pairwise):
    """-sum_{x,x'} w_x w_x' JS(nu_x, nu_x'), pair by pair: O(m^2 n); L = 1.

    Reward -sum_x' w_x' log(2 nu_x / (nu_x + nu_x')).
    """

    smoothness = 1.0

    def _log_mean(self, log_nu: Array) -> Array:
        """log((nu_x + nu_x') / 2) as (*batch, m, m, n)."""
        xp = namespace(log_nu)
        one, other = log_nu[..., :, None, :], log_nu[..., None, :, :]
        top = xp.maximum(one, other)
        gap = xp.clip(xp.minimum(one, other) - top, -700.0, 0.0)
        return top + xp.log1p(xp.exp(gap)) - float(np.log(2))

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum w w' KL(nu_x || (nu_x + nu_x')/2), by symmetry of the sum."""
        xp = namespace(log_nu)
        divergence = log_kl(log_nu[..., :, None, :], self._log_mean(log_nu))
        return -weighted(xp.sum(divergence * weights[..., None, :], axis=-1), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """-sum_x' w_x' log(nu_x / mean)."""
        xp = namespace(log_nu)
        off = log_nu[..., :, None, :] - self._log_mean(log_nu)
        off = xp.where(log_nu[..., :, None, :] > LOG_ZERO / 2, off, 0.0)
        return -xp.sum(off * weights[..., None, :, None], axis=-2)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """diag(w sum_x' w' (1 - nu/(nu + nu'))) - w w' sqrt(nu nu')/(nu + nu') per answer, scaled."""
        xp = namespace(log_nu)
        double = self._log_mean(log_nu) + float(np.log(2))
        share = xp.exp(log_nu[..., :, None, :] - double)
        diagonal = weights[..., None] * xp.sum((1 - share) * weights[..., None, :, None], axis=-2)
        both = log_nu[..., :, None, :] / 2 + log_nu[..., None, :, :] / 2 - double
        cross = xp.moveaxis(xp.exp(both), -1, -3) * _outer(weights)
        return Hessian(_diagonal(diagonal) - cross)

    def smooth_form(self) -> SmoothForm:
        """Factor 1."""
        return SmoothForm((("jensen_shannon", 1.0, 1.0),))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Relative entropies to the means of pairs."""
        import cvxpy as cp

        return -sum(
            w * cp.sum(cp.rel_entr(nu[x], (nu[x] + nu[y]) / 2)) for x, y, w in _pairs(weights)
        )


def _pairs(weights: np.ndarray) -> list[tuple[int, int, float]]:
    m = len(weights)
    return [(x, y, weights[x] * weights[y]) for x in range(m) for y in range(m) if x != y]


_DIVERGENCES: dict[str, tuple[float, type[Objective]]] = {
    "kl": (1.0, PairwiseKL),
    "jeffreys": (2.0, PairwiseKL),
    "hellinger": (1.0, PairwiseHellinger),
    "jensen_shannon": (1.0, PairwiseJensenShannon),
    "euclidean": (2.0, EuclideanCoherence),
}
"""The divergences, each a multiple of a sum over pairs or of the distance to the mean."""


@dataclass(frozen=True, eq=False)
class PairwiseCoherence(Scaled):
    """Pull the contexts together pair by pair: Phi = -strength * sum_{x,x'} w_x w_x' D(nu_x, nu_x').

    divergence "kl"; "jeffreys" KL both ways, twice KL summed over all pairs; "hellinger" 1 - sum sqrt(pq);
    "jensen_shannon", L = strength; "euclidean" ||p - q||^2, which is twice
    `Coherence(strength, "euclidean")`, L = 2 strength. No finite L for the others; mu = 0. Under "kl" and
    "jeffreys" an answer that some context lacks is avoided by all (docs/theory/objectives.md#coherence).

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
        divergence: "kl", "jeffreys", "hellinger", "jensen_shannon" or "euclidean".
    """

    strength: float = 1.0
    divergence: str = "jensen_shannon"

    def __post_init__(self) -> None:
        if self.divergence not in _DIVERGENCES:
            kinds = ", ".join(_DIVERGENCES)
            raise InvalidObjective(f"divergence is {self.divergence!r}; choose one of {kinds}.")
        super().__post_init__()

    def row(self) -> Objective:
        """At strength 1."""
        factor, kind = _DIVERGENCES[self.divergence]
        return kind() if factor == 1 else factor * kind()
