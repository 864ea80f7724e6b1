"""`run`: play a dynamic for a number of rounds and keep every iterate."""

from __future__ import annotations

from itertools import islice

import numpy as np

from ..errors import InvalidGame
from ..games.game import AlignmentGame, require_game
from ..games.solution import History
from ..numerics.arrays import to_numpy
from .base import Solver
from .loop import rounds
from .registry import dynamic_named, require_played, require_solver


def run(game: AlignmentGame, dynamic: str | Solver = "mirror", steps: int = 100) -> History:
    """Play `dynamic` from the reference for `steps` rounds, without stopping early.

    Unlike `solve` it keeps every iterate, also those that a method tries and rejects, and does not
    mind divergence: it is there to look at dynamics. On a game with traces the policy moves on the
    traces.

    Args:
        game: any batch shape.
        dynamic: "mirror", "anderson", "newton", "best_response", "frank_wolfe", "fictitious_play",
            "extragradient", "multiplicative_weights", "ftrl" or "optimistic_multiplicative_weights", or
            an object such as `Mirror(0.1)`.
        steps: rounds after the reference.

    The no-regret dynamics record their averaged play, which is what their certificate is about. Hard sets
    have no gradient to follow (`solve` them). A worst case has a supergradient, one grader at a time:
    fictitious play, the no-regret dynamics and the best response play it (docs/howto/game-theorists.md).

    Raises:
        InvalidGame: `game` is none, or `steps` is negative.
        InvalidObjective: an unknown dynamic, or one that has nothing to follow here.

    Returns:
        History with values and gaps (steps + 1, *batch) and marginals (steps + 1, *batch, m, n).
    """
    require_game(game)
    dynamic = dynamic_named(dynamic) if isinstance(dynamic, str) else require_solver(dynamic)
    if steps < 0:
        raise InvalidGame(
            f"steps is {steps}; give the number of rounds after the reference, 0 or more."
        )
    require_played(game, dynamic)
    flat, batch = game.flat(), game.batch_shape
    played = islice(rounds(flat, dynamic), steps + 1)
    shown = [dynamic.report(*round_) for round_ in played]
    values, gaps, log_nu = (
        np.stack([to_numpy(t) for t in part]) for part in zip(*shown, strict=True)
    )
    return History(
        values=np.reshape(values, (-1, *batch)),
        gaps=np.reshape(gaps, (-1, *batch)),
        marginals=np.exp(np.reshape(log_nu, (-1, *batch, flat.contexts, flat.n))),
        dynamic=dynamic.name,
        answer_names=game.answer_names,
        context_names=game.context_names,
    )
