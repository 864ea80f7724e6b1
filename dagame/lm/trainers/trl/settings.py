"""The settings of a GRPO trainer under which its update is the policy gradient of the game.

A group reward is right only if the trainer leaves its scale alone, keeps classes together, samples
from the policy itself and has the KL to a fixed reference. `grpo_config` sets all that;
`check_config` says of any configuration what would break it and how to correct it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import DagameError, SettingsError, one_line
from ....objectives import Objective
from ...models.sampling import inherited, shaping
from ...spec import check_count, check_group_size, check_kl
from ..rules import Rule, broken, refuse

if TYPE_CHECKING:
    from trl.trainer.grpo_config import GRPOConfig

LOSSES = {
    "dr_grpo": "sum over tokens / (completions * max_completion_length): the policy gradient of "
    "docs/theory/policy-gradient.md, times a constant",
    "dapo": "sum over tokens / tokens of the generation batch: the same direction, a step size "
    "that varies with the batch's mean length",
    "bnpo": "sum over tokens / tokens of the local batch: as dapo, device by device",
}
"""Loss types whose expected step is a positive multiple of the policy gradient, and which one."""


_CANCELS = "cancels the strength of the objective"
_TRUNCATED = "truncated sampling is another policy"
_TERM = "it adds a term to the payoff"

RULES = (
    Rule(
        "scale_rewards",
        ("none", False),
        f"dividing by the group's standard deviation {_CANCELS}",
        '"none"',
    ),
    Rule(
        "multi_objective_aggregation",
        ("sum_then_normalize",),
        f"normalising each reward first {_CANCELS}; weigh extra rewards with reward_weights",
        '"sum_then_normalize"',
    ),
    Rule(
        "shuffle_dataset",
        (False, None),
        "prompts shuffled one by one tear classes apart; `dagame.lm.schedule` shuffles whole ones",
        "False",
    ),
    Rule(
        "remove_unused_columns",
        (False, None),
        "it drops the class columns that the reward reads",
        "False",
    ),
    Rule(
        "loss_type",
        tuple(LOSSES),
        "the others weigh completions by their length or clip them otherwise, which is no "
        "multiple of the policy gradient",
        '"dr_grpo" (or "dapo", "bnpo")',
    ),
    Rule(
        "importance_sampling_level",
        ("token",),
        "sequence-level ratios divide by the length and lose the KL's bias correction",
        '"token"',
    ),
    Rule(
        "temperature",
        (1.0,),
        "the game is about the model's own distribution, and so are its certificate and its metrics",
    ),
    Rule("top_p", (1.0, None), _TRUNCATED),
    Rule("top_k", (0, None), _TRUNCATED),
    Rule("min_p", (None, 0.0), _TRUNCATED),
    Rule("repetition_penalty", (1.0, None), "a penalty samples another policy"),
    Rule(
        "mask_truncated_completions",
        (False,),
        "truncated completions count in the marginals, as no answer or, with truncated='read', as "
        "what they say, so they must be in the loss",
    ),
    Rule("top_entropy_quantile", (1.0,), "it drops tokens from the policy gradient"),
    Rule("off_policy_mask_threshold", (None,), "it drops completions with low reward"),
    Rule("entropy_coef", (0.0,), f"{_TERM}; use ShannonDiversity"),
    Rule("use_adaptive_entropy", (False,), _TERM),
    Rule("sync_ref_model", (False,), "the reference of the game is fixed, not a moving one"),
    Rule(
        "eval_strategy",
        ("no",),
        "the trainer shuffles evaluation prompts one by one; evaluate with `dagame.lm`",
        '"no"',
    ),
    Rule(
        "restore_callback_states_from_checkpoint",
        (False,),
        "it would replace the reward object; GroupReward restores itself",
    ),
    Rule(
        "ignore_data_skip",
        (False,),
        "a resumed run would see the first classes again instead of the next ones",
    ),
)


def grpo_config(
    objective: Objective | Callable[..., Objective],
    *,
    beta: float,
    kl: str = "loss",
    group_size: int = 8,
    contexts: int = 1,
    classes_per_step: int = 8,
    **trl_kwargs: Any,
) -> GRPOConfig:
    """The `trl.GRPOConfig` under which `GroupReward(objective, beta=beta, kl=kl)` plays its game.

    One generation batch is classes_per_step * contexts prompts of group_size completions each. With
    `per_device_train_batch_size` given, gradients are accumulated over as many micro-batches as
    that takes on the present number of processes; else each process takes its share at once.

    kl="loss": the trainer's own per-token KL with coefficient beta and its bias correction, which
    has the reverse KL's gradient token by token but lacks the credit of later tokens. kl="reward":
    -beta log(pi/pi0) of the whole completion is paid by the reward, exact; the loss's KL is 0.

    The loss is "dr_grpo" unless `loss_type` says otherwise (`LOSSES` has the equations), the
    learning rate is constant, one epoch is run (the schedule dataset holds all epochs).

    Raises:
        SettingsError: anything that breaks the game, with the value to set instead.
    """
    _check_game(objective, beta, kl, group_size, contexts, classes_per_step)
    if "num_generations" in trl_kwargs:
        raise SettingsError("num_generations is the group size; give group_size.")
    own = {"beta": beta if kl == "loss" else 0.0, "num_generations": group_size}
    chosen = _DEFAULTS | own | trl_kwargs
    older = chosen.pop("gradient_checkpointing", True)
    chosen[checkpointing_name()] = chosen.pop("activation_checkpointing", older)
    if {"generation_batch_size", "steps_per_generation"} & set(trl_kwargs):
        config = _made(chosen)
    else:
        total, processes = group_size * contexts * classes_per_step, _processes()
        config = _made(chosen | _batches(chosen, total, processes))
        if config.world_size != processes:
            config = _made(chosen | _batches(chosen, total, config.world_size))
    check_config(config, beta=beta, kl=kl, group_size=group_size, contexts=contexts)
    return config


_DEFAULTS: dict[str, Any] = {
    "use_bias_correction_kl": True,
    "scale_rewards": "none",
    "loss_type": "dr_grpo",
    "shuffle_dataset": False,
    "remove_unused_columns": False,
    "disable_dropout": True,
    "num_train_epochs": 1,
    "lr_scheduler_type": "constant",
    "report_to": "none",
}


def _processes() -> int:
    """The number of processes that a launcher says it started, 1 without one."""
    from accelerate.utils import get_int_from_env

    return get_int_from_env(("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"), 1)


def checkpointing_name() -> str:
    """The trainer's field for recomputing activations: transformers 5.0 has only the older of two."""
    from trl.trainer.grpo_config import GRPOConfig

    names = {field.name for field in fields(GRPOConfig)}
    return next(n for n in ("activation_checkpointing", "gradient_checkpointing") if n in names)


def _made(options: dict[str, Any]) -> GRPOConfig:
    """Make the trainer's configuration; what its own checks refuse is raised as one sentence."""
    from trl.trainer.grpo_config import GRPOConfig

    try:
        return GRPOConfig(**options)
    except Exception as error:  # its checks, files and packages that it looks for raise anything
        raise SettingsError(f"the trainer refuses its settings: {one_line(error)}.") from error


def check_config(
    config: Any,
    *,
    beta: float | None = None,
    kl: str | None = None,
    group_size: int | None = None,
    contexts: int = 1,
    save_steps: float | None = None,
) -> None:
    """Raise `SettingsError` with every fault of a trainer's configuration and its fix.

    Args:
        config: the trainer's arguments.
        beta, kl: those of the reward, None to accept any that is a game.
        group_size: K of the reward; contexts: contexts of a class.
        save_steps: the resolved number of steps between checkpoints, if the trainer has one.
    """
    from trl.trainer.grpo_config import GRPOConfig

    if not isinstance(config, GRPOConfig):
        raise SettingsError(
            f"the trainer's arguments are {type(config).__name__}, not trl.GRPOConfig; asynchronous "
            "and other trainers score prompts one at a time, so use trl.GRPOTrainer."
        )
    faults = [*broken(RULES, lambda field: getattr(config, field))]
    faults += _sampling_faults(config)
    faults += _kl_faults(config, beta, kl)
    faults += _batch_faults(config, group_size, contexts)
    faults += _save_faults(config, config.save_steps if save_steps is None else save_steps)
    refuse(faults)


def check_sampling(generation_config: Any, generation_kwargs: dict[str, Any] | None) -> None:
    """Raise `SettingsError` if the model's own generation settings shape the samples.

    Trainers hand `model.generation_config` on to generation, except for what they set themselves.
    """
    found = inherited(generation_config, generation_kwargs)
    if found:
        name = found[0].partition("=")[0]
        raise SettingsError(
            f"the model's generation settings have {', '.join(found)}, so completions are not samples "
            f"of the policy itself; set model.generation_config.{name} = None and so on, or delete "
            "them from generation_config.json."
        )


def _check_game(
    objective: Any, beta: float, kl: str, group_size: int, contexts: int, classes_per_step: int
) -> None:
    check_kl(beta, kl)
    check_group_size(group_size, "group_mean")
    check_count("contexts", contexts, 1)
    check_count("classes_per_step", classes_per_step, 1)
    if contexts == 1 and isinstance(objective, Objective) and pays_nothing_alone(objective):
        raise SettingsError(
            f"{objective!r} compares the contexts of a class, but contexts is 1, so every reward is "
            "0; give each class two or more prompts (paraphrases) and set contexts."
        )


def pays_nothing_alone(objective: Objective) -> bool:
    """Whether one context on its own is always paid a constant, as under coherence."""
    if objective.tables or any(term.tables for _, term in objective.terms()):
        return False
    try:
        paid = np.asarray(objective.reward(np.array([[0.5, 0.3, 0.2]])))
    except DagameError:
        return False
    return bool(np.ptp(paid) < 1e-12) and not objective.has_multipliers


def _batches(chosen: dict[str, Any], total: int, processes: int) -> dict[str, int]:
    """Micro-batch and accumulation whose product with the processes is `total` completions."""
    if total % processes:
        raise SettingsError(
            f"{total} completions a step do not divide among {processes} processes; change "
            "classes_per_step or group_size."
        )
    share, steps = total // processes, chosen.get("gradient_accumulation_steps")
    micro = chosen.get("per_device_train_batch_size")
    micro = share // (steps or 1) if micro is None else micro
    steps = share // micro if steps is None and micro else steps
    if not micro or not steps or micro * steps != share:
        raise SettingsError(
            f"each of {processes} processes has {share} completions a step (classes_per_step * "
            f"contexts * group_size / processes), but per_device_train_batch_size * "
            f"gradient_accumulation_steps is {micro} * {steps}; make the product {share}, or "
            "change classes_per_step."
        )
    return {"per_device_train_batch_size": micro, "gradient_accumulation_steps": steps}


def _sampling_faults(config: Any) -> Iterator[str]:
    changed = list(shaping(config.generation_kwargs or {}))
    if changed:
        yield (
            f"generation_kwargs: leave out {', '.join(changed)}; completions must be samples of the "
            "policy itself"
        )
    weights = config.reward_weights
    if weights is not None and weights[0] != 1:
        yield (
            f"reward_weights={weights}: set the first, the group reward's, to 1; its weight is the "
            "objective's strength"
        )


def _kl_faults(config: Any, beta: float | None, kl: str | None) -> Iterator[str]:
    if kl == "reward":
        if config.beta:
            yield f"beta={config.beta}: set 0.0; with kl='reward' the KL is in the reward already"
        if config.deepspeed or config.fsdp or _launched_sharded():
            yield (
                "kl='reward' with DeepSpeed or FSDP: use kl='loss'; whole models are read for the exact "
                "KL, and these may shard them"
            )
        return
    if not config.beta:
        yield (
            "beta=0.0: set it to the game's beta, or use kl='reward'; without a KL to the reference "
            "there is no game"
        )
    elif beta is not None and not math.isclose(config.beta, beta):
        yield f"beta={config.beta}: set {beta}, the beta of the reward"
    if config.beta and not config.use_bias_correction_kl:
        yield (
            "use_bias_correction_kl=False: set True, or use kl='reward'; without it the loss has the "
            "gradient of KL(pi0||pi), another game"
        )


def _launched_sharded() -> bool:
    flags = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP")
    return any(os.environ.get(flag, "").lower() in ("1", "true") for flag in flags)


def _batch_faults(config: Any, group_size: int | None, contexts: int) -> Iterator[str]:
    k = config.num_generations
    if group_size is not None and k != group_size:
        yield f"num_generations={k}: set {group_size}, the group_size of the reward"
    prompts = config.generation_batch_size // k
    if prompts % contexts:
        yield (
            f"generation_batch_size={config.generation_batch_size} holds {prompts} prompts, not a "
            f"whole number of classes of {contexts} contexts: make it a multiple of {k * contexts} "
            "(per_device_train_batch_size * processes * steps_per_generation)"
        )


def _save_faults(config: Any, save_steps: float) -> Iterator[str]:
    """A checkpoint inside a generation batch is resumed by generating that batch anew."""
    if getattr(config.save_strategy, "value", config.save_strategy) != "steps":
        return
    every = config.steps_per_generation * config.num_iterations
    per_step = config.gradient_accumulation_steps
    if save_steps >= 1 and save_steps * per_step % every:
        unit = every // math.gcd(every, per_step)
        yield (
            f"save_steps={save_steps:g} saves in the middle of a generation batch, from which no "
            f"run resumes exactly: set a multiple of {unit}"
        )
