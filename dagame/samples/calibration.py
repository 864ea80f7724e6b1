"""Conformal sets of the questions of a samples file, calibrated where the right answer is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..conformal import (
    Flag,
    Threshold,
    calibrate,
    flags,
    least_questions,
    p_value,
    prediction_sets,
    scores,
    true_scores,
)
from ..errors import CalibrationError
from ..games.solution import Solution
from ..numerics.arrays import to_numpy
from ..show.tables import Shown
from .lazy import pl
from .partition import Bucket

if TYPE_CHECKING:
    from .equilibria import SampleEquilibria

MARGINALS = ("samples", "equilibrium")

_RIGHT = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Shown):
    """Prediction sets and p-values of the C questions of a file, in the order of its classes.

    Questions with a right answer are split at random: each half is calibrated on the other, so that no
    question has a part in its own threshold; questions without one are calibrated on all that have one.
    part (C,): 0 and 1 the halves, 2 without a right answer; thresholds, calibrating: of each part the
    threshold and the scores it is the quantile of. p_values, inside: per bucket (B, n), every answer's
    p-value and whether it is in the set; NaN and False for padding and "no answer". top, right (C,):
    p-values of the commonest answer and of the right one; size (C,); flag (C,), see `Flag`; covered
    (C,): 1 where the set holds the right answer, NaN where none is known; unseen: right answers that no
    sample gave.
    """

    alpha: float
    seed: int
    score: str
    part: np.ndarray
    thresholds: tuple[Threshold, Threshold, Threshold]
    calibrating: tuple[np.ndarray, np.ndarray, np.ndarray]
    p_values: list[np.ndarray]
    inside: list[np.ndarray]
    top: np.ndarray
    right: np.ndarray
    size: np.ndarray
    flag: np.ndarray
    covered: np.ndarray
    unseen: int
    right_alone: float | None

    @cached_property
    def labelled(self) -> int:
        """Questions with a right answer."""
        return int((self.part < 2).sum())

    @property
    def coverage(self) -> float:
        """Share of the questions with a right answer whose set holds it."""
        return float(np.nanmean(self.covered))

    @property
    def whole(self) -> np.ndarray:
        """Whether a question's set is every answer, (C,)."""
        return np.array([t.whole for t in self.thresholds])[self.part]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "alpha": self.alpha,
            "seed": self.seed,
            "score": self.score,
            "questions": len(self.part),
            "labelled": self.labelled,
            "unseen": self.unseen,
            "coverage": self.coverage,
            "least_coverage": 1 - self.alpha,
            "mean_set_size": float(self.size.mean()),
            "flags": {str(f): int((self.flag == str(f)).sum()) for f in Flag},
            "whole_sets": int(self.whole.sum()),
            "accuracy_of_single_answers": self.right_alone,
            "thresholds": [_as_dict(threshold) for threshold in self.thresholds],
        }

    def told(self) -> list[tuple[str, str]]:
        """Names and texts for a terminal."""
        flags = ", ".join(f"{n:,} {name}" for name, n in self.as_dict()["flags"].items())
        coverage = (
            f"{self.coverage:.3f} of {self.labelled:,} questions, promised {1 - self.alpha:g} "
            f"(alpha {self.alpha:g}, halves by seed {self.seed})"
        )
        sets = f"{float(self.size.mean()):.2f} answers on average; {flags}"
        rows = [("coverage", coverage), ("sets", sets)]
        if self.right_alone is not None:
            rows.append(("single sets", f"their answer is right in {self.right_alone:.3f}"))
        rows += [
            ("whole sets", f"{int((self.part == part).sum()):,} questions: {t.why}")
            for part, t in enumerate(self.thresholds)
            if t.whole and (self.part == part).any()
        ]
        return rows

    _rows = told


def _as_dict(t: Threshold) -> dict[str, Any]:
    told = {"questions": t.questions, "rank": t.rank, "why": t.why}
    return {"threshold": None if t.whole else float(t)} | told


def calibrated(
    found: SampleEquilibria,
    alpha: float,
    seed: int = 0,
    *,
    score: str = "1 - nu",
    entropy: float = 0.0,
    marginals: str = "samples",
) -> SampleEquilibria:
    """The solved file with its calibration and its columns; see `SampleEquilibria.calibrate`."""
    least = least_questions(alpha)
    if marginals not in MARGINALS:
        raise CalibrationError(f"marginals is {marginals!r}; choose 'samples' or 'equilibrium'.")
    tables, right, known = _tables(found, score, entropy, marginals)
    part = _halves(known, seed)
    _check(part, alpha, least)
    true = _placed(found.buckets, [true_scores(s, r) for s, r in zip(tables, right, strict=True)])
    _check_given(true[part < 2])
    sources = (true[part == 1], true[part == 0], true[part < 2])
    thresholds: Any = tuple(calibrate(s, alpha) for s in sources)
    predicted = [
        _predicted(bucket, s, part[bucket.classes], sources, thresholds)
        for bucket, s in zip(found.buckets, tables, strict=True)
    ]
    p_values, inside = [p for p, _ in predicted], [chosen for _, chosen in predicted]
    made = Calibration(
        alpha=float(alpha), seed=seed, score=_named(score, entropy, marginals), part=part,
        thresholds=thresholds, calibrating=sources, p_values=p_values, inside=inside,
        **_judged(found.buckets, right, true, part, thresholds, sources, p_values, inside),
    )  # fmt: skip
    return replace(found, classes=_with_columns(found, made, tables), calibration=made)


def _predicted(
    bucket: Bucket, s: np.ndarray, part: np.ndarray, sources: Sequence[Any], thresholds: Any
) -> tuple[np.ndarray, np.ndarray]:
    """p-values of the answers of a bucket, and which are in the sets: (B, n) by the scores (B, n)."""
    p, chosen = np.full(s.shape, np.nan), np.zeros(s.shape, bool)
    mask = bucket.answer_mask & ~bucket.no_answer
    for k, source in enumerate(sources):
        of = part == k
        p[of] = p_value(s[of], source)
        chosen[of] = prediction_sets(s[of], thresholds[k], mask[of])
    return np.where(mask, p, np.nan), chosen


def _tables(
    found: SampleEquilibria, score: str, entropy: float, marginals: str
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """Scores and right answers (B, n) per bucket, and whether a question's right answer is known (C,)."""
    made, right, known = [], [], []
    for bucket, solution in zip(found.buckets, found.solutions, strict=True):
        if bucket.correct is None:
            raise CalibrationError(
                "calibration needs right answers: name their column, --calibrate COLUMN, or gold=."
            )
        nu = bucket.reference if marginals == "samples" else _unlabelled(solution)
        answers = bucket.answer_mask & ~bucket.no_answer
        correct = np.where(bucket.answer_mask, bucket.correct, 0.0)
        right.append(answers & (np.nan_to_num(correct) > _RIGHT))
        known.append(~np.isnan(correct).any(-1))  # of the wrong ones too, or unseen would be missed
        made.append(np.where(answers, scores(nu, score, entropy=entropy), np.inf))
    return made, right, _placed(found.buckets, known).astype(bool)


def _unlabelled(solution: Solution) -> np.ndarray:
    """Marginals (B, m, n) at the equilibrium of an objective without labels."""
    if solution.game.objective.tables:
        raise CalibrationError(
            "the equilibrium of an objective with labels has seen the right answers; calibrate "
            "on marginals='samples'."
        )
    return to_numpy(solution.marginals)


def _halves(known: np.ndarray, seed: int) -> np.ndarray:
    """0 and 1 for the halves of the questions whose right answer is known, 2 for the others."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(known))
    part = np.full(len(known), 2)
    part[order] = np.arange(len(order)) % 2
    return part


def _check(part: np.ndarray, alpha: float, least: int) -> None:
    count = int((part < 2).sum())
    if not count:
        raise CalibrationError(
            "no question has a right answer in the column to calibrate on; name the column that has them."
        )
    if count // 2 < least:
        least_alpha = 1 / (count // 2 + 1)
        digit = 10.0 ** (np.floor(np.log10(least_alpha)) - 2)
        rounded = np.ceil(least_alpha / digit) * digit
        most = f", or raise alpha to {rounded:.3g} or more" if count > 1 else ""
        raise CalibrationError(
            f"alpha {alpha:g} needs {least:,} questions with a right answer in each half, {2 * least:,} in "
            f"all; there {'is' if count == 1 else 'are'} {count:,}: give more{most}."
        )


def _check_given(true: np.ndarray) -> None:
    if np.isinf(true).all():
        raise CalibrationError(
            "no sample gives the right answer of any question; look at --extract and --canonical, and "
            "whether the column holds answers (labels are named twice, --correct and --calibrate)."
        )


def _judged(
    buckets: Sequence[Bucket],
    right: Sequence[np.ndarray],
    true: np.ndarray,
    part: np.ndarray,
    thresholds: Any,
    sources: Any,
    p_values: Sequence[np.ndarray],
    inside: Sequence[np.ndarray],
) -> dict[str, Any]:
    """What the sets and p-values say of each question, and of all: fields of `Calibration`."""
    known, whole = part < 2, np.array([t.whole for t in thresholds])[part]
    top = _placed(buckets, [np.nan_to_num(p, nan=0).max(-1) for p in p_values])
    answered = _placed(buckets, [np.any(~np.isnan(p), axis=-1) for p in p_values]).astype(bool)
    size = _placed(buckets, [i.sum(-1) for i in inside]).astype(int)
    hit = _placed(buckets, [np.any(i & r, axis=-1) for i, r in zip(inside, right, strict=True)])
    of_right = np.full(len(part), np.nan)
    for k in (0, 1):
        of_right[part == k] = p_value(true[part == k], sources[k])
    flag = flags(np.arange(2) < size[:, None], whole)
    alone = known & (flag == Flag.SINGLE)
    covered = np.where(known, np.maximum(hit, whole), np.nan)
    of_each = {"size": size, "flag": flag, "covered": covered, "right": of_right}
    unseen = int(np.isinf(true[known]).sum())
    right_alone = float(hit[alone].mean()) if alone.any() else None
    of_all = {"unseen": unseen, "right_alone": right_alone}
    return {"top": np.where(answered, top, np.nan), **of_each, **of_all}


def _named(score: str, entropy: float, marginals: str) -> str:
    return f"{score}{f' + {entropy:g} H' if entropy else ''} of the {marginals}"


def _placed(buckets: Sequence[Bucket], values: Sequence[Any]) -> np.ndarray:
    """One value per class, in the order of the classes."""
    out = np.empty(sum(len(b.classes) for b in buckets))
    for bucket, value in zip(buckets, values, strict=True):
        out[bucket.classes] = value
    return out


def _with_columns(
    found: SampleEquilibria, made: Calibration, tables: Sequence[np.ndarray]
) -> pl.DataFrame:
    """The table of classes with the set, its size, what it says, and p-values."""
    sets = _sets(found, made, tables)
    columns = pl.DataFrame(
        {
            "set": pl.Series(sets, dtype=pl.List(pl.String)),
            "set_size": made.size,
            "whole_set": made.whole,
            "flag": made.flag,
            "covered": pl.Series(made.covered).fill_nan(None).cast(pl.Boolean),
            "p_value": pl.Series(made.top).fill_nan(None),
            "p_value_right": pl.Series(made.right).fill_nan(None),
        }
    )
    clash = {c: f"{c} (class)" for c in columns.columns if c in found.classes.columns}
    return pl.concat([found.classes.rename(clash), columns], how="horizontal")


def _sets(
    found: SampleEquilibria, made: Calibration, tables: Sequence[np.ndarray]
) -> list[list[str]]:
    """The answers of each question's set, the best score first."""
    partition = found.samples.partition
    keys = partition.answers["answer"].to_list()
    sets: list[list[str]] = [[] for _ in range(len(partition))]
    for bucket, inside, s in zip(found.buckets, made.inside, tables, strict=True):
        for c, row, score in zip(bucket.classes, inside, s, strict=True):
            order = np.argsort(score, kind="stable")
            sets[c] = [keys[partition.answers_start[c] + z] for z in order[row[order]]]
    return sets
