"""Settings of prime-rl's orchestrator (experimental): what in them would break the game."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...models.sampling import shaping
from ...spec import GameSpec
from ..rules import Rule, broken, reader, refuse

_SAMPLES = "completions must be samples of the policy itself"

_RULES = (
    Rule("sampling.temperature", (1.0,), _SAMPLES),
    Rule("curriculum", (None,), "unanimous classes count, and a gate could leave them out"),
)
RULES = {rule.field: rule for rule in _RULES}
"""Settings of a training source under which the update is the game's, and what happens otherwise."""


def check_orchestrator(config: Any, spec: GameSpec) -> None:
    """Raise `SettingsError` with every fault of an orchestrator's training sources and its fix."""
    refuse(list(_faults(config, spec)))


def _faults(config: Any, spec: GameSpec) -> Iterator[str]:
    for i, source in enumerate(config.train.source):
        read = reader(source)
        same = Rule("group_size", (spec.group_size,), "the game has that value")
        where = f"train.source[{i}]"
        yield from (f"{where}.{fault}" for fault in broken([*RULES.values(), same], read))
        shaped = list(shaping(read("sampling.extra_body") or {}))
        if shaped:
            yield f"{where}.sampling.extra_body: leave out {', '.join(shaped)}; {_SAMPLES}"
    if spec.kl != "reward":
        yield f"kl={spec.kl!r}: set 'reward'; prime-rl's loss has no KL to a fixed model"
