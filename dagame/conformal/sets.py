"""Split conformal prediction: a threshold from calibration scores, sets, p-values, what sets say."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np

from ..errors import CalibrationError

_EQUAL = 1e-12
_LEAST = 1e-9
"""A smaller alpha would need more than a billion calibration questions."""


class Threshold(float):
    """The largest score inside a prediction set, a float; +inf: every answer is inside.

    alpha: allowed share of misses; questions: n, calibration scores; rank: k = ceil((n+1)(1-alpha)).
    `whole` says whether every answer is inside, and `why` in one sentence.
    """

    alpha: float
    questions: int
    rank: int

    def __new__(cls, value: float, alpha: float, questions: int, rank: int) -> Threshold:
        """A float with the numbers it came from."""
        made = super().__new__(cls, value)
        made.alpha, made.questions, made.rank = alpha, questions, rank
        return made

    def __getnewargs__(self) -> tuple[float, float, int, int]:  # type: ignore[override]
        """For copies and pickles."""
        return float(self), self.alpha, self.questions, self.rank

    @property
    def whole(self) -> bool:
        """Whether the set is every answer, also those never sampled."""
        return bool(self == np.inf)

    @property
    def why(self) -> str:
        """What it is and what it rests on, in one sentence."""
        if self.rank > self.questions:
            return (
                f"every answer is in the set: alpha {self.alpha:g} needs at least "
                f"{least_questions(self.alpha):,} calibration questions, there are {self.questions:,}."
            )
        rest = f"score {self.rank:,} of {self.questions:,} at alpha {self.alpha:g}"
        if self.whole:
            return (
                f"every answer is in the set: {rest} is of a right answer that was never sampled."
            )
        return f"answers with a score of at most {float(self):.6g} are in the set: {rest}."

    def __repr__(self) -> str:
        return f"Threshold({float(self):g}, {self.why})"

    __str__ = float.__repr__


class Flag(StrEnum):
    """What a prediction set says of its question."""

    EMPTY = "empty"
    """No answer is usual enough: abstain."""
    SINGLE = "single"
    """One answer is left: give it."""
    SEVERAL = "several"
    """The samples do not decide between these."""


def calibrate(scores: Any, alpha: float) -> Threshold:
    """The threshold of split conformal prediction: the k-th smallest score, k = ceil((n+1)(1-alpha)).

    The set of a new question is {z : s(z) <= threshold}, ties inside. If the true scores of the n
    calibration questions and of the new one are exchangeable, the set holds the right answer with
    probability at least 1 - alpha, and at most 1 - alpha + 1/(n+1) if no two scores tie. For k > n the
    threshold is +inf, every answer, and `Threshold.why` says so; so does a k-th score of +inf, where too
    many right answers were never sampled.

    It fails where exchangeability does: calibration questions of another kind than the new ones; a score
    that was chosen or tuned on the calibration questions; one question in both parts under two names.
    The probability is over questions: no promise holds for each kind of question by itself
    (docs/theory/conformal.md#the-guarantee).

    Args:
        scores: of the right answers of the calibration questions (n,), +inf where one was never sampled;
            see `true_scores`.
        alpha: allowed share of misses, in (0, 1).

    Returns:
        The threshold, a float that knows n, k and alpha.

    Raises:
        CalibrationError: alpha outside (0, 1); scores that are not one row of numbers, or hold NaN.
    """
    values, alpha = _calibration(scores), _level(alpha)
    n = len(values)
    k = _rank(n, alpha)
    value = np.inf if k > n else float(np.partition(values, k - 1)[k - 1])
    return Threshold(value, alpha, n, k)


def least_questions(alpha: float) -> int:
    """The fewest calibration questions with a finite rank, k <= n: ceil(1/alpha) - 1.

    Raises:
        CalibrationError: alpha outside (0, 1).
    """
    alpha = _level(alpha)
    n = max(0, round(1 / alpha) - 2)
    while _rank(n, alpha) > n:
        n += 1
    return n


def prediction_sets(scores: Any, threshold: float, mask: Any = None) -> np.ndarray:
    """Which answers are in the set, s(z) <= threshold: (*batch, n) -> (*batch, n), bool.

    Sets are nested: a smaller alpha has a larger threshold and a larger set.

    Args:
        scores: of every answer.
        threshold: of `calibrate`; +inf: every answer of the table.
        mask: which columns are answers (*batch, n); padding and "no answer" are never in a set.

    Raises:
        CalibrationError: a score or the threshold is NaN.
    """
    values = _numbers(scores)
    if np.isnan(threshold):
        raise CalibrationError("the threshold is NaN; take it from calibrate.")
    inside = values <= float(threshold)
    return inside if mask is None else inside & np.asarray(mask, dtype=bool)


def p_value(scores: Any, calibration: Any) -> np.ndarray:
    """p(z) = (1 + #{i : s_i >= s(z)}) / (n + 1), of any shape: how usual an answer would be as the right one.

    Under exchangeability P(p(right answer) <= a) <= a for every a. p(z) > alpha if and only if z is in
    the set of `calibrate` at alpha. It fails where `calibrate` does; the p-values of one calibration
    are not independent of each other.

    Args:
        scores: of answers, any shape; +inf has the p-value of an answer never sampled.
        calibration: scores of the right answers of n calibration questions (n,).

    Raises:
        CalibrationError: a score is NaN, or the calibration scores are not one row.
    """
    ordered = np.sort(_calibration(calibration))
    below = np.searchsorted(ordered, _numbers(scores), side="left")
    return (1 + len(ordered) - below) / (len(ordered) + 1)


def flags(sets: Any, whole: Any = False) -> np.ndarray:
    """`Flag` of every question's set, (*batch, n) -> (*batch,): abstain at "empty", answer at "single".

    Args:
        sets: of `prediction_sets`.
        whole: where the set is every answer (bool or (*batch,)); such a set is "several" however many
            answers were sampled.
    """
    inside = np.asarray(sets, dtype=bool)
    size = np.minimum(inside.sum(-1), 2)
    size = np.where(np.broadcast_to(whole, size.shape), 2, size)
    return np.array([str(flag) for flag in Flag])[size]


def _rank(n: int, alpha: float) -> int:
    """ceil((n+1)(1-alpha)), a product within rounding of a whole number taken as that number."""
    exact = (n + 1) * (1 - alpha)
    whole = round(exact)
    return max(1, whole if abs(exact - whole) <= _EQUAL * (n + 1) else int(np.ceil(exact)))


def _level(alpha: float) -> float:
    try:
        level = float(alpha)
    except (TypeError, ValueError):
        level = np.nan
    if not _LEAST <= level < 1:
        raise CalibrationError(
            f"alpha is {alpha}; the allowed share of misses lies between 0 and 1, such as 0.1, and is at "
            f"least {_LEAST:g}."
        )
    return level


def _numbers(values: Any) -> np.ndarray:
    made = np.asarray(values, dtype=float)
    if np.isnan(made).any():
        raise CalibrationError(
            "a score is NaN; leave the question out, or give +inf where the answer was never sampled."
        )
    return made


def _calibration(values: Any) -> np.ndarray:
    made = _numbers(values)
    if made.ndim != 1:
        raise CalibrationError(
            f"calibration scores have shape {made.shape}; give one score for each question, that of its "
            "right answer (true_scores)."
        )
    return made
