"""Rare completions that carry the KL: what samples of the policy show of them, and what they cannot.

The KL of a policy is the mean of log(pi/pi0) over its own samples, which nothing bounds from above: a
completion of probability e with log-ratio d adds e d, and n samples miss it with probability (1 - e)^n.
No interval from n samples alone covers that, however few or even they look. Hence

* samples of all classes are pooled: with n >= log(2/risk) / `RARE` of them, completions of total
  probability `RARE` are missed with probability `risk`/2 at most; with fewer there is no upper end;
* a log-ratio is in the tail if it exceeds its context's median by more than 6 (pooled) robust standard
  deviations and 1 nat. Their number T is Poisson: up to U(T), the exact limit, may have been due,
  so that (U(T) - T) / n times the largest excess of the pool is added to the KL;
* where the caller knows a largest log-ratio, that is the excess, and any n will do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

RARE = 0.005
"""Total probability of the rare completions that the pooled samples must be enough to show."""
_SIGMAS, _NATS = 6.0, 1.0


@dataclass(frozen=True, eq=False)
class Tail:
    """Of pooled samples: their number, those that an upper end takes, tail counts (B,), largest excess.

    shares (B,): the largest weight of one sample in its class's mean. excess: how far above its context's
    median a completion lies at most, of those seen or as the caller states; `stated` which.
    """

    samples: int
    needed: int
    counts: np.ndarray
    shares: np.ndarray
    excess: float
    stated: bool
    contexts: int

    @property
    def enough(self) -> bool:
        """Whether an upper end can be given."""
        return self.stated or self.samples >= self.needed

    def unseen_kl(self, confidence: float) -> tuple[float, np.ndarray]:
        """What the tail may add to the mean KL of all classes, and to that of each (B,)."""
        from scipy.special import gdtrix

        def due(count: np.ndarray | int) -> np.ndarray:
            return gdtrix(1.0, np.asarray(count) + 1.0, confidence) - count

        share = float(self.shares.max()) / len(self.shares)
        whole = float(due(int(self.counts.sum()))) * share * self.excess
        return whole, due(self.counts) * self.shares * self.excess


def pooled_tail(
    log_ratio: np.ndarray,
    group: np.ndarray,
    class_of_group: np.ndarray,
    risk: float,
    largest: float | None = None,
) -> Tail:
    """The tail of log(pi/pi0) (N,), group (N,) the context of each and class_of_group (G,) its class."""
    size, median = _medians(log_ratio, group, len(class_of_group))
    excess = log_ratio - median[group]
    scale = 1.4826 * float(np.median(np.abs(excess)))
    far = excess > _SIGMAS * scale + _NATS
    top = float(excess[far].max()) if far.any() else 0.0
    if largest is not None:
        top = max(top, largest - float(median.min()), 0.0)
    contexts = np.bincount(class_of_group)
    shares = np.zeros(len(contexts))
    np.maximum.at(shares, class_of_group, 1 / np.maximum(size, 1))
    counts = np.bincount(class_of_group[group][far], minlength=len(contexts))
    needed = math.ceil(math.log(2 / risk) / RARE)
    of = (len(log_ratio), needed, counts, shares / np.maximum(contexts, 1))
    return Tail(*of, excess=top, stated=largest is not None, contexts=len(class_of_group))


def _medians(
    log_ratio: np.ndarray, group: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """The size of each group (G,) and the median of its log-ratios (G,)."""
    order = np.lexsort((log_ratio, group))
    start = np.searchsorted(group[order], np.arange(groups + 1))
    middle = (start[:-1] + np.maximum(start[1:] - 1, start[:-1])) / 2
    ranked = log_ratio[order]
    below, above = np.floor(middle).astype(int), np.ceil(middle).astype(int)
    return np.diff(start), (ranked[below] + ranked[above]) / 2
