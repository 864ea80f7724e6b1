"""Hard constraint sets as objectives: the target's move is the multipliers."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import InvalidGame, InvalidObjective
from ..numerics.arrays import LOG_ZERO, Array, like, namespace, to_numpy
from ..numerics.barrier import barrier_minimise
from ..numerics.shapes import Mask, Numbers, Table, Weights
from .domain import Domain
from .dual import dual_log_policy, solve_dual
from .fit import fit_oracle
from .forms import DualForm
from .objective import Objective
from .pairing import weighted
from .program import Program, compiled_on
from .reply import Reply
from .set_rows import Rows
from .sets import (
    ConstraintSet,
    Parity,
    Polytope,
    Restricted,
    compiled_groups,
    compiled_rows,
)
from .structure import Structure

_TOLERANCE, _TOLERANCE_SINGLE = 1e-8, 1e-6
_REACH = 1e9


def _tolerance(log_nu: Array) -> float:
    return _TOLERANCE if log_nu.dtype == namespace(log_nu).float64 else _TOLERANCE_SINGLE


@functools.lru_cache(maxsize=256)
def _closed_answers(chosen: ConstraintSet, m: int, n: int) -> np.ndarray | None:
    """Answers (m, n) in a row of one sign and bound 0; None: there are none."""
    groups = compiled_groups(chosen, n)
    if groups is not None:
        mask = np.tile(groups.member[groups.high == 0].any(axis=0), (m, 1))
    else:
        mask = compiled_rows(chosen, m, n).closed()
    return mask if mask.any() else None


@dataclass(frozen=True, eq=False)
class OnSet(Structure):
    """What objectives of a set of marginals share."""

    set: ConstraintSet
    concave = True

    def __post_init__(self) -> None:
        if not isinstance(self.set, ConstraintSet):
            raise InvalidObjective(
                f"{type(self).__name__}: {self.set!r} is not a set; use Cap, Floor, Quota, Moment, "
                "Parity or Polytope, joined by &."
            )

    def columns(self, keep: np.ndarray) -> Self:
        """On a set whose rows are those of the answers `keep`."""
        return dataclasses.replace(self, set=Restricted(self.set, keep))

    def check(self, shape: tuple[int, ...], weights: Array) -> None:
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

    def _once(
        self, name: str, arrays: tuple[Array, ...], make: Callable[[], Any], shape: Any = None
    ) -> Any:
        """make(), kept for the next call with the same arrays (and shape).

        Value, rewards, their gap and the distance to a set are asked for in turn.
        """
        before, for_shape, found = vars(self).get(name, ((), None, None))
        if before and for_shape == shape and all(map(operator.is_, before, arrays)):
            return found
        found = make()
        if all(type(values) is np.ndarray for values in arrays):
            object.__setattr__(self, name, (arrays, shape, found))
        return found


@dataclass(frozen=True, eq=False)
class HardConstraint(Domain, Reply, OnSet, Objective):
    """Phi = 0 on the set C = {G nu <= h}, -infinity off it (docs/theory/objectives.md#closed-forms).

    The target's move is the multipliers y >= 0 (free for equalities): reward u_x(z) =
    -(G_x' y)(z) / w_x and nu* ∝ nu0 e^{u/beta}. `Solution.multipliers` reports them in the order of
    `set.rows(...)`. Answers that a cap of 0 forbids leave the reference. An empty intersection with
    the reference's support is a status that names the rows that clash.

    Args:
        set: of marginals, see `Cap` and its siblings; joined by `&`.
    """

    has_multipliers = True

    def __repr__(self) -> str:
        return f"HardConstraint({' & '.join(type(s).__name__ for s in self.set.parts())})"

    def _rows(self, log_nu: Array) -> Rows:
        """The rows of the set; those across contexts still without the weights w_x."""
        return compiled_rows(self.set, *log_nu.shape[-2:])

    def _matrix(self, log_nu: Array, weights: Array) -> Array:
        """G (r, m, n), or (B, r, m, n) where rows across contexts have weights (B, m)."""
        made = functools.partial(self._weighted_matrix, log_nu, weights)
        return self._once("_matrices", (weights,), made, tuple(log_nu.shape[-2:]))

    def _weighted_matrix(self, log_nu: Array, weights: Array) -> Array:
        rows, xp = self._rows(log_nu), namespace(log_nu)
        matrix = like(rows.matrix, log_nu)
        if not rows.across.any():
            return matrix
        across = xp.asarray(rows.across, device=log_nu.device)[:, None, None]
        return xp.where(across, matrix * weights[..., None, :, None], matrix)

    def _closed(self, log_nu: Array) -> Array | None:
        """Answers (*batch, m, n) in a row of one sign and bound 0; None: there are none."""
        mask = _closed_answers(self.set, *log_nu.shape[-2:])
        if mask is None:
            return None
        xp = namespace(log_nu)
        return xp.broadcast_to(xp.asarray(mask, device=log_nu.device), log_nu.shape)

    def slack(self, log_nu: Array, weights: Array) -> Array:
        """G nu - h (*batch, r), positive where a row is exceeded."""
        return self._once("_slack", (log_nu, weights), lambda: self._excess(log_nu, weights))

    def _excess(self, log_nu: Array, weights: Array) -> Array:
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
        equal = compiled_rows(self.set, m, n).equal
        y = np.asarray(multipliers, float) + rate * np.asarray(slack, float)
        return np.where(equal, y, np.maximum(y, 0.0))

    def violation(self, log_nu: Table, weights: Weights) -> Numbers | float:
        """The largest excess of a row of G nu <= h."""
        return self._once("_off", (log_nu, weights), lambda: self._distance(log_nu, weights))

    def _distance(self, log_nu: Array, weights: Array) -> Array:
        slack, xp = self.slack(log_nu, weights), namespace(log_nu)
        equal = xp.asarray(self._rows(log_nu).equal, device=log_nu.device)
        excess = xp.where(equal, xp.abs(slack), xp.maximum(slack, xp.zeros_like(slack)))
        return xp.max(excess, axis=-1)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """0 where no row is exceeded by more than 1e-8 (single precision: 1e-6), else -inf."""
        off = self.violation(log_nu, weights)
        return namespace(log_nu).where(off <= _tolerance(log_nu), 0 * off, LOG_ZERO)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """0, a valid supergradient inside; `game.rewards` gives the multipliers' rewards."""
        return 0 * log_nu

    def forbidden(self, log_nu0: Table, weights: Weights) -> Mask | None:
        """Answers that no point of the set on the reference's support gives any mass.

        Those in a row of one sign and bound 0 are seen at once. The others take a small program for each
        support and are looked for in batches of up to 32 different supports; beyond that they stay in the
        game, and the bounds of its optimum are looser.
        """
        listed, found = self._closed(log_nu0), self._programs(log_nu0, weights)
        if found is None:
            return listed
        xp, (m, n) = namespace(log_nu0), log_nu0.shape[-2:]
        closed = np.stack([p.closed_answers(m, n)[0] for p in found]).reshape(log_nu0.shape)
        closed = xp.asarray(closed, device=log_nu0.device) & (log_nu0 > LOG_ZERO / 2)
        if not bool(xp.any(closed)):
            return listed
        return closed if listed is None else closed | listed

    def _programs(self, log_nu0: Array, weights: Array) -> list[Program] | None:
        """The set on the support of each game of a batch; None for a single part, or too many supports."""
        if len(self.set.parts()) == 1 and not isinstance(self.set, Polytope | Parity | Restricted):
            return None

        def make() -> list[Program] | None:
            live = np.reshape(to_numpy(log_nu0) > LOG_ZERO / 2, (-1, *log_nu0.shape[-2:]))
            return compiled_on(self.set, live, weights)

        return self._once("_stated", (log_nu0, weights), make)

    def _table(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        """-G_i / w and h; a row that every policy meets becomes 0 <= 1, whose multiplier is 0."""
        made = functools.partial(self._weighted_table, log_nu, weights)
        return self._once("_weighted", (weights,), made, tuple(log_nu.shape))

    def _weighted_table(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        rows, xp = self._rows(log_nu), namespace(log_nu)
        matrix, bound = self._matrix(log_nu, weights), like(rows.bound, log_nu)
        most = xp.sum(xp.max(matrix, axis=-1), axis=-1)
        idle = xp.asarray(~rows.equal, device=log_nu.device) & (most <= bound + 1e-15)
        table = -xp.where(idle[..., None, None], 0.0, matrix) / weights[..., None, :, None]
        table = xp.broadcast_to(table, (*log_nu.shape[:-2], *table.shape[-3:]))
        return table, xp.where(idle, 1.0, bound)

    def dual_form(self, log_nu0: Table, weights: Weights) -> DualForm:
        """u = -sum_i y_i G_i / w, y_i >= 0 on inequalities that some point of the set meets with room.

        An inequality that is tight on the whole set is an equality: its multiplier has no sign, and no bound
        if it had to be >= 0. A row that follows from the others becomes 0 <= 1, whose multiplier is 0.
        """
        made = functools.partial(self._dual_form, log_nu0, weights)
        return self._once("_dual", (log_nu0, weights), made)

    def _dual_form(self, log_nu0: Array, weights: Array) -> DualForm:
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

    def project(self, log_nu: Table, weights: Weights) -> Table:
        """argmin_{q in C} sum_x w_x KL(q_x || nu_x), by its dual; nu itself where it is in C."""
        xp = namespace(log_nu)
        inside: Any = self.violation(log_nu, weights) <= _tolerance(log_nu)
        if bool(xp.all(inside)):
            return log_nu
        flat = xp.reshape(log_nu, (-1, *log_nu.shape[-2:]))
        w = xp.reshape(xp.broadcast_to(weights, log_nu.shape[:-1]), flat.shape[:-1])
        form = self.dual_form(flat, w)
        closed = self.forbidden(flat, w)
        if closed is not None:
            closed = closed & xp.any(~closed & (flat > LOG_ZERO / 2), axis=-1, keepdims=True)
        start = flat if closed is None else xp.where(closed, LOG_ZERO, flat)
        y = solve_dual(form, start, w, 1.0)
        moved = xp.reshape(dual_log_policy(form, start, y, 1.0), log_nu.shape)
        return xp.where(inside[..., None, None], log_nu, moved)

    def multipliers(
        self, log_nu: Table, weights: Weights, residual: Table, support: Mask, factor: float = 1.0
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
        self, log_target: Table, weights: Weights, multipliers: Array | None = None
    ) -> tuple[Numbers, Table]:
        """c = y . h, u = -G'y / w: 0 <= c + <u, nu> on C."""
        if multipliers is None:
            return 0 * weighted(log_target[..., 0], weights), 0 * log_target
        (rows, bound), xp = self._table(log_target, weights), namespace(log_target)
        u = xp.sum(multipliers[..., None, None] * rows, axis=-3)
        return xp.sum(multipliers * bound, axis=-1), u

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """0; the rows are constraints."""
        rows_cvxpy(self.set, nu, weights, constraints)
        return 0.0


def rows_cvxpy(chosen: ConstraintSet, nu: Any, weights: np.ndarray, constraints: list[Any]) -> None:
    """Append the rows of a set as constraints on a cvxpy variable (m, n)."""
    import cvxpy as cp

    rows = chosen.rows(nu.shape[0], nu.shape[1], weights)
    total = cp.hstack([cp.sum(cp.multiply(g, nu)) for g in rows.matrix])
    for mask, kind in ((~rows.equal, "<="), (rows.equal, "==")):
        index = np.flatnonzero(mask)
        if index.size:
            left, right = total[index], rows.bound[index]
            constraints.append(left <= right if kind == "<=" else left == right)
