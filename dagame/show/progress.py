"""Progress of a long run: a function that is called with a short text at the start of each stage."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], object]


def silent(_stage: str) -> None:
    """Show no progress."""
