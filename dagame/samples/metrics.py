"""Agreement, accuracy and majority of marginals and buckets: each defined once."""

from __future__ import annotations

import numpy as np

from ..errors import SamplesError
from .partition import Bucket


def labelled_table(bucket: Bucket) -> np.ndarray:
    """Correctness as a reward table (B, 1, n); answers of unknown correctness count as 0."""
    if bucket.correct is None:
        raise SamplesError("this objective needs a column of correctness; name it with correct=.")
    return np.nan_to_num(bucket.correct, nan=0.0)[:, None, :]


def agreement(marginals: np.ndarray) -> np.ndarray:
    """Mean over pairs x != x' of <nu_x, nu_x'>: (B, m, n) -> (B,); NaN for one context."""
    m = marginals.shape[-2]
    if m == 1:
        return np.full(marginals.shape[0], np.nan)
    total = marginals.sum(axis=-2)
    pairs = (total**2).sum(-1) - (marginals**2).sum((-1, -2))
    return pairs / (m * (m - 1))


def accuracy(marginals: np.ndarray, correct: np.ndarray | None) -> np.ndarray:
    """Mean correctness under the context-averaged marginal, over answers of known correctness."""
    if correct is None:
        return np.full(marginals.shape[0], np.nan)
    mean = marginals.mean(axis=-2)
    known = ~np.isnan(correct)
    mass = (mean * known).sum(-1)
    right = (mean * np.where(known, correct, 0)).sum(-1)
    return np.divide(right, mass, out=np.full_like(mass, np.nan), where=mass > 0)


def majority(bucket: Bucket, tie: float = 1e-12) -> np.ndarray:
    """Answers of the largest context-averaged reference mass (B, n), bool; never "no answer"."""
    mean = np.where(bucket.no_answer | ~bucket.answer_mask, -1.0, bucket.reference.mean(axis=-2))
    return (mean >= mean.max(axis=-1, keepdims=True) - tie) & (mean > 0)


def majority_accuracy(bucket: Bucket, tie: float = 1e-12) -> np.ndarray:
    """Correctness of a class's majority answers (B,), the mean of the known ones of a tie; NaN unknown.

    0 where no context has any answer. Masses that differ by no more than `tie` tie.
    """
    if bucket.correct is None:
        return np.full(len(bucket.classes), np.nan)
    chosen = majority(bucket, tie)
    known = chosen & ~np.isnan(bucket.correct)
    right = np.where(known, np.nan_to_num(bucket.correct), 0).sum(-1)
    count = known.sum(-1)
    unanswered = np.where(chosen.any(-1), np.nan, 0.0)
    return np.divide(right, count, out=unanswered, where=count > 0)
