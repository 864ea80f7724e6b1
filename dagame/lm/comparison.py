"""Two evaluations on the same questions side by side: every measure, its interval, and the difference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from ..errors import SamplesError
from ..samples.bootstrap import bootstrap_means
from .evaluation import LMEvaluation

MEASURES = (
    ("sampled_accuracy", "accuracy, sampled"),
    ("greedy_accuracy", "accuracy, greedy"),
    ("majority_accuracy", "accuracy, majority"),
    ("agreement", "agreement"),
    ("no_answer", "no answer"),
    ("truncated", "cut off"),
    ("length", "tokens"),
    ("kl", "KL to reference"),
)
_OF_CLASSES = ("majority_accuracy", "agreement")
"""Means over classes; the others are means over prompts."""

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Compared:
    """One measure before (of the reference) and after (of the model), and after - before.

    Intervals are `bootstrap_means` over questions, of the difference paired: both models' numbers of
    a question are drawn together. None: the measure is unknown, or there are fewer than two questions.
    """

    name: str
    title: str
    before: float | None
    before_interval: Interval
    after: float | None
    after_interval: Interval
    difference: float | None
    difference_interval: Interval

    @property
    def intervals(self) -> tuple[Interval, Interval, Interval]:
        """Before, after, and of the difference."""
        return self.before_interval, self.after_interval, self.difference_interval

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare(before: LMEvaluation | None, after: LMEvaluation, seed: int = 0) -> list[Compared]:
    """Every measure of `MEASURES` of two evaluations on the same prompts; `before` may be missing.

    Args:
        before: of the reference.
        after: of the model.
        seed: of the bootstrap, 1,000 resamples of the classes.

    Raises:
        SamplesError: the evaluations are of different prompts.
    """
    if before is not None:
        names = ("class_id", "member_id", "prompt")
        if not before.prompts.select(names).equals(after.prompts.select(names)):
            raise SamplesError("the two evaluations are of different prompts; give both the same.")
    return [_compared(name, title, before, after, seed) for name, title in MEASURES]


def _compared(
    name: str, title: str, before: LMEvaluation | None, after: LMEvaluation, seed: int
) -> Compared:
    ours, weights = _by_class(name, after)
    theirs = np.full_like(ours, np.nan)
    if before is not None:
        theirs, _ = _by_class(name, before)
    columns = (theirs, ours, ours - theirs)
    (low, at), (low_after, at_after), (low_change, change) = (
        _with_interval(column, weights, seed) for column in columns
    )
    return Compared(name, title, at, low, at_after, low_after, change, low_change)


def _with_interval(
    values: np.ndarray, weights: np.ndarray, seed: int
) -> tuple[Interval, float | None]:
    known = ~np.isnan(values)
    if not known.any():
        return None, None
    ends = bootstrap_means(values[:, None], weights, seed=seed)
    mean = float(np.average(values[known], weights=weights[known]))
    return None if ends is None else (float(ends[0][0]), float(ends[1][0])), mean


def _by_class(name: str, found: LMEvaluation) -> tuple[np.ndarray, np.ndarray]:
    """The measure of each class (NaN: unknown) and its weight in the mean, both (classes,)."""
    if name in _OF_CLASSES:
        column = found.classes[name].cast(pl.Float64)
        return column.fill_null(np.nan).to_numpy(), np.ones(len(column))
    table = found.prompts.group_by("class_id", maintain_order=True).agg(
        value=pl.col(name).mean(), weight=pl.col(name).count()
    )
    values = table["value"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return values, table["weight"].cast(pl.Float64).to_numpy()
