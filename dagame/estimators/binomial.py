"""Binomial probabilities and the grid of probabilities on which tables are designed and measured."""

from __future__ import annotations

import math

import numpy as np


def binomial(p: np.ndarray, k: int) -> np.ndarray:
    """Bin(j; K-1, p) for j = 0..K-1: p (...,) -> (..., K)."""
    from scipy.stats import binom

    return binom.pmf(np.arange(k), k - 1, np.asarray(p, float)[..., None])


def grid(k: int, per_sample: int) -> np.ndarray:
    """Points of (0, 1], dense near both ends (Chebyshev), and log-spaced down to 1e-4 / K.

    per_sample K of them; for large K as many as keep points times K at 4 million, or 2000: binomials
    change over a part 1/sqrt(K) of the angles.
    """
    count = min(per_sample * k, max(4_000_000 // k, 2000))
    angles = (np.arange(count) + 0.5) * math.pi / count
    return np.unique(
        np.concatenate([(1 - np.cos(angles)) / 2, np.geomspace(1e-4 / k, 1 / k, 60), [1.0]])
    )
