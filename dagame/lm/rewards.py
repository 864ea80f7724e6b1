"""Rewards of a batch of completions from their class, context and answer: what every trainer plugs in.

Rules for the special cases of real batches:

* **No answer** (key None, or -1 among integers) is an answer of its own in the marginals. `no_answer=`
  "lowest" (default): it is never a consensus; its reward is at most the least reward of an answer in
  its group, and a group without answers pays 0. The rule is no gradient of Phi, so exactness is claimed
  for "keep" only, where it is an answer like any other; under "leave_two_out" the groups that it
  concerns are centred by the mean of the others. "drop": such completions leave the counts and
  are unscorable (reward NaN, advantage 0).
* **A group of one sample** says nothing about itself: what is estimated from own counts is paid 0.
* **A unanimous group** pays all its samples alike: advantages 0 under every centring (under
  "leave_two_out" a constant, without which its update would not be exact).
* **A class with a missing context** is played among the contexts present, their weights divided by
  their sum. A class with one context present has nothing to agree with: terms that only compare contexts
  pay exactly 0, by every estimator.
* **Answers unseen in a context**: the own count is smoothed by the estimator; other contexts enter by
  their plain shares, floored at half a count where an objective needs common support (pairwise KL), and
  whole marginals (geometric coherence) add c to every answer that the class gave.
* **Ties** among modes (`MajorityVote`) go to the answer that sorts first.

Rows may come in any order, groups and classes may be uneven.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from ..estimators.counts import ESTIMATORS, CountRewards, count_rewards
from ..estimators.kl import less_the_others
from ..numerics.arrays import log
from ..numerics.simplex import log_entropy, log_kl
from ..objectives import HardConstraint, Objective, Parity, SoftConstraint
from ..samples.equilibria import ObjectiveOf
from ..samples.metrics import agreement
from ..samples.partition import Bucket, Partition
from .rows import Batch, PlayedClasses, answer_places, read_batch

NO_ANSWER_RULES = ("lowest", "keep", "drop")
ZERO_SIGNAL = ("single", "no_answer", "unanimous", "one_context", "equal")
"""Why a group has no signal: one sample; no answers; one answer; no other context; equal rewards."""


@dataclass(frozen=True, eq=False)
class ClassTables:
    """Classes of one shape: bucket (sizes, counts, answers), plug-in marginals, target and metrics.

    marginals (B, m, n); value Phi, divergence sum_x w_x KL(nu_x || mean),
    entropy (mean over contexts, nats; plug-ins), agreement (NaN for one context), each (B,);
    zero_signal (B, m) with 0 for a signal, else 1 + the index in `ZERO_SIGNAL`.
    """

    bucket: Bucket
    paid: CountRewards
    marginals: np.ndarray
    value: np.ndarray
    divergence: np.ndarray
    entropy: np.ndarray
    agreement: np.ndarray
    zero_signal: np.ndarray


@dataclass(frozen=True, eq=False)
class GroupRewards:
    """Rewards and advantages (N,) in the order of the rows; tables of the classes; means over them.

    `rewards` are finite, NaN where a completion is unscorable ("drop"). They are corrected for the
    baseline, so that a term of one's own that depends on its own completion only (a KL, a length
    penalty) must be multiplied by `scale` before it is added. `violation` (r,): mean over classes of
    G nu - h where multipliers were given.
    """

    rewards: np.ndarray
    advantages: np.ndarray
    partition: Partition
    classes: list[ClassTables]
    diagnostics: dict[str, float]
    scale: np.ndarray | float = 1.0
    violation: np.ndarray | None = None


def group_rewards(
    class_ids: Any,
    context_ids: Any,
    answer_keys: Any,
    objective: ObjectiveOf,
    estimator: str = "auto",
    *,
    baseline: str | None = "auto",
    no_answer: str = "lowest",
    weights: Any = None,
    correct: Any = None,
    vocabulary: Sequence[Any] | None = None,
    multipliers: Any = None,
) -> GroupRewards:
    """Pay N completions by the game of their class (docs/theory/policy-gradient.md#no-answer).

    Args:
        class_ids, context_ids: (N,) integers or strings: the question, and the context in it.
        answer_keys: (N,) canonical answers: strings with None, or integers with -1, for no answer.
        objective: Phi, or a function of a `Bucket` of classes that returns one with tables (B, 1, n).
        estimator, baseline: see `dagame.estimators.count_rewards`; name the centring that the trainer
            does ("group_mean" for GRPO engines), and the rewards are corrected for it.
        no_answer: "lowest", "keep" or "drop"; see the module.
        weights: of the distinct contexts of the batch in sorted order, divided by their sum in each class;
            default uniform.
        correct: (N,) correctness in [0, 1], NaN where unknown, for objectives that read `bucket.correct`.
        vocabulary: answer keys that are the columns of the objective's tables and sets, None among
            them if completions may lack an answer; default: the answers of each class, sorted.
        multipliers: (r,) of the hard sets in the objective; see `HardConstraint.ascent`.

    Raises:
        InvalidGame: lengths differ, labels of other types, a class or context missing, correctness
            outside [0, 1], a key is outside the vocabulary, weights do not fit.
        InvalidObjective: the estimator or the baseline cannot serve the objective.
    """
    check_payment(objective, estimator, no_answer, vocabulary)
    batch = read_batch(
        class_ids,
        context_ids,
        answer_keys,
        objective,
        no_answer=no_answer,
        weights=weights,
        correct=correct,
        vocabulary=vocabulary,
    )
    return batch_rewards(
        batch, estimator, baseline=baseline, no_answer=no_answer, multipliers=multipliers
    )


def batch_rewards(
    batch: Batch, estimator: str, *, baseline: str | None, no_answer: str, multipliers: Any = None
) -> GroupRewards:
    """Pay a batch that was read; see `group_rewards`."""
    partition = batch.partition
    how = (estimator, baseline, no_answer, multipliers)
    tables = [_class_tables(classes, *how) for classes in batch.classes]
    rewards = partition.lookup([t.paid.rewards for t in tables])
    advantages = np.nan_to_num(partition.lookup([t.paid.advantages for t in tables]), nan=0.0)
    told = _diagnostics(partition, tables, rewards)
    scale = _scale(partition, tables) if baseline == "group_mean" else 1.0
    violation = None if multipliers is None else batch.slack()
    return GroupRewards(rewards, advantages, partition, tables, told, scale, violation)


def _scale(partition: Partition, tables: list[ClassTables]) -> np.ndarray:
    """What a completion's own term is multiplied by under the group's mean (N,)."""
    counts = [t.bucket.counts for t in tables]
    full = [less_the_others(0 * c + 1, 0.0, c.sum(-1, keepdims=True)) for c in counts]
    return np.nan_to_num(partition.lookup(full), nan=1.0)


def _class_tables(
    classes: PlayedClasses, estimator: str, baseline: str | None, no_answer: str, multipliers: Any
) -> ClassTables:
    bucket, w, made = classes.own, classes.weights, classes.objective
    how = {"baseline": baseline, "weights": w, "multipliers": multipliers}
    paid = count_rewards(classes.played.counts, made, estimator, **how)
    if classes.columns is not None:
        paid = _back(paid, bucket, classes.columns)
    if no_answer == "lowest":
        paid = _never_consensus(paid, bucket.no_answer)
    nu = bucket.reference
    mean = (w[..., None] * nu).sum(-2, keepdims=True)
    return ClassTables(
        *(bucket, paid, nu),
        value=np.asarray(made.value(classes.played.reference, w)),
        divergence=(w * log_kl(log(nu), log(mean))).sum(-1),
        entropy=log_entropy(log(nu)).mean(-1),
        agreement=agreement(nu),
        zero_signal=_zero_signal(paid, bucket),
    )


def check_payment(
    objective: Any, estimator: Any, no_answer: Any, vocabulary: Sequence[Any] | None
) -> None:
    """Raise `InvalidObjective` or `InvalidGame` where no batch could be paid like that."""
    if not isinstance(objective, Objective) and not callable(objective):
        raise InvalidObjective(
            f"objective is a {type(objective).__name__}; give a dagame Objective or a function of a "
            "Bucket that returns one."
        )
    choices = {"estimator": (estimator, ESTIMATORS), "no_answer": (no_answer, NO_ANSWER_RULES)}
    for name, (value, known) in choices.items():
        if value not in known:
            raise InvalidObjective(f"{name} is {value!r}; choose one of {', '.join(known)}.")
    terms = [term for _, term in objective.terms()] if isinstance(objective, Objective) else []
    _require_no_hard_set(terms)
    if vocabulary is None:
        _require_no_columns(terms)
    else:
        answer_places(vocabulary)


def _require_no_hard_set(terms: Sequence[Any]) -> None:
    """Raise `InvalidObjective` for one whose multipliers are not learned."""
    for term in terms:
        if term.hard and not isinstance(term, HardConstraint):
            raise InvalidObjective(
                f"{term!r} is a hard set: its rewards are multipliers, which samples do not tell; take the "
                "soft objective with a larger strength."
            )


def _require_no_columns(terms: Sequence[Any]) -> None:
    """Raise `InvalidObjective` where tables or sets number answers that nothing names."""
    for term in terms:
        sets = term.set.parts() if isinstance(term, HardConstraint | SoftConstraint) else ()
        if term.tables or any(not isinstance(s, Parity) for s in sets):
            raise InvalidObjective(
                f"{term!r} numbers its answers; name them by vocabulary=, or give a function of the "
                "batch that makes it from bucket.correct."
            )


def _back(paid: CountRewards, bucket: Bucket, columns: np.ndarray) -> CountRewards:
    seen = bucket.counts > 0

    def local(table: np.ndarray | None) -> np.ndarray | None:
        if table is None:
            return None
        picked = np.take_along_axis(table, columns[:, None, :], -1)
        return np.where(seen, picked, 0.0)

    return CountRewards(
        bucket.counts,
        local(paid.rewards),  # type: ignore[arg-type]
        paid.baseline,
        local(paid.expected_by_others),
    )


# -- rules and what they leave --------------------------------------------------------------------


def _never_consensus(paid: CountRewards, no_answer: np.ndarray) -> CountRewards:
    """No answer is paid at most the least of its group's answers; 0 in a group without answers."""
    if not no_answer.any():
        return paid
    none = no_answer[:, None, :] & (paid.counts > 0)
    answered = (paid.counts > 0) & ~none
    least = np.where(answered, paid.rewards, np.inf).min(-1, keepdims=True)
    silent = ~answered.any(-1, keepdims=True)
    capped = np.where(none, np.minimum(paid.rewards, least), paid.rewards)
    capped = np.where(silent, 0.0, capped)
    others = paid.expected_by_others
    if others is not None:
        size = paid.counts.sum(-1, keepdims=True)
        rest = (paid.counts * capped).sum(-1, keepdims=True) - capped
        touched = none.any(-1, keepdims=True)
        others = np.where(touched, rest / np.maximum(size - 1, 1), others)
    return dataclasses.replace(paid, rewards=capped, expected_by_others=others)


def _zero_signal(paid: CountRewards, bucket: Bucket) -> np.ndarray:
    seen = paid.counts > 0
    signal = paid.advantages if paid.baseline is not None else paid.rewards - paid.mean
    flat = np.abs(np.where(seen, signal, 0.0)).max(-1) <= 1e-12
    answers = seen.sum(-1)
    silent = (seen & ~bucket.no_answer[:, None, :]).sum(-1) == 0
    alone = np.full(flat.shape, seen.shape[1] == 1)
    reasons = [paid.counts.sum(-1) == 1, silent, answers == 1, alone]
    return np.where(flat, np.select(reasons, [1, 2, 3, 4], 5), 0)


def _diagnostics(
    partition: Partition, tables: list[ClassTables], rewards: np.ndarray
) -> dict[str, float]:
    def mean(name: str) -> float:
        values = np.concatenate([getattr(t, name) for t in tables]) if tables else np.zeros(0)
        finite = values[np.isfinite(values)]
        return float(finite.mean()) if finite.size else float("nan")

    names = ("value", "divergence", "entropy", "agreement")
    out = {name: mean(name) for name in names}
    index = np.append(partition.no_answer_index, -1)[partition.row_class]
    out["no_answer"] = float(((partition.row_answer == index) | ~partition.counted).mean())
    out["unscorable"] = float(np.isnan(rewards).mean())
    full = partition.contexts_per_class
    out["incomplete_classes"] = float((full < full.max(initial=0)).mean()) if len(full) else 0.0
    codes = np.concatenate([t.zero_signal.ravel() for t in tables]) if tables else np.zeros(0)
    out["zero_signal"] = float((codes > 0).mean()) if codes.size else 0.0
    for k, name in enumerate(ZERO_SIGNAL, start=1):
        out[f"zero_signal_{name}"] = float((codes == k).mean()) if codes.size else 0.0
    return out
