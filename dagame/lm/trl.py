"""Group rewards for TRL's GRPOTrainer: the target's reply, once per class, on every process alike.

    reward = GroupReward(Coherence(), beta=0.1, group_size=8, extract="gsm8k")
    trainer = GRPOTrainer(model, reward, args=grpo_config(...), train_dataset=schedule(...),
                          callbacks=[reward])

or all of it at once by `coherence_grpo`. Only the trainer's public interface is used: a synchronous
reward function that gathers rows over processes, and a callback with a state of its own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.trainer_callback import ExportableState, TrainerCallback

from ..errors import InvalidGame, NotConcave, SamplesError, ScheduleError, SettingsError
from ..objectives import HardConstraint, Objective
from ..samples.keys.reader import AnswerReader
from ._schedule import CLASS, MEMBER, SIZE, check_columns, check_whole_classes
from .answers import check_truncated, cut, judged
from .generation import end_tokens, prompt_ids
from .reference import frozen_copy, load_reference, sequence_log_probability
from .rewards import ObjectiveOf, check_payment, group_rewards
from .selfcheck_batches import require_batch, require_no_kl
from .settings import check_config, check_kl, check_sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class GroupReward(TrainerCallback, ExportableState):
    """r_i = u_x(z_i), u the reward table of the objective at the batch's own marginals (theory, 6).

    A reward function of TRL: give it as `reward_funcs` and also as a callback. Each call gathers
    (class, context, answer) rows from all processes, so that a class, and even the completions of
    one prompt, may be split over them; `group_rewards` is called once on the whole batch and every
    process returns its slice.

    Args:
        objective: an `Objective`, or a function of the batch for labelled ones (`group_rewards`).
        beta: the game's KL coefficient.
        estimator: of rewards from counts, see `group_rewards`.
        kl: "loss" (the trainer's KL) or "reward" (exact, -beta log(pi/pi0) of the whole completion
            is paid here and the loss has none), see `grpo_config`.
        group_size: K, completions per prompt.
        extract, canonical: of answers, see `AnswerReader`.
        no_answer: "lowest" | "keep" | "drop", see `group_rewards`; dropped rows are paid None.
        truncated: what a completion without an end token is: "no-answer", or "read" like any other.
        answer_column: correct answers, a string or a list of aliases, where the dataset has it.
        alias_column: lists of answers that count as one.
        vocabulary: answer keys that are the columns of the objective's tables and sets; one more
            column, the last, is no answer and takes every other answer.
        gap_every: calls between two estimates of the gap, which solve the games of the batch.
        multiplier_rate: of dual ascent on a `HardConstraint`'s multipliers: rate / sqrt(calls). One
            vector for all classes: the constraint holds for the average of their marginals.
        reference: pi0 for kl="reward": a model or what names one; None: the adapters switched off
            (peft), or the model as training begins.

    Logs value, agreement, entropy, divergence, no_answer, zero_signal, accuracy (given answers) and
    so on as game/<name>; with kl="reward" also game/kl and, every `gap_every` calls, game/gap_estimate:
    the certificate from the batch's own samples (`certificate_from_samples` without a reference),
    which is high where group_size is small beside the number of answers; `dagame.lm.certificate`
    draws enough for an interval.
    `answer`, and `log_ratio` of kl="reward", go to the trainer's completion log.

    Raises:
        SettingsError: at train begin, settings under which the trainer plays another game.
        SelfCheckFailed: at the first batch, sampler, scorer and tokenizer disagree, or the trainer's
            completions are not samples of its model (`dagame.lm.selfcheck`).
        ScheduleError: a batch that does not hold whole classes.
    """

    def __init__(
        self,
        objective: ObjectiveOf,
        *,
        beta: float,
        estimator: str = "auto",
        kl: str = "loss",
        group_size: int = 8,
        extract: str | Callable[[str], str | None] = "boxed",
        canonical: str = "auto",
        no_answer: str = "lowest",
        truncated: str = "no-answer",
        answer_column: str = "answer",
        alias_column: str = "aliases",
        vocabulary: Sequence[str] | None = None,
        multiplier_rate: float = 0.1,
        gap_every: int = 10,
        reference: PreTrainedModel | str | None = None,
        name: str = "group_reward",
    ) -> None:
        """See the class."""
        check_kl(beta, kl)
        names = None if vocabulary is None else [*vocabulary, None]
        check_payment(objective, estimator, no_answer, names)
        check_truncated(truncated)
        _check_numbers(group_size, gap_every, multiplier_rate)
        self.__name__ = name
        self.objective, self.beta, self.kl, self.estimator = objective, float(beta), kl, estimator
        self.group_size, self.no_answer, self.truncated = group_size, no_answer, truncated
        self.answer_column, self.alias_column = answer_column, alias_column
        self.vocabulary = None if names is None else names[:-1]
        self.read = AnswerReader(extract, canonical)
        self.reference, self.multiplier_rate = reference, multiplier_rate
        self.gap_every = gap_every
        self.multipliers: np.ndarray | None = None
        self.calls = 0
        self._hard = hard_set(objective)
        self._model: Any = None
        self._tokenizer: Any = None
        self._template: dict[str, Any] = {}
        self._dtype: torch.dtype | None = None
        self._limit: int | None = None
        self._warned = self._checked = False

    # -- reward function --------------------------------------------------------------------------

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        class_id: Sequence[int] | None = None,
        member_id: Sequence[int] | None = None,
        class_size: Sequence[int] | None = None,
        *,
        trainer_state: Any = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Rewards of this process's completions, in their order; None where one is unscorable."""
        from accelerate import PartialState
        from accelerate.utils import gather_object

        if class_id is None or member_id is None or class_size is None:
            raise ScheduleError(
                f"the dataset has no columns {CLASS}, {MEMBER}, {SIZE}; make it with "
                "dagame.lm.schedule and leave remove_unused_columns=False."
            )
        self._require_callback(trainer_state)
        own = columns | {CLASS: class_id, MEMBER: member_id, SIZE: class_size}
        check_columns(len(completions), own, (self.answer_column, self.alias_column))
        self._check_itself(prompts, completions, completion_ids)
        keys, correct = judged(
            self.read,
            completions,
            self._cut(completion_ids),
            columns.get(self.answer_column),
            columns.get(self.alias_column),
        )
        ratio = self._log_ratio(prompts, completion_ids)
        local = list(zip(class_id, member_id, class_size, keys, correct, ratio, strict=True))
        rows = gather_object(local)
        batch = [np.asarray(c) for c in zip(*(r[:3] for r in rows), strict=True)]
        check_whole_classes(*batch, group_size=self.group_size)
        rewards, metrics = self._play(batch[0], batch[1], rows, contexts=int(batch[2].max()))
        start = PartialState().process_index * len(local)
        if log_metric is not None:
            for name, value in metrics.items():
                log_metric(f"game/{name}", value)
        if log_extra is not None:
            log_extra("answer", list(keys))
            if self.kl == "reward":
                log_extra("log_ratio", [float(x) for x in ratio])
        return [float(r) if math.isfinite(r) else None for r in rewards[start : start + len(local)]]

    def _play(
        self,
        class_ids: np.ndarray,
        context_ids: np.ndarray,
        rows: Sequence[tuple[Any, ...]],
        contexts: int,
    ) -> tuple[np.ndarray, dict[str, float]]:
        """Rewards (N,) of the gathered rows and their metrics, the same on every process."""
        keys, correct, ratio = zip(*(row[3:] for row in rows), strict=True)
        right, log_ratio = np.array(correct, dtype=float), np.array(ratio, dtype=float)
        labelled = bool(np.isfinite(right).any())
        out = group_rewards(
            class_ids,
            context_ids,
            self._within_vocabulary(keys),
            self.objective,
            self.estimator,
            baseline="group_mean",
            no_answer=self.no_answer,
            correct=right if labelled else None,
            vocabulary=None if self.vocabulary is None else [*self.vocabulary, None],
            multipliers=self._duals(contexts),
        )
        metrics = dict(out.diagnostics)
        if out.violation is not None:
            metrics |= self._ascend(out.violation, contexts)
        if labelled:
            metrics["accuracy"] = float(np.nanmean(right))
        rewards = np.asarray(out.rewards, dtype=float)
        if self.kl == "reward":
            metrics["kl"] = float(log_ratio.mean())
            if self.calls % self.gap_every == 0:
                metrics |= self._gap(class_ids, context_ids, keys, right, log_ratio)
            rewards = rewards - self.beta * out.scale * log_ratio
        self.calls += 1
        return rewards, {k: float(v) for k, v in metrics.items() if math.isfinite(v)}

    def _gap(
        self,
        class_ids: np.ndarray,
        context_ids: np.ndarray,
        keys: Sequence[str | None],
        right: np.ndarray,
        log_ratio: np.ndarray,
    ) -> dict[str, float]:
        """The certificate's estimate from the batch itself, where there is one for the objective."""
        from ._certificate import certificate_from_samples

        if self.vocabulary is not None or self.group_size < 4:
            return {}
        rows = {"class_id": class_ids, "member_id": context_ids, "answer": list(keys)}
        rows |= {"log_policy": log_ratio, "log_reference": 0 * log_ratio}
        known = "correct" if np.isfinite(right).any() else None
        if known is not None:
            rows[known] = [x if math.isfinite(x) else None for x in right]
        try:
            found = certificate_from_samples(
                rows, None, self.objective, self.beta, correct=known, seed=self.calls
            )
        except (NotConcave, InvalidGame, SamplesError):
            return {}
        return {"gap_estimate": found.gap}

    def _cut(self, completion_ids: Sequence[Sequence[int]] | None) -> list[bool] | None:
        """The local completions that were cut and have no answer for it; None where all are read."""
        if self._tokenizer is None or completion_ids is None:
            return None
        ends = set(end_tokens(self._model, self._tokenizer))
        return cut([not row or row[-1] not in ends for row in completion_ids], self.truncated)

    def _check_itself(self, prompts: Any, completions: Any, completion_ids: Any) -> None:
        """The self-check of the first batch."""
        if self._checked or self._model is None or completion_ids is None:
            return
        self._checked = True
        with self._precision():
            require_batch(
                self._model,
                self._tokenizer,
                prompts,
                completions,
                completion_ids,
                template=self._template,
                limit=self._limit,
                ends=self.truncated == "no-answer",
            )

    # -- hard sets --------------------------------------------------------------------------------

    def _within_vocabulary(self, keys: Sequence[str | None]) -> list[str | None]:
        if self.vocabulary is None:
            return list(keys)
        return [key if key in self.vocabulary else None for key in keys]

    def _duals(self, contexts: int) -> np.ndarray | None:
        """The multipliers (r,), zeros at first; None without a hard set."""
        if self._hard is None:
            return None
        if self.multipliers is None:
            n = len(self.vocabulary or ()) + 1
            rows = self._hard.set.rows(contexts, n, np.full(contexts, 1 / contexts))
            self.multipliers = np.zeros(len(rows.bound))
        return self.multipliers

    def _ascend(self, slack: np.ndarray, contexts: int) -> dict[str, float]:
        """One step of the target from the gathered rows, at a rate that falls like 1/sqrt(t)."""
        assert self._hard is not None
        rate = self.multiplier_rate / math.sqrt(self.calls + 1)
        n = len(self.vocabulary or ()) + 1
        rows = self._hard.set.rows(contexts, n, np.full(contexts, 1 / contexts))
        self.multipliers = self._hard.ascent(self.multipliers, slack, contexts, n, rate)
        return {
            "violation": float(np.max(np.where(rows.equal, np.abs(slack), slack))),
            "multiplier_max": float(np.max(np.abs(self.multipliers))),
        }

    def _log_ratio(
        self, prompts: Sequence[Any], completion_ids: Sequence[Sequence[int]] | None
    ) -> list[float]:
        """log pi(completion)/pi0(completion) of each local row; 0 where the loss has the KL."""
        if self.kl == "loss":
            return [0.0] * len(prompts)
        if self._model is None or completion_ids is None:
            raise SettingsError(
                "kl='reward' needs the trainer's model: pass the reward also as callbacks=[reward]."
            )
        ids = prompt_ids(self._tokenizer, prompts, self._template)
        other = self._model if self.reference is None else self.reference
        off = self._model.disable_adapter() if self.reference is None else nullcontext()
        with self._precision():
            policy = sequence_log_probability(self._model, ids, completion_ids)
            with off:
                reference = sequence_log_probability(other, ids, completion_ids)
            if self.calls == 0 and other is not self._model:
                require_no_kl(self._model, other, policy - reference, completion_ids)
        return (policy - reference).tolist()

    def _precision(self) -> Any:
        """The trainer's mixed precision for both models, so that its rounding cancels at pi = pi0."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._model.device.type, dtype=self._dtype)

    def _require_callback(self, trainer_state: Any) -> None:
        known = getattr(trainer_state, "stateful_callbacks", None)
        if self._warned or not isinstance(known, dict) or type(self).__name__ in known:
            return
        self._warned = True
        if self._hard is not None:
            raise SettingsError(
                "multipliers must survive a checkpoint: pass the reward also as callbacks=[reward]."
            )
        warnings.warn(
            "the group reward is no callback of the trainer, so its settings and its samples are not "
            "checked, and completions that were cut are read; pass callbacks=[reward].",
            stacklevel=2,
        )

    # -- callback ---------------------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the trainer's settings, take hold of the model, and continue a saved state."""
        check_config(
            args,
            beta=self.beta,
            kl=self.kl,
            group_size=self.group_size,
            save_steps=state.save_steps,
        )
        saved = (state.stateful_callbacks or {}).get(type(self).__name__)
        kept = [s["attributes"] for s in (saved if isinstance(saved, list) else [saved]) if s]
        own = [attributes for attributes in kept if attributes.get("name") == self.__name__]
        for attributes in own:
            self._restore(attributes)
        if state.global_step and self._hard is not None and not own:
            raise SettingsError(
                "the checkpoint has no state of this reward, so its multipliers would begin anew; go on "
                "from one that was written with the reward among the callbacks."
            )
        self._model, self._tokenizer = kwargs.get("model"), kwargs.get("processing_class")
        check_sampling(getattr(self._model, "generation_config", None), args.generation_kwargs)
        self._template = dict(args.chat_template_kwargs or {})
        self._limit, self._checked = args.max_completion_length, bool(args.deepspeed or args.fsdp)
        if self._checked:
            warnings.warn("weights are sharded: samples are not checked.", stacklevel=2)
        self._dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
        if self.kl == "reward":
            self.reference = self._ready_reference(state)

    def _ready_reference(self, state: Any) -> Any:
        """The frozen reference on the model's device; None stands for adapters switched off."""
        if isinstance(self.reference, str):
            return load_reference(self.reference, self._model)
        if self.reference is not None:
            return self.reference.to(self._model.device)
        if hasattr(self._model, "disable_adapter"):
            return None
        if state.global_step:
            raise SettingsError(
                "a resumed run cannot take its reference from the model, which is trained already; "
                "give reference= the model that the run began with."
            )
        return frozen_copy(self._model)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the multipliers and the number of calls."""
        values = None if self.multipliers is None else self.multipliers.tolist()
        attributes = {"name": self.__name__, "calls": self.calls, "multipliers": values}
        return {"args": {}, "attributes": attributes}

    def _restore(self, attributes: dict[str, Any]) -> None:
        self.calls = int(attributes["calls"])
        values = attributes["multipliers"]
        self.multipliers = None if values is None else np.array(values, dtype=float)


def _check_numbers(group_size: Any, gap_every: Any, multiplier_rate: Any) -> None:
    for name, value, least in (("group_size", group_size, 2), ("gap_every", gap_every, 1)):
        if not isinstance(value, Integral) or value < least:
            raise SettingsError(f"{name} is {value!r}; give an integer >= {least}.")
    if not isinstance(multiplier_rate, float | int) or not 0 < multiplier_rate < math.inf:
        raise SettingsError(f"multiplier_rate is {multiplier_rate!r}; give a finite number > 0.")


def hard_set(objective: Any) -> HardConstraint | None:
    """The hard set among the objective's terms, whose multipliers are learned."""
    terms = objective.terms() if isinstance(objective, Objective) else ()
    return next((term for _, term in terms if isinstance(term, HardConstraint)), None)
