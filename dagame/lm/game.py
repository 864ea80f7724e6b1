"""The game of language models: what every trainer asks for the rewards of its completions.

    completions -> classes, contexts, answers -> the target's multipliers -> rewards, KL paid, metrics

TRL and verl bring completions in their own form and carry the rewards away; `trainers.trl.reward` and
`trainers.verl.advantages` only translate. Nothing here knows a trainer, a model or a process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidGame, InvalidObjective, NotConcave, SamplesError
from ..estimators.kl import kl_weight, less_the_others
from ..games.play import DistributionalGame
from ..objectives import Objective
from ..objectives.own.checked import checked_terms
from ..objectives.parameters import bound_to
from ..samples.partition import Partition
from .rewards import GroupRewards, batch_rewards
from .rows import UNEQUAL_ROWS, Batch, read_batch
from .spec import GameSpec, check_count


@dataclass(frozen=True, eq=False)
class Completions:
    """N completions of a batch, whole classes in any order: what is seen of a policy.

    class_ids, context_ids (N,); answers: N keys, None for no answer; correct (N,), NaN where unknown;
    log_ratio (N,): log(pi/pi0) of whole completions in nats, None where the loss has the KL.
    """

    class_ids: Any
    context_ids: Any
    answers: Sequence[str | None]
    correct: np.ndarray
    log_ratio: np.ndarray | None = None

    @property
    def labelled(self) -> bool:
        """Whether the correctness of any completion is known."""
        return bool(np.isfinite(self.correct).any())

    def as_columns(self) -> dict[str, Any]:
        """The columns that `certificate_from_samples` reads, with log pi0 counted as 0."""
        assert self.log_ratio is not None
        columns = {"class_id": self.class_ids, "member_id": self.context_ids}
        columns |= {"answer": list(self.answers), "log_policy": self.log_ratio}
        if self.labelled:
            columns["correct"] = [x if math.isfinite(x) else None for x in self.correct]
        return columns | {"log_reference": 0 * self.log_ratio}


@dataclass(frozen=True, eq=False)
class Observed:
    """A batch of completions and the marginals of its classes."""

    completions: Completions
    batch: Batch


@dataclass(frozen=True, eq=False)
class Paid:
    """What completions are paid (N,), the KL included where it is in the reward; metrics by name.

    rewards: for a trainer that subtracts its own baseline, the game's, NaN where unscorable;
    advantages: for one that subtracts nothing, 0 where unscorable.
    """

    rewards: np.ndarray
    advantages: np.ndarray
    metrics: dict[str, float]


class LMGame(DistributionalGame):
    """Policies are `Completions`, drawn anew after every step (docs/theory/policy-gradient.md#the-gradient).

    The expected update along `Paid.advantages`, or along `Paid.rewards` under the game's baseline, is
    the gradient of J per context, up to the bias of the estimator, for kl="reward".

    Args:
        spec: what is played.
        gap_every: rounds between two estimates of the gap, which solve the games of the batch; None: never.
        check: whether an objective from outside the package is asked, at the first batch, if its
            `reward` belongs to its `value`.
        trainer: the policy's step, (completions, paid, size) -> completions of the policy after it;
            None where a trainer makes its own rounds and calls `dagame.games.play.pay`.

    `multipliers` (r,) of a hard set and the number of `rounds` are the state of the game: one vector for
    all classes, so that the constraint holds for the average of their marginals.

    Raises:
        InvalidObjective: of a batch: the objective's own check fails, or it has none that can be paid.
    """

    def __init__(
        self,
        spec: GameSpec,
        *,
        gap_every: int | None = None,
        check: bool = True,
        trainer: Callable[[Completions, Paid, Any], Completions] | None = None,
    ) -> None:
        """See the class."""
        if gap_every is not None:
            check_count("gap_every", gap_every, 1)
        self.spec, self.gap_every, self.trainer = spec, gap_every, trainer
        self.multipliers: np.ndarray | None = None
        self.rounds = 0
        self.check = self._unchecked = check

    # -- the four moves ---------------------------------------------------------------------------

    def marginals(self, policy: Completions) -> Observed:
        """The completions' classes with their counts; an answer outside the vocabulary is none."""
        spec, answers = self.spec, policy.answers
        if spec.columns is not None:
            answers = [key if key in spec.columns else None for key in answers]
        batch = read_batch(
            policy.class_ids,
            policy.context_ids,
            answers,
            spec.objective,
            no_answer=spec.no_answer,
            correct=policy.correct if policy.labelled else None,
            vocabulary=spec.columns,
        )
        if self._unchecked:
            _check_own(batch, spec.columns is None and isinstance(spec.objective, Objective))
            self._unchecked = False
        return Observed(policy, batch)

    def target_reply(self, marginals: Observed) -> np.ndarray | None:
        """Return the multipliers (r,) of before this batch, then move them; None without a hard set.

        So the multipliers that pay a batch do not depend on it. The move is a step of dual ascent at a
        rate that falls like 1/sqrt(rounds).
        """
        hard = self.spec.hard
        if hard is None:
            return None
        slack = marginals.batch.slack()
        assert slack is not None
        reply = np.zeros(slack.shape) if self.multipliers is None else self.multipliers
        if reply.shape != slack.shape:
            raise InvalidGame(UNEQUAL_ROWS)
        rate = self.spec.multiplier_rate / math.sqrt(self.rounds + 1)
        self.multipliers = hard.ascent(reply, slack, *self._size(marginals.batch), rate)
        return reply

    def rewards(self, marginals: Observed, target: np.ndarray | None) -> Paid:
        """What each completion is paid, and what the round was like."""
        spec, policy = self.spec, marginals.completions
        out = batch_rewards(
            marginals.batch,
            spec.estimator,
            baseline=spec.baseline,
            no_answer=spec.no_answer,
            multipliers=target,
        )
        rewards, advantages = np.asarray(out.rewards, dtype=float), out.advantages
        metrics = dict(out.diagnostics) | self._constraint(marginals.batch, out)
        if policy.labelled:
            metrics["accuracy"] = float(np.nanmean(policy.correct))
        if spec.kl == "reward":
            own, centred = _kl_costs(policy, out.partition, spec.baseline)
            rewards, advantages = rewards - spec.beta * own, advantages - spec.beta * centred
            metrics |= {"kl": float(np.mean(policy.log_ratio))} | self._gap(policy)  # type: ignore[arg-type]
        self.rounds += 1
        known = {k: float(v) for k, v in metrics.items() if math.isfinite(v)}
        return Paid(rewards, advantages, known)

    def policy_step(self, policy: Completions, rewards: Paid, step: Any) -> Completions:
        """The trainer's."""
        if self.trainer is None:
            raise InvalidGame("the trainer takes the policy's steps; to play here, give trainer=.")
        return self.trainer(policy, rewards, step)

    # -- state and metrics ------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, in plain numbers."""
        values = None if self.multipliers is None else self.multipliers.tolist()
        return {"calls": self.rounds, "multipliers": values}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        values = state["multipliers"]
        self.rounds = int(state["calls"])
        self.multipliers = None if values is None else np.array(values, dtype=float)

    def _size(self, batch: Batch) -> tuple[int, int]:
        """Contexts and answers of the hard set's rows."""
        return batch.classes[0].played.counts.shape[1:]

    def _constraint(self, batch: Batch, out: GroupRewards) -> dict[str, float]:
        """How far the batch is off the hard set, and the largest multiplier after it."""
        hard, slack = self.spec.hard, out.violation
        if hard is None or slack is None or self.multipliers is None:
            return {}
        m, n = self._size(batch)
        equal = hard.set.rows(m, n, np.full(m, 1 / m)).equal
        return {
            "violation": float(np.max(np.where(equal, np.abs(slack), slack))),
            "multiplier_max": float(np.max(np.abs(self.multipliers))),
        }

    def _gap(self, policy: Completions) -> dict[str, float]:
        """The certificate's estimate from the batch itself, where there is one for the objective."""
        from .certificates.from_samples import certificate_from_samples

        spec = self.spec
        if self.gap_every is None or self.rounds % self.gap_every:
            return {}
        if spec.vocabulary is not None or spec.group_size < 4:
            return {}
        game = (spec.objective, spec.beta)
        known = "correct" if policy.labelled else None
        try:
            found = certificate_from_samples(
                policy.as_columns(), None, *game, correct=known, seed=self.rounds
            )
        except (NotConcave, InvalidGame, SamplesError):
            return {}
        except InvalidObjective:  # what check=False lets play has no gap
            if self.check:
                raise
            return {}
        return {"gap_estimate": found.gap}


def _kl_costs(
    policy: Completions, partition: Partition, baseline: str
) -> tuple[np.ndarray, np.ndarray]:
    """log(pi/pi0) as a trainer with that baseline must be charged it, and less the group's others.

    Groups are the counted completions of a context; one that left the counts is charged nothing.
    """
    if policy.log_ratio is None:
        raise InvalidGame("kl='reward' pays log(pi/pi0), but the completions have none.")
    cost, counted = kl_weight(policy.log_ratio, "reward"), partition.counted
    width = int(partition.contexts_per_class.max(initial=1))
    group = np.where(counted, partition.row_class * width + partition.row_context, 0)
    size = np.bincount(group, weights=counted, minlength=1)[group]
    total = np.bincount(group, weights=cost * counted, minlength=1)[group]
    own = less_the_others(cost, 0.0, size) if baseline == "group_mean" else cost
    return own, np.where(counted, less_the_others(cost, total, size), 0.0)


def _check_own(batch: Batch, free: bool) -> None:
    """Ask the objectives from outside the package (`InvalidObjective`).

    The marginals asked at are all positive, and on four answers at least where the objective is `free` of
    their number (a bucket has two or more), so that nothing depends on the first batch.
    """
    for classes in batch.classes:
        made, (*lead, n) = classes.objective, classes.played.counts.shape
        if not isinstance(made, Objective) or not any(part.own for _, part in made.terms()):
            continue
        if free and not any(part.tables for _, part in made.terms()):
            n = max(n, 4)
        log_nu0 = np.full((*lead, n), -math.log(n))
        checked_terms(made, bound_to(made, log_nu0), log_nu0, classes.weights)
