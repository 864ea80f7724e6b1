"""From scores to weights: how reliable each answer is, each row, each preference pair."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import CalibrationError, InvalidGame, nearest
from .sets import calibrate, p_value, prediction_sets

RELIABILITIES = ("p_value", "published")
"""The maps of `reliability`."""

_INNER, _OUTER = 0.5, 0.2
_LEVELS = np.array([[0.0, 0.8], [0.5, (0.5 + 0.8) / 2]])


def reliability(scores: Any, calibration: Any, method: str = "p_value") -> np.ndarray:
    """r(z) in [0, 1] for every answer, the shape of the scores.

    "p_value": `p_value`, which falls as the score grows. "published": that of Conformal Feedback
    Alignment (arXiv 2601.17329), see `published_reliability`, at sets of 50% and 80%; it is not monotone
    and is here to reproduce.

    Args:
        scores: of answers, any shape.
        calibration: scores of the right answers of the calibration questions (n,).
        method: "p_value" | "published".

    Raises:
        CalibrationError: an unknown method; see `p_value`.
    """
    if method == "p_value":
        return p_value(scores, calibration)
    if method != "published":
        raise CalibrationError(
            f"the reliability {method!r} is unknown; {nearest(method, RELIABILITIES)}"
        )
    inner, outer = (
        prediction_sets(scores, calibrate(calibration, alpha)) for alpha in (_INNER, _OUTER)
    )
    return published_reliability(inner, outer)


def published_reliability(inner: Any, outer: Any) -> np.ndarray:
    """The weights of Conformal Feedback Alignment: .65 in both sets, .8 or .5 in one of them, else 0.

    It is not monotone: an answer of the 50% set weighs less than one of the ring round it.

    Args:
        inner: whether an answer is in the set of 50% coverage, any shape, bool.
        outer: whether it is in the set of 80% coverage; the published sets come from two scores and
            need not be nested.
    """
    return _LEVELS[np.asarray(inner, dtype=int), np.asarray(outer, dtype=int)]


def pair_weights(chosen: Any, rejected: Any) -> np.ndarray:
    """(r(chosen) + r(rejected)) / 2, the weight of a preference pair, any shape."""
    return (np.asarray(chosen, dtype=float) + np.asarray(rejected, dtype=float)) / 2


def row_weights(reliability: Any, question: Any, answer: Any) -> np.ndarray:
    """r of every row's answer: tables (Q, n) and indices (N,) -> (N,); 0 where an index is -1.

    Args:
        reliability: of every question's answers.
        question: of every row, -1: none.
        answer: of every row in its question, -1: no answer.

    Raises:
        InvalidGame: an index is outside the table.
    """
    table = np.asarray(reliability, dtype=float)
    q, z = np.broadcast_arrays(np.asarray(question, dtype=int), np.asarray(answer, dtype=int))
    for name, index, size in (("question", q, table.shape[0]), ("answer", z, table.shape[1])):
        if index.size and not (index.min() >= -1 and index.max() < size):
            raise InvalidGame(f"an index of {name} is outside -1 to {size - 1}.")
    none = (q < 0) | (z < 0)
    return np.where(none, 0.0, table[np.where(none, 0, q), np.where(none, 0, z)])
