"""Objectives given by what a sample is paid, g(p): of its answer's probability, or of that of success."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics.arrays import LOG_ZERO, Array, like, log, logsumexp, namespace
from ..numerics.shapes import Numbers, Table, Weights
from ..objectives.forms import CountedForm, Hessian
from ..objectives.objective import Objective, Scaled
from ..objectives.pairing import per_context, weighted
from ..objectives.parameters import as_table

Function = Callable[[Array], Array]

_FLOOR, _CEILING = -690.0, -1.2e-16
"""Of log p: g and F may be infinite at 0 and at 1."""


@dataclass(frozen=True)
class Payment:
    """g and its antiderivative F on (0, 1], g' where it is known, and the range of the curvature.

    For answers low <= -p g'(p) <= high, for success low <= -p (1 - p) g'(p) <= high: the constants mu
    and L of -Phi relative to KL at strength 1; infinite where there is none. `concave`: g does not
    increase; `known`: how that is known, "proved" or "on the points tried".
    """

    name: str
    antiderivative: Function
    paid: Function
    slope: Function | None
    low: float
    high: float
    concave: bool
    known: str = "proved"


@dataclass(frozen=True, eq=False)
class _Paid(Objective):
    payment: Payment
    success: Any
    tables = {"success": "m n"}  # noqa: RUF012

    @property
    def concave(self) -> bool | None:  # type: ignore[override]
        """Whether g does not increase; None where that is not proved, though no point tried shows a rise."""
        unproved = self.payment.concave and self.payment.known != "proved"
        return None if unproved else self.payment.concave

    @property
    def concavity_known(self) -> str:
        """How `concave` is known: "proved", or "on the points tried" (certificates are conditional)."""
        return self.payment.known

    @property
    def smoothness(self) -> float | None:  # type: ignore[override]
        """The upper end of the curvature, if finite."""
        bound = self._edge(self.payment.high, max)
        return bound if np.isfinite(bound) else None

    @property
    def curvature(self) -> float:
        """The lower end of the curvature."""
        return self._edge(self.payment.low, min)

    def _edge(self, value: float, pick: Callable[[float, float], float]) -> float:
        return value

    def _counted(self) -> CountedForm:
        paid = self.payment.paid
        return CountedForm(lambda p: np.asarray(paid(np.asarray(p, dtype=float))), self.success)


def _probability(log_p: Array) -> Array:
    xp = namespace(log_p)
    return xp.exp(xp.clip(log_p, _FLOOR, _CEILING))


class _ByAnswer(_Paid):
    @property
    def has_hessian(self) -> bool:  # type: ignore[override]
        """Where g' is known."""
        return self.payment.slope is not None

    def _edge(self, value: float, pick: Callable[[float, float], float]) -> float:
        """With a table c in [0, 1] the range is stretched to 0."""
        return value if self.success is None else pick(value, 0.0)

    def _table(self, log_nu: Array) -> Array | float:
        return 1.0 if self.success is None else like(self.success, log_nu)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x sum_z c F(nu)."""
        xp = namespace(log_nu)
        total = self._table(log_nu) * self.payment.antiderivative(_probability(log_nu))
        at_zero = self._table(log_nu) * self.payment.antiderivative(
            _probability(0 * log_nu + _FLOOR)
        )
        total = xp.where(log_nu > LOG_ZERO / 2, total, at_zero)
        return weighted(xp.sum(total, axis=-1), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """c g(nu)."""
        return self._table(log_nu) * self.payment.paid(_probability(log_nu))

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian | None:
        """-c w g'(nu), scaled by nu."""
        if self.payment.slope is None:
            return None
        xp, nu = namespace(log_nu), _probability(log_nu)
        bend = -self._table(log_nu) * weights[..., None] * self.payment.slope(nu) * nu
        return Hessian(xp.where(log_nu > LOG_ZERO / 2, bend, 0.0))

    def counted_form(self) -> CountedForm | None:
        """g, where every answer is paid alike."""
        return self._counted() if self.success is None else None


class _BySuccess(_Paid):
    low_rank = True

    @property
    def has_hessian(self) -> bool:  # type: ignore[override]
        """Where g' is known and g does not increase."""
        return self.payment.slope is not None and self.payment.concave

    def _log_p(self, log_nu: Array) -> Array:
        return logsumexp(log_nu + log(like(self.success, log_nu)))

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """sum_x w_x F(p_x)."""
        value = self.payment.antiderivative(_probability(self._log_p(log_nu)))
        return weighted(value, weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """g(p_x) c(z)."""
        paid = self.payment.paid(_probability(self._log_p(log_nu)))[..., None]
        return paid * like(self.success, log_nu)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian | None:
        """-w_x g'(p_x) c c' per context, where g does not increase."""
        if self.payment.slope is None or not self.payment.concave:
            return None
        xp = namespace(log_nu)
        bend = -self.payment.slope(_probability(self._log_p(log_nu)))
        factor = xp.sqrt(xp.maximum(weights * bend, 0 * bend))
        column = factor[..., None] * like(self.success, log_nu) * xp.exp(log_nu / 2)
        return Hessian(0 * log_nu, per_context(column))

    def counted_form(self) -> CountedForm:
        """The derivative F' of F, which is the payment g."""
        return self._counted()


class _OfPayment(Scaled):
    payment: Payment
    success: Any
    tables = _Paid.tables

    def __post_init__(self) -> None:
        if self.success is not None:
            object.__setattr__(self, "success", as_table(self.success, "success"))
        super().__post_init__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.payment.name}, {self.strength:g})"


@dataclass(frozen=True, eq=False, repr=False)
class PaidByAnswer(_OfPayment):
    """Phi = strength * sum_x w_x sum_z c_z F(nu_x(z)): answer z is paid c_z g(nu_x(z)).

    c is `success` in [0, 1], default 1. Proof: docs/theory/classifier.md.
    """

    payment: Payment
    strength: float = 1.0
    success: Any = None
    unit = _ByAnswer


@dataclass(frozen=True, eq=False, repr=False)
class PaidBySuccess(_OfPayment):
    """Phi = strength * sum_x w_x F(p_x), p_x = sum_z c(z) nu_x(z): a success is paid g(p_x).

    Proof: docs/theory/classifier.md.
    """

    payment: Payment
    strength: float = 1.0
    success: Any = None
    unit = _BySuccess
