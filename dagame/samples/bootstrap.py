"""Bootstrap intervals of means over questions: how far another draw of questions may differ."""

from __future__ import annotations

import numpy as np

RESAMPLES, CONFIDENCE = 1000, 0.95
_CELLS = 1_000_000
"""Numbers that are held at a time."""


def bootstrap_means(
    values: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Percentile intervals of sum_i w_i v_i / sum_i w_i over N questions drawn anew with replacement.

    The columns are resampled together, so that the interval of a column of differences is that of
    the paired difference. Valid as N grows (Efron, 1979): of few questions it is too narrow, by
    about the factor sqrt((N - 1) / N) and the normal's in place of Student's quantile. One question, or
    none, has no interval.

    Args:
        values: (N, M), M measures of each question; questions with a NaN are left out.
        weights: (N,), positive, such as the number of prompts of each question; None: alike.
        resamples: draws of N questions.
        confidence: of each interval.
        seed: of the draws.

    Returns:
        The lower and the upper ends, (M,) each; None for fewer than two questions.
    """
    known = ~np.isnan(values).any(-1)
    found, n = values[known].astype(float), int(known.sum())
    if n < 2:
        return None
    w = np.ones(n) if weights is None else np.asarray(weights, float)[known]
    rng, drawn = np.random.default_rng(seed), []
    part = max(1, _CELLS // (n + found.shape[1]) // 8) * 8  # so that no row's sum depends on it
    for start in range(0, resamples, part):
        rows = min(part, resamples - start)
        chosen = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        mass = w * np.bincount(chosen.ravel(), minlength=rows * n).reshape(rows, n)
        drawn.append(mass @ found / mass.sum(1, keepdims=True))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail], axis=0)
    return low, high
