"""Settings of tinker-cookbook (experimental): what in them would break the game.

How its KL maps to the game's beta KL(pi || pi0):

* kl="reward": `ClassGroup` has a `reference`, a sampling client of pi0; -beta log(pi/pi0) of the whole
  completion is paid, exact; `kl_penalty_coef` is 0.
* kl="loss": `kl_penalty_coef` is beta, with `kl_discount_factor` 0: the gradient token by token,
  without the credit of later tokens. A discount sums the KL less its mean over the remaining tokens,
  which pays for length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...spec import GameSpec
from ..rules import Rule, broken, reader, refuse

_LATE = "completions must be samples of the policy that is updated"
_PAID = "it would change what the game pays"

_RULES = (
    Rule("temperature", (1.0,), "completions must be samples of the policy itself"),
    Rule(
        "loss_fn",
        ("importance_sampling", "ppo"),
        "the others are no policy gradient of the advantages",
    ),
    Rule("num_substeps", (1,), _LATE),
    Rule("async_config", (None,), _LATE),
    Rule(
        "remove_constant_reward_groups",
        (False,),
        "unanimous classes have no reward but a KL, which would be lost",
    ),
    Rule(
        "rollout_error_tolerance",
        (False,),
        "a retry draws the first prompt of the group again instead of the one that failed",
    ),
)
RULES = {rule.field: rule for rule in _RULES}
"""Each setting's values under which the update is the game's, and what happens otherwise."""


def check_config(config: Any, spec: GameSpec) -> None:
    """Raise `SettingsError` with every fault of a `tinker_cookbook.rl.train.Config` and its fix."""
    refuse(list(_faults(config, spec)))


def _faults(config: Any, spec: GameSpec) -> Iterator[str]:
    read = reader(config)
    yield from broken(RULES.values(), read)
    policy = read("termination")
    if policy is not None and getattr(policy, "zero_reward_on_limit", False):
        yield Rule("termination", (None,), _PAID).fault(policy)
    if spec.kl == "reward":
        why = "the reward has the KL already, and two add up to another game"
        yield from broken([Rule("kl_penalty_coef", (0.0,), why)], read)
        return
    why = "without a KL to the reference there is no game, and beta is the game's"
    yield from broken([Rule("kl_penalty_coef", (spec.beta,), why), _NO_DISCOUNT], read)


_NO_DISCOUNT = Rule("kl_discount_factor", (0.0,), "a discounted KL less its mean pays for length")
