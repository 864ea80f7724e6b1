"""What a method of estimating f' from counts is, and those that put a share of the others into f'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Derivative = Callable[[Any], Any]
Own = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Method:
    """A way to pay a sample by how many of the other samples agree with it.

    name: in `reward_table` and `count_rewards`.
    share: (others, of) -> the probability of an answer that `others` of `of` other samples gave; None: the
        method makes tables only.
    table: (f', K) -> g(0..K-1); None: f' at the share.
    whole: (counts (C, m, n), the places (C,) of the samples, seen (C, 1, n) answers) -> what the whole
        marginal of a term without a share is made of; None: it has no such terms.
    affine: whether it is offered only where the reward is affine in the marginals, as it is exact there.
    factors: whether `table` takes rmse_factor and bias_factor.
    """

    name: str
    share: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    table: Callable[..., np.ndarray] | None = None
    whole: Callable[[np.ndarray, Own, np.ndarray], np.ndarray] | None = None
    affine: bool = False
    factors: bool = False

    def entries(self, slope: Derivative, k: int, **factors: Any) -> np.ndarray:
        """g(0..K-1) for f' and K samples."""
        if self.table is not None:
            return self.table(slope, k, **factors)
        assert self.share is not None
        return np.asarray(slope(self.share(np.arange(k), np.asarray(k - 1))), float)


def left_out(counts: np.ndarray, own: Own, least: float = 0.0) -> np.ndarray:
    """Counts without the sample itself, its own answer's at least `least`."""
    counts[own] = np.maximum(counts[own] - 1, least)
    return counts


def _added(name: str, c: float) -> Method:
    """(N + c)/(K - 1 + 2c); of whole marginals c for every answer that the class gave."""
    return Method(
        name,
        lambda others, of: (others + c) / (of + 2 * c),
        whole=lambda counts, own, seen: left_out(counts, own) + c * seen,
    )


def _jackknife(slope: Derivative, k: int) -> np.ndarray:
    n, others = np.arange(k), max(k - 1, 1)
    without_equal = np.asarray(slope(np.maximum(n, 1) / others))
    without_other = np.asarray(slope(np.minimum(n + 1, others) / others))
    mean = (n * without_equal + (k - 1 - n) * without_other) / others
    return k * np.asarray(slope((n + 1) / k)) - (k - 1) * mean


PLUG_IN = Method(
    "plug_in",
    lambda others, of: (others + 1) / (of + 1),
    whole=lambda counts, own, seen: counts,
)
LEAVE_ONE_OUT = Method(
    "leave_one_out",
    lambda others, of: np.maximum(others, 0.5) / np.maximum(of, 1),
    whole=lambda counts, own, seen: left_out(counts, own, 0.5),
)
KRICHEVSKY_TROFIMOV = _added("krichevsky_trofimov", 0.5)
LAPLACE = _added("laplace", 1.0)
JACKKNIFE = Method("jackknife", table=_jackknife)
