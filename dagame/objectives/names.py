"""Objectives by name, for the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InvalidObjective, nearest
from .base import Objective
from .coherence import Coherence
from .diversity import GiniDiversity, ShannonDiversity
from .hard_coherence import HardCoherence
from .nonconcave import Agreement, MajorityVote, SelfConsistency, Sharpening
from .pairwise import PairwiseCoherence
from .reward import Reward
from .success import LogSuccess, PassAtK

LABEL_FREE: dict[str, Callable[[float], Objective]] = {
    "coherence": lambda strength: Coherence(strength),
    "hard-coherence": lambda strength: HardCoherence(),
    "shannon": lambda strength: ShannonDiversity(strength),
    "gini": lambda strength: GiniDiversity(strength),
    "geometric-coherence": lambda strength: Coherence(strength, "geometric"),
    "euclidean-coherence": lambda strength: Coherence(strength, "euclidean"),
    "pairwise-coherence": lambda strength: PairwiseCoherence(strength),
    "sharpening": lambda strength: Sharpening(strength),
    "self-consistency": lambda strength: SelfConsistency(strength),
    "majority-vote": lambda strength: MajorityVote(strength),
    "agreement": lambda strength: Agreement(strength),
}
"""Objectives that need nothing but a strength."""

LABELLED: dict[str, Callable[[float, Any], Objective]] = {
    "reward": lambda strength, correct: strength * Reward(correct),
    "log-success": lambda strength, correct: LogSuccess(correct, strength),
    "pass-at-4": lambda strength, correct: PassAtK(correct, 4, strength),
}
"""Objectives that need the correctness (*batch, 1, n) of each answer."""

NAMES = (*LABEL_FREE, *LABELLED)


def check_name(name: str) -> str:
    """`name` if it is an objective's, else `InvalidObjective` with the nearest one."""
    if name not in NAMES:
        raise InvalidObjective(f"objective {name!r} is unknown; {nearest(name, NAMES)}")
    return name


def by_name(name: str, strength: float = 1.0, correct: Any = None) -> Objective:
    """The objective called `name`; `correct` is the reward table of the labelled ones."""
    if check_name(name) in LABEL_FREE:
        return LABEL_FREE[name](strength)
    if correct is None:
        raise InvalidObjective(f"objective {name!r} needs labels: name the column with --correct.")
    return LABELLED[name](strength, correct)
