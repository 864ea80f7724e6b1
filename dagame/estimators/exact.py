"""Polynomial rewards: their tables are U-statistics, exact from a finite number of samples."""

from __future__ import annotations

import math

import numpy as np

from ..errors import InvalidObjective
from .binomial import binomial
from .method import Derivative, Method

HIGHEST_DEGREE = 20


def polynomial(slope: Derivative, degree: int) -> np.ndarray | None:
    """Bernstein coefficients of f' at its own degree d <= `degree` (d <= 20), or None: no polynomial."""
    probe = np.linspace(0.01, 0.99, 37)
    exact = np.asarray(slope(probe), float) + 0 * probe
    for d in range(min(degree, HIGHEST_DEGREE) + 1):
        nodes = (1 - np.cos((2 * np.arange(d + 1) + 1) * np.pi / (2 * d + 2))) / 2
        values = np.asarray(slope(nodes), float) + 0 * nodes
        fitted = np.linalg.solve(binomial(nodes, d + 1), values)
        if np.abs(binomial(probe, d + 1) @ fitted - exact).max() <= 1e-11 * np.abs(exact).max():
            return fitted
    return None


def u_statistic(slope: Derivative, k: int) -> np.ndarray | None:
    """The table (K,) with E g(N) = f'(p), or None: f' is no polynomial of degree <= K-1.

    Its entries are the Bernstein coefficients at degree K-1, that is p^j <- C(N, j) / C(K-1, j): of those
    at f's own degree d, the mean over the draws of d of the K-1 other samples (hypergeometric).
    """
    fitted = polynomial(slope, k - 1)
    if fitted is None:
        return None
    others, n, d = k - 1, np.arange(k, dtype=float), len(fitted) - 1
    entries = np.zeros(k)
    for i, value in enumerate(fitted):
        chance = np.full(k, float(math.comb(d, i)))
        for t in range(d):
            left = n - t if t < i else others - n - (t - i)
            chance *= np.maximum(left, 0) / (others - t)
        entries += value * chance
    return entries


def _table(slope: Derivative, k: int) -> np.ndarray:
    exact = u_statistic(slope, k)
    if exact is None:
        raise InvalidObjective(
            f"f' is no polynomial of degree <= {min(k - 1, HIGHEST_DEGREE)}, so no table is exact "
            f"from {k - 1} other samples; take method='variance_optimal'."
        )
    return exact


U_STATISTIC = Method("u_statistic", lambda others, of: others / of, _table, affine=True)
