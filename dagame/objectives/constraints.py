"""Constraint sets as objectives: hard (the target's move is the multipliers) and soft (a projection)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import LOG_ZERO, Array, like, log, logsumexp, namespace, to_numpy
from ..barrier import barrier_minimise
from ..errors import Infeasible, InvalidGame, InvalidObjective
from ..scalar import increasing_root
from ..simplex import log_kl
from .base import DualForm, Objective, check_strength, pairing, sunk, weighted
from .dual import dual_log_policy, solve_dual
from .fit import fit_oracle
from .projection import Program, compiled, compiled_on, project
from .sets import ConstraintSet, Groups, Parity, Polytope, Restricted, Rows, clashing

_TOLERANCE, _TOLERANCE_SINGLE = 1e-8, 1e-6
_REACH = 1e9
_FAINTEST = -1000.0


def _tolerance(log_nu: Array) -> float:
    return _TOLERANCE if log_nu.dtype == namespace(log_nu).float64 else _TOLERANCE_SINGLE


@dataclass(frozen=True, eq=False)
class _OnSet(Objective):
    set: ConstraintSet

    def __post_init__(self) -> None:
        if not isinstance(self.set, ConstraintSet):
            raise InvalidObjective(
                f"{type(self).__name__}: {self.set!r} is not a set; use Cap, Floor, Quota, Moment, "
                "Parity or Polytope, joined by &."
            )

    @property
    def concave(self) -> bool | None:
        """The set is convex."""
        return True

    def columns(self, keep: np.ndarray) -> Objective:
        """On a set whose rows are those of the answers `keep`."""
        return dataclasses.replace(self, set=Restricted(self.set, keep))

    def check(self, shape: tuple[int, ...]) -> None:
        """Build the rows once, so that sets that do not fit the game say so at once.

        Entries and bounds must be at most 1e9, and the largest of a row at least 1e-9 or 0.
        """
        rows = self.set.rows(shape[-2], shape[-1], np.full(shape[-2], 1 / shape[-2]))
        size = np.abs(rows.matrix).max(axis=(-2, -1))
        fits = (size <= _REACH) & ((size >= 1 / _REACH) | (size == 0)) & np.isfinite(rows.bound)
        fits &= np.abs(rows.bound) <= _REACH
        if not fits.all():
            i = int(np.flatnonzero(~fits)[0])
            raise InvalidGame(
                f"{rows.names[i]} has entries up to {size[i]:g} and bound {rows.bound[i]:g}; give finite "
                f"numbers up to {_REACH:g}, the largest of a row at least {1 / _REACH:g}: rescale it."
            )

    def _rows(self, log_nu: Array) -> Rows:
        """The rows at weights 0: bounds, equalities and names, which weights do not change."""
        m, n = log_nu.shape[-2:]
        return self.set.rows(m, n, np.zeros(m))

    def _matrix(self, log_nu: Array, weights: Array) -> Array:
        """G (r, m, n), or (B, r, m, n) for weights (B, m): affine in the weights of each context."""
        m, n = log_nu.shape[-2:]
        fixed, one = self._rows(log_nu).matrix, self.set.rows(m, n, np.ones(m)).matrix
        per_weight = like(one - fixed, log_nu) * weights[..., None, :, None]
        return like(fixed, log_nu) + per_weight

    def _shut(self, log_nu: Array) -> Array | None:
        """Answers (*batch, m, n) in a row of one sign and bound 0; None: there are none."""
        m, n = log_nu.shape[-2:]
        groups = self.set.groups(n)
        if groups is not None:
            mask = np.tile(groups.member[groups.high == 0].any(axis=0), (m, 1))
        else:
            mask = _shut_by(self.set.rows(m, n, np.ones(m)))
        if not mask.any():
            return None
        xp = namespace(log_nu)
        return xp.broadcast_to(xp.asarray(mask, device=log_nu.device), log_nu.shape)


def _shut_by(rows: Rows) -> np.ndarray:
    above, below = ((sign * rows.matrix >= 0).all(axis=(1, 2)) for sign in (1, -1))
    shut = (above | (rows.equal & below)) & (rows.bound == 0)
    return (rows.matrix[shut] != 0).any(axis=0)


@dataclass(frozen=True, eq=False)
class HardConstraint(_OnSet):
    """Phi = 0 on the set C = {G nu <= h}, -infinity off it (theory, section 3).

    The target's move is the multipliers y >= 0 (free for equalities): reward u_x(z) =
    -(G_x' y)(z) / w_x and nu* ∝ nu0 e^{u/beta}. `Solution.multipliers` reports them in the order of
    `set.rows(...)`. Answers that a cap of 0 forbids leave the reference. An empty intersection with
    the reference's support is a status that names the rows that clash.
    """

    has_multipliers = True

    def __repr__(self) -> str:
        return f"HardConstraint({' & '.join(type(s).__name__ for s in self.set.parts())})"

    def slack(self, log_nu: Array, weights: Array) -> Array:
        """G nu - h (*batch, r), positive where a row is exceeded."""
        xp = namespace(log_nu)
        nu = xp.exp(log_nu)[..., None, :, :]
        total = xp.sum(self._matrix(log_nu, weights) * nu, axis=(-2, -1))
        return total - like(self._rows(log_nu).bound, log_nu)

    def ascent(self, multipliers: Any, slack: Any, m: int, n: int, rate: float) -> np.ndarray:
        """The target's step from samples: y + rate (G nu - h), kept >= 0 on inequalities.

        `slack` (r,) is that of estimated marginals, without bias as it is linear in them. With steps
        of the policy between, y converges to the multipliers of the equilibrium for rates that fall
        like 1/sqrt(t); a constant rate circles around them.
        """
        equal = self.set.rows(m, n, np.full(m, 1 / m)).equal
        y = np.asarray(multipliers, float) + rate * np.asarray(slack, float)
        return np.where(equal, y, np.maximum(y, 0.0))

    def violation(self, log_nu: Array, weights: Array) -> Array | float:
        """The largest excess of a row of G nu <= h."""
        slack, xp = self.slack(log_nu, weights), namespace(log_nu)
        equal = xp.asarray(self._rows(log_nu).equal, device=log_nu.device)
        excess = xp.where(equal, xp.abs(slack), xp.maximum(slack, 0 * slack))
        return xp.max(excess, axis=-1)

    def charge(self, log_nu: Array, weights: Array, multipliers: Array) -> Array | float:
        """sum_i max(0, y_i (G_i nu - h_i))."""
        due, xp = multipliers * self.slack(log_nu, weights), namespace(log_nu)
        return xp.sum(xp.maximum(due, 0 * due), axis=-1)

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """0 where no row is exceeded by more than 1e-8 (single precision: 1e-6), else -inf."""
        off = self.violation(log_nu, weights)
        return namespace(log_nu).where(off <= _tolerance(log_nu), 0 * off, LOG_ZERO)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """0, a valid supergradient inside; `game.rewards` gives the multipliers' rewards."""
        return 0 * log_nu

    def forbidden(self, log_nu0: Array, weights: Array) -> Array | None:
        """Answers that no point of the set on the reference's support gives any mass.

        Beyond those of a row of one sign and bound 0 they take a small program for each support, and are
        looked for in batches of up to 32 different ones; where they are not known the bounds are looser.
        """
        shut, found = self._shut(log_nu0), self._programs(log_nu0, weights)
        if found is None:
            return shut
        xp, (m, n) = namespace(log_nu0), log_nu0.shape[-2:]
        closed = np.stack([p.closed_answers(m, n)[0] for p in found]).reshape(log_nu0.shape)
        closed = xp.asarray(closed, device=log_nu0.device) & (log_nu0 > LOG_ZERO / 2)
        if not bool(xp.any(closed)):
            return shut
        return closed if shut is None else closed | shut

    def _programs(self, log_nu0: Array, weights: Array) -> list[Program] | None:
        """The set on the support of each game of a batch; None for a single part, or too many supports."""
        if len(self.set.parts()) == 1 and not isinstance(self.set, Polytope | Parity | Restricted):
            return None
        live = np.reshape(to_numpy(log_nu0) > LOG_ZERO / 2, (-1, *log_nu0.shape[-2:]))
        return compiled_on(self.set, live, weights)

    def _table(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        """-G_i / w and h, a row that every policy meets replaced by 0 <= 1: it has no price."""
        rows, xp = self._rows(log_nu), namespace(log_nu)
        matrix, bound = self._matrix(log_nu, weights), like(rows.bound, log_nu)
        most = xp.sum(xp.max(matrix, axis=-1), axis=-1)
        idle = xp.asarray(~rows.equal, device=log_nu.device) & (most <= bound + 1e-15)
        table = -xp.where(idle[..., None, None], 0.0, matrix) / weights[..., None, :, None]
        table = xp.broadcast_to(table, (*log_nu.shape[:-2], *table.shape[-3:]))
        return table, xp.where(idle, 1.0, bound)

    def dual_form(self, log_nu0: Array, weights: Array) -> DualForm:
        """u = -sum_i y_i G_i / w, y_i >= 0 on inequalities that some point of the set meets with room.

        One that is tight on the whole set is an equality: its multiplier has no sign, and would have no
        bound. A row that follows from the others is 0 <= 1, which has no price.
        """
        (table, bound), xp = self._table(log_nu0, weights), namespace(log_nu0)
        equal, found = self._rows(log_nu0).equal, self._programs(log_nu0, weights)
        free = ~equal
        if found is not None:
            m, n = log_nu0.shape[-2:]
            spare = [(p.matrix[0, m:, : m * n] == 0).all(axis=-1) for p in found]
            spare = np.stack([s & ~p.empty[0] for s, p in zip(spare, found, strict=True)])
            room = np.stack([p.open[0, m * n :] | (p.empty[0] & ~equal) for p in found])
            if spare.any() or (room != ~equal).any():
                shape = (*log_nu0.shape[:-2], len(equal))
                free, spare = (
                    room.reshape(shape),
                    xp.asarray(spare.reshape(shape), device=table.device),
                )
                table = xp.where(spare[..., None, None], 0.0, table)
                bound = xp.where(spare, 1.0, bound + like(np.zeros(shape), table))
        return DualForm(table, bound, xp.asarray(free, device=log_nu0.device))

    def project(self, log_nu: Array, weights: Array) -> Array:
        """argmin_{q in C} sum_x w_x KL(q_x || nu_x), by its dual; nu itself where it is in C."""
        xp = namespace(log_nu)
        inside: Any = self.violation(log_nu, weights) <= _tolerance(log_nu)
        if bool(xp.all(inside)):
            return log_nu
        flat = xp.reshape(log_nu, (-1, *log_nu.shape[-2:]))
        form = self.dual_form(flat, weights)
        shut = self.forbidden(flat, weights)
        if shut is not None:
            open_ = xp.any(~shut & (flat > LOG_ZERO / 2), axis=-1, keepdims=True)
            shut = shut & open_
        start = flat if shut is None else xp.where(shut, LOG_ZERO, flat)
        w = xp.broadcast_to(weights, flat.shape[:-1])
        y = solve_dual(form, start, w, 1.0)
        moved = xp.reshape(dual_log_policy(form, start, y, 1.0), log_nu.shape)
        return xp.where(inside[..., None, None], log_nu, moved)

    def multipliers(
        self, log_nu: Array, weights: Array, residual: Array, support: Array, factor: float = 1.0
    ) -> Array | None:
        """y of the least squares fit of factor y rows to the residual, y >= 0 on inequalities."""
        xp = namespace(log_nu)
        on_support = xp.where(support, 0 * log_nu, LOG_ZERO)
        form = self.dual_form(on_support, weights)
        oracle = fit_oracle(form, log_nu, weights, residual, support)
        start = 0 * form.rows[..., 0, 0] + xp.astype(form.positive, log_nu.dtype)
        positive = form.positive
        if positive.ndim > 1:
            positive = xp.reshape(positive, (-1, positive.shape[-1]))
        y = barrier_minimise(oracle, xp.reshape(start, (-1, start.shape[-1])), positive)
        return xp.reshape(y, start.shape) / factor

    def linearise(
        self, log_target: Array, weights: Array, multipliers: Array | None = None
    ) -> tuple[Array, Array]:
        """c = y . h, u = -G'y / w: 0 <= c + <u, nu> on C."""
        if multipliers is None:
            return 0 * weighted(log_target[..., 0], weights), 0 * log_target
        (rows, bound), xp = self._table(log_target, weights), namespace(log_target)
        u = xp.sum(multipliers[..., None, None] * rows, axis=-3)
        return xp.sum(multipliers * bound, axis=-1), u

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """0; the rows are constraints."""
        import cvxpy as cp

        rows = self.set.rows(nu.shape[0], nu.shape[1], weights)
        total = cp.hstack([cp.sum(cp.multiply(g, nu)) for g in rows.matrix])
        for chosen, kind in ((~rows.equal, "<="), (rows.equal, "==")):
            index = np.flatnonzero(chosen)
            if index.size:
                left, right = total[index], rows.bound[index]
                constraints.append(left <= right if kind == "<=" else left == right)
        return 0.0


@dataclass(frozen=True, eq=False)
class SoftConstraint(_OnSet):
    """Phi = -strength * min_{q in C} sum_x w_x KL(nu_x || q_x), reward -strength log(nu / q).

    L = strength (theory, section 3). The target q ranges over all of C: it may have mass on answers that
    nu never gives. Bounds on disjoint groups of answers (caps, floors, quotas) are projected on by a
    scalar root per context: q = nu * mass_k / nu(S_k); other sets by `projection.project`, to a duality
    gap at rounding error. Answers that no point of C gives any mass leave the reference; Phi is
    -infinity where nu has mass on them.
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_strength("SoftConstraint", self.strength)

    def check_domain(self, shape: tuple[int, ...], weights: Array) -> None:
        """Raise `Infeasible` for an empty set, to which there is no distance.

        Rows across contexts that each game weighs its own way are left to the solver: J is -inf.
        """
        m, n = shape[-2:]
        w = to_numpy(weights).astype(np.float64)
        w = w / w.sum(axis=-1, keepdims=True)
        groups = self.set.groups(n)
        if all(isinstance(part, Parity) for part in self.set.parts()) or (
            groups is not None and groups.attainable()
        ):
            return
        if w.ndim > 1 and np.any(
            self.set.rows(m, n, np.zeros(m)).matrix != self.set.rows(m, n, np.ones(m)).matrix
        ):
            return
        names = clashing(self.set.rows(m, n, w.reshape(-1, m)[0]), np.ones((m, n), bool))
        if names:
            raise Infeasible(
                f"SoftConstraint: no marginals meet {', '.join(names)}; loosen a bound."
            )

    def __repr__(self) -> str:
        names = " & ".join(type(s).__name__ for s in self.set.parts())
        return f"SoftConstraint({names}, {self.strength:g})"

    @property
    def smoothness(self) -> float | None:
        """L = strength."""
        return self.strength

    def _projected(self, log_nu: Array, weights: Array) -> tuple[Array, Array, Array]:
        """log q, log(q / nu) by the dual's prices, and the constant of the bound that these give."""
        xp, (m, n) = namespace(log_nu), log_nu.shape[-2:]
        groups = self.set.groups(n)
        if groups is not None:
            log_q, ratio = _grouped(log_nu, groups)
            return log_q, ratio, 0 * log_nu[..., 0, 0]
        flat = xp.reshape(log_nu, (-1, m, n))
        found = project(flat, weights, self.set)
        missing = ~found.found[:, None, None]
        log_q = like(xp.where(missing, LOG_ZERO, found.log_q), log_nu)
        ratio = like(xp.where(missing, LOG_ZERO, -found.log_price), log_nu)
        constant = xp.reshape(like(found.constant, log_nu), log_nu.shape[:-2])
        return xp.reshape(log_q, log_nu.shape), xp.reshape(ratio, log_nu.shape), constant

    def projection_log(self, log_nu: Array, weights: Array) -> Array:
        """log q, the point of C that nu is charged against (*batch, m, n): see `projection`."""
        return self._projected(log_nu, weights)[0]

    def forbidden(self, log_nu0: Array, weights: Array) -> Array | None:
        """Answers that no point of the set gives any mass, unless the strength is 0."""
        m, n = log_nu0.shape[-2:]
        if self.strength == 0:
            return None
        groups = self.set.groups(n)
        if groups is not None:
            closed = np.broadcast_to(groups.closed(), (m, n))
        else:
            closed = compiled(self.set, m, n, weights).closed_answers(m, n)
            closed = closed[0] if len(closed) == 1 else closed
        if not closed.any():
            return None
        xp = namespace(log_nu0)
        return xp.broadcast_to(xp.asarray(closed, device=log_nu0.device), log_nu0.shape)

    def consensus_log(self, log_nu: Array, weights: Array) -> Array:
        """The mean of the projections."""
        return super().consensus_log(self.projection_log(log_nu, weights), weights)

    def _line(self, log_nu: Array, weights: Array) -> tuple[Array, Array, Array]:
        """Phi(nu), and the constant and rewards of the affine bound of Phi that the dual gives at nu."""
        xp = namespace(log_nu)
        log_q, ratio, constant = self._projected(log_nu, weights)
        off = xp.any(xp.any((log_nu > LOG_ZERO / 2) & (log_q < LOG_ZERO / 2), axis=-1), axis=-1)
        value = -self.strength * weighted(log_kl(log_nu, log_q), weights)
        u = xp.where(
            ratio > LOG_ZERO / 2, self.strength * ratio, LOG_ZERO if self.strength else 0.0
        )
        return sunk(value, off & (self.strength > 0)), -self.strength * constant, u

    def value_and_reward_log(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        """-strength * sum_x w_x KL(nu_x || q_x), and -strength log(nu / q), its limit where nu is 0."""
        value, _, u = self._line(log_nu, weights)
        return value, u

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * sum_x w_x KL(nu_x || q_x)."""
        return self._line(log_nu, weights)[0]

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """-strength * log(nu / q)."""
        return self._line(log_nu, weights)[2]

    def linearise(
        self, log_target: Array, weights: Array, multipliers: Array | None = None
    ) -> tuple[Array, Array]:
        """The dual's bound: c = -strength (1 - <v, s>), 0 at the optimum, u = -strength log d."""
        return self._line(log_target, weights)[1:]

    def reply_gap(self, log_nu: Array, weights: Array) -> Array:
        """strength times the modulus of the projection's duality gap; below 1e-14 it is rounding error."""
        value, constant, u = self._line(log_nu, weights)
        xp = namespace(value)
        gap = xp.abs(constant + pairing(u, log_nu, weights) - value)
        return xp.where(gap <= 1e-14 * self.strength, 0 * gap, gap)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Relative entropies to a point of the set that is a variable of its own."""
        import cvxpy as cp

        q = cp.Variable(nu.shape, nonneg=True)
        constraints.append(cp.sum(q, axis=1) == 1)
        HardConstraint(self.set).cvxpy(q, weights, constraints)
        return -self.strength * sum(
            w * cp.sum(cp.rel_entr(nu[x], q[x])) for x, w in enumerate(weights)
        )


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
