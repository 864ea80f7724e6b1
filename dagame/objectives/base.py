"""The objective Phi: value, reward (= its gradient), and what solvers may know about it.

To define one, subclass `Objective` and give `value` and `reward` on probabilities; every generic
solver and the certificate then work. Objectives of this package are written on log-probabilities
(`value_log`, `reward_log`), where masses of 1e-300 and exact zeros keep their meaning.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

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


class ExponentialForm(NamedTuple):
    """Phi(nu) = <reward, nu> + entropy * sum_x w_x H(nu_x) + constant; `tied`: one shared marginal.

    Such objectives have nu* ∝ exp((beta log nu0 + reward) / (beta + entropy)), per context or, when
    tied, with the exponent averaged over contexts (theory, section 3).
    """

    reward: Array | float
    entropy: float
    tied: bool = False


class Hessian(NamedTuple):
    """The Hessian of -Phi in coordinates scaled by sqrt(nu): blocks + U U'.

    With D = diag(sqrt(nu)), blocks is D (-Phi'') D per answer, (*batch, n, m, m), or its diagonal
    (*batch, m, n) where contexts do not interact; low_rank is D U, (*batch, m, n, r), or None. No
    weights are divided out: these are derivatives with respect to the plain nu_x(z).
    """

    blocks: Array
    low_rank: Array | None = None


class Objective:
    """An answer-level objective Phi(nu), to be maximised (theory, sections 1 and 3).

    Override `value(marginals, weights)` -> (*batch,) and `reward(marginals, weights)` ->
    (*batch, m, n), the gradient in the pairing <u, nu> = sum_x w_x sum_z u_x(z) nu_x(z) (an additive
    constant per context is free). Optionally state facts: `concave` (None: unknown, the certificate
    is then conditional on concavity), `smoothness` L and `curvature` mu with
    mu KL <= B(p, q) <= L KL, KL = sum_x w_x KL(p_x || q_x), B the Bregman divergence of -Phi.
    """

    tables: ClassVar[tuple[str, ...]] = ()
    """Names of array fields whose last two axes belong to one game: (m | k, n), or (n,)."""

    has_multipliers: ClassVar[bool] = False
    """Whether the target's move is a multiplier vector rather than a point (kinks, hard sets)."""

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
        """mu >= -inf; negative: -Phi is only weakly convex (T6)."""
        return 0.0

    # -- on probabilities -------------------------------------------------------------------------

    def value(self, marginals: Array, weights: Array | None = None) -> Array:
        """Phi(nu): marginals (*batch, m, n) -> (*batch,)."""
        nu, w = _prepared(marginals, weights)
        return infinities(self.value_log(log(nu), w))

    def reward(self, marginals: Array, weights: Array | None = None) -> Array:
        """grad Phi(nu): marginals (*batch, m, n) -> the reward of each answer, same shape."""
        nu, w = _prepared(marginals, weights)
        return infinities(self.reward_log(log(nu), w))

    # -- on log-probabilities: what solvers call --------------------------------------------------

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """Phi from log-marginals; the default goes through `value`."""
        self._require_override("value")
        return like(self.value(namespace(log_nu).exp(log_nu), weights), log_nu)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """grad Phi from log-marginals; the default goes through `reward`."""
        self._require_override("reward")
        xp = namespace(log_nu)
        u = like(self.reward(xp.exp(log_nu), weights), log_nu)
        return xp.where((log_nu < LOG_ZERO / 2) & ~xp.isfinite(u), 0.0, u)

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
        self, log_nu: Array, weights: Array, residual: Array, support: Array
    ) -> Array | None:
        """The multipliers whose reward comes nearest to `residual` (*batch, m, n) at nu.

        Stationarity asks u = beta log(nu/nu0) + constant per context on the reference's `support`;
        `residual` is that less the rewards of the other terms. None where the target's move is the
        point alone.
        """
        return None

    def project(self, log_nu: Array, weights: Array) -> Array:
        """The nearest marginals at which Phi is finite; the identity unless Phi is a hard set."""
        return log_nu

    def violation(self, log_nu: Array, weights: Array) -> Array | float:
        """How far nu is outside Phi's domain (0 unless Phi is a hard set), shape (*batch,)."""
        return 0.0

    def consensus_log(self, log_nu: Array, weights: Array) -> Array:
        """The consensus that belongs to the marginals, (*batch, n): the weighted mean."""
        return mean_log(log_nu, weights)

    # -- structure that solvers may use -----------------------------------------------------------

    def exponential_form(self) -> ExponentialForm | None:
        """The form of `ExponentialForm`, if Phi has it."""
        return None

    def closed_form(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """log nu* (*batch, m, n), if it has an explicit formula or a scalar root."""
        return None

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian | None:
        """The scaled Hessian of -Phi, for Newton's method; None where it is not known."""
        return None

    def cvxpy(self, nu: Any, weights: np.ndarray) -> Any:
        """Phi as a concave cvxpy expression of a variable (m, n); the independent referee's side."""
        raise InvalidObjective(f"{type(self).__name__} states no cvxpy expression.")

    def separable_derivative(self) -> Callable[[Any], Any]:
        """f' with Phi(nu) = sum_x w_x sum_z f(nu_x(z)), the same f for every answer."""
        raise NotSeparable(
            f"{type(self).__name__} is not a sum of one function of each answer's probability, so "
            "it has no reward table over counts; use the group rewards instead."
        )

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

    def columns(self, keep: np.ndarray) -> Objective:
        """The objective on the answers `keep` only (indices)."""
        return self._map_tables(lambda table: namespace(table).take(table, keep, axis=-1))

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
        return Combination(self.terms() + other.terms())

    def __sub__(self, other: Objective) -> Objective:
        return self + (-1.0) * other if isinstance(other, Objective) else NotImplemented

    def __mul__(self, factor: float) -> Objective:
        if isinstance(factor, Objective) or not np.isfinite(factor):
            raise InvalidObjective("an objective is scaled by one finite number.")
        return Combination(tuple((float(factor) * f, o) for f, o in self.terms()))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0


@dataclass(frozen=True, eq=False)
class Combination(Objective):
    """sum_k factor_k Phi_k: values, rewards, L and mu add; a negative factor swaps and negates L, mu."""

    parts: Sequence[tuple[float, Objective]]

    def __post_init__(self) -> None:
        special = [o for _, o in self.parts if o.has_multipliers]
        if len(special) > 1:
            names = ", ".join(type(o).__name__ for o in special)
            raise InvalidObjective(
                f"a sum may hold one term with multipliers, not {len(special)} ({names}); "
                "put several constraint sets into one HardConstraint."
            )
        if any(f < 0 for f, o in self.parts if o.has_multipliers):
            raise InvalidObjective("a term with multipliers cannot have a negative factor.")

    def terms(self) -> tuple[tuple[float, Objective], ...]:
        """The weighted parts."""
        return tuple(self.parts)

    def __repr__(self) -> str:
        return " + ".join(repr(o) if f == 1 else f"{f:g} * {o!r}" for f, o in self.parts)

    @property
    def has_multipliers(self) -> bool:  # type: ignore[override]
        """Whether one part has."""
        return any(o.has_multipliers for _, o in self.parts)

    @property
    def concave(self) -> bool | None:
        """All parts concave with factors >= 0, or curvature mu >= 0 in sum."""
        known = [o.concave is True and f >= 0 for f, o in self.parts]
        if all(known) or self.curvature >= 0 and all(o.concave is not None for _, o in self.parts):
            return True
        return None if any(o.concave is None for _, o in self.parts) else False

    @property
    def smoothness(self) -> float | None:
        """Sum of factor * L (factor * mu where the factor is negative)."""
        parts = [f * o.curvature if f < 0 else _times(f, o.smoothness) for f, o in self.parts]
        if any(p is None or not np.isfinite(p) for p in parts):
            return None
        return float(sum(p for p in parts if p is not None))

    @property
    def curvature(self) -> float:
        """Sum of factor * mu (factor * L where the factor is negative)."""
        parts = [_times(f, o.smoothness) if f < 0 else f * o.curvature for f, o in self.parts if f]
        return float(sum(-np.inf if p is None else p for p in parts))

    def value(self, marginals: Array, weights: Array | None = None) -> Array:
        """Phi(nu), the weighted sum of the parts'."""
        return _sum(f * o.value(marginals, weights) for f, o in self.parts)

    def reward(self, marginals: Array, weights: Array | None = None) -> Array:
        """grad Phi(nu), the weighted sum of the parts'."""
        return _sum(f * o.reward(marginals, weights) for f, o in self.parts)

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """Phi from log-marginals."""
        return _sum(f * o.value_log(log_nu, weights) for f, o in self.parts)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """grad Phi from log-marginals."""
        return _sum(f * o.reward_log(log_nu, weights) for f, o in self.parts)

    def linearise(
        self, log_target: Array, weights: Array, multipliers: Array | None = None
    ) -> tuple[Array, Array]:
        """Constants and rewards add; the multipliers go to the one part that has them."""
        lines = [o.linearise(log_target, weights, multipliers) for _, o in self.parts]
        factors = [f for f, _ in self.parts]
        return (
            _sum(f * c for f, (c, _) in zip(factors, lines, strict=True)),
            _sum(f * u for f, (_, u) in zip(factors, lines, strict=True)),
        )

    def multipliers(
        self, log_nu: Array, weights: Array, residual: Array, support: Array
    ) -> Array | None:
        """Those of the one part that has them, after the other parts' rewards."""
        found = [(f, o) for f, o in self.parts if o.has_multipliers and f > 0]
        if not found:
            return None
        (factor, special), *_ = found
        rest = [f * o.reward_log(log_nu, weights) for f, o in self.parts if o is not special]
        return special.multipliers(log_nu, weights, (residual - _sum(rest)) / factor, support)

    def project(self, log_nu: Array, weights: Array) -> Array:
        """Onto the domain of the one part that is a hard set."""
        for _, o in self.parts:
            log_nu = o.project(log_nu, weights)
        return log_nu

    def violation(self, log_nu: Array, weights: Array) -> Array | float:
        """Sum of the parts' violations."""
        return _sum(o.violation(log_nu, weights) for _, o in self.parts)

    def consensus_log(self, log_nu: Array, weights: Array) -> Array:
        """The first part's own notion of consensus, else the mean."""
        for _, o in self.parts:
            if type(o).consensus_log is not Objective.consensus_log:
                return o.consensus_log(log_nu, weights)
        return mean_log(log_nu, weights)

    def exponential_form(self) -> ExponentialForm | None:
        """Sum of the parts' forms, if all have one."""
        forms = [(f, o.exponential_form()) for f, o in self.parts]
        if any(form is None for _, form in forms):
            return None
        reward = _sum(f * form.reward for f, form in forms if form is not None)
        entropy = float(sum(f * form.entropy for f, form in forms if form is not None))
        return ExponentialForm(reward, entropy, any(form.tied for _, form in forms if form))

    def closed_form(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """A scaled single objective keeps its closed form: (f Phi, beta) = f (Phi, beta / f)."""
        (factor, only), *more = self.parts
        if more or factor <= 0:
            return None
        return only.closed_form(log_nu0, weights, beta / factor)

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian | None:
        """Sum of the parts' Hessians, if all are known and no factor is negative."""
        parts = [(f, o.hessian_log(log_nu, weights)) for f, o in self.parts if f]
        if any(h is None or (f < 0 and h.low_rank is not None) for f, h in parts):
            return None
        total = Hessian(0 * log_nu)
        for f, h in parts:
            total = _joined(total, Hessian(f * h.blocks, _scaled(f, h.low_rank)))  # type: ignore[union-attr]
        return total

    def cvxpy(self, nu: Any, weights: np.ndarray) -> Any:
        """Sum of the parts' expressions."""
        return _sum(f * o.cvxpy(nu, weights) for f, o in self.parts)

    def separable_derivative(self) -> Callable[[Any], Any]:
        """Sum of the parts' derivatives."""
        parts = [(f, o.separable_derivative()) for f, o in self.parts]
        return lambda p: _sum(f * d(p) for f, d in parts)

    def check(self, shape: tuple[int, ...]) -> None:
        """Check every part."""
        for _, o in self.parts:
            o.check(shape)

    def _each(self, change: Callable[[Objective], Objective]) -> Combination:
        return Combination(tuple((f, change(o)) for f, o in self.parts))

    def bind(self, reference: Array) -> Objective:
        """Bind every part."""
        return self._each(lambda o: o.bind(reference))

    def rows(self, index: Array) -> Objective:
        """Rows of every part."""
        return self._each(lambda o: o.rows(index))

    def columns(self, keep: np.ndarray) -> Objective:
        """Columns of every part."""
        return self._each(lambda o: o.columns(keep))

    def flat(self, lead: tuple[int, ...]) -> Objective:
        """Every part flattened."""
        return self._each(lambda o: o.flat(lead))


def _scaled(factor: float, low_rank: Array | None) -> Array | None:
    return None if low_rank is None else math.sqrt(factor) * low_rank


def _joined(a: Hessian, b: Hessian) -> Hessian:
    xp = namespace(a.blocks)
    ranks = [h.low_rank for h in (a, b) if h.low_rank is not None]
    low_rank = xp.concat(ranks, axis=-1) if ranks else None
    if a.blocks.ndim == b.blocks.ndim and a.blocks.shape == b.blocks.shape:
        return Hessian(a.blocks + b.blocks, low_rank)
    return Hessian(as_blocks(a.blocks, b.blocks) + as_blocks(b.blocks, a.blocks), low_rank)


def as_blocks(blocks: Array, other: Array) -> Array:
    """A diagonal (*batch, m, n) as blocks (*batch, n, m, m) if `other` has blocks."""
    xp = namespace(blocks)
    if blocks.ndim == max(blocks.ndim, other.ndim):
        return blocks
    eye = xp.eye(blocks.shape[-2], dtype=blocks.dtype, device=blocks.device)
    return xp.matrix_transpose(blocks)[..., None] * eye


def pairing(u: Array, log_nu: Array, weights: Array) -> Array:
    """<u, nu> = sum_x w_x sum_z u_x(z) nu_x(z), shape (*batch,)."""
    xp = namespace(log_nu)
    return weighted(xp.sum(xp.exp(log_nu) * u, axis=-1), weights)


def weighted(per_context: Array, weights: Array) -> Array:
    """sum_x w_x f_x: (*batch, m) -> (*batch,)."""
    return namespace(per_context).sum(per_context * weights, axis=-1)


def mean_log(log_nu: Array, weights: Array) -> Array:
    """log sum_x w_x nu_x, the arithmetic consensus: (*batch, m, n) -> (*batch, n)."""
    return logsumexp(log_nu + namespace(weights).log(weights)[..., None], axis=-2)


def check_strength(name: str, strength: float) -> None:
    """Raise `InvalidObjective` unless 0 <= strength < inf."""
    if not (np.isscalar(strength) and np.isfinite(strength) and strength >= 0):
        raise InvalidObjective(f"{name}: strength is {strength!r}; give a finite number >= 0.")


def as_table(values: Any, name: str) -> Array:
    """A parameter table (n,), (m, n) or (*batch, m, n): floating and without NaN."""
    table = as_floating(values)
    xp = namespace(table)
    if table.ndim == 0 or bool(xp.any(xp.isnan(table))):
        raise InvalidObjective(f"{name} must be an array (n,), (m, n) or (*batch, m, n) without NaN.")
    return table


def _prepared(marginals: Array, weights: Array | None) -> tuple[Array, Array]:
    nu = as_floating(marginals)
    if nu.ndim < 2:
        raise InvalidGame(
            f"marginals have shape {tuple(nu.shape)}; give (*batch, contexts, answers), for one "
            "context marginals[None, :]."
        )
    m = nu.shape[-2]
    w = like([1.0 / m] * m if weights is None else weights, nu)
    return nu, w


def _times(factor: float, value: float | None) -> float | None:
    return 0.0 if factor == 0 else None if value is None else factor * value


def _sum(values: Any) -> Any:
    """A sum that starts from the first element, so that arrays keep their namespace."""
    total = None
    for v in values:
        total = v if total is None else total + v
    return 0.0 if total is None else total
