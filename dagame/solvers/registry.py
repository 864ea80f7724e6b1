"""Every solver by name, once: `solve`, `run`, the command line, the pages and the tests read `ROWS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import InvalidObjective, nearest
from ..games.game import AlignmentGame
from .anderson import Anderson
from .base import Solver
from .best_response import BestResponse
from .direct import closed, consensus, convex, dual, normalisers
from .fictitious_play import Extragradient, FictitiousPlay, FrankWolfe
from .loop import LoopResult
from .mirror import Mirror
from .newton import Newton
from .no_regret import FTRL, MultiplicativeWeights, OptimisticMultiplicativeWeights

__all__ = [
    "DYNAMICS",
    "FTRL",
    "METHODS",
    "Anderson",
    "BestResponse",
    "Extragradient",
    "FictitiousPlay",
    "FrankWolfe",
    "Mirror",
    "MultiplicativeWeights",
    "Newton",
    "OptimisticMultiplicativeWeights",
]
"""What `dagame.solvers` exports of them."""

Direct = Callable[[AlignmentGame, float], LoopResult | None]
"""(flat game, tol) -> its result, or None where the method does not apply to the objective."""


class Row(NamedTuple):
    """A method and what to know of it, as docs/choose.md shows it.

    A `Direct` one has no rounds; a `Solver` plays them, with these parameters.
    """

    name: str
    method: Direct | Solver
    needs: str
    pace: str = ""
    fails: str = ""


def _played(solver: Solver, needs: str, pace: str, fails: str) -> Row:
    return Row(solver.name, solver, needs, pace, fails)


ROWS = (
    Row(
        "closed_form",
        closed,
        "expected reward, Shannon, Gini, log success, pass@k, matching, sharpening, hard coherence, a pull",
        "one step",
    ),
    Row(
        "consensus",
        consensus,
        "arithmetic coherence with rewards, Shannon diversity and reverse matching, at most 128 contexts",
        "0 to 6 Newton steps in one number a context",
        "opposed rewards far above the strength: rounds on policies take over",
    ),
    Row(
        "normalisers",
        normalisers,
        "geometric coherence, pairwise KL, Jeffreys and Hellinger, with the same terms, at most 64 contexts",
        "1 to 6 Newton steps in one number a context",
        "opposed rewards far above beta: Newton on policies takes over",
    ),
    _played(
        Anderson(),
        "any gradient",
        "6 to 10 rounds on arithmetic coherence",
        "the reward is singular at rare answers: falls back to mirror's pace",
    ),
    _played(
        Newton(),
        "a Hessian (every concave objective here but kinks and constraint sets)",
        "quadratic near the end",
        "far starts; a ladder of strengths takes care of it",
    ),
    Row("dual", dual, "kinks and hard sets in few rows", "Newton in the multipliers"),
    Row(
        "convex",
        convex,
        "cvxpy's expression",
        "seconds",
        "stops near a gap of 1e-6; the independent referee",
    ),
    _played(
        Mirror(),
        "any gradient, L or backtracking",
        "factor (L − μ)/(L + β) a round",
        "slow where L ≫ β, never wrong",
    ),
    _played(BestResponse(), "nothing", "", "strength above beta: it diverges"),
    _played(
        FrankWolfe(),
        "any gradient",
        "gap of order 1/t",
        "no finite curvature C: rewards without a bound at 0",
    ),
    _played(FictitiousPlay(), "any gradient", "gap of order log t / t", "as `frank_wolfe`"),
    _played(
        Extragradient(),
        "any gradient",
        "linear, slower than mirror at its step",
        "steps at which mirror still converges",
    ),
    *(
        _played(
            solver,
            "rewards of bounded span",
            "the average's gap is of order log T / T",
            "Shannon, log success: floor the reference",
        )
        for solver in (MultiplicativeWeights(), FTRL())
    ),
    _played(
        OptimisticMultiplicativeWeights(),
        "rewards that change slowly",
        "the average's gap is of order 1/T",
        "steps far above 1/L",
    ),
)

DIRECT: dict[str, Direct] = {
    row.name: row.method for row in ROWS if not isinstance(row.method, Solver)
}
"""Methods without rounds, for `solve`."""

DYNAMICS: dict[str, Solver] = {
    row.name: row.method for row in ROWS if isinstance(row.method, Solver)
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


def require_played(game: AlignmentGame, dynamic: Solver) -> None:
    """Raise `InvalidObjective` where a dynamic has nothing to follow: at kinks and on hard sets."""
    phi = game.objective
    if not phi.has_multipliers or (dynamic.plays_kinks and phi.has_supergradient):
        return
    others = [name for name, solver in DYNAMICS.items() if solver.plays_kinks]
    by = f"; dagame.run plays it by {', '.join(others)}" if phi.has_supergradient else ""
    raise InvalidObjective(
        f"{phi!r} has no gradient to follow, which {dynamic.name} needs; dagame.solve(game) finds the "
        f"equilibrium{by}."
    )


def require_solver(method: Any) -> Solver:
    """The solver object, or `InvalidObjective` for something that is none."""
    if isinstance(method, Solver):
        return method
    if isinstance(method, type) and issubclass(method, Solver):
        raise InvalidObjective(
            f"the method is the class {method.__name__}; call it: {method.__name__}()."
        )
    raise InvalidObjective(
        f"the method is a {type(method).__name__}; give a name, one of {', '.join(METHODS)}, or an object "
        "such as Mirror(0.1)."
    )


def dynamic_named(name: str) -> Solver:
    """The dynamic of a name."""
    if name == "auto":
        raise InvalidObjective(
            f"'auto' is a method of dagame.solve; dagame.run plays one of {', '.join(DYNAMICS)}."
        )
    if name in DIRECT:
        raise InvalidObjective(
            f"method {name!r} plays no rounds to look at; give it to dagame.solve."
        )
    if name not in DYNAMICS:
        raise InvalidObjective(f"dynamic {name!r} is unknown; {nearest(name, DYNAMICS)}")
    return DYNAMICS[name]
