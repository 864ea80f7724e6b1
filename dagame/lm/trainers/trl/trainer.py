"""A trainer that plays a game, in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ....errors import ScheduleError, SettingsError
from ....objectives import Coherence
from ....samples.equilibria import ObjectiveOf
from ...models.reference import frozen_copy
from ...schedules import CLASS, MEMBER, SIZE, check_schedule, schedule
from .reward import GroupReward
from .settings import grpo_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer


def coherence_grpo(
    model: PreTrainedModel | str,
    dataset: Any,
    objective: ObjectiveOf | None = None,
    *,
    beta: float = 0.1,
    kl: str = "reward",
    extract: str | Callable[[str], str | None] = "boxed",
    canonical: str = "auto",
    truncated: str = "no-answer",
    tokenizer: Any = None,
    reference: PreTrainedModel | str | None = None,
    output_dir: str = "coherence-grpo",
    group_size: int = 8,
    contexts: int | None = None,
    classes_per_step: int = 8,
    epochs: int = 1,
    steps: int | None = None,
    class_column: str = "class",
    prompt_column: str = "prompt",
    extra_rewards: Sequence[Any] = (),
    peft_config: Any = None,
    callbacks: Sequence[Any] = (),
    reward_options: dict[str, Any] | None = None,
    **trl_kwargs: Any,
) -> GRPOTrainer:
    """A `trl.GRPOTrainer` that plays the objective's game, ready to `.train()`.

    Args:
        model: a causal language model, a folder, or a hub name.
        dataset: one row per context (see `schedule`), or a dataset that `schedule` made.
        objective: None is `Coherence()`.
        beta, kl: as in `grpo_config`; the exact KL is the default here.
        extract, canonical: of answers, see `AnswerReader`.
        truncated: what a completion without an end token is: "no-answer", or "read" like any other.
        tokenizer: None: the model's own.
        reference: pi0 for kl="reward"; None: the model as it is now (or without its adapters).
        group_size, contexts, classes_per_step, epochs, steps, class_column, prompt_column: see
            `schedule` and `grpo_config`; `seed` in trl_kwargs also orders the classes.
        extra_rewards: further reward functions of TRL, added to this one. The trainer subtracts the
            group's mean, which shrinks their gradient by 1 - 1/group_size; this reward is corrected
            for it, theirs are made exact by reward_weights=[1, K/(K-1), ...].
        peft_config: train adapters of this kind; the reference is the model without them.
        callbacks: further callbacks.
        reward_options: further arguments of `GroupReward` (estimator, no_answer, vocabulary, ...).
        trl_kwargs: fields of `trl.GRPOConfig`.

    Raises:
        SettingsError, ScheduleError: see `grpo_config` and `schedule`.
    """
    objective = Coherence() if objective is None else objective
    data = dataset
    if _is_schedule(dataset):
        _check_as_given(dataset, classes_per_step, contexts, epochs, steps)
    else:
        data = schedule(
            dataset,
            classes_per_step=classes_per_step,
            contexts=contexts,
            epochs=epochs,
            steps=steps,
            class_column=class_column,
            prompt_column=prompt_column,
            seed=int(trl_kwargs.get("seed", 0)),
        )
    game: dict[str, Any] = {"beta": beta, "kl": kl, "group_size": group_size}
    config = grpo_config(
        objective,
        **game,
        contexts=int(data[0][SIZE]),
        classes_per_step=classes_per_step,
        output_dir=output_dir,
        **trl_kwargs,
    )
    reading = {"extract": extract, "canonical": canonical, "truncated": truncated}
    if kl == "reward" and reference is None and peft_config is None:
        adapted = hasattr(model, "disable_adapter")
        reference = model if isinstance(model, str) else None if adapted else frozen_copy(model)
    options = game | reading | (reward_options or {})
    return game_trainer(
        model,
        data,
        GroupReward(objective, reference=reference, **options),
        config,
        tokenizer=tokenizer,
        extra_rewards=extra_rewards,
        callbacks=callbacks,
        peft_config=peft_config,
    )


def _is_schedule(dataset: Any) -> bool:
    return {CLASS, MEMBER, SIZE} <= set(getattr(dataset, "column_names", ()))


def _check_as_given(
    dataset: Any, classes_per_step: int, contexts: int | None, epochs: int, steps: int | None
) -> None:
    """Raise `ScheduleError` where a dataset that is a schedule does not fit, or is to be scheduled anew."""
    if contexts is not None or epochs != 1 or steps is not None:
        raise ScheduleError(
            f"the dataset has the columns {CLASS}, {MEMBER}, {SIZE}, so it is a schedule already; "
            "give steps, epochs and contexts to dagame.lm.schedule, or drop these columns."
        )
    check_schedule(dataset, classes_per_step)


def game_trainer(
    model: PreTrainedModel | str,
    data: Any,
    reward: GroupReward,
    config: GRPOConfig,
    *,
    tokenizer: Any = None,
    extra_rewards: Sequence[Any] = (),
    peft_config: Any = None,
    callbacks: Sequence[Any] = (),
) -> GRPOTrainer:
    """The trainer of a schedule, a reward and the configuration made for it."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    if reward.game.spec.kl == "loss":
        _require_path(model, peft_config)
    if extra_rewards and reward.game.spec.no_answer == "drop":
        raise SettingsError(
            "no_answer='drop' leaves completions without this reward, but the trainer still pays them "
            "the extra ones, so silence would beat most answers; use no_answer='lowest'."
        )
    return GRPOTrainer(
        model,
        reward_funcs=[reward, *extra_rewards],
        args=config,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[reward, *callbacks],
        peft_config=peft_config,
    )


def _require_path(model: Any, peft_config: Any) -> None:
    """The trainer loads the reference of its own KL from the path that the model came from."""
    if isinstance(model, str) or peft_config is not None or hasattr(model, "disable_adapter"):
        return
    if not model.config.name_or_path:
        raise SettingsError(
            "kl='loss' loads the reference from the model's path, but this model was made in memory; "
            "use kl='reward', or save it with model.save_pretrained and give the folder."
        )
