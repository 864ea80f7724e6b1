"""Entropic optimal transport: answers pulled to safe reference points and pushed from harmful ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from ..numerics.arrays import Array, as_floating, like, namespace, to_numpy
from ..numerics.shapes import Numbers, Table, Weights
from ..numerics.transport import (
    Transport,
    curvature_factor,
    entropic_transport,
    largest_curvature,
    transport_cost,
)
from .forms import Hessian
from .objective import Combination, Objective, Scaled
from .pairing import weighted


@dataclass(frozen=True, eq=False)
class Pull(Objective):
    """-sum_x w_x W_eps(nu_x; 1/k): concave, L = eps sinh^2(D/4), D the diameter of the cost over eps."""

    cost: Any
    epsilon: float
    tables = {"cost": "m n k"}  # noqa: RUF012
    concave = True
    low_rank = True

    def __post_init__(self) -> None:
        """What it costs to find, of the whole table: a bound for its parts too."""
        bound = largest_curvature(self.cost, self.epsilon)
        object.__setattr__(self, "smoothness", bound if math.isfinite(bound) else None)
        object.__setattr__(self, "_size", float(np.abs(to_numpy(self.cost)).max()))

    @property
    def magnitude(self) -> float:
        """max |C|, which no potential exceeds."""
        return self._size  # type: ignore[attr-defined]

    def potentials(self, log_nu: Array) -> Transport:
        """The transport of every context."""
        return entropic_transport(log_nu, like(self.cost, log_nu), self.epsilon)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x <f_x, nu_x>."""
        return -weighted(transport_cost(log_nu, self.potentials(log_nu)), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """-f."""
        return -self.potentials(log_nu).first

    def value_and_reward_log(self, log_nu: Table, weights: Weights) -> tuple[Numbers, Table]:
        """Both from one transport."""
        found = self.potentials(log_nu)
        return -weighted(transport_cost(log_nu, found), weights), -found.first

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """eps w K S^+ K' in each context, scaled: of rank k."""
        xp = namespace(log_nu)
        factor = curvature_factor(log_nu, self.potentials(log_nu), self.epsilon)
        factor = factor * xp.sqrt(weights)[..., None, None] * xp.exp(log_nu / 2)[..., None]
        *lead, m, n, k = factor.shape
        eye = xp.eye(m, dtype=factor.dtype, device=factor.device)
        columns = factor[..., None, :] * eye[:, None, :, None]
        return Hessian(0 * log_nu, xp.reshape(columns, (*lead, m, n, m * k)))

    def chord(self) -> Array:
        """Minus the mean cost of each answer, Phi of its point mass."""
        return -namespace(self.cost).mean(self.cost, axis=-1)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """The plans as variables, their divergence from nu x rho jointly convex."""
        import cvxpy as cp

        tables = np.broadcast_to(self.cost, (nu.shape[0], *self.cost.shape[-2:]))
        n, k = tables.shape[-2:]
        total = 0.0
        for x, table in enumerate(tables):
            plan = cp.Variable((n, k), nonneg=True)
            product = cp.reshape(nu[x], (n, 1), order="C") @ np.full((1, k), 1 / k)
            constraints += [cp.sum(plan, axis=1) == nu[x], cp.sum(plan, axis=0) == 1 / k]
            divergence = cp.sum(cp.rel_entr(plan, product))
            total += weights[x] * (cp.sum(cp.multiply(table, plan)) + self.epsilon * divergence)
        return -total


@dataclass(frozen=True, eq=False, repr=False)
class PushPull(Scaled):
    """Pull the answers to a safe set and push them from a harmful one, by entropic optimal transport.

    Phi(nu) = strength sum_x w_x (-W_eps(nu_x; safe) + push W_eps(nu_x; harm)), with
    W_eps(nu; rho) = min over couplings P of (nu, rho) of <C, P> + eps KL(P || nu x rho), rho = 1/k on k
    reference points; reward strength (-f_safe + push f_harm), f the first potentials, of answers of no mass
    too (docs/theory/transport.md).

    W is convex, of curvature in [0, eps sinh^2(D/4)] relative to KL, D = max (C_il + C_jm - C_im - C_jl)/eps.
    So without a push Phi is concave; with one mu = -strength push eps sinh^2(D_harm/4), and for beta > -mu
    the equilibrium is unique and certified (T6). Below that `solve` replaces the pushed W by its tangent,
    solves that concave game, and repeats while J rises: `Status.LOCAL`.

    Args:
        safe: costs (n, k), (m, n, k) or (*batch, m, n, k) from each answer to k safe points, such as
            `dagame.lm.cosine_cost`.
        harm: the same to harmful points, of any number; None: there is no push.
        epsilon: eps > 0, in units of the costs. Rounding grows like the curvature: L = 4e-3 at costs in
            [0, 1] and eps = 4, 3e8 at eps = 0.05.
        push: of the harmful set relative to the safe one, >= 0.
        strength: lambda.
    """

    safe: Any
    harm: Any = None
    epsilon: float = 0.1
    push: float = 1.0
    strength: float = 1.0
    tables = {"safe": "m n k", "harm": "m n k"}  # noqa: RUF012

    def __init__(
        self,
        safe: Any,
        harm: Any = None,
        *,
        epsilon: float,
        push: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        """See the class."""
        for name, number, least in (("epsilon", epsilon, 0), ("push", push, None)):
            allowed = isinstance(number, Real) and math.isfinite(number) and number >= 0
            if not allowed or number == least:
                bound = "> 0" if least == 0 else ">= 0"
                raise InvalidObjective(f"PushPull: {name} is {number!r}; give a number {bound}.")
        given = {
            "safe": _costs(safe, "safe"),
            "harm": None if harm is None else _costs(harm, "harm"),
            "epsilon": float(epsilon),
            "push": float(push),
            "strength": strength,
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)
        self.__post_init__()

    def __repr__(self) -> str:
        pushed = f", push={self.push:g}" if self.pushes else ""
        return f"PushPull({self.strength:g}, epsilon={self.epsilon:g}{pushed})"

    @property
    def pushes(self) -> bool:
        """Whether there is a push."""
        return self.harm is not None and self.push > 0

    def row(self) -> Objective:
        """At strength 1."""
        pull = Pull(self.safe, self.epsilon)
        if not self.pushes:
            return pull
        return Combination(((1.0, pull), (-self.push, Pull(self.harm, self.epsilon))))


def _costs(values: Any, name: str) -> Array:
    """A cost table of finite floating numbers with an axis of reference points."""
    table = as_floating(values)
    xp = namespace(table)
    if table.ndim < 2 or math.prod(table.shape) == 0 or not bool(xp.all(xp.isfinite(table))):
        raise InvalidObjective(
            f"PushPull: {name} has shape {tuple(table.shape)}; give finite costs (n, k) from each answer to "
            "k >= 1 reference points, or (m, n, k) for each context."
        )
    return table
