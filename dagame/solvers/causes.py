"""Why a game has no policy of finite value, in words."""

from __future__ import annotations

import numpy as np

from ..games.game import AlignmentGame
from ..numerics.arrays import to_numpy

_NAMED = 8


def causes(game: AlignmentGame, infeasible: np.ndarray, known: tuple[str, ...]) -> tuple[str, ...]:
    """A note for each of the first games of a flat batch that are infeasible and have none yet.

    `game` is as it was stated, forbidden answers in it; constraint rows that clash are `known` already.
    """
    named = {note.split(":")[0] for note in known}
    todo = [b for b in np.flatnonzero(infeasible).tolist() if f"game {b}" not in named][:_NAMED]
    if not todo:
        return known
    support = to_numpy(game.answer_support).reshape(-1, game.contexts, game.n)
    closed = None
    if game.forbidden is not None:
        shape = (*game.batch_shape, game.contexts, game.n)
        closed = np.broadcast_to(to_numpy(game.forbidden), shape).reshape(support.shape)
    together = game.objective.common_support
    found = []
    for b in todo:
        left = support[b] if closed is None else support[b] & ~closed[b]
        bare = np.flatnonzero(~left.any(axis=-1)).tolist()
        if bare:
            why = (
                f"context {', '.join(map(str, bare))} has only answers that the objective rules out"
            )
        elif together and not left.all(axis=0).any():
            why = "no answer is possible in every context"
        else:
            why = "the objective is -infinity at the reference: its answers lack what the objective needs"
        found.append(f"game {b}: {why}")
    return (*known, *found)
