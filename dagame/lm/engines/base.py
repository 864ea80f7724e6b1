"""The interface of an engine: K completions of each prompt of a batch, from a seed of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

STOPPED = ("stop", "eos", "eos_token", "end_turn", "stop_sequence")
CUT = ("length", "max_tokens", "max_length", "max_new_tokens")


class Drawn(NamedTuple):
    """One completion.

    log_probability: log pi(completion | prompt) at temperature 1, summed over its tokens, in nats;
    tokens: their number, its end token with them. Either is None where the engine does not say it.
    finish_reason: of `finish_reason`.
    """

    completion: str
    log_probability: float | None
    tokens: int | None
    finish_reason: str | None


class Engine(Protocol):
    """Draws completions of one model with settings that are fixed when it is made.

    model: its name as given; revision: a commit, or a digest of its files, None where that is not to
    be known. facts: what else the completions depend on. notes: sentences for the reader, after `check`.
    """

    model: str
    revision: str | None
    facts: dict[str, object]
    notes: list[str]

    def check(self, prompts: Sequence[str]) -> None:
        """Raise `GenerationError` or `SelfCheckFailed` where these prompts cannot be sampled rightly."""
        ...

    def at_once(self, samples: int) -> int:
        """Prompts of a batch, >= 1; a batch is drawn whole or, after a kill, anew."""
        ...

    def complete(
        self, prompts: Sequence[str], samples: int, seeds: Sequence[int]
    ) -> list[list[Drawn]]:
        """So many completions of each prompt, functions of its seed as far as the engine allows."""
        ...


def finish_reason(word: object) -> str | None:
    """Of an engine's word: "stop" (it ended by itself), "length" (cut), "other: WORD", or None."""
    if word is None:
        return None
    plain = str(word).strip().lower()
    return "stop" if plain in STOPPED else "length" if plain in CUT else f"other: {plain}"
