"""Every solver by name, once: `solve`, `run`, the command line, the pages and the tests read these."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidObjective, nearest
from ..games.game import AlignmentGame
from .anderson import Anderson
from .base import Solver
from .best_response import BestResponse
from .direct import closed, consensus, convex, dual
from .fictitious_play import Extragradient, FictitiousPlay, FrankWolfe
from .loop import LoopResult
from .mirror import Mirror
from .newton import Newton
from .no_regret import FTRL, MultiplicativeWeights, OptimisticMultiplicativeWeights

Direct = Callable[[AlignmentGame, float], LoopResult | None]
"""(flat game, tol) -> its result, or None where the method does not apply to the objective."""

DIRECT: dict[str, Direct] = {
    "closed_form": closed,
    "consensus": consensus,
    "dual": dual,
    "convex": convex,
}
"""Methods without rounds, for `solve`."""

DYNAMICS: dict[str, Solver] = {
    solver.name: solver
    for solver in (
        Anderson(),
        Newton(),
        Mirror(),
        BestResponse(),
        MultiplicativeWeights(),
        OptimisticMultiplicativeWeights(),
        FTRL(),
        FictitiousPlay(),
        FrankWolfe(),
        Extragradient(),
    )
}
"""Methods that play rounds, with their default parameters, for `solve` and `run`."""

METHODS = ("auto", *DIRECT, *DYNAMICS)
"""What `solve` takes as a method."""


def named(method: str) -> Solver | Direct:
    """The method of a name other than "auto"."""
    found = DYNAMICS.get(method) or DIRECT.get(method)
    if found is None:
        raise InvalidObjective(f"method {method!r} is unknown; {nearest(method, METHODS)}")
    return found


def dynamic_named(name: str) -> Solver:
    """The dynamic of a name."""
    if name in DIRECT:
        raise InvalidObjective(
            f"method {name!r} plays no rounds to look at; give it to dagame.solve."
        )
    if name not in DYNAMICS:
        raise InvalidObjective(f"dynamic {name!r} is unknown; {nearest(name, DYNAMICS)}")
    return DYNAMICS[name]
