"""The objective Phi: value, reward (= its gradient), and what solvers may know about it.

To define one, subclass `Objective` and give `value` and `reward` on probabilities; every generic
solver and the certificate then work. Objectives of this package are written on log-probabilities
(`value_log`, `reward_log`), where masses of 1e-300 and exact zeros keep their meaning.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from ..arrays import (
    LOG_ZERO,
    Array,
    as_floating,
    infinities,
    like,
    log,
    logsumexp,
    namespace,
)
from ..errors import InvalidGame, InvalidObjective, NotSeparable
from .arguments import prepared, with_weights
from .forms import DualForm, ExponentialForm, Hessian


class Objective:
    """An answer-level objective Phi(nu), to be maximised (theory, sections 1 and 3).

    Override `value(marginals, weights)` -> (*batch,) and `reward(marginals, weights)` ->
    (*batch, m, n), the gradient in the pairing <u, nu> = sum_x w_x sum_z u_x(z) nu_x(z) (an additive
    constant per context is free). Both are always given arrays and context weights, (m,) or
    (*batch, m): where a caller leaves the weights out they are uniform. Optionally state facts:
    `concave` (None: unknown, the certificate is then conditional on concavity), `smoothness` L and
    `curvature` mu with mu KL <= B(p, q) <= L KL, KL = sum_x w_x KL(p_x || q_x), B the Bregman
    divergence of -Phi. A game tries all of that when it is made (`dagame.testing.check_objective`
    tries harder) and raises `InvalidObjective` where it does not hold.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a subclass's own `value` and `reward` be called without weights, and with lists."""
        super().__init_subclass__(**options)
        for name in ("value", "reward"):
            if name in vars(cls):
                setattr(cls, name, with_weights(vars(cls)[name]))

    tables: ClassVar[tuple[str, ...]] = ()
    """Names of array fields whose last two axes belong to one game: (m | k, n), or (n,)."""

    has_multipliers: ClassVar[bool] = False
    """Whether the target's move is a multiplier vector rather than a point (kinks, hard sets)."""

    answerwise: ClassVar[bool] = False
    """Whether u_x(z) depends on (nu_x'(z))_x' alone, so that samples estimate it answer by answer."""

    between_contexts: ClassVar[bool] = False
    """Whether Phi only compares contexts: constant for one, whose samples are then paid exactly 0."""

    @property
    def concave(self) -> bool | None:
        """True, False, or None when unknown."""
        return None

    @property
    def smoothness(self) -> float | None:
        """L, or None: no finite constant is known and solvers backtrack."""
        return None

    @property
    def curvature(self) -> float:
        """Mu >= -inf; negative: -Phi is only weakly convex (T6). Default 0, unknown if not concave."""
        return -math.inf if self.concave is False else 0.0

    def stated_curvature(self) -> float:
        """Mu, where `curvature` may also be None for unknown."""
        mu = self.curvature
        return mu if mu is not None else Objective.curvature.fget(self)  # type: ignore[attr-defined]

    @property
    def own(self) -> bool:
        """Whether its formulas come from outside the package, so that a game checks them."""
        return type(self).__module__.partition(".")[0] != __name__.partition(".")[0]

    @property
    def concavity_known(self) -> str:
        """How it is known whether Phi is concave where `concave` is None; "" for not at all."""
        return ""

    @property
    def magnitude(self) -> float:
        """Size of the rewards where no probability is small: the strength, or the largest |r|; 0 for sets."""
        strength = getattr(self, "strength", 0.0 if self.has_multipliers else 1.0)
        return abs(float(strength)) if isinstance(strength, Real) else 1.0

    def __repr__(self) -> str:
        return type(self).__name__

    # -- on probabilities -------------------------------------------------------------------------

    def value(self, marginals: Array, weights: Array | None = None) -> Array:
        """Phi(nu): marginals (*batch, m, n) -> (*batch,)."""
        nu, w = prepared(marginals, weights)
        return infinities(self.value_log(log(nu), w))

    def reward(self, marginals: Array, weights: Array | None = None) -> Array:
        """Grad Phi(nu): marginals (*batch, m, n) -> the reward of each answer, same shape."""
        nu, w = prepared(marginals, weights)
        return infinities(self.reward_log(log(nu), w))

    # -- on log-probabilities: what solvers call --------------------------------------------------

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """Phi from log-marginals; the default goes through `value`."""
        self._require_override("value")
        xp = namespace(log_nu)
        value = like(self.value(_visible(log_nu), weights), log_nu)
        return xp.where(value == -xp.inf, LOG_ZERO, value)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """Grad Phi from log-marginals; the default goes through `reward`.

        At an exact zero an infinity is 1e30, and so is what is no number: nothing is known there.
        """
        self._require_override("reward")
        xp, zero = namespace(log_nu), log_nu < LOG_ZERO / 2
        u = like(self.reward(_visible(log_nu), weights), log_nu)
        u = xp.where(zero & (xp.isnan(u) | (u == xp.inf)), -LOG_ZERO, u)
        return xp.where(zero & (u == -xp.inf), LOG_ZERO, u)

    def value_and_reward_log(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        """Both at once, for objectives that share work between them."""
        return self.value_log(log_nu, weights), self.reward_log(log_nu, weights)

    def _require_override(self, name: str) -> None:
        if getattr(type(self), name) is getattr(Objective, name):
            raise InvalidObjective(
                f"{type(self).__name__} defines no `{name}`; give `value(marginals, weights)` and "
                "`reward(marginals, weights)`."
            )

    # -- the target's side ------------------------------------------------------------------------

    def linearise(
        self, log_target: Array, weights: Array, multipliers: Array | None = None
    ) -> tuple[Array, Array]:
        """The target's move as an affine upper bound of Phi: constant c (*batch,), rewards u.

        Phi(nu) <= c + <u, nu> for all nu (concave Phi): u = grad Phi(q), c = Phi(q) - <u, q>.
        Objectives with multipliers take u and c from those instead.
        """
        value, u = self.value_and_reward_log(log_target, weights)
        return value - pairing(u, log_target, weights), u

    def multipliers(
        self, log_nu: Array, weights: Array, residual: Array, support: Array, factor: float = 1.0
    ) -> Array | None:
        """The multipliers whose reward comes nearest to `residual` (*batch, m, n) at nu.

        Stationarity asks u = beta log(nu/nu0) + constant per context on the reference's `support`;
        `residual` is that less the rewards of the other terms, in units of beta; it is explained by
        `factor` times this objective. None where the target's move is the point alone.
        """
        return None

    def project(self, log_nu: Array, weights: Array) -> Array:
        """The nearest marginals at which Phi is finite; the identity unless Phi is a hard set."""
        return log_nu

    def violation(self, log_nu: Array, weights: Array) -> Array | float:
        """How far nu is outside Phi's domain (0 unless Phi is a hard set), shape (*batch,)."""
        return 0.0

    def slack(self, log_nu: Array, weights: Array) -> Array | None:
        """G nu - h (*batch, r) of a hard set {G nu <= h}; None: Phi is none."""
        return None

    def consensus_log(self, log_nu: Array, weights: Array) -> Array:
        """The consensus that belongs to the marginals, (*batch, n): the weighted mean."""
        return mean_log(log_nu, weights)

    def forbidden(self, log_nu0: Array, weights: Array) -> Array | None:
        """Answers of the reference (*batch, m, n) that every finite policy avoids; None: there are none."""
        return None

    def curvature_for(self, weights: Array) -> float:
        """Mu at given context weights, where it depends on them; the least over a batch."""
        return self.stated_curvature()

    def optimum(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """J* (*batch,) where it is known although T4 and T6 do not apply, else None."""
        return None

    def charge(self, log_nu: Array, weights: Array, multipliers: Array) -> Array | float:
        """What multipliers charge marginals outside a hard set, >= 0: sum_i max(0, y_i (G_i nu - h_i))."""
        return 0.0

    def reply_gap(self, log_nu: Array, weights: Array) -> Array | float:
        """By how much the affine bound at nu exceeds Phi(nu): 0 but for replies found by iteration."""
        return 0.0

    # -- structure that solvers may use -----------------------------------------------------------

    def exponential_form(self) -> ExponentialForm | None:
        """The form of `ExponentialForm`, if Phi has it."""
        return None

    def closed_form(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """log nu* (*batch, m, n), if it has an explicit formula or a scalar root."""
        return None

    def dual_form(self, log_nu0: Array, weights: Array) -> DualForm | None:
        """Phi as a minimum over few multipliers, where it is one."""
        return None

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian | None:
        """The scaled Hessian of -Phi, for Newton's method; None where it is not known."""
        return None

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Phi as a concave cvxpy expression of a variable (m, n), for the independent referee.

        Constraints that it needs besides are appended to `constraints`.
        """
        raise InvalidObjective(f"{type(self).__name__} states no cvxpy expression.")

    def separable_derivative(self) -> Callable[[Any], Any]:
        """F' with Phi(nu) = sum_x w_x sum_z f(nu_x(z)), the same f for every answer."""
        raise NotSeparable(
            f"{type(self).__name__} is not a sum of one function of each answer's probability, so "
            "it has no reward table over counts; use the group rewards instead."
        )

    def separated(self) -> tuple[Objective, Objective] | None:
        """Phi as a sum over answers plus a rest that needs the other contexts; None: no such sum."""
        return None

    def success_derivative(self) -> Callable[[Any], Any] | None:
        """F' with Phi(nu) = sum_x w_x F(p_x), p_x = sum_z success(z) nu_x(z); None: Phi is no such sum."""
        return None

    # -- parameters with one table per game -------------------------------------------------------

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `InvalidGame` where parameters do not fit marginals of `shape` (*batch, m, n)."""
        for name in self.tables:
            have = getattr(self, name).shape
            fits = len(have) <= len(shape) and all(
                a in (1, b) for a, b in zip(have[::-1], self._room(name, shape)[::-1], strict=False)
            )
            if not fits or have[-1] != shape[-1]:
                raise InvalidGame(
                    f"{type(self).__name__}.{name} has shape {tuple(have)}, which does not fit "
                    f"marginals of shape {tuple(shape)} (*batch, contexts, answers)."
                )

    def check_domain(self, shape: tuple[int, ...], weights: Array) -> None:
        """Raise `Infeasible` where Phi is finite nowhere; once, when a game of `weights` is made."""
        return

    def _room(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def bind(self, reference: Array) -> Objective:
        """A copy whose tables have the namespace, dtype and device of `reference`."""
        return self._map_tables(lambda table: like(table, reference))

    def rows(self, index: Array) -> Objective:
        """The objective of the games `index` of a flat batch."""

        def pick(table: Array) -> Array:
            batched = table.ndim > 2 and table.shape[0] > 1
            return namespace(table).take(table, index, axis=0) if batched else table

        return self._map_tables(pick)

    def single(self, index: int) -> Objective:
        """The objective of one game of a flat batch, its tables without the batch dimension."""
        return self._map_tables(
            lambda t: (t[index] if t.shape[0] > 1 else t[0]) if t.ndim > 2 else t
        )

    def columns(self, keep: np.ndarray) -> Objective:
        """The objective on the answers where `keep` (n,), bool."""
        index = np.flatnonzero(keep)
        return self._map_tables(lambda table: namespace(table).take(table, index, axis=-1))

    def flat(self, lead: tuple[int, ...]) -> Objective:
        """The objective with its leading batch dimensions `lead` folded into one."""

        def fold(table: Array) -> Array:
            if table.ndim <= 2 or len(lead) == 1:
                return table
            xp = namespace(table)
            full = xp.broadcast_to(table, (*lead, *table.shape[-2:]))
            return xp.reshape(full, (math.prod(lead), *table.shape[-2:]))

        return self._map_tables(fold)

    def _map_tables(self, change: Callable[[Array], Array]) -> Objective:
        if not self.tables:
            return self
        changed = copy.copy(self)
        for name in self.tables:
            object.__setattr__(changed, name, change(getattr(self, name)))
        return changed

    # -- sums -------------------------------------------------------------------------------------

    def terms(self) -> tuple[tuple[float, Objective], ...]:
        """(factor, objective) pairs whose weighted sum this is."""
        return ((1.0, self),)

    def __add__(self, other: Objective) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        from .combination import Combination

        return Combination(self.terms() + other.terms())

    def __sub__(self, other: Objective) -> Objective:
        return self + (-1.0) * other if isinstance(other, Objective) else NotImplemented

    def __mul__(self, factor: float) -> Objective:
        if isinstance(factor, Objective) or not np.isfinite(factor):
            raise InvalidObjective("an objective is scaled by one finite number.")
        from .combination import Combination

        return Combination(tuple((float(factor) * f, o) for f, o in self.terms()))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0


@dataclass(frozen=True, eq=False)
class ConcaveObjective(Objective):
    """A concave objective of one strength >= 0."""

    strength: float = 1.0

    def __post_init__(self) -> None:
        """Check the strength."""
        check_strength(type(self).__name__, self.strength)

    @property
    def concave(self) -> bool | None:
        """True."""
        return True


def pairing(u: Array, log_nu: Array, weights: Array) -> Array:
    """<u, nu> = sum_x w_x sum_z u_x(z) nu_x(z), shape (*batch,)."""
    xp = namespace(log_nu)
    return weighted(xp.sum(xp.exp(log_nu) * u, axis=-1), weights)


def weighted(per_context: Array, weights: Array) -> Array:
    """sum_x w_x f_x: (*batch, m) -> (*batch,)."""
    return namespace(per_context).sum(per_context * weights, axis=-1)


def sunk(value: Array, infinite: Array) -> Array:
    """`value` with LOG_ZERO, which stands for -infinity, where Phi is infinite, whatever its strength."""
    return namespace(value).where(infinite, LOG_ZERO, value)


def mean_log(log_nu: Array, weights: Array) -> Array:
    """Log sum_x w_x nu_x, the arithmetic consensus: (*batch, m, n) -> (*batch, n)."""
    return logsumexp(log_nu + namespace(weights).log(weights)[..., None], axis=-2)


def geometric_mean_log(log_nu: Array, weights: Array) -> Array:
    """sum_x w_x log nu_x (*batch, n), LOG_ZERO where a context lacks the answer."""
    xp = namespace(log_nu)
    common = xp.all(log_nu > LOG_ZERO / 2, axis=-2)
    return xp.where(common, xp.sum(log_nu * weights[..., None], axis=-2), LOG_ZERO)


def per_context(columns: Array) -> Array:
    """One vector per context (*batch, m, n) as low-rank columns (*batch, m, n, m)."""
    xp = namespace(columns)
    eye = xp.eye(columns.shape[-2], dtype=columns.dtype, device=columns.device)
    return columns[..., None] * eye[:, None, :]


def check_strength(name: str, strength: float) -> None:
    """Raise `InvalidObjective` unless 0 <= strength < inf."""
    if not (isinstance(strength, Real) and 0 <= strength < math.inf):
        raise InvalidObjective(f"{name}: strength is {strength!r}; give a finite number >= 0.")


def as_table(values: Any, name: str) -> Array:
    """A parameter table (n,), (m, n) or (*batch, m, n) of finite floating numbers."""
    table = as_floating(values)
    xp = namespace(table)
    if table.ndim == 0 or math.prod(table.shape) == 0 or not bool(xp.all(xp.isfinite(table))):
        raise InvalidObjective(
            f"{name} must be an array (n,), (m, n) or (*batch, m, n) of finite numbers, without NaN."
        )
    return table


def largest(table: Array) -> float:
    """max |table|."""
    xp = namespace(table)
    return float(xp.max(xp.abs(table)))


def _visible(log_nu: Array) -> Array:
    """Probabilities in which every mass but an exact zero is positive, however small it is."""
    xp = namespace(log_nu)
    least = math.log(float(xp.finfo(log_nu.dtype).smallest_normal))
    return xp.where(log_nu > LOG_ZERO / 2, xp.exp(xp.clip(log_nu, least, None)), 0.0)
