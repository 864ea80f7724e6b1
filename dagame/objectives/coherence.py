"""Agreement of the contexts of one class: coherence with a consensus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from ..numerics.arrays import LOG_ZERO, Array, exp_capped, log_normalise, logsumexp, namespace
from ..numerics.shapes import Numbers, Shared, Table, Weights
from ..numerics.simplex import log_entropy, log_kl
from .diversity import ShannonDiversity
from .forms import ExponentialForm, Hessian, SmoothForm
from .objective import Objective, Scaled
from .pairing import geometric_mean_log, mean_log, minus_infinity_where, pairing, weighted
from .reply import Reply


class ArithmeticCoherence(Objective):
    """-min_q sum_x w_x KL(nu_x || q), the generalised Jensen-Shannon divergence; q = sum_x w_x nu_x."""

    concave, smoothness = True, 1.0
    answerwise = True
    between_contexts = True

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x KL(nu_x || q)."""
        q = mean_log(log_nu, weights)[..., None, :]
        return -weighted(log_kl(log_nu, q), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """log q - log nu."""
        return mean_log(log_nu, weights)[..., None, :] - log_nu

    def value_and_reward_log(self, log_nu: Table, weights: Weights) -> tuple[Numbers, Table]:
        """Phi = <u, nu>, as Phi is homogeneous of degree 1."""
        u = self.reward_log(log_nu, weights)
        return pairing(u, log_nu, weights), u

    def exponential_form(self) -> ExponentialForm:
        """The coupling alone."""
        return ExponentialForm(0.0, 0.0, "arithmetic", 1.0)

    def separated(self) -> tuple[Objective, Objective]:
        """-KL to the mean = entropy of the contexts - entropy of the mean."""
        return ShannonDiversity(), _MeanCertainty()

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """Per answer (w_x delta_xx' / nu_x - w_x w_x' / q), scaled by sqrt(nu nu')."""
        xp = namespace(log_nu)
        q = mean_log(log_nu, weights)[..., None, :]
        share = weights[..., None] * xp.exp((log_nu - q) / 2)
        share = xp.matrix_transpose(xp.where(log_nu > LOG_ZERO / 2, share, 0.0))
        eye = xp.eye(weights.shape[-1], dtype=log_nu.dtype, device=log_nu.device)
        diagonal = weights[..., None, None, :] * eye
        return Hessian(diagonal - share[..., :, None] * share[..., None, :])

    def smooth_form(self) -> SmoothForm:
        """Factor 1."""
        return SmoothForm((("arithmetic", 1.0, 1.0),))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Relative entropy to the mean, row by row."""
        import cvxpy as cp

        q = weights @ nu
        return -sum(w * cp.sum(cp.rel_entr(nu[x], q)) for x, w in enumerate(weights))


class _MeanCertainty(Objective):
    """-H(sum_x w_x nu_x), reward log q: half of arithmetic coherence, convex."""

    concave = False
    answerwise = True

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-H(q)."""
        return -log_entropy(mean_log(log_nu, weights))

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """log q."""
        return mean_log(log_nu, weights)[..., None, :] + 0 * log_nu


class GeometricCoherence(Reply, Objective):
    """-min_q sum_x w_x KL(q || nu_x) = log sum_z prod_x nu_x(z)^{w_x}; q ∝ prod_x nu_x^{w_x}."""

    concave = True
    between_contexts = True
    common_support = True
    low_rank = True

    def consensus_log(self, log_nu: Table, weights: Weights) -> Shared:
        """The normalised geometric mean of the marginals."""
        return log_normalise(geometric_mean_log(log_nu, weights))

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """log sum_z prod_x nu_x^{w_x}."""
        overlap = logsumexp(geometric_mean_log(log_nu, weights))
        return minus_infinity_where(overlap, overlap < LOG_ZERO / 2)

    def _log_ratio(self, log_nu: Array, weights: Array) -> Array:
        """log(q / nu_x), LOG_ZERO where q is 0."""
        xp = namespace(log_nu)
        mean = geometric_mean_log(log_nu, weights)[..., None, :]
        return xp.where(mean > LOG_ZERO / 2, log_normalise(mean) - log_nu, LOG_ZERO)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """q / nu."""
        return exp_capped(self._log_ratio(log_nu, weights))

    def exponential_form(self) -> ExponentialForm:
        """The coupling alone."""
        return ExponentialForm(0.0, 0.0, "geometric", 1.0)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """Scaled blocks (w delta - w w') sqrt(q/nu) sqrt(q/nu'), rank one w q / sqrt(nu)."""
        xp = namespace(log_nu)
        log_ratio = self._log_ratio(log_nu, weights)
        root = xp.matrix_transpose(xp.exp(xp.clip(log_ratio / 2, None, 300.0)))
        low = weights[..., None] * exp_capped(log_ratio + log_nu / 2)
        blocks = _spread(weights, log_nu) * root[..., :, None] * root[..., None, :]
        return Hessian(blocks, low[..., None])

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Relative entropies from a consensus that is a variable of its own."""
        import cvxpy as cp

        q = cp.Variable(nu.shape[1], nonneg=True)
        constraints.append(cp.sum(q) == 1)
        return -sum(w * cp.sum(cp.rel_entr(q, nu[x])) for x, w in enumerate(weights))


class EuclideanCoherence(Objective):
    """-sum_x w_x ||nu_x - q||^2, q = sum_x w_x nu_x."""

    concave, smoothness = True, 1.0
    answerwise = True
    affine = True
    between_contexts = True

    def _off_mean(self, log_nu: Array, weights: Array) -> Array:
        xp = namespace(log_nu)
        nu = xp.exp(log_nu)
        return nu - xp.sum(nu * weights[..., None], axis=-2, keepdims=True)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x ||nu_x - mean||^2."""
        off = self._off_mean(log_nu, weights)
        return -weighted(namespace(off).sum(off**2, axis=-1), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """-2 (nu - mean)."""
        return -2 * self._off_mean(log_nu, weights)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """Scaled blocks 2 (w delta - w w') sqrt(nu nu')."""
        xp = namespace(log_nu)
        root = xp.matrix_transpose(xp.exp(log_nu / 2))
        blocks = _spread(weights, log_nu) * root[..., :, None] * root[..., None, :]
        return Hessian(2 * blocks)

    def smooth_form(self) -> SmoothForm:
        """Factor 1."""
        return SmoothForm((("euclidean", 1.0, 1.0),))

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Sum of squares."""
        import cvxpy as cp

        mean = weights @ nu
        return -sum(w * cp.sum_squares(nu[x] - mean) for x, w in enumerate(weights))


def _spread(weights: Array, like_: Array) -> Array:
    """diag(w) - w w' as (*batch, 1, m, m)."""
    xp = namespace(like_)
    eye = xp.eye(weights.shape[-1], dtype=like_.dtype, device=like_.device)
    w = weights[..., None, :]
    return w[..., :, None, :] * eye - w[..., :, None] * w[..., None, :]


_CONSENSUS = {
    "arithmetic": ArithmeticCoherence,
    "geometric": GeometricCoherence,
    "euclidean": EuclideanCoherence,
}


@dataclass(frozen=True, eq=False)
class Coherence(Scaled):
    """Pull the contexts of a class towards a consensus: Phi = -strength * min_q sum_x w_x D(nu_x, q).

    consensus "arithmetic": D = KL(nu_x || q), q the weighted mean, reward -strength log(nu_x(z) / q(z)),
    L = strength; "geometric": D = KL(q || nu_x), q ∝ prod nu_x^{w_x}, reward strength q(z) / nu_x(z),
    no finite L, infeasible without an answer that every context can give; "euclidean":
    D = ||nu_x - q||^2, q the weighted mean, reward -2 strength (nu_x - q)(z), L = strength by Pinsker's
    inequality. mu = 0 (docs/theory/objectives.md#coherence).

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
        consensus: "arithmetic", "geometric" or "euclidean".
    """

    strength: float = 1.0
    consensus: str = "arithmetic"

    def __post_init__(self) -> None:
        if self.consensus not in _CONSENSUS:
            kinds = ", ".join(_CONSENSUS)
            raise InvalidObjective(f"consensus is {self.consensus!r}; choose one of {kinds}.")
        super().__post_init__()

    def row(self) -> Objective:
        """At strength 1."""
        return _CONSENSUS[self.consensus]()
