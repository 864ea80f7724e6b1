"""Progress of a long run: a function that is called with a short text at the start of each stage."""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[str], object]


def time_left(done: int, total: int, started: float) -> str:
    """Such as ", about 40 s left", at the pace since `started` (of `time.perf_counter`); "" at the end."""
    seconds = (time.perf_counter() - started) * (total - done) / max(done, 1)
    if done >= total:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f", about {minutes} min {rest} s left" if minutes else f", about {rest} s left"


def silent(_stage: str) -> None:
    """Show no progress."""


def named(what: str, say: Progress) -> Progress:
    """The stages of a part, each after its name."""
    return lambda stage: say(f"{what}: {stage}")
