"""How hard the torture tests try: little in the ordinary suite, `make torture` times as much."""

from __future__ import annotations

import os
from typing import Any

import hypothesis

FACTOR = int(os.environ.get("DAGAME_TORTURE", "1"))


def scale(count: int) -> int:
    """`count` in the ordinary suite, DAGAME_TORTURE times that under `make torture`."""
    return count * FACTOR


def settings(examples: int, **options: Any) -> hypothesis.settings:
    """Hypothesis settings of `scale(examples)` examples: the same ones each time, or fresh ones."""
    return hypothesis.settings(
        max_examples=scale(examples),
        deadline=None,
        derandomize=FACTOR == 1,
        suppress_health_check=list(hypothesis.HealthCheck),
        **options,
    )
