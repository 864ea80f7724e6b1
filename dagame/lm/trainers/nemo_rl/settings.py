"""Settings of NeMo-RL (experimental): the game of an environment, and what would break it.

The KL of NeMo-RL's loss has a factor pi/pi.detach(), so that k1 and k3 have the gradient of
KL(pi || pi0) token by token and k2 has not; none has the credit of later tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ....errors import SettingsError
from ...spec import GameSpec, check_kl
from ..rules import Rule, broken, refuse
from ..verl.settings import setting
from ..whole_classes import EngineSection

_TEARS = "it would tear classes apart"
_ALONE = "samples would come one at a time"
_SAMPLES = "completions must be samples of the policy itself"
_PAID = "it would change what the game pays"
_DROPS = "every completion counts in the marginals, so it must be in the loss"
_TERM = "it adds a term to the payoff"

_RULES = (
    Rule("grpo.adv_estimator.name", ("grpo", None), "the others change what the game pays"),
    Rule(
        "grpo.adv_estimator.normalize_rewards",
        (False,),
        "dividing by the group's standard deviation cancels the strength of the objective",
        "False (grpo.normalize_rewards)",
    ),
    Rule(
        "grpo.adv_estimator.use_leave_one_out_baseline",
        (False,),
        "advantages that sum to 0 would grow by K/(K - 1)",
        "False (grpo.use_leave_one_out_baseline)",
    ),
    Rule("grpo.max_rollout_turns", (1,), "a completion is one answer"),
    Rule("grpo.use_dynamic_sampling", (False, None), _TEARS),
    Rule("data.shuffle", (False,), _TEARS),
    Rule("grpo.async_grpo.enabled", (False, None), _ALONE),
    Rule("policy.generation.vllm_cfg.async_engine", (False, None), _ALONE),
    Rule("grpo.overlong_filtering", (False, None), _DROPS),
    Rule("grpo.reward_scaling.enabled", (False, None), _PAID),
    Rule("grpo.reward_shaping.enabled", (False, None), _PAID),
    Rule("grpo.advantage_clip_low", (None,), _PAID),
    Rule("grpo.advantage_clip_high", (None,), _PAID),
    Rule("policy.generation.temperature", (1.0,), _SAMPLES),
    Rule("policy.generation.top_p", (1.0, None), _SAMPLES),
    Rule("policy.generation.top_k", (None, -1), _SAMPLES),
    Rule("loss_fn.use_kl_in_reward", (False, None), "grpo does not read it"),
    Rule(
        "loss_fn.reference_policy_kl_type",
        ("k3", "k1"),
        "with the loss's factor pi/pi.detach(), k2 has another gradient",
    ),
    Rule(
        "loss_fn.token_level_loss",
        (True,),
        "a mean over each completion's tokens weighs completions by their length",
    ),
    Rule("loss_fn.sequence_level_importance_ratios", (False, None), "they divide by the length"),
    Rule("loss_fn.use_cispo", (False, None), "it is no policy gradient of the advantages"),
    Rule("loss_fn.positive_example_nll_weight", (0.0, None), _TERM),
)
RULES = {rule.field: rule for rule in _RULES}
"""Each setting's values under which the update is the game's, and what happens otherwise."""


def game_spec(cfg: Mapping[str, Any]) -> GameSpec:
    """The game of an environment's configuration; see `GameEnvironment`."""
    own = {k: v for k, v in cfg.items() if k in ("objective", "answers", "estimator")}
    unknown = set(cfg) - set(own) - {"beta", "group_size", "measure"}
    if unknown:
        raise SettingsError(
            f"the environment has no setting {min(unknown)!r}; known are objective, answers, estimator, "
            "beta, group_size and measure."
        )
    answers = {"truncated": "read"} | dict(own.get("answers") or {})
    if answers["truncated"] != "read":
        raise SettingsError(
            "answers.truncated is 'no-answer': set 'read'; NeMo-RL does not show its environments which "
            "completions were cut."
        )
    section = EngineSection.read(own | {"answers": answers}, "NeMo-RL")
    beta, k = cfg.get("beta"), cfg.get("group_size")
    return section.spec(beta=beta, kl="loss", group_size=k)  # type: ignore[arg-type]


def check_config(config: Mapping[str, Any], name: str = "dagame") -> GameSpec:
    """The game of the environment `name` in a whole configuration of NeMo-RL, as plain dictionaries.

    Raises:
        SettingsError: settings that break the game, each with the value to set instead.
    """
    refuse(list(_faults(config, name)))
    check_kl(setting(config, "loss_fn.reference_policy_kl_penalty"), "loss")
    return game_spec(setting(config, f"env.{name}") or {})


def _faults(config: Mapping[str, Any], name: str) -> Iterator[str]:
    read = partial(setting, config)
    yield from broken(RULES.values(), read)
    k, prompts = read("grpo.num_generations_per_prompt"), read("grpo.num_prompts_per_step")
    beta = read("loss_fn.reference_policy_kl_penalty")
    same = "the game has the trainer's value"
    if not beta:
        why = "without a KL to the reference there is no game"
        yield Rule("loss_fn.reference_policy_kl_penalty", (), why, "beta > 0").fault(beta)
    yield from broken(
        [Rule(f"env.{name}.beta", (beta,), same), Rule(f"env.{name}.group_size", (k,), same)], read
    )
    size = read("policy.train_global_batch_size")
    if isinstance(k, int) and isinstance(prompts, int) and size != k * prompts:
        why = "the loss's KL is right for one update per batch only"
        fix = f"{k * prompts} (num_prompts_per_step * num_generations_per_prompt)"
        yield Rule("policy.train_global_batch_size", (), why, fix).fault(size)
