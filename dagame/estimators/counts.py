"""Rewards and advantages of sampled answers from their counts (B, m, n), for any objective.

A sample is paid what grad Phi says of its answer where its own count is left out: `others` of the `of`
other samples of its context gave the same answer. Each term of the objective has one way to say that:

========  =========================================================  =====================
way       objectives                                                 expected reward
========  =========================================================  =====================
constant  `Reward`, constraints at given multipliers                 exact
table     sums over answers; functions of a success in {0, 1}        sup-bias of the table
answer    u_x(z) a function of (nu_x'(z))_x': coherence, pairwise,   exact where affine, else
          agreement                                                  biased by O(1/K)
split     arithmetic coherence: a table for the entropy of nu_x, an  table's; O(1/(m K)) for the
          answer term for that of the consensus                      consensus
row       everything else: the whole marginal without the sample     biased by O(1/K)
========  =========================================================  =====================

Other contexts enter by their plug-in shares, which are independent of the sample. A term that only
compares contexts (`Objective.between_contexts`) pays exactly 0 where there is one context, in every way.
Derivations: docs/theory/samples.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import InvalidObjective, NotSeparable
from ..numerics.arrays import LOG_ZERO, like, log
from ..objectives import Objective
from ..objectives.parameters import of_games
from .cells import Cells, checked_cells, numbers
from .method import Method
from .registry import BY_NAME, METHODS, TABLES_ONLY
from .tables import CENTRED, lookup_table

ESTIMATORS = ("auto", *METHODS)
ADVANTAGES = ("auto", None, "leave_two_out", "leave_one_out", "group_mean", "std")

Own = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class CountRewards:
    """What each answer's samples are paid: rewards (B, m, n), 0 where the count is 0.

    `expected_by_others` (B, m, n) is the leave-two-out baseline of each answer's samples, else None.
    """

    counts: np.ndarray
    rewards: np.ndarray
    baseline: str | None
    expected_by_others: np.ndarray | None = None

    @property
    def mean(self) -> np.ndarray:
        """Mean reward of each group (B, m, 1)."""
        size = self.counts.sum(-1, keepdims=True)
        return (self.counts * self.rewards).sum(-1, keepdims=True) / size

    @property
    def advantages(self) -> np.ndarray:
        """Rewards less their baseline (B, m, n), 0 where the count is 0."""
        seen, size = self.counts > 0, self.counts.sum(-1, keepdims=True)
        if self.baseline is None:
            off = self.rewards
        elif self.baseline == "leave_two_out":
            off = self.rewards - self.expected_by_others
        else:
            off = self.rewards - self.mean
        if self.baseline == "leave_one_out":
            off = off * size / np.maximum(size - 1, 1)
        if self.baseline == "std":
            square = (self.counts * off**2).sum(-1, keepdims=True) / np.maximum(size - 1, 1)
            off = np.divide(off, np.sqrt(square), out=np.zeros_like(off), where=square > 1e-24)
        return np.where(seen, off, 0.0)


def count_rewards(
    counts: Any,
    objective: Objective,
    estimator: str = "auto",
    *,
    baseline: str | None = "auto",
    weights: Any = None,
    multipliers: Any = None,
) -> CountRewards:
    """Rewards of the samples behind counts, and their advantages under a baseline.

    Args:
        counts: (B, m, n), how often context x of game b gave answer z; every context has samples.
        objective: Phi; tables are (n,), (m, n) or (B, m, n). Terms with multipliers (hard sets) take
            them from `multipliers` (r,) or (B, r), so that sums with them are exact given those.
        estimator: a method of `reward_table`, or "auto": exact where that is possible, else for tables
            (and split terms) "plug_in" where rewards grow like 1/p, "jackknife" otherwise (see
            `dagame.estimators.tables.automatic_method`), and "krichevsky_trofimov" elsewhere. Own
            probabilities are (N+1)/K, max(N, 1/2)/(K-1), (N+1/2)/K, (N+1)/(K+1) by "plug_in",
            "leave_one_out", "krichevsky_trofimov", "laplace", and N/(K-1) by "u_statistic". In "row"
            terms "plug_in" leaves nothing out, the others add 0, 1/2, 1 to every answer of the class.
        baseline: what `advantages` subtracts; each is a mean of rewards of the group. "auto":
            "leave_two_out", or "leave_one_out" where a "row" term has none.
            "leave_two_out": of the others, each counted without i; changes no expected update.
            "leave_one_out" and "group_mean": of the others, and of all K as GRPO engines do; the
            rewards are corrected for them, exactly but for "row" terms
            (docs/theory/samples.md#with-a-group-baseline).
            "std": the group's mean, divided by its standard deviation: another game, with a warning.
            None: nothing.

    Groups of one sample, and of two under a corrected centring, hold no information about themselves:
    what they estimate from their own counts is paid 0.

    Raises:
        InvalidObjective: the estimator cannot estimate a term, or the baseline needs single counts.
        InvalidGame: counts are no (B, m, n) table of counts, or a context has none.
    """
    _check_asked(estimator, baseline)
    cells = checked_cells(counts, objective, weights)
    terms = [(f, _parts(o, cells, estimator, multipliers)) for f, o in objective.terms() if f]
    parts = [(f, part) for f, ways in terms for part in ways]
    if baseline == "auto":
        whole = any(isinstance(part, _Row) for _, part in parts)
        baseline = "leave_one_out" if whole else "leave_two_out"
    of = np.maximum(cells.size - (2 if baseline in CENTRED else 1), 0)
    left, nothing = np.minimum(cells.count - 1, of), np.zeros(len(cells.b))
    paid = sum((f * part.paid(cells, left, of) for f, part in parts), start=nothing)
    if not np.isfinite(paid).all() or (np.abs(paid) > -LOG_ZERO / 2).any():
        raise InvalidObjective(
            f"estimator {estimator!r} pays an answer that another context lacks minus infinity "
            f"under {objective!r}; take 'krichevsky_trofimov' or 'auto'."
        )
    if baseline == "group_mean":
        paid = paid * cells.size / np.maximum(cells.size - 1, 1)
    others = None
    if baseline == "leave_two_out":
        others = cells.dense(sum((f * part.mean_of_others(cells) for f, part in parts), nothing))
    return CountRewards(cells.counts, cells.dense(paid), baseline, others)


def _check_asked(estimator: str, baseline: str | None) -> None:
    """Refuse an estimator or a baseline that there is not; warn of one that plays another game."""
    if estimator not in ESTIMATORS:
        raise InvalidObjective(
            f"estimator is {estimator!r}; choose one of {', '.join(ESTIMATORS)}."
        )
    if baseline not in ADVANTAGES:
        raise InvalidObjective(f"baseline is {baseline!r}; choose one of {ADVANTAGES}.")
    if baseline == "std":
        warnings.warn(
            "dividing by the group's standard deviation changes the game: any group with two "
            "answers gets the same advantages from every monotone reward; take "
            "baseline='leave_two_out'.",
            stacklevel=3,
        )


# -- the ways ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Answer:
    """own(others, of) pays a sample that `others` of `of` other samples agree with."""

    own: Own

    def paid(self, cells: Cells, others: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.where(of > 0, self.own(others, np.maximum(of, 1)), 0.0)

    def mean_of_others(self, cells: Cells) -> np.ndarray:
        """Mean over the other samples j of what j is paid without i, at each cell of i."""
        of = np.maximum(cells.size - 2, 0)
        apart = self.paid(cells, np.minimum(cells.count - 1, of), of)
        same = self.paid(cells, np.maximum(cells.count - 2, 0), of)
        total = cells.per_group(cells.count * apart) - cells.count * apart
        total = total + (cells.count - 1) * same
        return total / np.maximum(cells.size - 1, 1)


@dataclass(frozen=True, eq=False)
class _Constant(_Answer):
    """Paid the same for all counts of the others, also in a group of one."""

    def paid(self, cells: Cells, others: np.ndarray, of: np.ndarray) -> np.ndarray:
        return self.own(others, of)


@dataclass(frozen=True, eq=False)
class _Success:
    """Successes (C,) in {0, 1} are paid table(other successes); failures 0."""

    table: Own
    success: np.ndarray

    def _of(self, others: np.ndarray, of: np.ndarray) -> np.ndarray:
        inside = np.clip(others, 0, of)
        return np.where(of > 0, self.table(inside, np.maximum(of, 1)), 0.0)

    def paid(self, cells: Cells, others: np.ndarray, of: np.ndarray) -> np.ndarray:
        total = cells.per_group(cells.count * self.success)
        return self.success * self._of((total - 1).astype(int), of)

    def mean_of_others(self, cells: Cells) -> np.ndarray:
        left = (cells.per_group(cells.count * self.success) - self.success).astype(int)
        paid = left * self._of(left - 1, np.maximum(cells.size - 2, 0))
        return paid / np.maximum(cells.size - 1, 1)


@dataclass(frozen=True, eq=False)
class _Row:
    """The reward at the group's marginal without the sample, `estimator` saying what is added."""

    objective: Objective
    estimator: str
    chunk: int = 2_000_000

    def paid(self, cells: Cells, others: np.ndarray, of: np.ndarray) -> np.ndarray:
        out = np.empty(len(cells.b))
        step = max(1, self.chunk // (cells.counts.shape[1] * cells.counts.shape[2]))
        for start in range(0, len(out), step):
            part = slice(start, start + step)
            b, x, z = cells.b[part], cells.x[part], cells.z[part]
            nu, rows = self._marginals(cells.counts[b], x, z), np.arange(len(b))
            u = of_games(self.objective, b).reward_log(log(nu), cells.weights[b])
            out[part] = u[rows, x, z]
        return np.where(cells.size > 1, out, 0.0)

    def _marginals(self, counts: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """One table (C, m, n) per cell."""
        whole = BY_NAME[self.estimator].whole
        assert whole is not None
        seen = counts.sum(1, keepdims=True) > 0
        tables = whole(counts.astype(float), (np.arange(len(counts)), x, z), seen)
        return tables / tables.sum(-1, keepdims=True)

    def mean_of_others(self, cells: Cells) -> np.ndarray:
        raise InvalidObjective(
            f"{self.objective!r} is estimated from whole marginals, for which there is no "
            "leave-two-out baseline; take baseline='leave_one_out', 'group_mean' or None."
        )


Part = _Answer | _Success | _Row


def _parts(
    objective: Objective, cells: Cells, estimator: str, multipliers: Any
) -> tuple[Part, ...]:
    if objective.on_traces:
        raise InvalidObjective(f"{objective!r} acts on traces, of which no two samples agree.")
    if objective.between_contexts and cells.counts.shape[1] == 1:
        return (_Constant(lambda others, of: np.zeros(len(others))),)
    table = _constant_table(objective, cells, multipliers)
    if table is not None:
        paid = np.broadcast_to(table, cells.counts.shape)[cells.b, cells.x, cells.z]
        return (_Constant(lambda others, of: paid),)
    form = objective.counted_form()
    if form is None:
        return _from_marginals(objective, cells, estimator)
    if form.success is None:
        return (_Answer(_table_lookup(objective, estimator)),)
    table = np.broadcast_to(np.asarray(form.success), cells.counts.shape)
    success = table[cells.b, cells.x, cells.z]
    if np.isin(success, (0.0, 1.0)).all():
        return (_Success(_table_lookup(objective, estimator), success),)
    return _from_marginals(objective, cells, estimator)


def _constant_table(objective: Objective, cells: Cells, multipliers: Any) -> np.ndarray | None:
    """The rewards of an objective that pays the same at all marginals."""
    if objective.has_multipliers and multipliers is not None:
        shape = cells.counts.shape
        y = numbers(multipliers, "multipliers")
        here = np.zeros(shape)
        form = objective.dual_form(here, cells.weights)
        rows = y.shape[-1:] if form is None else (form.rows.shape[-3],)
        if y.shape not in (rows, (shape[0], *rows)) or not np.isfinite(y).all():
            raise InvalidObjective(
                f"multipliers have shape {y.shape} or are not finite; give {rows} for {objective!r}."
            )
        y = np.broadcast_to(y, (shape[0], y.shape[-1]))
        return objective.reply.linearise(here, cells.weights, like(y, here))[1]
    form = objective.exponential_form()
    if form is None or form.entropy != 0 or form.coupling is not None:
        return None
    return np.asarray(form.reward, float)


def _table_lookup(objective: Objective, estimator: str) -> Own:
    def own(others: np.ndarray, of: np.ndarray) -> np.ndarray:
        out = np.empty(len(others))
        for size in np.unique(of).tolist():
            rows = of == size
            table = lookup_table(objective, size + 1, estimator, None)
            out[rows] = table.entries[others[rows]]
        return out

    return own


@lru_cache(maxsize=256)
def _split(objective: Objective) -> tuple[Objective, Objective] | None:
    return objective.separated()


def _from_marginals(objective: Objective, cells: Cells, estimator: str) -> tuple[Part, ...]:
    if objective.hard:
        raise InvalidObjective(
            f"{objective!r} is a hard set: its rewards are the target's multipliers, which samples "
            "do not tell; give multipliers=, or use a soft objective."
        )
    split = _split(objective)
    if split is not None and estimator in ("auto", *TABLES_ONLY):
        own, rest = split
        table = _Answer(_table_lookup(own, estimator))
        return table, _Answer(_columns(rest, cells, "krichevsky_trofimov"))
    if estimator == "auto":
        estimator = "u_statistic" if _is_affine(objective) else "krichevsky_trofimov"
    _check_estimates(BY_NAME[estimator], objective)
    if objective.answerwise:
        return (_Answer(_columns(objective, cells, estimator)),)
    return (_Row(objective, estimator),)


def _is_affine(objective: Objective) -> bool:
    return objective.answerwise and objective.affine


def _check_estimates(method: Method, objective: Objective) -> None:
    """Raise where a method cannot estimate the rewards of marginals of this objective."""
    if method.affine and not _is_affine(objective):
        raise InvalidObjective(
            f"the reward of {objective!r} is not affine in the marginals, where alone {method.name!r} "
            "is exact; take 'krichevsky_trofimov' or 'auto'."
        )
    if method.share is None:
        raise NotSeparable(
            f"{method.name!r} makes tables over counts of one answer, which {objective!r} has not; "
            "take 'krichevsky_trofimov', 'leave_one_out', 'plug_in' or 'auto'."
        )
    if method.whole is None and not objective.answerwise:
        raise NotSeparable(
            f"{method.name!r} estimates single answers, but {objective!r} needs whole marginals; take "
            "'krichevsky_trofimov', 'leave_one_out', 'plug_in' or 'auto'."
        )


def _columns(objective: Objective, cells: Cells, estimator: str) -> Own:
    """The reward at the column (nu_x'(z))_x', the sample's own context without it."""
    b, x = cells.b, cells.x
    counts = cells.counts[b, :, cells.z].astype(float)
    weights, rows = cells.weights[b], np.arange(len(b))
    sizes, share = cells.counts.sum(-1)[b], BY_NAME[estimator].share
    assert share is not None
    if objective.common_support:
        counts = np.maximum(counts, 0.5)
    shares = counts / sizes

    def own(others: np.ndarray, of: np.ndarray) -> np.ndarray:
        column = shares.copy()
        column[rows, x] = share(others, of)
        return objective.reward_log(log(column[..., None]), weights)[rows, x, 0]

    return own
