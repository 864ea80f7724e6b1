"""The distance to a constraint set as an objective: the target is a projection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Infeasible
from ..numerics.arrays import LOG_ZERO, Array, like, log, logsumexp, namespace, to_numpy
from ..numerics.scalar import increasing_root
from ..numerics.shapes import Mask, Numbers, Shared, Table, Weights
from ..numerics.simplex import log_kl
from .constraints import OnSet, rows_cvxpy
from .domain import Domain
from .objective import Objective, Scaled
from .pairing import minus_infinity_where, pairing, weighted
from .program import compiled
from .projection import project
from .reply import Reply
from .set_rows import Groups, clashing
from .sets import Parity, compiled_groups, compiled_rows

_FAINTEST = -1000.0


@dataclass(frozen=True, eq=False)
class _Soft(Domain, Reply, OnSet, Objective):
    """The distance to a set at strength 1."""

    smoothness = 1.0

    def projected(self, log_nu: Table, weights: Weights) -> tuple[Table, Table, Numbers]:
        """log q, log(q / nu) by the dual's prices, and the constant of the bound that these give."""
        return self._once("_known", (log_nu, weights), lambda: self._project(log_nu, weights))

    def _project(self, log_nu: Array, weights: Array) -> tuple[Array, Array, Array]:
        xp, (m, n) = namespace(log_nu), log_nu.shape[-2:]
        groups = compiled_groups(self.set, n)
        if groups is not None:
            log_q, ratio = _grouped(log_nu, groups)
            return log_q, ratio, 0 * log_nu[..., 0, 0]
        flat = xp.reshape(log_nu, (-1, m, n))
        if weights.ndim > 1:
            weights = xp.reshape(xp.broadcast_to(weights, log_nu.shape[:-1]), (-1, m))
        found = project(flat, weights, self.set)
        missing = ~found.found[:, None, None]
        log_q = like(xp.where(missing, LOG_ZERO, found.log_q), log_nu)
        ratio = like(xp.where(missing, LOG_ZERO, -found.log_price), log_nu)
        constant = xp.reshape(like(found.constant, log_nu), log_nu.shape[:-2])
        return xp.reshape(log_q, log_nu.shape), xp.reshape(ratio, log_nu.shape), constant

    def forbidden(self, log_nu0: Table, weights: Weights) -> Mask | None:
        """Answers that no point of the set gives any mass."""
        m, n = log_nu0.shape[-2:]
        groups = compiled_groups(self.set, n)
        if groups is not None:
            closed = np.broadcast_to(groups.closed(), (m, n))
        else:
            closed = compiled(self.set, m, n, weights).closed_answers(m, n)
            closed = closed[0] if len(closed) == 1 else closed
        if not closed.any():
            return None
        xp = namespace(log_nu0)
        return xp.broadcast_to(xp.asarray(closed, device=log_nu0.device), log_nu0.shape)

    def consensus_log(self, log_nu: Table, weights: Weights) -> Shared:
        """The mean of the projections."""
        return super().consensus_log(self.projected(log_nu, weights)[0], weights)

    def _line(self, log_nu: Array, weights: Array) -> tuple[Array, Array, Array]:
        """Phi(nu), and the constant and rewards of the affine bound of Phi that the dual gives at nu."""
        xp = namespace(log_nu)
        log_q, ratio, constant = self.projected(log_nu, weights)
        off = xp.any(xp.any((log_nu > LOG_ZERO / 2) & (log_q < LOG_ZERO / 2), axis=-1), axis=-1)
        value = minus_infinity_where(-weighted(log_kl(log_nu, log_q), weights), off)
        return value, -constant, xp.where(ratio > LOG_ZERO / 2, ratio, LOG_ZERO)

    def value_and_reward_log(self, log_nu: Table, weights: Weights) -> tuple[Numbers, Table]:
        """-sum_x w_x KL(nu_x || q_x), and -log(nu / q), its limit where nu is 0."""
        value, _, u = self._line(log_nu, weights)
        return value, u

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x KL(nu_x || q_x)."""
        return self._line(log_nu, weights)[0]

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """-log(nu / q)."""
        return self._line(log_nu, weights)[2]

    def linearise(
        self, log_target: Table, weights: Weights, multipliers: Array | None = None
    ) -> tuple[Numbers, Table]:
        """The dual's bound: c = -(1 - <v, s>), 0 at the optimum, u = -log d."""
        return self._line(log_target, weights)[1:]

    def reply_gap(self, log_nu: Table, weights: Weights) -> Numbers:
        """The modulus of the projection's duality gap; below 1e-14 it is rounding error."""
        value, constant, u = self._line(log_nu, weights)
        xp = namespace(value)
        gap = xp.abs(constant + pairing(u, log_nu, weights) - value)
        return xp.where(gap <= 1e-14, 0 * gap, gap)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Relative entropies to a point of the set that is a variable of its own."""
        import cvxpy as cp

        q = cp.Variable(nu.shape, nonneg=True)
        constraints.append(cp.sum(q, axis=1) == 1)
        rows_cvxpy(self.set, q, weights, constraints)
        return -sum(w * cp.sum(cp.rel_entr(nu[x], q[x])) for x, w in enumerate(weights))


@dataclass(frozen=True, eq=False)
class SoftConstraint(OnSet, Scaled):
    """Phi = -strength * min_{q in C} sum_x w_x KL(nu_x || q_x), reward -strength log(nu / q).

    L = strength (docs/theory/objectives.md). The target q ranges over all of C: it may have mass on
    answers that nu never gives. Bounds on disjoint groups of answers (caps, floors, quotas) are
    projected on by a scalar root per context: q = nu * mass_k / nu(S_k); other sets by
    `projection.project`, to a duality gap at rounding error. Answers that no point of C gives any mass
    leave the reference; Phi is -infinity where nu has mass on them.

    Args:
        set: of marginals, see `Cap` and its siblings; joined by `&`.
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    strength: float = 1.0
    unit = _Soft

    def __post_init__(self) -> None:
        super().__post_init__()
        Scaled.__post_init__(self)

    def check(self, shape: tuple[int, ...], weights: Array) -> None:
        """Check the rows, and raise `Infeasible` for an empty set, to which there is no distance.

        Rows across contexts that each game weighs its own way are left to the solver: J is -inf.
        """
        super().check(shape, weights)
        m, n = shape[-2:]
        w = to_numpy(weights).astype(np.float64)
        w = w / w.sum(axis=-1, keepdims=True)
        groups = compiled_groups(self.set, n)
        if all(isinstance(part, Parity) for part in self.set.parts()) or (
            groups is not None and groups.attainable()
        ):
            return
        if w.ndim > 1 and compiled_rows(self.set, m, n).across.any():
            return
        w = w.reshape(-1, m)[0]
        if not compiled(self.set, m, n, w).empty.any():
            return
        names = clashing(self.set.rows(m, n, w), np.ones((m, n), bool))
        if names:
            raise Infeasible(
                f"SoftConstraint: no marginals meet {', '.join(names)}; loosen a bound."
            )

    def __repr__(self) -> str:
        names = " & ".join(type(s).__name__ for s in self.set.parts())
        return f"SoftConstraint({names}, {self.strength:g})"

    def projection_log(self, log_nu: Table, weights: Weights) -> Table:
        """log q, the point of C that nu is charged against (*batch, m, n): see `projection`."""
        row: Any = self.parts[0][1]
        return row.projected(log_nu, weights)[0]


def _grouped(log_nu: Array, groups: Groups) -> tuple[Array, Array]:
    """log q and log(q / nu): q(S_k) = clip(nu(S_k) / theta, low_k, high_k), the rest nu / theta, sum q = 1.

    Zeros of nu count as e^-1000, so that q has all the mass that the set asks for there, and nowhere else
    more than that. Answers that no point of the set gives mass: LOG_ZERO.
    """
    xp = namespace(log_nu)
    closed = xp.asarray(groups.closed(), device=log_nu.device)
    raised = xp.where(closed, log_nu, xp.clip(log_nu, _FAINTEST, None))
    member = like(groups.member.astype(float), log_nu)
    rest = 1 - xp.sum(member, axis=0)
    low, high = like(groups.low, log_nu), like(groups.high, log_nu)
    mass = logsumexp(raised[..., None, :] + log(member))
    free = logsumexp(raised + log(rest))
    log_low, log_high = log(low), log(high)

    def bounded(shift: Array) -> Array:
        return xp.minimum(xp.maximum(mass + shift, log_low), log_high)

    def excess(shift: Array) -> tuple[Array, Array]:
        """log of the total mass at 1/theta = e^shift, increasing in shift."""
        inside = bounded(shift)
        parts = xp.concat([inside, free[..., None] + shift], axis=-1)
        total = logsumexp(parts, keepdims=True)
        moving = xp.concat([(mass + shift == inside), free[..., None] == free[..., None]], axis=-1)
        slope = xp.sum(xp.where(moving, xp.exp(parts - total), 0.0), axis=-1, keepdims=True)
        return total, slope

    zero = 0 * free[..., None]
    shift = increasing_root(excess, zero + 1.1 * _FAINTEST, zero - 1.1 * _FAINTEST, 200)
    change = xp.sum(member * (bounded(shift) - mass)[..., None], axis=-2) + rest * shift
    change = xp.where(closed, LOG_ZERO, change)
    return xp.where(closed, LOG_ZERO, raised + change), change
