"""What the equilibrium would change, judged on samples that were left out of the fit (cross-fitting).

The equilibrium of empirical distributions is judged by the very samples that it was fitted to, and with few
of them in a context it agrees on their noise. Here every sample is weighed by an equilibrium that was fitted
without it. What that estimates and how far it is off: docs/theory/samples.md#on-samples-left-out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DagameError
from ..games.game import AlignmentGame
from ..games.solution import Solution, Status
from ..numerics.arrays import like, to_numpy
from ..solvers import solve
from ..solvers.base import index_like
from .bootstrap import CONFIDENCE, RESAMPLES, bootstrap_means
from .metrics import accuracy, agreement

if TYPE_CHECKING:
    from .partition import Bucket

FOLDS = 4
"""Parts of each context's samples; each is judged by the equilibrium of the others. A context needs as many
samples: of fewer the estimate is too optimistic by more than its interval (benchmarks/verdict_coverage.py).
"""

PRIOR = 1.0
"""Samples that are added to each context of a fit, for answers that it has not seen there."""

FEW = 8
"""Samples of a context below which the intervals hold the truth far less often than they say."""

FEWEST = 10
"""Questions below which there is no interval: it would be far too narrow."""

MOST = 20_000
"""Questions above which the interval is the normal approximation of the bootstrap's."""

MEASURES = ("accuracy", "agreement", "no_answer")

_SOLVED = (Status.SOLVED, Status.LOCAL)
_TOL = 1e-6


class Measure(NamedTuple):
    """A mean over questions: in the samples, at the equilibrium on samples left out, and the difference.

    interval, gain_interval: of the last two; 95% of the bootstrap's resamples of the questions.
    """

    before: float
    after: float
    gain: float
    interval: tuple[float, float]
    gain_interval: tuple[float, float]

    @property
    def clear(self) -> bool:
        """Whether the interval of the gain leaves out 0."""
        return self.gain_interval[0] > 0 or self.gain_interval[1] < 0


@dataclass(frozen=True)
class HeldOut:
    """Accuracy, agreement and the share without an answer on samples left out, means over `questions`.

    A measure is None where it is not known (no labels, one context); all are where there is a `reason`.
    of: feasible questions of the file; those with a context of fewer samples than `FOLDS` are left out.
    folds, seed: of the parts. samples: of a context, on average.
    """

    questions: int
    of: int
    folds: int
    seed: int
    accuracy: Measure | None = None
    agreement: Measure | None = None
    no_answer: Measure | None = None
    reason: str = ""
    samples: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        named = {n: None if (m := getattr(self, n)) is None else m._asdict() for n in MEASURES}
        return asdict(self) | named | {"how": self.how, "confidence": CONFIDENCE}

    @property
    def how(self) -> str:
        """What was done, in one sentence."""
        if self.reason:
            return f"not judged on samples left out: {self.reason}"
        some = "" if self.questions == self.of else f" of {self.of:,}"
        ends = (
            f"{RESAMPLES:,} bootstrap resamples of the questions"
            if self.questions <= MOST
            else "the normal approximation over questions"
        )
        return (
            f"judged on samples left out: the samples of each context were cut into {self.folds} parts, each "
            f"weighed by the equilibrium of the others; {CONFIDENCE:.0%} intervals of {ends} "
            f"({self.questions:,}{some})"
            f"{f', too narrow and optimistic of {self.samples:.3g} samples' * (self.samples < FEW)}"
        )


def held_out(
    buckets: Sequence[Bucket], solutions: Sequence[Solution], *, factor: float = 1.0, seed: int = 0
) -> HeldOut:
    """The measures at `factor` times the strength of the solutions, one per bucket.

    The parts depend on the seed and on the counts alone, not on the order of the rows.
    """
    feasible = [np.array([s != Status.INFEASIBLE for s in each.statuses]) for each in solutions]
    of = int(sum(f.sum() for f in feasible))
    usable = [
        f & (b.counts.sum(-1) >= FOLDS).all(-1) for f, b in zip(feasible, buckets, strict=True)
    ]
    questions = int(sum(u.sum() for u in usable))

    def none(reason: str) -> HeldOut:
        return HeldOut(questions, of, FOLDS, seed, reason=reason)

    if questions < FEWEST:
        few = f"questions with {FOLDS} samples in every context" if questions < of else "questions"
        return none(f"fewer than {FEWEST} {few}")
    order = np.argsort(
        np.concatenate([b.classes[use] for b, use in zip(buckets, usable, strict=True)])
    )
    try:
        table = np.concatenate(
            [
                judged(bucket, solution, np.flatnonzero(use), factor, seed)
                for bucket, solution, use in zip(buckets, solutions, usable, strict=True)
                if use.any()
            ]
        )[order]  # questions x measures x (before, after)
    except DagameError as error:
        return none(f"a part of the samples has no solution ({error})")
    lost = np.isnan(table[:, MEASURES.index("no_answer")]).any(-1)
    if lost.mean() > 0.05:
        return none(
            f"of {lost.sum():,} questions a part has no solution, or one without its samples"
        )
    right, agree, empty = (_measure(table[:, k], seed) for k in range(len(MEASURES)))
    total = sum(b.counts[use].sum() for b, use in zip(buckets, usable, strict=True))
    contexts = sum(use.sum() * b.counts.shape[1] for b, use in zip(buckets, usable, strict=True))
    kept, each = questions - int(lost.sum()), float(total / contexts)
    return HeldOut(kept, of, FOLDS, seed, right, agree, empty, samples=each)


def _measure(pair: np.ndarray, seed: int) -> Measure | None:
    """From (questions, 2), before and after; None where fewer than `FEWEST` are known."""
    known = pair[~np.isnan(pair).any(-1)]
    if len(known) < FEWEST:
        return None
    columns = np.column_stack([known, known[:, 1] - known[:, 0]])
    ends = _normal(columns) if len(known) > MOST else bootstrap_means(columns, seed=seed)
    assert ends is not None
    (_, *low), (_, *high) = ends[0].tolist(), ends[1].tolist()
    before, after, gain = columns.mean(0).tolist()
    return Measure(before, after, gain, (low[0], high[0]), (low[1], high[1]))


def _normal(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, error = columns.mean(0), columns.std(0, ddof=1) / np.sqrt(len(columns))
    return mean - 1.96 * error, mean + 1.96 * error


# -- one bucket -----------------------------------------------------------------------------------


def judged(
    bucket: Bucket, solution: Solution, use: np.ndarray, factor: float, seed: int
) -> np.ndarray:
    """(questions, measures, 2) of the questions `use` of a bucket; NaN where a part is not solved."""
    counts, mask = bucket.counts[use], bucket.answer_mask[use]
    game = solution.game.rows(index_like(solution.game.log_reference, use))
    mass, total, solved = np.zeros_like(counts), np.zeros(counts.shape[:2]), True
    shared = both = np.zeros(len(counts))
    for part in parts(counts, bucket.classes[use], seed):
        weight, known = fitted(counts - part, mask, game, game.beta / factor)
        solved = solved & known
        weighed = part * weight
        sums = weighed.sum(-1)
        mass, total = mass + weighed, total + sums
        shared = shared + _over_pairs(weighed)
        both = both + _over_pairs(sums[..., None])
    after = _over(mass, total[..., None])
    right = None if bucket.correct is None else bucket.correct[use]
    empty = bucket.no_answer[use][:, None, :]
    before = bucket.reference[use]
    columns = [
        (accuracy(before, right), accuracy(after, right)),
        (agreement(before), _over(shared, both)),
        ((before * empty).sum(-1).mean(-1), (after * empty).sum(-1).mean(-1)),
    ]
    table = np.stack([np.stack(pair, axis=-1) for pair in columns], axis=1)
    table[~solved] = np.nan
    return table


def _over_pairs(table: np.ndarray) -> np.ndarray:
    """Sum over pairs x != x' of <t_x, t_x'> for (B, m, n): (B,)."""
    return (table.sum(-2) ** 2).sum(-1) - (table**2).sum((-1, -2))


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where that is 0."""
    whole = np.broadcast_to(whole, part.shape)
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def parts(
    counts: np.ndarray, classes: np.ndarray, seed: int, folds: int = FOLDS
) -> Iterator[np.ndarray]:
    """The samples of every context, counts (B, m, n), dealt at random into `folds` parts, alike within one.

    A sample's place is drawn by the seed, the number of its class (B,), its context and its rank there by
    answer, so that it does not depend on the order of the rows or on what else is in the file's tables. Of a
    part where no context has any sample nothing is to be judged, and it is left out.
    """
    cells = np.repeat(np.arange(counts.size), counts.astype(np.int64).ravel())
    context = cells // counts.shape[-1]
    sizes = counts.sum(-1).astype(np.int64).ravel()
    rank = np.arange(len(cells)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    key = np.full(len(cells), seed, dtype=np.uint64)
    for number in (classes[context // counts.shape[1]], context % counts.shape[1], rank):
        key = _scrambled(key + number.astype(np.uint64))
    cells = cells[np.lexsort((key, context))]
    for k in range(min(folds, int(sizes.max(initial=0)))):
        chosen = np.bincount(cells[rank % folds == k], minlength=counts.size)
        yield chosen.reshape(counts.shape).astype(float)


def _scrambled(x: np.ndarray) -> np.ndarray:
    """SplitMix64's step: 64 bits that look random, of 64 bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fitted(
    counts: np.ndarray, mask: np.ndarray, game: AlignmentGame, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """nu*/nu0 (B, m, n) of the game whose samples are counts (B, m, n), and whether it is solved (B,).

    Answers that the fit has not seen are weighed too, by the equilibrium's reward of such an answer. In each
    context one sample is added (`PRIOR`), nu0_x = (N_x + b_x)/(K_x + 1). Half of it has the question's
    answers of all contexts pooled, so that one seen elsewhere has a mass; the other half is an answer that
    only this context gives, which coherence rewards by log w_x, and stands for all that the fit has seen
    nowhere. Where the objective has a table of answers, or is a user's own, each answer of the question has a
    share of that half, seen or not.
    """
    total = counts.sum(-1, keepdims=True) + PRIOR
    pooled = counts.sum(-2, keepdims=True)
    base = PRIOR / 2 * pooled / pooled.sum(-1, keepdims=True)
    m, n = counts.shape[-2:]
    if any(part.tables or part.own or part.has_multipliers for _, part in game.objective.terms()):
        each = mask[:, None, :] / mask.sum(-1)[:, None, None]
        reference = (counts + base + PRIOR / 2 * each) / total
    else:
        own = np.broadcast_to(PRIOR / 2 * np.eye(m), (*counts.shape[:-1], m))
        reference = np.concatenate([counts + base, own], axis=-1) / total
    made = AlignmentGame(
        like(reference, game.log_reference), game.objective, beta=beta, check=False
    )
    found = solve(made, tol=_TOL, throw=False)
    weight = to_numpy(found.weights_on_traces())
    solved = np.array([status in _SOLVED for status in found.statuses])
    if weight.shape[-1] == n:
        return weight, solved
    new = np.diagonal(weight[..., n:], axis1=-2, axis2=-1)[..., None]
    return np.where(pooled > 0, weight[..., :n], new), solved
