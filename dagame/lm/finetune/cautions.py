"""What a run is allowed to do and should not do unnoticed, each as a sentence."""

from __future__ import annotations

import math
from typing import Any

from ...objectives import Objective
from .methods import METHODS
from .sections import FinetuneConfig

UNREAD = 0.2
"""The share of completions without an answer, at the first step, from which a run says so."""


def before(config: FinetuneConfig) -> list[str]:
    """Of the game: an objective that is not concave and that beta does not outweigh (T6)."""
    objective = config.objective.make() if METHODS[config.method].plays else None
    if not isinstance(objective, Objective) or objective.concave is not False:
        return []
    mu = objective.curvature  # of any number of contexts
    if mu is not None and config.beta > -mu:
        return []
    told = f"{config.objective.name} at strength {config.objective.strength:g} is not concave and "
    risk = "training may end at any of several optima, and no gap of it can be certified (T6)"
    if mu is None or mu == -math.inf:
        return [f"{told}no beta is known to be enough: {risk}."]
    bound = f"beta {config.beta:g} is not above {-mu:g}"
    return [f"{told}{bound}: {risk}; raise beta or lower the strength."]


def after(config: FinetuneConfig, first: dict[str, Any]) -> list[str]:
    """Of the first step: completions that were not read."""
    share = first.get("game/no_answer", 0.0)
    if share < UNREAD:
        return []
    return [
        f"{share:.0%} of the first step's completions had no answer under extract={config.answers.extract!r} "
        f"(completions without an end token count as none unless truncated is read): nothing was learnt "
        "from these; look at some, and choose answers.extract and training.max_completion_length by them."
    ]
