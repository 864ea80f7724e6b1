"""A sum of objectives with factors: its value, reward, facts and forms are made from those of its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..numerics.arrays import LOG_ZERO, Array
from ..numerics.shapes import Numbers, Table, Weights
from .domain import Domain, DomainOfSum
from .forms import CountedForm, DualForm, ExponentialForm, Hessian, SmoothForm
from .pairing import minus_infinity_where, times, total
from .reply import Reply, ReplyToSum
from .structure import Structure, stated_curvature

if TYPE_CHECKING:
    from .objective import Objective

_SHOWN = 6


def _value(factor: float, value: Array) -> Array:
    """factor * value; -infinity stays -infinity unless the factor is 0."""
    if factor == 1:
        return value
    return minus_infinity_where(factor * value, (value <= LOG_ZERO / 2) & (factor > 0))


def _smoothness(objective: Objective) -> float:
    return math.inf if objective.smoothness is None else objective.smoothness


def _some(fact: str) -> Any:
    """A fact of a sum that holds if it holds of one part."""
    return property(lambda self: any(getattr(o, fact) for _, o in self.parts))


def _every(fact: str) -> Any:
    """A fact of a sum that holds if it holds of all parts."""
    return property(lambda self: all(getattr(o, fact) for _, o in self.parts))


class Weighted(Structure):
    """sum_k factor_k Phi_k: values, rewards, constants and forms are the sums of the parts'.

    Facts hold of a sum if they hold of all parts (`every`) or of one of them (`some`).
    """

    parts: Sequence[tuple[float, Objective]]

    @property
    def live(self) -> list[tuple[float, Objective]]:
        """The parts whose factor is not 0."""
        return [(f, o) for f, o in self.parts if f]

    def _sum(self, of: Callable[[Objective], Any]) -> Any:
        """sum_k factor_k of(Phi_k)."""
        return total(times(f, of(o)) for f, o in self.parts)

    def _alone(self) -> tuple[float, Objective] | None:
        """The only part and its factor, if it is >= 0."""
        (factor, only), *more = self.parts
        return None if more or factor < 0 else (factor, only)

    def __repr__(self) -> str:
        shown = [repr(o) if f == 1 else f"{f:g} * {o!r}" for f, o in self.parts[:_SHOWN]]
        more = len(self.parts) - len(shown)
        return " + ".join([*shown, f"{more} more terms"] if more else shown)

    # -- facts ------------------------------------------------------------------------------------

    @property
    def concave(self) -> bool | None:  # type: ignore[override]
        """All parts concave with factors >= 0, or curvature mu >= 0 in sum."""
        known = [o.concave is True and f > 0 for f, o in self.live]
        unknown = any(o.concave is None for _, o in self.live)
        if all(known) or (self.curvature >= 0 and not unknown):
            return True
        return None if unknown else False

    @property
    def smoothness(self) -> float | None:  # type: ignore[override]
        """Sum of factor * L (factor * mu where the factor is negative)."""
        total = sum(f * (_smoothness(o) if f > 0 else stated_curvature(o)) for f, o in self.live)
        return float(total) if np.isfinite(total) else None

    @property
    def curvature(self) -> float:
        """Sum of factor * mu (factor * L where the factor is negative)."""
        parts = (f * (stated_curvature(o) if f > 0 else _smoothness(o)) for f, o in self.live)
        return float(sum(parts))

    def curvature_for(self, weights: Array) -> float:
        """As `curvature`, with the parts' own at these weights."""
        parts = (f * (o.curvature_for(weights) if f > 0 else _smoothness(o)) for f, o in self.live)
        return float(sum(parts))

    @property
    def magnitude(self) -> float:
        """Sum of |factor| times the parts' magnitudes."""
        return float(sum(abs(f) * o.magnitude for f, o in self.parts))

    has_multipliers = _some("has_multipliers")
    mixture = _some("mixture")
    hard = _some("hard")
    on_traces = _some("on_traces")
    deterministic_only = _some("deterministic_only")
    own_consensus = _some("own_consensus")
    low_rank = _some("low_rank")
    answerwise = _every("answerwise")
    affine = _every("affine")
    between_contexts = _every("between_contexts")

    @property
    def has_hessian(self) -> bool:  # type: ignore[override]
        """Whether all parts have one."""
        return all(o.has_hessian for _, o in self.parts)

    @property
    def has_supergradient(self) -> bool:  # type: ignore[override]
        """Whether all parts with multipliers have one."""
        return all(o.has_supergradient for _, o in self.parts if o.has_multipliers)

    @property
    def common_support(self) -> bool:  # type: ignore[override]
        """Whether a part with a positive factor needs one."""
        return any(f > 0 and o.common_support for f, o in self.parts)

    # -- values and the target's side -------------------------------------------------------------

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """Sum of the parts'."""
        return total(_value(f, o.value_log(log_nu, weights)) for f, o in self.parts)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """Sum of the parts'."""
        return self._sum(lambda o: o.reward_log(log_nu, weights))

    def value_and_reward_log(self, log_nu: Table, weights: Weights) -> tuple[Numbers, Table]:
        """Sums of the parts', each part's at once."""
        found = [(f, *o.value_and_reward_log(log_nu, weights)) for f, o in self.parts]
        return total(_value(f, v) for f, v, _ in found), total(times(f, u) for f, _, u in found)

    @property
    def reply(self) -> Reply:
        """Made of the parts'."""
        return ReplyToSum(self.parts)

    @property
    def domain(self) -> Domain:
        """Where all parts are finite."""
        return DomainOfSum(self.parts)

    # -- structure --------------------------------------------------------------------------------

    def optimum(self, log_nu0: Table, weights: Weights, beta: float) -> Numbers | None:
        """That of a single part: J* of (f Phi, beta) is f times that of (Phi, beta / f)."""
        alone = self._alone()
        if alone is None or alone[0] == 0:
            return None
        found = alone[1].optimum(log_nu0, weights, min(beta / alone[0], 1e300))
        return None if found is None else alone[0] * found

    def closed_form(self, log_nu0: Table, weights: Weights, beta: float) -> Table | None:
        """That of a single part at beta / factor; the reference where the factor is 0."""
        alone = self._alone()
        if alone is None:
            return None
        scaled = beta / alone[0] if alone[0] else math.inf
        return alone[1].closed_form(log_nu0, weights, scaled) if scaled < math.inf else log_nu0

    def exponential_form(self) -> ExponentialForm | None:
        """Sum of the parts' forms, if all have one."""
        forms: list[tuple[float, Any]] = [(f, o.exponential_form()) for f, o in self.parts]
        if any(form is None for _, form in forms):
            return None
        return total(f * form for f, form in forms)

    def smooth_form(self) -> SmoothForm | None:
        """Sum of the parts' forms, if all have one."""
        forms: list[tuple[float, Any]] = [(f, o.smooth_form()) for f, o in self.parts]
        if any(form is None for _, form in forms):
            return None
        return total(f * form for f, form in forms)

    def dual_form(self, log_nu0: Table, weights: Weights) -> DualForm | None:
        """That of a single part."""
        alone = self._alone()
        form = None if alone is None else alone[1].dual_form(log_nu0, weights)
        return None if alone is None or form is None else times(alone[0], form)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian | None:
        """Sum of the parts' Hessians, if all are known."""
        return self._sum(lambda o: o.hessian_log(log_nu, weights)) if self.has_hessian else None

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Sum of the parts' expressions."""
        return self._sum(lambda o: o.cvxpy(nu, weights, constraints))

    def counted_form(self) -> CountedForm | None:
        """Sum of the parts' forms, if all have one of the answer's probability."""
        forms: list[tuple[float, Any]] = [(f, o.counted_form()) for f, o in self.parts]
        if any(form is None or form.success is not None for _, form in forms):
            return None
        return total(f * form for f, form in forms)

    # -- parameters -------------------------------------------------------------------------------

    def check(self, shape: tuple[int, ...], weights: Array) -> None:
        """Check every part."""
        for _, o in self.parts:
            o.check(shape, weights)

    def columns(self, keep: np.ndarray) -> Self:
        """Every part on the answers where `keep` (n,), bool."""
        return self._each(lambda o: o.columns(keep))

    def map_tables(self, change: Callable[[Array, list[str]], Array]) -> Self:
        """A copy with `change(table, axes)` for every table of every part."""
        return self._each(lambda o: o.map_tables(change))

    def _each(self, change: Callable[[Objective], Objective]) -> Self:
        raise NotImplementedError
