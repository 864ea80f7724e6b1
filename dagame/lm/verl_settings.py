"""Settings of verl (experimental): the game they play, and what in them would break it.

How verl's KL settings map to the game's beta KL(pi || pi0) (see `dagame.estimators.kl_weight`):

* `algorithm.use_kl_in_reward=True, algorithm.kl_penalty=kl`: kl="reward", exact. verl computes the
  reference's log-probabilities; -beta log(pi/pi0) of the whole completion is in the advantage here.
* `actor.use_kl_loss=True` with `kl_loss_type` k2 or a straight-through one such as "low_var_kl+":
  kl="loss", the gradient of KL(pi || pi0) token by token, without the credit of later tokens, and
  only where the policy of the update is the one that was sampled (one update per batch).
* Refused: no KL; both; a loss of type low_var_kl (k3), whose gradient is that of KL(pi0 || pi); a
  loss of type kl (k1), whose gradient is zero on average; estimators other than k1 in the reward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..objectives.names import LABELLED, by_name, check_name
from ..samples.equilibria import labelled_table
from ._fields import section
from .finetune_config import AnswerSection, ObjectiveSection
from .rewards import ObjectiveOf
from .settings import SettingsError, check_kl

_ACTOR = "actor_rollout_ref.actor"

LOSS_KL = ("k2", "mse", "low_var_kl+", "k3+", "kl+", "k1+")
"""Values of `kl_loss_type` with the gradient of KL(pi || pi0)."""

_OURS = "it would be ignored, as the game's advantages replace verl's"
_SAMPLES = "completions must be samples of the policy itself"
_BATCHES = "it would tear classes apart or shift the batches that hold them"

RULES: dict[str, tuple[tuple[Any, ...], str]] = {
    "trainer.use_v1": ((True,), "only that trainer has the plug-in"),
    "trainer.v1.trainer_mode": (("dagame",), "the others pay every completion 0"),
    "reward.reward_manager.name": (("dagame",), "the others do not store answers"),
    "reward.reward_model.enable": ((False,), _OURS),
    "algorithm.adv_estimator": (("grpo",), "the others need a critic, which the game lacks"),
    "algorithm.norm_adv_by_std_in_grpo": ((False,), _OURS),
    "algorithm.use_pf_ppo": ((False, None), "it drops completions by their reward"),
    "algorithm.filter_groups.enable": ((False, None), "unanimous groups count in the marginals"),
    "algorithm.rollout_correction.rollout_rs": ((None,), "it drops completions from the loss"),
    "algorithm.rollout_correction.bypass_mode": ((False, None), "the KL would be another engine's"),
    "data.shuffle": ((False,), _BATCHES),
    "data.filter_overlong_prompts": ((False,), _BATCHES),
    "trainer.v1.sampler.sync_refill_failed_groups": ((False, None), _BATCHES),
    "actor_rollout_ref.rollout.temperature": ((1.0,), _SAMPLES),
    "actor_rollout_ref.rollout.top_p": ((1.0,), _SAMPLES),
    "actor_rollout_ref.rollout.top_k": ((-1,), _SAMPLES),
    "actor_rollout_ref.actor.entropy_coeff": ((0.0,), "it adds a term to the payoff"),
    "actor_rollout_ref.actor.policy_loss.loss_mode": (
        ("vanilla", "gpg"),
        "the others are no policy gradient of the advantages",
    ),
    "actor_rollout_ref.actor.loss_agg_mode": (
        ("seq-mean-token-sum", "seq-mean-token-sum-norm", "token-sum", "token-mean"),
        "a mean over each completion's tokens weighs completions by their length",
    ),
}
"""Each setting's values under which the update is the game's, and what happens otherwise."""


@dataclass(frozen=True)
class GameSection:
    """The section `dagame` of verl's configuration; beta is verl's own KL coefficient."""

    objective: ObjectiveSection = field(default_factory=ObjectiveSection)
    answers: AnswerSection = field(default_factory=AnswerSection)
    estimator: str = "auto"
    baseline: str = "leave_two_out"

    def make_objective(self) -> ObjectiveOf:
        """The objective, or for labelled ones the function of a batch that makes it."""
        name, strength = check_name(self.objective.name), self.objective.strength
        if name in LABELLED:
            return lambda bucket: by_name(name, strength, labelled_table(bucket))
        return by_name(name, strength)


def game_section(config: Mapping[str, Any]) -> GameSection:
    """The section `dagame` of a configuration, all keys known and of their type (`ConfigError`)."""
    return section(GameSection, config.get("dagame", {}), "verl's configuration", "dagame.")


def check_settings(config: Mapping[str, Any]) -> tuple[str, float]:
    """Where the KL is, "reward" or "loss", and beta, of a configuration as plain dictionaries.

    Raises:
        SettingsError: settings that break the game, each with the value to set instead.
    """
    faults = list(_faults(config))
    if faults:
        raise SettingsError("settings that break the game: " + ". ".join(faults) + ".")
    if setting(config, "algorithm.use_kl_in_reward"):
        kl, beta = "reward", setting(config, "algorithm.kl_ctrl.kl_coef")
    else:
        kl, beta = "loss", setting(config, f"{_ACTOR}.kl_loss_coef")
    check_kl(beta, kl)
    return kl, beta


def setting(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, None where there is none."""
    found: Any = config
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _faults(config: Mapping[str, Any]) -> Iterator[str]:
    def fault(path: str, fix: str, why: str) -> str:
        return f"{path}={setting(config, path)!r}: set {fix}; {why}"

    for path, (allowed, why) in RULES.items():
        if setting(config, path) not in allowed:
            yield fault(path, " or ".join(map(str, allowed)), why)
    k = setting(config, "actor_rollout_ref.rollout.n")
    if not isinstance(k, int) or k < 2:
        yield fault("actor_rollout_ref.rollout.n", "2 or more", "one sample says nothing of itself")
    yield from _kl_faults(config, fault)


def _kl_faults(config: Mapping[str, Any], fault: Callable[[str, str, str], str]) -> Iterator[str]:
    in_reward = bool(setting(config, "algorithm.use_kl_in_reward"))
    if in_reward == bool(setting(config, f"{_ACTOR}.use_kl_loss")):
        yield (
            "algorithm.use_kl_in_reward=True, actor.use_kl_loss=True: set the second False; two KLs "
            "add up to another game"
            if in_reward
            else fault("algorithm.use_kl_in_reward", "True", "without a KL there is no game")
        )
    elif in_reward:
        if setting(config, "algorithm.kl_penalty") not in ("kl", "k1"):
            yield fault("algorithm.kl_penalty", "kl", "another is not the one that is paid")
        if setting(config, "algorithm.kl_ctrl.type") != "fixed":
            yield fault("algorithm.kl_ctrl.type", "fixed", "beta is a constant of the game")
    else:
        if setting(config, f"{_ACTOR}.kl_loss_type") not in LOSS_KL:
            why = "k3 in the loss follows KL(pi0||pi), another game, and k1 follows nothing"
            yield fault(f"{_ACTOR}.kl_loss_type", "low_var_kl+ (or k2)", why)
        size = setting(config, "data.train_batch_size")
        why = "the loss's KL is right for one update per batch only; or use the KL in the reward"
        if setting(config, f"{_ACTOR}.ppo_mini_batch_size") != size:
            yield fault(f"{_ACTOR}.ppo_mini_batch_size", f"{size} (data.train_batch_size)", why)
        if setting(config, f"{_ACTOR}.ppo_epochs") != 1:
            yield fault(f"{_ACTOR}.ppo_epochs", "1", why)
