"""What the equilibrium would change, judged on samples that were left out of the fit (cross-fitting).

The equilibrium of empirical distributions is judged by the very samples that it was fitted to, and with few
of them in a context it agrees on their noise. Here every sample is weighed by an equilibrium that was fitted
without it. What that estimates and how far it is off: docs/theory/samples.md#on-samples-left-out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DagameError
from ..games.game import AlignmentGame
from ..games.solution import Solution, Status
from ..numerics.arrays import like, to_numpy
from ..numerics.fast import on_arrays
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
"""Samples of a context below which the intervals of hundreds of questions are too narrow all the same."""

FEWEST = 10
"""Questions below which there is no interval: it would be far too narrow."""

MOST = 20_000
"""Questions above which the interval is the normal approximation of the bootstrap's."""

MEASURES = ("accuracy", "agreement", "no_answer")

_SOLVED = (Status.SOLVED, Status.LOCAL)
_TOL = 1e-6


class Measure(NamedTuple):
    """A mean over questions: in the samples, at the equilibrium on samples left out, and the difference.

    interval, gain_interval: of the last two; 95% of the bootstrap's resamples of the questions, on each side
    wider by |bias|. bias: how far a rehearsal on a known model is off (`judged`); more is too optimistic.
    """

    before: float
    after: float
    gain: float
    interval: tuple[float, float]
    gain_interval: tuple[float, float]
    bias: float

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
        few = f"; with {self.samples:.3g} samples a context they are too narrow all the same"
        return (
            f"judged on samples left out: the samples of each context were cut into {self.folds} parts, each "
            f"weighed by the equilibrium of the others; {CONFIDENCE:.0%} intervals of {ends} "
            f"({self.questions:,}{some}), on each side wider by the bias of a rehearsal on a known model"
            f"{few if self.samples < FEW else ''}"
        )


def held_out(
    buckets: Sequence[Bucket], solutions: Sequence[Solution], *, factor: float = 1.0, seed: int = 0
) -> HeldOut:
    """The measures at `factor` times the strength of the solutions, one per bucket.

    The parts depend on the seed and on the counts alone, not on the order of the rows.
    """
    of, usable = _usable(buckets, solutions)
    questions = sum(map(len, usable))
    none = partial(HeldOut, questions, of, FOLDS, seed)
    if questions < FEWEST:
        few = f"questions with {FOLDS} samples in every context" if questions < of else "questions"
        return none(reason=f"fewer than {FEWEST} {few}")
    try:
        table = _table(buckets, solutions, usable, factor, seed)
    except DagameError as error:
        return none(reason=f"a part of the samples has no solution ({error})")
    lost = np.isnan(table[:, MEASURES.index("no_answer"), :2]).any(-1)
    if lost.mean() > 0.05:
        of_lost = f"of {lost.sum():,} questions a part"
        return none(reason=f"{of_lost} has no solution, or one without its samples")
    right, agree, empty = (_measure(table[:, k], seed) for k in range(len(MEASURES)))
    sizes = [b.counts[use].sum(-1).ravel() for b, use in zip(buckets, usable, strict=True)]
    each = float(np.concatenate(sizes).mean())
    return HeldOut(questions - int(lost.sum()), of, FOLDS, seed, right, agree, empty, samples=each)


def _usable(
    buckets: Sequence[Bucket], solutions: Sequence[Solution]
) -> tuple[int, list[np.ndarray]]:
    """The number of feasible questions, and those of each bucket that have enough samples."""
    feasible = [np.array([s != Status.INFEASIBLE for s in each.statuses]) for each in solutions]
    enough = [(bucket.counts.sum(-1) >= FOLDS).all(-1) for bucket in buckets]
    usable = [np.flatnonzero(f & e) for f, e in zip(feasible, enough, strict=True)]
    return int(sum(f.sum() for f in feasible)), usable


def _table(
    buckets: Sequence[Bucket],
    solutions: Sequence[Solution],
    usable: Sequence[np.ndarray],
    factor: float,
    seed: int,
) -> np.ndarray:
    """`judged` of the usable questions of all buckets, in their order."""
    parts = [part for part in zip(buckets, solutions, usable, strict=True) if len(part[-1])]
    order = np.argsort(np.concatenate([bucket.classes[use] for bucket, _, use in parts]))
    return np.concatenate([judged(*part, factor, seed) for part in parts])[order]


def _measure(told: np.ndarray, seed: int) -> Measure | None:
    """From (questions, 3), before, after and error; None where fewer than `FEWEST` are known."""
    known, errors = told[~np.isnan(told[:, :2]).any(-1), :2], told[~np.isnan(told[:, 2]), 2]
    if min(len(known), len(errors)) < FEWEST:
        return None
    columns = np.column_stack([known, known[:, 1] - known[:, 0]])
    ends = _normal(columns) if len(known) > MOST else bootstrap_means(columns, seed=seed)
    assert ends is not None
    bias = float(errors.mean())
    (_, *low), (_, *high) = (ends[0] - abs(bias)).tolist(), (ends[1] + abs(bias)).tolist()
    before, after, gain = columns.mean(0).tolist()
    return Measure(
        before, after, gain, (max(low[0], 0.0), min(high[0], 1.0)), (low[1], high[1]), bias
    )


def _normal(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, error = columns.mean(0), columns.std(0, ddof=1) / np.sqrt(len(columns))
    return mean - 1.96 * error, mean + 1.96 * error


# -- one bucket -----------------------------------------------------------------------------------


def judged(
    bucket: Bucket, solution: Solution, use: np.ndarray, factor: float, seed: int
) -> np.ndarray:
    """(questions, measures, 3) of the questions `use` of a bucket: before, after, error of a rehearsal.

    The rehearsal judges as many samples from a known model, these samples smoothed: its error is what it
    finds less what its fits give under that model, the mean of the parts. NaN where a part is not solved.
    """
    counts, mask, classes = bucket.counts[use], bucket.answer_mask[use], bucket.classes[use]
    game = solution.game.rows(index_like(solution.game.log_reference, use))
    right = None if bucket.correct is None else bucket.correct[use]
    measured = partial(_measured, right=right, empty=bucket.no_answer[use][:, None, :])
    fits = partial(_fits, classes=classes, mask=mask, game=game, factor=factor, seed=seed)
    dealt, weights, solved = fits(counts)
    before, after = bucket.reference[use], measured(*_left_out(dealt, weights))
    model = smoothed(counts)
    dealt, weights, rehearsed = fits(redrawn(model, counts.sum(-1), classes, seed))
    trained = [_over(model * w, (model * w).sum(-1, keepdims=True)) for w in weights]
    given = np.mean([measured(nu, agreement(nu)) for nu in trained], axis=0)
    error = measured(*_left_out(dealt, weights)) - given
    table = np.stack([measured(before, agreement(before)), after, error], axis=-1)
    table[~solved] = np.nan
    table[~rehearsed, :, 2] = np.nan
    return table


def _fits(
    counts: np.ndarray,
    *,
    classes: np.ndarray,
    mask: np.ndarray,
    game: AlignmentGame,
    factor: float,
    seed: int,
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """The parts, the weights of the fit without each, and whether all fits are solved."""
    dealt = list(parts(counts, classes, seed))
    found = [fitted(counts - part, mask, game, game.beta / factor) for part in dealt]
    return dealt, [weight for weight, _ in found], np.all([known for _, known in found], axis=0)


def _measured(
    nu: np.ndarray, agreed: np.ndarray, *, right: np.ndarray | None, empty: np.ndarray
) -> np.ndarray:
    return np.stack([accuracy(nu, right), agreed, (nu * empty).sum(-1).mean(-1)], axis=-1)


def _left_out(
    dealt: Sequence[np.ndarray], weights: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Marginals (B, m, n) and agreement (B,) of the samples of all parts, weighed by the fit without it."""
    weighed = [part * weight for part, weight in zip(dealt, weights, strict=True)]
    sums = [each.sum(-1, keepdims=True) for each in weighed]
    agreed = _over(*(np.sum([_over_pairs(t) for t in each], axis=0) for each in (weighed, sums)))
    return _over(np.sum(weighed, axis=0), np.sum(sums, axis=0)), agreed


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
    sizes = counts.sum(-1)
    context, rank, key = _keys(sizes, classes, seed)
    cells = cells[np.lexsort((key, context))]
    for k in range(min(folds, int(sizes.max(initial=0)))):
        chosen = np.bincount(cells[rank % folds == k], minlength=counts.size)
        yield chosen.reshape(counts.shape).astype(float)


def smoothed(counts: np.ndarray) -> np.ndarray:
    """(N_x + a)/(K_x + 1), a the answers of all contexts pooled: a model that these samples may be of."""
    pooled = counts.sum(-2, keepdims=True)
    model = counts + PRIOR * pooled / pooled.sum(-1, keepdims=True)
    return model / model.sum(-1, keepdims=True)


def redrawn(model: np.ndarray, sizes: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """Counts (B, m, n) of so many samples (B, m) of each context's model, by the same rule as `parts`."""
    context, _, key = _keys(sizes, classes, ~seed)
    share = np.cumsum(model, axis=-1).reshape(-1, model.shape[-1])
    share = share / share[:, -1:] + np.arange(len(share))[:, None]
    uniform = (
        key >> np.uint64(40)
    ) * 2.0**-24  # so few bits that it stays below 1 beside `context`
    cells = np.searchsorted(share.ravel(), context + uniform, side="right")
    return np.bincount(cells, minlength=model.size).reshape(model.shape).astype(float)


def _keys(
    sizes: np.ndarray, classes: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every sample, sizes (B, m) of them: its row of B m contexts, its rank there, 64 random bits."""
    each = sizes.astype(np.int64).ravel()
    context = np.repeat(np.arange(each.size), each)
    rank = np.arange(len(context)) - np.repeat(np.cumsum(each) - each, each)
    key = np.full(len(context), seed & (2**64 - 1), dtype=np.uint64)
    m = sizes.shape[1]
    for number in (classes[context // m], context % m, rank):
        key = _scrambled(key + number.astype(np.uint64))
    return context, rank, key


def _scrambled(x: np.ndarray) -> np.ndarray:
    """SplitMix64's step: 64 bits that look random, of 64 bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@on_arrays()
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
    reference = _with_prior(counts, mask, game)
    made = AlignmentGame(
        like(reference, game.log_reference), game.objective, beta=beta, check=False
    )
    found = solve(made, tol=_TOL, throw=False)
    weight, n = to_numpy(found.weights_on_traces()), counts.shape[-1]
    solved = np.array([status in _SOLVED for status in found.statuses])
    if weight.shape[-1] == n:
        return weight, solved
    new = np.diagonal(weight[..., n:], axis1=-2, axis2=-1)[..., None]
    return np.where(counts.sum(-2, keepdims=True) > 0, weight[..., :n], new), solved


def _with_prior(counts: np.ndarray, mask: np.ndarray, game: AlignmentGame) -> np.ndarray:
    """nu0, with an answer of its own for each context behind the others where it may be an unseen one."""
    total = counts.sum(-1, keepdims=True) + PRIOR
    pooled = counts.sum(-2, keepdims=True)
    base = PRIOR / 2 * pooled / pooled.sum(-1, keepdims=True)
    if any(part.tables or part.own or part.has_multipliers for _, part in game.objective.terms()):
        each = mask[:, None, :] / mask.sum(-1)[:, None, None]
        return (counts + base + PRIOR / 2 * each) / total
    m = counts.shape[-2]
    own = np.broadcast_to(PRIOR / 2 * np.eye(m), (*counts.shape[:-1], m))
    return np.concatenate([counts + base, own], axis=-1) / total
