"""The decision list: which method solves a flat game, given in units of beta."""

from __future__ import annotations

import numpy as np

from ..errors import InvalidObjective
from ..games.certificate import not_provable
from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import Array
from .anderson import Anderson
from .base import Solver, index_like, require_gradient
from .chunks import in_pieces
from .concave_convex import concave_convex
from .direct import closed, compiled_newton, consensus, constrained, dual, normalisers, soft
from .loop import Limits, LoopResult, iterate, replaced
from .newton import Newton, climb, takes_newton
from .registry import named


def solved_by(game: AlignmentGame, method: str | Solver, limits: Limits) -> tuple[str, LoopResult]:
    """The name of the method that was used, and its result; "auto" decides."""
    if not game.provable and method not in ("auto", "closed_form"):
        raise not_provable(game)
    if method == "auto":
        return auto(game, limits)
    chosen = named(method) if isinstance(method, str) else method
    if not callable(chosen):
        return chosen.name, played(game, chosen, limits)
    result = chosen(game, limits.tol)
    if result is None:
        what = str(method).replace("_", " ")
        raise InvalidObjective(f"{game.objective!r} has no {what} here; use method='auto'.")
    return str(method), result


def played(game: AlignmentGame, solver: Solver, limits: Limits) -> LoopResult:
    """A solver's rounds; Newton climbs from small strengths."""
    require_gradient(game)
    return climb(game, limits) if isinstance(solver, Newton) else iterate(game, solver, limits)


_DIRECT = (
    ("consensus", consensus),
    ("normalisers", normalisers),
    ("newton", compiled_newton),
    ("dual", soft),
)
"""What is tried after the closed form, by the names of methods."""


def auto(game: AlignmentGame, limits: Limits, start: Array | None = None) -> tuple[str, LoopResult]:
    """A closed form; the consensus alone; for kinks and hard sets a small dual, or cvxpy and steps in the
    set; else rounds.

    Where no theorem applies, the convex-concave procedure for differences of concave objectives. `start`
    is a log-policy near the optimum, if one is known.
    """
    direct, found = "closed_form", closed(game, limits.tol)
    if found is None and game.provable and not game.objective.has_multipliers:
        tried = ((name, method(game, limits.tol)) for name, method in _DIRECT)
        direct, found = next((pair for pair in tried if pair[1] is not None), ("", None))
    if found is not None:
        missed = np.flatnonzero(Status.STALLED.among(found.statuses))
        if not missed.size or not game.provable or game.objective.has_multipliers:
            return direct, found
        name, again = in_pieces(
            _rows(game, missed), lambda piece: _in_rounds(piece, limits), threads=not limits.compile
        )
        return f"{direct}+{name}", replaced(found, again, missed)
    if not game.provable:
        found = concave_convex(game, limits, lambda *inner: auto(*inner)[1])
        if found is None:
            raise not_provable(game)
        return "concave_convex", found
    if game.objective.has_multipliers:
        found = dual(game, limits.tol)
        return ("dual", found) if found is not None else constrained(game, limits)
    return _in_rounds(game, limits, start)


def _in_rounds(
    game: AlignmentGame, limits: Limits, start: Array | None = None
) -> tuple[str, LoopResult]:
    """Newton where L is unknown and there is a Hessian; else Anderson, and Newton for what it leaves.

    From a start near the optimum Newton comes first.
    """
    newton = takes_newton(game)
    if newton and start is not None:
        near = iterate(game, Newton(), limits, start=start, patience=60)
        far = np.flatnonzero(~Status.SOLVED.among(near.statuses))
        if not far.size:
            return "newton", near
        name, again = _in_rounds(_rows(game, far), limits)
        return f"newton+{name}", replaced(near, again, far)
    if newton and game.smoothness is None:
        return "newton", played(game, Newton(), limits)
    first = limits._replace(max_steps=min(limits.max_steps, 100)) if newton else limits
    result = played(game, Anderson(), first)
    failed = np.flatnonzero(~Status.SOLVED.among(result.statuses))
    if not newton or not failed.size:
        return "anderson", result
    again = played(_rows(game, failed), Newton(), limits)
    return "anderson+newton", replaced(result, again, failed)


def _rows(game: AlignmentGame, which: np.ndarray) -> AlignmentGame:
    return game.rows(index_like(game.log_reference, which))
