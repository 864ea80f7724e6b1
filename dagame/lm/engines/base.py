"""The interface of an engine: K completions of one prompt from a seed of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Drawn:
    """One completion.

    log_probability: sum over its tokens, in nats; None where the engine does not give it. tokens:
    their number, the end token included where the engine counts it. finish_reason: "stop" | "length".
    """

    completion: str
    log_probability: float | None
    tokens: int | None
    finish_reason: str


class Engine(Protocol):
    """Draws completions of one model with settings that are fixed when it is made."""

    identity: str

    def check(self, prompts: list[str]) -> None:
        """Raise `GenerationError` or `SelfCheckFailed` where these prompts cannot be sampled rightly."""
        ...

    def complete(self, prompt: str, samples: int, seed: int) -> list[Drawn]:
        """So many completions of the prompt, a function of the seed as far as the engine allows."""
        ...
