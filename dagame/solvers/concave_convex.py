"""The convex-concave procedure: where neither T4 nor T6 applies, a sequence of concave games."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import to_numpy
from ..objectives.difference import minorant
from .base import index_like, pick
from .loop import Limits, LoopResult

_ROUNDS = 1000


def concave_convex(
    game: AlignmentGame, limits: Limits, concave: Callable[[AlignmentGame, Limits], LoopResult]
) -> LoopResult | None:
    """A local optimum of a flat game whose objective is a difference of concave ones; None: it is none.

    Convex terms are replaced by their tangents at the policy's marginals, `concave` solves that game with
    its certificate, and so on from the reference. As the tangents lie below and touch, J never falls; the
    steps end where the policy is the optimum of the concave game with the tangents at itself, which its
    gap, that of the best response to the rewards, proves. Linear convergence; which local optimum depends
    on the start.
    """
    if game.objective.has_multipliers:
        return None
    policy, inner = game.log_reference, limits._replace(tol=limits.tol / 10)
    statuses = np.full(policy.shape[0], Status.MAX_STEPS, dtype=object)
    steps = np.zeros(len(statuses), dtype=int)
    values: list[np.ndarray] = []
    gaps: list[np.ndarray] = []
    for step in range(_ROUNDS + 1):
        now = game.evaluate(policy)
        value, gap = to_numpy(now.value), to_numpy(now.gap)
        values.append(value)
        gaps.append(gap)
        near = gap <= limits.tol * np.maximum(np.abs(value), game.beta)
        open_ = statuses == Status.MAX_STEPS
        statuses[open_ & near] = Status.LOCAL
        open_ &= ~near
        if not open_.any() or step == min(_ROUNDS, limits.max_steps):
            break
        below = minorant(game.objective, now.log_marginals, game.weights)
        if below is None:
            return None
        found = concave(game.replaced(objective=below), inner)
        steps[open_] = step + 1
        lost = open_ & (found.statuses != Status.SOLVED)
        statuses[lost] = found.statuses[lost]
        moved = index_like(policy, open_ & (found.statuses != Status.INFEASIBLE))
        policy = pick(moved, found.log_policy, policy)
    return LoopResult(policy, steps, statuses, values, gaps)
