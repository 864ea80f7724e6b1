"""Classes taken together: both ends of the mean gain, and notes on the tail of the log-ratios."""

from __future__ import annotations

import math

import numpy as np

from .bounds import Parts, intervals
from .tail import RARE, Tail

LEAST_CLASSES = 12
"""From so many classes on their spread bounds the mean gain as well."""


def across_classes(parts: Parts, beta: float, confidence: float) -> tuple[float, float]:
    """Both ends for the mean gain over the classes from the spread between them; (0, inf) for few.

    Each class has an estimate that is not low on average and one that is not high: of Phi(nu_hat) half of the
    bias that halving shows is taken off, which leaves it low at every order that dominates. Means over
    classes are, with Student's limits and Johnson's correction for skewness mu_3: mean +- t s / sqrt(B)
    + mu_3 (1 + 2 t^2) / (6 s^2 B), the correction only where it widens.
    """
    from scipy.special import stdtrit

    plug_in = parts.phi - parts.phi_bias / 2 - beta * parts.kl
    below = parts.in_sample - (parts.phi_above - beta * parts.kl)
    above = parts.upper - plug_in
    b = len(plug_in)
    if b < LEAST_CLASSES or not (np.isfinite(above).all() and np.isfinite(below).all()):
        return 0.0, math.inf
    t = float(stdtrit(b - 1, confidence))
    ends = []
    for values, side in ((below, -1.0), (above, 1.0)):
        spread = float(values.std(ddof=1))
        third = float(((values - values.mean()) ** 3).mean()) / max(spread**2, 1e-300)
        skew = side * max(side * third * (1 + 2 * t * t) / (6 * b), 0.0)
        ends.append(float(values.mean()) + side * t * spread / math.sqrt(b) + skew)
    return ends[0], ends[1]


def whole(
    parts: Parts, beta: float, confidence: float, weighted: bool
) -> tuple[dict[str, float], float]:
    """The numbers of the mean over classes, and the upper end without a tail.

    From `LEAST_CLASSES` on each end is the better of two that fail with half of the risk each.
    """
    mean = parts.mean()
    found = {k: float(v[0]) for k, v in intervals(mean, beta, confidence, weighted).items()}
    low, high = found["lower"], found.pop("upper")
    found.pop("phi")
    if len(parts.upper) >= LEAST_CLASSES:
        half = (1 + confidence) / 2
        sharper = intervals(mean, beta, half, weighted)
        below, above = across_classes(parts, beta, half)
        low, high = max(float(sharper["lower"][0]), below), min(float(sharper["upper"][0]), above)
    found["lower"] = min(max(low, 0.0), max(high, 0.0))
    return found, max(high, 0.0)


def tail_notes(tail: Tail, light: float, confidence: float) -> tuple[str, ...]:
    """What the samples show of a tail, and how many more an upper end takes."""
    notes = []
    seen = int(tail.counts.sum())
    if seen:
        notes.append(
            f"{seen} of {tail.samples:,} log-ratios lie far above their context's median, by up to "
            f"{tail.excess:.3g} nats: the upper end allows for more of them"
        )
    if not tail.enough:
        each = -(-tail.needed // tail.contexts)
        notes.append(
            f"no upper end: {tail.samples:,} samples of the policy miss completions of total probability "
            f"{RARE:g}, which may carry the KL, more often than {(1 - confidence) / 2:.2g}; draw "
            f"{tail.needed:,} in all ({each:,} per context) or state largest_log_ratio (without such a tail "
            f"it is {light:.4g})"
        )
    return tuple(notes)
