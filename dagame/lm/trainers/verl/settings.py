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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ....files.fields import section
from ...spec import check_kl
from ..rules import Rule, broken, refuse
from ..whole_classes import EngineSection

_ACTOR = "actor_rollout_ref.actor"
_IN_REWARD = "algorithm.use_kl_in_reward"

LOSS_KL = ("k2", "mse", "low_var_kl+", "k3+", "kl+", "k1+")
"""Values of `kl_loss_type` with the gradient of KL(pi || pi0)."""

_OURS = "it would be ignored, as the game's advantages replace verl's"
_SAMPLES = "completions must be samples of the policy itself"
_BATCHES = "it would tear classes apart or shift the batches that hold them"

_RULES = (
    Rule("trainer.use_v1", (True,), "only that trainer has the plug-in"),
    Rule("trainer.v1.trainer_mode", ("dagame",), "the others pay every completion 0"),
    Rule("reward.reward_manager.name", ("dagame",), "the others do not store answers"),
    Rule("reward.reward_model.enable", (False,), _OURS),
    Rule("algorithm.adv_estimator", ("grpo",), "the others need a critic, which the game lacks"),
    Rule("algorithm.norm_adv_by_std_in_grpo", (False,), _OURS),
    Rule("algorithm.use_pf_ppo", (False, None), "it drops completions by their reward"),
    Rule(
        "algorithm.filter_groups.enable", (False, None), "unanimous groups count in the marginals"
    ),
    Rule("algorithm.rollout_correction.rollout_rs", (None,), "it drops completions from the loss"),
    Rule(
        "algorithm.rollout_correction.bypass_mode",
        (False, None),
        "the KL would be another engine's",
    ),
    Rule("data.shuffle", (False,), _BATCHES),
    Rule("data.filter_overlong_prompts", (False,), _BATCHES),
    Rule("trainer.v1.sampler.sync_refill_failed_groups", (False, None), _BATCHES),
    Rule("actor_rollout_ref.rollout.temperature", (1.0,), _SAMPLES),
    Rule("actor_rollout_ref.rollout.top_p", (1.0,), _SAMPLES),
    Rule("actor_rollout_ref.rollout.top_k", (-1,), _SAMPLES),
    Rule(f"{_ACTOR}.entropy_coeff", (0.0,), "it adds a term to the payoff"),
    Rule(
        f"{_ACTOR}.policy_loss.loss_mode",
        ("vanilla", "gpg"),
        "the others are no policy gradient of the advantages",
    ),
    Rule(
        f"{_ACTOR}.loss_agg_mode",
        ("seq-mean-token-sum", "seq-mean-token-sum-norm", "token-sum", "token-mean"),
        "a mean over each completion's tokens weighs completions by their length",
    ),
)
RULES = {rule.field: rule for rule in _RULES}
"""Each setting's values under which the update is the game's, and what happens otherwise."""


@dataclass(frozen=True)
class GameSection(EngineSection):
    """The section `dagame` of verl's configuration; beta is verl's own KL coefficient."""

    baseline: str = "leave_two_out"


def game_section(config: Mapping[str, Any]) -> GameSection:
    """The section `dagame` of a configuration, all keys known and of their type (`ConfigError`)."""
    return section(GameSection, config.get("dagame", {}), "verl's configuration", "dagame.")


def check_settings(config: Mapping[str, Any]) -> tuple[str, float]:
    """Where the KL is, "reward" or "loss", and beta, of a configuration as plain dictionaries.

    Raises:
        SettingsError: settings that break the game, each with the value to set instead.
    """
    refuse(list(_faults(config)))
    if setting(config, _IN_REWARD):
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
    read = partial(setting, config)
    yield from broken(RULES.values(), read)
    n = read("actor_rollout_ref.rollout.n")
    if not isinstance(n, int) or n < 2:
        why = "one sample says nothing of itself"
        yield Rule("actor_rollout_ref.rollout.n", (), why, "2 or more").fault(n)
    paid, lost = bool(read(_IN_REWARD)), bool(read(f"{_ACTOR}.use_kl_loss"))
    if paid and lost:
        yield (
            "algorithm.use_kl_in_reward=True, actor.use_kl_loss=True: set the second False; two KLs "
            "add up to another game"
        )
    elif paid:
        yield from broken(_KL_IN_REWARD, read)
    elif lost:
        yield from broken(_kl_in_loss(read("data.train_batch_size")), read)
    else:
        yield Rule(_IN_REWARD, (True,), "without a KL there is no game").fault(read(_IN_REWARD))


_KL_IN_REWARD = (
    Rule("algorithm.kl_penalty", ("kl", "k1"), "another is not the one that is paid", "kl"),
    Rule("algorithm.kl_ctrl.type", ("fixed",), "beta is a constant of the game"),
)


def _kl_in_loss(size: Any) -> tuple[Rule, ...]:
    """Rules of the KL in the loss, for batches of so many prompts."""
    once = "the loss's KL is right for one update per batch only; or use the KL in the reward"
    other = "k3 in the loss follows KL(pi0||pi), another game, and k1 follows nothing"
    batch = f"{size} (data.train_batch_size)"
    return (
        Rule(f"{_ACTOR}.kl_loss_type", LOSS_KL, other, "low_var_kl+ (or k2)"),
        Rule(f"{_ACTOR}.ppo_mini_batch_size", (size,), once, batch),
        Rule(f"{_ACTOR}.ppo_epochs", (1,), once),
    )
