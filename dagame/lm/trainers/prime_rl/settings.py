"""Settings of prime-rl's orchestrator (experimental): what in them would break the game."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...spec import GameSpec
from ..rules import Rule, broken, refuse

_RULES = (
    Rule("train.sampling.temperature", (1.0,), "completions must be samples of the policy itself"),
    Rule("train.sampling.top_p", (1.0, None), "truncated sampling is another policy"),
)
RULES = {rule.field: rule for rule in _RULES}
"""Settings of the orchestrator under which the update is the game's, and what happens otherwise."""


def check_orchestrator(config: Any, spec: GameSpec) -> None:
    """Raise `SettingsError` with every fault of an orchestrator's configuration and its fix."""
    refuse(list(_faults(config, spec)))


def _faults(config: Any, spec: GameSpec) -> Iterator[str]:
    def read(path: str) -> Any:
        found = config
        for name in path.split("."):
            found = getattr(found, name, None)
        return found

    yield from broken(RULES.values(), read)
    same = Rule("train.group_size", (spec.group_size,), "the game has that value")
    yield from broken([same], read)
    if spec.kl != "reward":
        yield f"kl={spec.kl!r}: set 'reward'; prime-rl's loss has no KL to a fixed model"
