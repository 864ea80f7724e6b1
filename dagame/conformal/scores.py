"""Nonconformity scores of answers: how unusual each one is among the samples of its question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import InvalidDistribution, InvalidGame, nearest

_DIGITS = 12

SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "1 - nu": lambda nu: 1 - nu,
    "-log nu": lambda nu: -np.log(nu),
}
"""Score of an answer by its pooled frequency; both fall as it grows."""


def pooled(marginals: Any, weights: Any = None) -> np.ndarray:
    """sum_x w_x nu_x(z), what a question's contexts say together: (*batch, m, n) -> (*batch, n).

    Args:
        marginals: answer distributions of each context; one context may be (1, n).
        weights: of the contexts (m,), positive; None: equal.

    Raises:
        InvalidDistribution: an entry is negative or not finite, or a context does not sum to 1.
        InvalidGame: there is no axis of contexts, or the weights do not fit.
    """
    nu = np.asarray(marginals, dtype=float)
    if nu.ndim < 2:
        raise InvalidGame(
            f"marginals have shape {nu.shape}; give contexts x answers, (1, n) for one context."
        )
    if not np.isfinite(nu).all() or (nu < 0).any():
        raise InvalidDistribution("marginals have a negative entry or one that is not finite.")
    total = nu.sum(-1)
    if (np.abs(total - 1) > 1e-6).any():
        raise InvalidDistribution(
            f"marginals of a context sum to {total.flat[np.abs(total - 1).argmax()]:g}; divide its "
            "counts by their sum."
        )
    if weights is None:
        return nu.mean(-2)
    w = np.asarray(weights, dtype=float)
    if w.shape != nu.shape[-2:-1] or not (w > 0).all() or not np.isfinite(w).all():
        raise InvalidGame(f"weights must be {nu.shape[-2]} positive numbers, one for each context.")
    return (nu * (w / w.sum())[:, None]).sum(-2)


def scores(
    marginals: Any, kind: str = "1 - nu", *, weights: Any = None, entropy: float = 0.0
) -> np.ndarray:
    """Nonconformity of every answer, (*batch, m, n) -> (*batch, n); large is unusual.

    With nu the marginal pooled over the contexts (`pooled`), s(z) = 1 - nu(z) or -log nu(z), plus
    `entropy` times H(nu) / log(number of answers), which is the same for all answers of a question and
    lets questions whose samples scatter count as less usual. Both kinds give the same sets and p-values
    if entropy is 0, as both are decreasing in nu. An answer without mass was never sampled: +inf.
    Scores are rounded to 12 decimals, so that equal frequencies tie whatever the order of the contexts.

    Args:
        marginals: answer distributions of each context; padding has mass 0.
        kind: "1 - nu" | "-log nu".
        weights: of the contexts (m,); None: equal.
        entropy: strength of the entropy term, not negative. Do not choose it on the questions that
            calibrate (docs/theory/conformal.md#when-it-fails).

    Raises:
        InvalidDistribution, InvalidGame: see `pooled`; an unknown kind; a negative strength.
    """
    if kind not in SCORES:
        raise InvalidGame(f"the score {kind!r} is unknown; {nearest(kind, SCORES)}")
    if not (np.isfinite(entropy) and entropy >= 0):
        raise InvalidGame(f"entropy is {entropy}; its strength must be a number of at least 0.")
    nu = pooled(marginals, weights)
    seen = nu > 0
    safe = np.where(seen, nu, 1.0)
    spread = -(nu * np.log(safe)).sum(-1, keepdims=True)
    size = np.log(np.maximum(seen.sum(-1, keepdims=True), 2))
    made = SCORES[kind](safe) + entropy * spread / size
    return np.where(seen, np.round(made, _DIGITS), np.inf)


def true_scores(scores: Any, right: Any) -> np.ndarray:
    """The score of the right answer of every question, (*batch, n) -> (*batch,).

    Args:
        scores: of every answer.
        right: which answers are right (*batch, n), bool; of several the least score counts, so that a
            set covers a question if it holds one of them. None at all: the right answer was never
            sampled, +inf.

    Raises:
        InvalidGame: the shapes differ.
    """
    s, r = np.asarray(scores, dtype=float), np.asarray(right)
    if s.shape != r.shape or r.dtype != bool:
        raise InvalidGame(
            f"right is {r.dtype} of shape {r.shape}; give truth values of the scores' {s.shape}."
        )
    return np.where(r, s, np.inf).min(-1, initial=np.inf)
