"""Two evaluations on the same questions side by side: every measure, its interval, and the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def verdict(compared: Sequence[Compared], where: str) -> str:
    """What changed from the reference to the model, in one sentence; `where`: on which questions.

    "by 0.10 to 0.22" is the 95% interval of the paired difference. A change is certain in words where
    that excludes 0. A rising share without an answer is told too, as contexts also agree by giving none.
    """
    found = {row.name: row for row in compared}
    told = [found[name] for name in ("agreement", "sampled_accuracy")]
    none = found["no_answer"]
    if none.difference_interval is not None and none.difference_interval[0] > 0:
        told.append(none)
    said = " and ".join(_changes([row for row in told if row.after is not None]))
    said = f"{where} {said or 'nothing was measured that says whether it is better'}"
    if found["sampled_accuracy"].after is None:
        return f"{said}; whether it is right is not known without right answers."
    vote = found["majority_accuracy"].before
    more = "" if vote is None else f"; a majority vote of the reference is right in {vote:.2f}"
    return f"{said}{more}."


_NAMES = {"no_answer": "the share without an answer", "sampled_accuracy": "accuracy"}


def _changes(rows: Sequence[Compared]) -> Iterator[str]:
    """Such as "agreement rose from 0.22 to 0.38 (95% interval: by 0.10 to 0.22)", "accuracy is 0.63"."""
    last, level = "", "95% interval: "
    for row in rows:
        verb, values = _change(row)
        ends = row.after_interval if row.before is None else row.difference_interval
        by = "" if row.before is None else "by "
        interval = "" if ends is None else f" ({level}{by}{ends[0]:z.2f} to {ends[1]:z.2f})"
        name = _NAMES.get(row.name, row.name)
        yield " ".join([name, *([verb] if verb != last else []), values]) + interval
        last, level = verb, "" if interval else level


def _change(row: Compared) -> tuple[str, str]:
    """Verb and values of a measure that is known."""
    before, after, ends = row.before, row.after, row.difference_interval
    assert after is not None
    if before is None:
        return "is", f"{after:.2f}"
    if f"{before:.2f}" == f"{after:.2f}":
        return "stayed", f"at {after:.2f}"
    clear = ends is not None and (ends[0] > 0 or ends[1] < 0)
    verbs = ("rose", "may have risen") if after > before else ("fell", "may have fallen")
    return verbs[0 if clear else 1], f"from {before:.2f} to {after:.2f}"


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
