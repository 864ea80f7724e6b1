"""Sums of objectives with factors."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import LOG_ZERO, Array, namespace
from ..errors import InvalidObjective
from .base import ExponentialForm, Hessian, Objective, mean_log, sunk


@dataclass(frozen=True, eq=False)
class Combination(Objective):
    """sum_k factor_k Phi_k: values, rewards, L and mu add; a negative factor swaps and negates L, mu.

    A term of factor 0 is left out, domain and all: 0 * HardConstraint(...) constrains nothing. A hard set
    times a positive factor is the same set.
    """

    parts: Sequence[tuple[float, Objective]]

    def __post_init__(self) -> None:
        live = tuple((f, o) for f, o in self.parts if f != 0)
        object.__setattr__(self, "parts", live or ((0.0, _nothing(self.parts[0][1])),))
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
    def magnitude(self) -> float:
        """Sum of |factor| times the parts' magnitudes."""
        return float(sum(abs(f) * o.magnitude for f, o in self.parts))

    @property
    def has_multipliers(self) -> bool:  # type: ignore[override]
        """Whether one part has."""
        return any(o.has_multipliers for _, o in self.parts)

    @property
    def concave(self) -> bool | None:
        """All parts concave with factors >= 0, or curvature mu >= 0 in sum."""
        known = [o.concave is True and f >= 0 for f, o in self.parts]
        if all(known) or (
            self.curvature >= 0 and all(o.concave is not None for _, o in self.parts)
        ):
            return True
        return None if any(o.concave is None for _, o in self.parts) else False

    @property
    def smoothness(self) -> float | None:
        """Sum of factor * L (factor * mu where the factor is negative)."""
        parts = [
            f * o.stated_curvature() if f < 0 else _times(f, o.smoothness) for f, o in self.parts
        ]
        if any(p is None or not np.isfinite(p) for p in parts):
            return None
        return float(sum(p for p in parts if p is not None))

    @property
    def curvature(self) -> float:
        """Sum of factor * mu (factor * L where the factor is negative)."""
        parts = [
            _times(f, o.smoothness) if f < 0 else f * o.stated_curvature()
            for f, o in self.parts
            if f
        ]
        return float(sum(-np.inf if p is None else p for p in parts))

    def value_log(self, log_nu: Array, weights: Array) -> Array:
        """Phi from log-marginals."""
        return _sum(_value(f, o.value_log(log_nu, weights)) for f, o in self.parts)

    def reward_log(self, log_nu: Array, weights: Array) -> Array:
        """Grad Phi from log-marginals."""
        return _sum(f * o.reward_log(log_nu, weights) for f, o in self.parts)

    def value_and_reward_log(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        """Both, each part's at once."""
        found = [(f, *o.value_and_reward_log(log_nu, weights)) for f, o in self.parts]
        return _sum(_value(f, v) for f, v, _ in found), _sum(f * u for f, _, u in found)

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
        self, log_nu: Array, weights: Array, residual: Array, support: Array, factor: float = 1.0
    ) -> Array | None:
        """Those of the one part that has them, after the other parts' rewards."""
        found = [(f, o) for f, o in self.parts if o.has_multipliers and f > 0]
        if not found:
            return None
        (own, special), *_ = found
        own = factor * own
        rest = [
            factor * f * o.reward_log(log_nu, weights) for f, o in self.parts if o is not special
        ]
        return special.multipliers(log_nu, weights, residual - _sum(rest), support, own)

    def project(self, log_nu: Array, weights: Array) -> Array:
        """Onto the domain of the one part that is a hard set."""
        for _, o in self.parts:
            log_nu = o.project(log_nu, weights)
        return log_nu

    def violation(self, log_nu: Array, weights: Array) -> Array | float:
        """Sum of the parts' violations."""
        return _sum(o.violation(log_nu, weights) for _, o in self.parts)

    def slack(self, log_nu: Array, weights: Array) -> Array | None:
        """That of the one part that is a hard set."""
        found = [o.slack(log_nu, weights) for _, o in self.parts]
        return next((s for s in found if s is not None), None)

    def forbidden(self, log_nu0: Array, weights: Array) -> Array | None:
        """Answers that one of the parts excludes."""
        found = [o.forbidden(log_nu0, weights) for f, o in self.parts if f > 0]
        masks = [m for m in found if m is not None]
        return None if not masks else functools.reduce(operator.or_, masks)

    def curvature_for(self, weights: Array) -> float:
        """As `curvature`, with the parts' own at these weights."""
        parts = [
            _times(f, o.smoothness) if f < 0 else f * o.curvature_for(weights)
            for f, o in self.parts
            if f
        ]
        return float(sum(-np.inf if p is None else p for p in parts))

    def optimum(self, log_nu0: Array, weights: Array, beta: float) -> Array | None:
        """That of a scaled single objective."""
        (factor, only), *more = self.parts
        if more or factor <= 0:
            return None
        found = only.optimum(log_nu0, weights, min(beta / factor, 1e300))
        return None if found is None else factor * found

    def charge(self, log_nu: Array, weights: Array, multipliers: Array) -> Array | float:
        """That of the one part that has multipliers."""
        return _sum(
            f * o.charge(log_nu, weights, multipliers) for f, o in self.parts if o.has_multipliers
        )

    def reply_gap(self, log_nu: Array, weights: Array) -> Array | float:
        """Those of the parts with positive factors, added."""
        return _sum(f * o.reply_gap(log_nu, weights) for f, o in self.parts if f > 0)

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
        scaled = beta / factor
        return only.closed_form(log_nu0, weights, scaled) if np.isfinite(scaled) else log_nu0

    def hessian_log(self, log_nu: Array, weights: Array) -> Hessian | None:
        """Sum of the parts' Hessians, if all are known and no factor is negative."""
        parts = [(f, o.hessian_log(log_nu, weights)) for f, o in self.parts if f]
        if any(h is None or (f < 0 and h.low_rank is not None) for f, h in parts):
            return None
        total = Hessian(0 * log_nu)
        for f, h in parts:
            total = _joined(total, Hessian(f * h.blocks, _scaled(f, h.low_rank)))  # type: ignore[union-attr]
        return total

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Sum of the parts' expressions."""
        return _sum(f * o.cvxpy(nu, weights, constraints) for f, o in self.parts)

    def separable_derivative(self) -> Callable[[Any], Any]:
        """Sum of the parts' derivatives."""
        parts = [(f, o.separable_derivative()) for f, o in self.parts]
        return lambda p: _sum(f * d(p) for f, d in parts)

    def check(self, shape: tuple[int, ...]) -> None:
        """Check every part."""
        for _, o in self.parts:
            o.check(shape)

    def check_domain(self, shape: tuple[int, ...], weights: Array) -> None:
        """Check every part."""
        for _, o in self.parts:
            o.check_domain(shape, weights)

    def _each(self, change: Callable[[Objective], Objective]) -> Combination:
        return Combination(tuple((f, change(o)) for f, o in self.parts))

    def bind(self, reference: Array) -> Objective:
        """Bind every part."""
        return self._each(lambda o: o.bind(reference))

    def rows(self, index: Array) -> Objective:
        """Rows of every part."""
        return self._each(lambda o: o.rows(index))

    def single(self, index: int) -> Objective:
        """Every part's."""
        return self._each(lambda o: o.single(index))

    def columns(self, keep: np.ndarray) -> Objective:
        """Columns of every part."""
        return self._each(lambda o: o.columns(keep))

    def flat(self, lead: tuple[int, ...]) -> Objective:
        """Every part flattened."""
        return self._each(lambda o: o.flat(lead))


def _nothing(objective: Objective) -> Objective:
    """An objective to multiply with 0: the one given, or one without a domain."""
    from .diversity import GiniDiversity

    restricted = objective.has_multipliers or objective.concave is None
    return GiniDiversity(0.0) if restricted else objective


def _value(factor: float, value: Array) -> Array:
    """factor * value, -infinity staying what it is."""
    return sunk(factor * value, (value <= LOG_ZERO / 2) & (factor > 0))


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


def _times(factor: float, value: float | None) -> float | None:
    return 0.0 if factor == 0 else None if value is None else factor * value


def _sum(values: Any) -> Any:
    """A sum that starts from the first element, so that arrays keep their namespace."""
    total = None
    for v in values:
        total = v if total is None else total + v
    return 0.0 if total is None else total
