"""Binomial probabilities and the grid of probabilities on which tables are designed and measured."""

from __future__ import annotations

import math

import numpy as np


def binomial(p: np.ndarray, k: int) -> np.ndarray:
    """Bin(j; K-1, p) for j = 0..K-1: p (...,) -> (..., K)."""
    from scipy.stats import binom

    return binom.pmf(np.arange(k), k - 1, np.asarray(p, float)[..., None])


def grid(k: int, per_sample: int) -> np.ndarray:
    """Points of (0, 1], dense near both ends (Chebyshev), and log-spaced down to 1e-4 / K."""
    angles = (np.arange(per_sample * k) + 0.5) * math.pi / (per_sample * k)
    return np.unique(
        np.concatenate([(1 - np.cos(angles)) / 2, np.geomspace(1e-4 / k, 1 / k, 60), [1.0]])
    )
