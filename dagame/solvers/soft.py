"""A soft set with rewards and entropies besides: one Newton path for policy and target together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import LOG_ZERO, like, log_normalise, namespace
from ..objectives.projection import reply
from ..objectives.sets import compiled_groups
from ..objectives.soft import SoftConstraint
from .base import pick
from .folded import folded
from .loop import LoopResult


def soft_solve(game: AlignmentGame) -> LoopResult | None:
    """The joint maximum over nu and q in C, or None where the objective is no such sum.

    One `SoftConstraint` over general sets, all other terms of exponential form (rewards, Shannon diversity,
    reverse matching), on an identity map: with these folded into the reference and beta', `projection.reply`
    at sigma = strength / beta'. Games whose path ends in no policy keep the reference; all are left as
    stalled, for the caller to judge by their gap.
    """
    parts = folded(game, lambda part: isinstance(part, SoftConstraint))
    if parts is None or game.answer_map.kind != "identity":
        return None
    term: Any = parts.term
    sigma = parts.factor * term.strength / (game.beta + parts.entropy)
    if compiled_groups(term.set, game.n) is not None or not sigma > 0:
        return None
    log_reference = game.masked(log_normalise(parts.logits(game)))
    found, log_nu = reply(log_reference, game.weights, term.set, sigma)
    xp = namespace(game.log_reference)
    log_nu = like(log_nu, game.log_reference)
    sound = xp.all(xp.all(xp.isfinite(log_nu), axis=-1), axis=-1)
    sound = sound & xp.all(xp.max(log_nu, axis=-1) > LOG_ZERO / 2, axis=-1) & found.found
    log_nu = game.masked(pick(sound, log_nu, game.log_reference))
    size = log_nu.shape[0]
    statuses = Status.STALLED.times(size)
    return LoopResult(log_nu, np.zeros(size, dtype=int), statuses, [], [])
