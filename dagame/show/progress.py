"""What a long run tells of itself: a short text at the start of each stage."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], object]


def silent(_stage: str) -> None:
    """Tells nobody."""
