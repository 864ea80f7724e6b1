"""Bootstrap intervals of means over questions: how far another draw of questions may differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES, CONFIDENCE = 1000, 0.95
_CELLS = 1_000_000
"""Numbers that are held at a time."""

Ends = tuple[np.ndarray, np.ndarray]
"""The lower and the upper ends of intervals, (M,) each."""


def bootstrap_means(
    values: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Ends | None:
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
    w = None if weights is None else np.asarray(weights, float)[known]
    return _ends([values[known].astype(float)], w, resamples, confidence, seed)[0]


def bootstrap_tables(tables: Sequence[np.ndarray], *, seed: int = 0) -> list[Ends | None]:
    """`bootstrap_means` of several tables, the draws made once for those of as many known questions."""
    found = [table[~np.isnan(table).any(-1)].astype(float) for table in tables]
    ends: list[Ends | None] = [None] * len(found)
    for n in {len(table) for table in found}:
        alike = [k for k, table in enumerate(found) if len(table) == n]
        same = _ends([found[k] for k in alike], None, RESAMPLES, CONFIDENCE, seed)
        for k, one in zip(alike, same, strict=True):
            ends[k] = one
    return ends


def _ends(
    tables: Sequence[np.ndarray],
    weights: np.ndarray | None,
    resamples: int,
    confidence: float,
    seed: int,
) -> list[Ends | None]:
    """The ends of tables of as many questions, all of them known."""
    n = len(tables[0])
    if n < 2:
        return [None] * len(tables)
    rng, drawn = np.random.default_rng(seed), [[] for _ in tables]
    w = np.ones(n) if weights is None else weights
    part = max(1, _CELLS // (n + tables[0].shape[1]) // 8) * 8  # so that no row's sum depends on it
    for start in range(0, resamples, part):
        rows = min(part, resamples - start)
        chosen = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        mass = w * np.bincount(chosen.ravel(), minlength=rows * n).reshape(rows, n)
        total = mass.sum(1, keepdims=True)
        for means, table in zip(drawn, tables, strict=True):
            means.append(mass @ table / total)
    tail = (1 - confidence) / 2
    return [tuple(np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)) for means in drawn]
