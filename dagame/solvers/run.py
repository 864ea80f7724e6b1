"""`run`: play a dynamic for a number of rounds and keep every iterate."""

from __future__ import annotations

import numpy as np

from ..arrays import to_numpy
from ..errors import InvalidObjective, nearest
from ..game import AlignmentGame
from ..solution import History
from .anderson import Anderson
from .base import Solver, require_gradient
from .best_response import BestResponse
from .fictitious_play import Extragradient, FictitiousPlay, FrankWolfe
from .mirror import Mirror
from .newton import Newton
from .no_regret import FTRL, MultiplicativeWeights, OptimisticMultiplicativeWeights

DYNAMICS: dict[str, Solver] = {
    d.name: d
    for d in (
        Mirror(),
        BestResponse(),
        MultiplicativeWeights(),
        OptimisticMultiplicativeWeights(),
        FTRL(),
        FictitiousPlay(),
        FrankWolfe(),
        Extragradient(),
        Anderson(),
        Newton(),
    )
}
"""Every dynamic by name, with its default parameters."""


def run(game: AlignmentGame, dynamic: str | Solver = "mirror", steps: int = 100) -> History:
    """Play `dynamic` from the reference for `steps` rounds, without stopping early.

    Unlike `solve` it keeps every iterate, also those that a method tries and rejects, and does not
    mind divergence: it is there to look at dynamics. On a game with traces the policy moves on the
    traces.

    Args:
        game: any batch shape.
        dynamic: a name ("mirror", "best_response", ...) or an object such as `Mirror(0.1)`.
        steps: rounds after the reference.

    Objectives with kinks or hard sets have no gradient to follow (`solve` them). The no-regret dynamics
    record their averaged play, which is what their certificate is about.

    Returns:
        History with values and gaps (steps + 1, *batch) and marginals (steps + 1, *batch, m, n).
    """
    dynamic = _named(dynamic)
    require_gradient(game)
    flat, batch = game.flat(), game.batch_shape
    report = getattr(dynamic, "report", None)
    now = flat.evaluate(flat.log_reference)
    state = dynamic.init(flat, now)
    values, gaps, marginals = [], [], []
    for round_ in range(steps + 1):
        shown = now.value, now.gap, now.log_marginals
        if report is not None:
            shown = report(flat, now, state)
        values.append(to_numpy(shown[0]))
        gaps.append(to_numpy(shown[1]))
        marginals.append(np.exp(to_numpy(shown[2])))
        if round_ < steps:
            proposal, state = dynamic.step(flat, now, state)
            now = flat.evaluate(proposal)
    m, n = flat.contexts, flat.n
    return History(
        values=np.reshape(np.stack(values), (-1, *batch)),
        gaps=np.reshape(np.stack(gaps), (-1, *batch)),
        marginals=np.reshape(np.stack(marginals), (-1, *batch, m, n)),
        dynamic=dynamic.name,
    )


def _named(dynamic: str | Solver) -> Solver:
    if not isinstance(dynamic, str):
        return dynamic
    if dynamic not in DYNAMICS:
        raise InvalidObjective(f"dynamic {dynamic!r} is unknown; {nearest(dynamic, DYNAMICS)}")
    return DYNAMICS[dynamic]
