"""Objectives by name, for the command line."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from ..errors import InvalidObjective
from .base import Objective
from .coherence import Coherence
from .diversity import GiniDiversity, ShannonDiversity
from .hard_coherence import HardCoherence
from .reward import Reward

LABEL_FREE: dict[str, Callable[[float], Objective]] = {
    "coherence": lambda strength: Coherence(strength),
    "hard-coherence": lambda strength: HardCoherence(),
    "shannon": lambda strength: ShannonDiversity(strength),
    "gini": lambda strength: GiniDiversity(strength),
}
"""Objectives that need nothing but a strength."""

LABELLED: dict[str, Callable[[float, Any], Objective]] = {
    "reward": lambda strength, correct: strength * Reward(correct),
}
"""Objectives that need the correctness (*batch, 1, n) of each answer."""

NAMES = (*LABEL_FREE, *LABELLED)


def check_name(name: str) -> str:
    """`name` if it is an objective's, else `InvalidObjective` with the nearest one."""
    if name not in NAMES:
        near = get_close_matches(name, NAMES, 1, 0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(NAMES)}."
        raise InvalidObjective(f"objective {name!r} is unknown; {hint}")
    return name


def by_name(name: str, strength: float = 1.0, correct: Any = None) -> Objective:
    """The objective called `name`; `correct` is the reward table of the labelled ones."""
    if check_name(name) in LABEL_FREE:
        return LABEL_FREE[name](strength)
    if correct is None:
        raise InvalidObjective(f"objective {name!r} needs labels: name the column with --correct.")
    return LABELLED[name](strength, correct)
