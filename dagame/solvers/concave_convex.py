"""The convex-concave procedure: where neither T4 nor T6 applies, a sequence of concave games."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import Array, to_numpy
from ..objectives.difference import minorant
from .base import accepted, index_like, pick
from .loop import Limits, LoopResult, iterate
from .newton import Newton, takes_newton

_ROUNDS = 1000

_NEAR = 1e-4
"""Relative gap from which Newton's method on the game itself is tried."""

Concave = Callable[[AlignmentGame, Limits, Array], LoopResult]
"""What solves a concave game within limits from a log-policy."""


def concave_convex(game: AlignmentGame, limits: Limits, concave: Concave) -> LoopResult | None:
    """A local optimum of a flat game whose objective is a difference of concave ones; None: it is none.

    Convex terms are replaced by their tangents at the policy's marginals, `concave` solves that game with
    its certificate, and so on from the reference. As the tangents lie below and touch, J never falls; the
    steps end where the policy is the optimum of the concave game with the tangents at itself, which its
    gap, that of the best response to the rewards, proves. Linear convergence; which local optimum depends
    on the start. Near the end Newton's method on the game itself is tried, once, and kept where it ends at
    such a policy with no lower J.
    """
    start = game.answer_map.log_push_forward(game.log_reference)
    if game.objective.has_multipliers or minorant(game.objective, start, game.weights) is None:
        return None
    policy, inner = game.log_reference, limits._replace(tol=limits.tol / 10)
    statuses = Status.MAX_STEPS.times(policy.shape[0])
    steps = np.zeros(len(statuses), dtype=int)
    values: list[np.ndarray] = []
    gaps: list[np.ndarray] = []
    newton = takes_newton(game)
    for step in range(_ROUNDS + 1):
        now = game.evaluate(policy)
        value, gap = to_numpy(now.value), to_numpy(now.gap)
        values.append(value)
        gaps.append(gap)
        size = np.maximum(np.abs(value), game.beta)
        open_ = Status.MAX_STEPS.among(statuses)
        statuses[open_ & (gap <= limits.tol * size)] = Status.LOCAL
        open_ = Status.MAX_STEPS.among(statuses)
        if not open_.any() or step == min(_ROUNDS, limits.max_steps):
            break
        steps[open_] = step + 1
        if newton and (gap <= _NEAR * size)[open_].all():
            newton, found = False, iterate(game, Newton(), limits, start=policy, patience=20)
            rose = accepted(game, game.evaluate(found.log_policy), now.value)
            moved = open_ & Status.SOLVED.among(found.statuses) & to_numpy(rose)
        else:
            below = minorant(game.objective, now.log_marginals, game.weights)
            if below is None:
                return None
            found = concave(game.replaced(objective=below), inner, policy)
            lost = open_ & ~Status.SOLVED.among(found.statuses)
            statuses[lost] = found.statuses[lost]
            moved = open_ & ~Status.INFEASIBLE.among(found.statuses)
        policy = pick(index_like(policy, moved), found.log_policy, policy)
    return LoopResult(policy, steps, statuses, values, gaps)
