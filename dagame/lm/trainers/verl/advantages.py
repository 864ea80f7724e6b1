"""Games in verl (experimental): token-level advantages from a batch of trajectories.

Everything here is a function of plain arrays and dictionaries. `dagame.lm.trainers.verl.plugin` puts it into
verl's synchronous trainer: a reward manager that stores each trajectory's answer, and the trainer's
advantages replaced by those of the game. `dagame.lm.trainers.verl.settings` says which settings play it.

Experimental: written for verl 0.9.1. The plug-in was run there on verl's data queue with answers and
log-probabilities from outside; no model was trained with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import InvalidGame, SelfCheckFailed
from ....games.play import pay
from ....objectives.names import LABELLED
from ....samples.keys.reader import AnswerReader
from ...answers import judged
from ...game import Completions, LMGame
from ...rewards import group_rewards
from ...schedules import CLASS, MEMBER, SIZE, ScheduleError
from .settings import check_settings, game_section, setting

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Rows of one batch, in any order, as verl's queue holds them.

    keys: "{prompt}_{sample}_{output}" of each row; the last output of a sample holds its answer.
    class_id, member_id, class_size: (N,) of the prompts. answers: N keys, None for no answer.
    correct: (N,), NaN where unknown. mask: (N, T), 1 on tokens that the policy wrote. padding: (N,)
    True on rows that only fill the batch up. log_ratio: (N, T) log pi/pi0 in nats, or None.
    """

    keys: Sequence[str]
    class_id: np.ndarray
    member_id: np.ndarray
    class_size: np.ndarray
    answers: Sequence[str | None]
    correct: np.ndarray
    mask: np.ndarray
    padding: np.ndarray
    log_ratio: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class VerlGame:
    """The game that a verl configuration plays, on batches of so many prompts."""

    game: LMGame
    prompts: int

    def advantages(self, rows: Trajectories) -> tuple[np.ndarray, dict[str, float]]:
        """Token-level advantages (N, T) of the game's policy gradient, and metrics.

        Formula and proof: docs/theory/policy-gradient.md#the-gradient.

        Sample i of context x with answer z has A_i = u_x(z) - b_i on each of its tokens, u and the
        baseline b as in `group_rewards`. With kl="reward" it has -beta (s_i - mean of s over the
        other samples of its prompt) besides, s_i = log pi/pi0 of its tokens. Samples that are
        unscorable and rows of padding have 0.

        Raises:
            ScheduleError: the batch does not hold whole classes.
            InvalidGame: log-probabilities are missing or not finite.
        """
        sample, last = _samples(rows)
        names = [rows.keys[int(i)].rsplit("_", 2)[0] for i in last]
        first = np.unique(names, return_index=True)[1]
        contexts = np.stack([rows.class_id, rows.member_id, rows.class_size], axis=1)[last]
        check_prompts(contexts[first], self.prompts)
        ratio = _log_ratio(rows, sample, len(last)) if self.game.spec.kl == "reward" else None
        answers = [rows.answers[int(i)] for i in last]
        seen = Completions(contexts[:, 0], contexts[:, 1], answers, rows.correct[last], ratio)
        paid = pay(self.game, seen)
        return np.append(paid.advantages, 0.0)[sample][:, None] * rows.mask, paid.metrics


def verl_game(config: Mapping[str, Any]) -> VerlGame:
    """The game of a whole verl configuration, given as plain dictionaries.

    Raises:
        SettingsError: settings that break the game, each with the value to set instead.
        ConfigError, InvalidObjective, ExtractionError: the section `dagame`.
    """
    section = game_section(config)
    kl, beta = check_settings(config)
    size = setting(config, "actor_rollout_ref.rollout.n")
    spec = section.spec(kl=kl, beta=beta, group_size=size)
    k = 4
    group_rewards(  # raises now what objective, estimator and baseline cannot do together
        [0] * 2 * k,
        [0] * k + [1] * k,
        ["a", "b"] * k,
        spec.objective,
        spec.estimator,
        baseline=spec.baseline,
        no_answer=spec.no_answer,
        correct=[1.0, 0.0] * k if section.objective.name in LABELLED else None,
    )
    return VerlGame(LMGame(spec), setting(config, "data.train_batch_size"))


def read_answer(
    reader: AnswerReader, text: str, truth: Any, aliases: Any, truncated: bool = False
) -> dict[str, Any]:
    """What verl keeps of one completion: "pred", its answer's key, and "acc", None if unlabelled.

    A `truncated` one has no answer.
    """
    (key,), (right,) = judged(reader, [text], [truncated], [truth], [aliases])
    return {"pred": key, "acc": None if math.isnan(right) else right}


def verl_rows(
    scheduled: Dataset, *, answer_column: str = "answer", alias_column: str = "aliases"
) -> Dataset:
    """The rows of `schedule` in verl's columns, to be written with `.to_parquet(path)`.

    `data.train_batch_size` must be classes_per_step * contexts, the rows of one chunk.
    """

    def row(old: dict[str, Any], index: int) -> dict[str, Any]:
        prompt = old["prompt"]
        chat = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        return {
            "prompt": chat,
            "data_source": "dagame",
            "reward_model": {"style": "rule", "ground_truth": old.get(answer_column)},
            "extra_info": {"index": index, "aliases": old.get(alias_column)},
        } | {name: old[name] for name in (CLASS, MEMBER, SIZE)}

    return scheduled.map(row, with_indices=True, remove_columns=scheduled.column_names)


def check_prompts(contexts: np.ndarray, expected: int) -> None:
    """Raise `ScheduleError` unless prompts (P, 3) of class, context and size are whole classes.

    A class may lack no more contexts than there are prompts of `expected` without any completion,
    as happens where a rollout fails.
    """
    if len(np.unique(contexts[:, :2], axis=0)) < len(contexts):
        raise ScheduleError(
            "a context is in the batch twice; use dagame.lm.schedule and let data.train_batch_size "
            "be classes_per_step * contexts."
        )
    _, first, held = np.unique(contexts[:, 0], return_index=True, return_counts=True)
    lacking = int((contexts[first, 2] - held).sum())
    failed = max(expected - len(contexts), 0)
    if lacking > failed:
        raise ScheduleError(
            f"classes in this batch lack {lacking} contexts, but only {failed} rollouts failed; use "
            "dagame.lm.schedule, data.shuffle=False, and data.train_batch_size = classes_per_step * "
            "contexts."
        )


ROUNDING = 0.1
"""Mean difference of a token's log-probability, in nats, that two engines' rounding explains."""


def check_first_batch(
    rows: Trajectories, policy: np.ndarray | None, rollout: np.ndarray | None, fresh: bool
) -> None:
    """Raise `SelfCheckFailed` unless a batch's log-probabilities (N, T) are those of one model.

    Args:
        rows: the trajectories, with log pi/pi0.
        policy: log pi of each token by the engine that trains; None: unknown.
        rollout: the same by the engine that sampled; None: unknown.
        fresh: no update was made yet, and the reference is the model that is trained.
    """
    kept = (rows.mask != 0) & ~rows.padding[:, None]
    pairs = []
    if policy is not None and rollout is not None:
        what = "the engine that sampled and the one that trains give a token log-probabilities"
        pairs.append((what, policy - rollout))
    if fresh and rows.log_ratio is not None:
        what = "before any update the policy and its reference give a token log-probabilities"
        pairs.append((what, rows.log_ratio))
    for what, difference in pairs:
        apart = float(np.abs(difference[kept]).mean()) if kept.any() else 0.0
        if not apart <= ROUNDING:
            from ...models.selfcheck import versions

            raise SelfCheckFailed(
                f"self-check: {what} that differ by {apart:.2g} nats on average; found with "
                f"{versions()}, so look for sampling settings or weights that are not the same."
            )


# -- trajectories ---------------------------------------------------------------------------------


def _samples(rows: Trajectories) -> tuple[np.ndarray, np.ndarray]:
    """The sample of each row (N,), the number of samples for padding; the last row of each."""
    number: dict[str, int] = {}
    last: list[tuple[int, int]] = []
    sample = np.empty(len(rows.keys), dtype=int)
    for i in np.flatnonzero(~rows.padding).tolist():
        name, output = rows.keys[i].rsplit("_", 1)
        s = sample[i] = number.setdefault(name, len(number))
        entry = (int(output), i)
        if s == len(last):
            last.append(entry)
        last[s] = max(last[s], entry)
    sample[rows.padding] = len(last)
    return sample, np.array([i for _, i in last], dtype=int)


def _log_ratio(rows: Trajectories, sample: np.ndarray, samples: int) -> np.ndarray:
    """log pi/pi0 of each sample, the sum over the tokens of its rows."""
    if rows.log_ratio is None:
        raise InvalidGame(
            "the batch has no log-probabilities of the policy and the reference; set "
            "algorithm.use_kl_in_reward=True, so that verl computes them."
        )
    kept = (rows.mask != 0) & ~rows.padding[:, None]
    ratio = np.where(kept, rows.log_ratio, 0.0).sum(1)
    if not np.isfinite(ratio).all():
        bad = rows.keys[int(np.argmin(np.isfinite(ratio)))]
        raise InvalidGame(
            f"log pi/pi0 of completion {bad} is not finite; the policy or the reference has "
            "overflowed, so lower the learning rate or raise beta."
        )
    return np.bincount(sample, weights=ratio, minlength=samples + 1)[:samples]
