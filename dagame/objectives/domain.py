"""Where an objective is finite: the hard set that it is 0 on, and answers that no finite policy gives."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..numerics.arrays import Array
from ..numerics.shapes import Mask, Numbers, Table, Weights
from .pairing import total

if TYPE_CHECKING:
    from .objective import Objective


class Domain:
    """The marginals at which Phi is finite: all of them, where a subclass does not say otherwise.

    An objective that is not finite everywhere inherits this beside `Objective` and is its own domain.
    """

    @property
    def domain(self) -> Domain:
        """Itself."""
        return self

    def project(self, log_nu: Table, weights: Weights) -> Table:
        """The nearest marginals of the domain, (*batch, m, n)."""
        return log_nu

    def violation(self, log_nu: Table, weights: Weights) -> Numbers | float:
        """How far nu is outside a hard set, (*batch,); 0 inside and where there is none."""
        return 0.0

    def slack(self, log_nu: Array, weights: Array) -> Array | None:
        """The excess G nu - h (*batch, r) of a hard set {G nu <= h}; None where Phi is no such set."""
        return None

    def forbidden(self, log_nu0: Table, weights: Weights) -> Mask | None:
        """Answers of the reference (*batch, m, n) that every finite policy avoids; None: there are none."""
        return None


EVERYWHERE = Domain()
"""The domain of an objective that is finite wherever the reference has mass."""


class DomainOfSum(Domain):
    """The domain of sum_k factor_k Phi_k, one of whose parts at most is a hard set."""

    def __init__(self, parts: Sequence[tuple[float, Objective]]) -> None:
        """Of (factor, objective) pairs; a factor below 0 excludes no answers."""
        self.parts = [(factor, part.domain) for factor, part in parts]

    def project(self, log_nu: Table, weights: Weights) -> Table:
        """Onto the part that is a hard set."""
        return functools.reduce(lambda at, part: part[1].project(at, weights), self.parts, log_nu)

    def violation(self, log_nu: Table, weights: Weights) -> Numbers | float:
        """That of the part that is a hard set."""
        return total(d.violation(log_nu, weights) for _, d in self.parts)

    def slack(self, log_nu: Array, weights: Array) -> Array | None:
        """That of the part that is a hard set."""
        return first(d.slack(log_nu, weights) for _, d in self.parts)

    def forbidden(self, log_nu0: Table, weights: Weights) -> Mask | None:
        """Answers that one of the parts excludes."""
        found = [d.forbidden(log_nu0, weights) for factor, d in self.parts if factor > 0]
        masks = [mask for mask in found if mask is not None]
        return functools.reduce(operator.or_, masks) if masks else None


def first(values: Iterable[Any]) -> Any:
    """The first that is not None."""
    return next((v for v in values if v is not None), None)
