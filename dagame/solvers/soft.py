"""A soft set with rewards and entropies besides: one Newton path for policy and target together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import LOG_ZERO, Array, like, log_normalise, namespace
from ..objectives.projection import reply
from ..objectives.sets import compiled_groups
from ..objectives.soft import SoftConstraint
from .base import pick
from .loop import LoopResult


def soft_solve(game: AlignmentGame) -> LoopResult | None:
    """The joint maximum over nu and q in C, or None where the objective is no such sum.

    One `SoftConstraint` over general sets, all other terms of exponential form (rewards, Shannon diversity,
    reverse matching), on an identity map: with these folded into the reference and beta', `projection.reply`
    at sigma = strength / beta'. Games whose path ends in no policy keep the reference; all are left as
    stalled, for the caller to judge by their gap.
    """
    parts = _split(game)
    if parts is None:
        return None
    term, sigma, log_reference = parts
    found, log_nu = reply(log_reference, game.weights, term.set, sigma)
    xp = namespace(game.log_reference)
    log_nu = like(log_nu, game.log_reference)
    sound = xp.all(xp.all(xp.isfinite(log_nu), axis=-1), axis=-1)
    sound = sound & xp.all(xp.max(log_nu, axis=-1) > LOG_ZERO / 2, axis=-1) & found.found
    log_nu = game.masked(pick(sound, log_nu, game.log_reference))
    size = log_nu.shape[0]
    statuses = np.full(size, Status.STALLED, dtype=object)
    return LoopResult(log_nu, np.zeros(size, dtype=int), statuses, [], [])


def _split(game: AlignmentGame) -> tuple[SoftConstraint, float, Array] | None:
    """The soft set, sigma, and the reference with the other terms folded in."""
    terms = game.objective.terms()
    soft = [(f, o) for f, o in terms if isinstance(o, SoftConstraint)]
    if len(soft) != 1 or game.answer_map.kind != "identity":
        return None
    (factor, term), reward, entropy = soft[0], 0.0, 0.0
    for f, part in terms:
        if part is term:
            continue
        form = part.exponential_form()
        if form is None or form.tied:
            return None
        reward, entropy = reward + f * form.reward, entropy + f * form.entropy
    beta, strength = game.beta + entropy, factor * term.strength
    if compiled_groups(term.set, game.n) is not None or not (beta > 0 and strength > 0):
        return None
    xp, extra = namespace(game.log_reference), _table(reward, game.log_reference)
    logits = (game.beta * game.log_reference + extra) / beta
    logits = xp.where(game.log_reference > LOG_ZERO / 2, logits, LOG_ZERO)
    return term, strength / beta, game.masked(log_normalise(logits))


def _table(reward: Any, log_reference: Array) -> Any:
    return reward if isinstance(reward, float) else like(reward, log_reference)
