"""Sums and means of float64 that are exact until the end, so that neither order nor parts matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

_HALF = 27
_MOST = 1 << 25
"""Values at a time, whose halves of mantissas float64 adds without rounding."""


@dataclass
class ExactSum:
    """The sum of `count` values as whole numbers by exponent, infinities and NaN apart.

    total[e] 2^(e - 53) summed over e is exact; `mean` and `merged` are therefore the same whatever the
    order of the values and whatever parts they came in.
    """

    total: Counter[int] = field(default_factory=Counter)
    count: int = 0
    endless: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray) -> ExactSum:
        """Of one array, flat."""
        values = np.asarray(values, dtype=np.float64).ravel()
        finite = np.isfinite(values)
        made = cls(count=len(values))
        if not finite.all():
            with np.errstate(invalid="ignore"):
                made.endless = float(values[~finite].sum())
            values = values[finite]
        for start in range(0, len(values), _MOST):
            made._add(values[start : start + _MOST])
        return made

    def _add(self, values: np.ndarray) -> None:
        fractions, exponents = np.frexp(values)
        whole = np.ldexp(fractions, 53).astype(np.int64)
        distinct, of = np.unique(exponents, return_inverse=True)
        high = np.bincount(of, whole >> _HALF, len(distinct))
        low = np.bincount(of, whole & ((1 << _HALF) - 1), len(distinct))
        for e, upper, lower in zip(distinct, high, low, strict=True):
            self.total[int(e)] += (int(upper) << _HALF) + int(lower)

    @classmethod
    def merged(cls, parts: Iterable[ExactSum]) -> ExactSum:
        """Of all the values of all parts."""
        made = cls()
        for part in parts:
            for e, whole in part.total.items():
                made.total[e] += whole
            made.count += part.count
            made.endless += part.endless
        return made

    def mean(self) -> float | None:
        """The mean to the nearest float64; None of no values."""
        if not self.count:
            return None
        if self.endless != 0:
            return self.endless
        least = min(self.total, default=0)
        whole = sum(part << (e - least) for e, part in self.total.items())
        shift = least - 53
        return (whole << max(shift, 0)) / (self.count << max(-shift, 0))


def exact_mean(values: np.ndarray) -> float | None:
    """The mean to the nearest float64, whatever the order; None of no values."""
    return ExactSum.of(values).mean()
