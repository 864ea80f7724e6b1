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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.trainer_callback import ExportableState, TrainerCallback

from ....errors import ScheduleError, SettingsError
from ....games.play import pay
from ....samples.equilibria import ObjectiveOf
from ...answers import cut, judged
from ...game import Completions, LMGame
from ...models.generation import end_tokens, prompt_ids
from ...models.reference import frozen_copy, load_reference, sequence_log_probability
from ...models.selfcheck_batches import require_batch, require_no_kl
from ...schedules import CLASS, MEMBER, SIZE, check_columns, check_whole_classes
from ...spec import GameSpec
from .settings import check_config, check_sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class GroupReward(TrainerCallback, ExportableState):
    """r_i = u_x(z_i), u the reward table of the objective at the batch's own marginals.

    Why this is the policy gradient: docs/theory/policy-gradient.md#the-gradient.

    A reward function of TRL: give it as `reward_funcs` and also as a callback. Each call gathers
    (class, context, answer) rows from all processes, so that a class, and even the completions of
    one prompt, may be split over them; the game (`dagame.lm.game`) is asked once for the whole batch and
    every process returns its slice.

    Args:
        objective, beta, kl, group_size, estimator: what is played, see `dagame.lm.GameSpec`.
        extract, canonical, no_answer, truncated: how completions are read, see there; those that
            no_answer="drop" leaves out are paid None.
        vocabulary, multiplier_rate: for tables and hard sets, see there.
        answer_column: correct answers, a string or a list of aliases, where the dataset has it.
        alias_column: lists of answers that count as one.
        gap_every: calls between two estimates of the gap, which solve the games of the batch.
        reference: pi0 for kl="reward": a model or what names one; None: the adapters switched off
            (peft), or the model as training begins.
        name: of the reward, in logs and in checkpoints.
        check: whether an objective of your own is asked at the first batch if its `reward` is the
            gradient of its `value`.

    Logs value, agreement, entropy, divergence, no_answer, zero_signal, accuracy (given answers) and
    so on as game/<name>; with kl="reward" also game/kl and, every `gap_every` calls, game/gap_estimate:
    the certificate from the batch's own samples (`certificate_from_samples` without a reference),
    which is high where group_size is small beside the number of answers; `dagame.lm.certificate`
    draws enough for an interval.
    `answer`, and `log_ratio` of kl="reward", go to the trainer's completion log.

    Raises:
        SettingsError: at train begin, settings under which the trainer plays another game.
        SelfCheckFailed: at the first batch, sampler, scorer and tokenizer disagree, or the trainer's
            completions are not samples of its model (`dagame.lm.models.selfcheck`).
        InvalidObjective: at the first batch, the check of an objective of your own.
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
        check: bool = True,
    ) -> None:
        """See the class."""
        spec = GameSpec(
            objective, beta=beta, kl=kl, group_size=group_size, estimator=estimator, extract=extract,
            canonical=canonical, no_answer=no_answer, truncated=truncated, vocabulary=vocabulary,
            multiplier_rate=multiplier_rate,
        )  # fmt: skip
        self.game, self.beta = LMGame(spec, gap_every=gap_every, check=check), float(beta)
        self.__name__ = name
        self.answer_column, self.alias_column = answer_column, alias_column
        self.reference = reference
        self._model: Any = None
        self._tokenizer: Any = None
        self._template: dict[str, Any] = {}
        self._dtype: torch.dtype | None = None
        self._limit: int | None = None
        self._warned = self._checked = False

    @property
    def multipliers(self) -> np.ndarray | None:
        """Of the hard set (r,); None without one, or before the first batch."""
        return self.game.multipliers

    @property
    def calls(self) -> int:
        """Batches paid so far."""
        return self.game.rounds

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
        given = {CLASS: class_id, MEMBER: member_id, SIZE: class_size}
        labels = (self.answer_column, self.alias_column)
        check_columns(len(completions), columns | given, labels)
        self._check_itself(prompts, completions, completion_ids)
        told = [columns.get(name) for name in labels]
        keys, correct = judged(self.game.spec.reader, completions, self._cut(completion_ids), *told)
        ratio = self._log_ratio(prompts, completion_ids)
        local = list(zip(class_id, member_id, class_size, keys, correct, ratio, strict=True))
        paid = pay(self.game, self._whole(gather_object(local)))
        if log_metric is not None:
            for name, value in paid.metrics.items():
                log_metric(f"game/{name}", value)
        if log_extra is not None:
            log_extra("answer", list(keys))
            if self.game.spec.kl == "reward":
                log_extra("log_ratio", [float(x) for x in ratio])
        start = PartialState().process_index * len(local)
        own = paid.rewards[start : start + len(local)]
        return [float(r) if math.isfinite(r) else None for r in own]

    def _whole(self, rows: Sequence[tuple[Any, ...]]) -> Completions:
        """The completions of all processes: whole classes, in the order of the processes."""
        spec = self.game.spec
        ids, contexts, sizes, answers, right, ratios = zip(*rows, strict=True)
        check_whole_classes(*map(np.asarray, (ids, contexts, sizes)), group_size=spec.group_size)
        paid_kl = np.array(ratios, dtype=float) if spec.kl == "reward" else None
        return Completions(ids, contexts, answers, np.array(right, dtype=float), paid_kl)

    def _cut(self, completion_ids: Sequence[Sequence[int]] | None) -> list[bool] | None:
        """The local completions that were cut and have no answer for it; None where all are read."""
        if self._tokenizer is None or completion_ids is None:
            return None
        ends = set(end_tokens(self._model, self._tokenizer))
        cuts = [not row or row[-1] not in ends for row in completion_ids]
        return cut(cuts, self.game.spec.truncated)

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
                ends=self.game.spec.truncated == "no-answer",
            )

    def _log_ratio(
        self, prompts: Sequence[Any], completion_ids: Sequence[Sequence[int]] | None
    ) -> list[float]:
        """log pi(completion)/pi0(completion) of each local row; 0 where the loss has the KL."""
        if self.game.spec.kl == "loss":
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
        if self.game.spec.hard is not None:
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
        spec = self.game.spec
        own = {"beta": self.beta, "kl": spec.kl, "group_size": spec.group_size}
        check_config(args, **own, save_steps=state.save_steps)
        self._restore(state)
        self._model, self._tokenizer = kwargs.get("model"), kwargs.get("processing_class")
        check_sampling(getattr(self._model, "generation_config", None), args.generation_kwargs)
        self._template = dict(args.chat_template_kwargs or {})
        self._limit, self._checked = args.max_completion_length, bool(args.deepspeed or args.fsdp)
        if self._checked:
            warnings.warn("weights are sharded: samples are not checked.", stacklevel=2)
        self._dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
        if spec.kl == "reward":
            self.reference = self._ready_reference(state)

    def _restore(self, state: Any) -> None:
        """Continue what a checkpoint has of this reward."""
        saved = (state.stateful_callbacks or {}).get(type(self).__name__)
        kept = [s["attributes"] for s in (saved if isinstance(saved, list) else [saved]) if s]
        own = [attributes for attributes in kept if attributes.get("name") == self.__name__]
        for attributes in own:
            self.game.restore(attributes)
        if state.global_step and self.game.spec.hard is not None and not own:
            raise SettingsError(
                "the checkpoint has no state of this reward, so its multipliers would begin anew; go on "
                "from one that was written with the reward among the callbacks."
            )

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
        """What a checkpoint keeps: the game's state under the name of this reward."""
        return {"args": {}, "attributes": {"name": self.__name__} | self.game.state()}
