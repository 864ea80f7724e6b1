"""Methods without rounds: a formula, a small dual, cvxpy. What they find is judged by its certificate."""

from __future__ import annotations

import numpy as np

from ..errors import NotConcave, NotConverged
from ..games.certificate import certify_log, proved
from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import Array, like, log_normalise, namespace, to_numpy
from ..objectives.constraints import OnSet
from .base import index_like
from .closed_form import closed_form
from .consensus import consensus_solve
from .convex import convex_solve
from .dual import dual_solve
from .groups import grouped_solve
from .loop import NO_VALUE, Limits, LoopResult, replaced
from .normalisers import normalisers_solve
from .proximal import ascend
from .smooth import smooth_solve
from .soft import soft_solve

_CVXPY_GAP = 1e-6
_SINGLE_GAP = 1e-6
_POLISH = 10


def closed(game: AlignmentGame, tol: float) -> LoopResult | None:
    """The objective's formula, or None."""
    found = closed_form(game) if game.answer_map.kind == "identity" else None
    if found is None:
        return None if game.objective.has_multipliers else grouped_solve(game)
    log_nu, feasible = found
    if feasible is not None:
        return judged(game, _unjudged(log_nu, to_numpy(feasible)), tol)
    result = judged(game, _unjudged(log_nu, np.ones(log_nu.shape[0], dtype=bool)), tol)
    missed = np.flatnonzero(Status.STALLED.among(result.statuses))
    if missed.size:
        value = to_numpy(game.objective.value_log(log_nu, game.weights))
        result.statuses[missed[value[missed] <= NO_VALUE]] = Status.INFEASIBLE
    return result


def consensus(game: AlignmentGame, tol: float) -> LoopResult | None:
    """Newton in the space of the consensus, or None where the objective has no such form.

    Judged by its own bound of the gap; with a formula from outside the package by the objective's own reward.
    """
    return _own_bound(game, consensus_solve(game, tol), tol)


def normalisers(game: AlignmentGame, tol: float) -> LoopResult | None:
    """Newton on the contexts' normalisers for couplings of one number per answer, or None for others.

    Judged as `consensus` is.
    """
    return _own_bound(game, normalisers_solve(game, tol), tol)


def compiled_newton(game: AlignmentGame, tol: float) -> LoopResult | None:
    """Newton on policies in compiled code, or None where there is none of the objective, or not yet."""
    found = smooth_solve(game, tol)
    return None if found is None else judged(game, found, tol)


def _own_bound(game: AlignmentGame, found: LoopResult | None, tol: float) -> LoopResult | None:
    """A result judged by its method's own bound of the gap, but for objectives from outside the package."""
    if found is None or not any(part.own for _, part in game.objective.terms()):
        return found
    found.statuses[:] = Status.STALLED
    return judged(game, found, tol)


def dual(game: AlignmentGame, tol: float) -> LoopResult | None:
    """The multipliers of kinks, hard and soft sets by a formula or Newton, or None where there is no dual."""
    known = grouped_solve(game) if game.objective.has_multipliers else None
    if known is None:
        found = dual_solve(game)
        return soft(game, tol) if found is None else judged(game, found, tol)
    missed = np.flatnonzero(Status.STALLED.among(known.statuses))
    if not missed.size:
        return known
    rest = game.rows(index_like(game.log_reference, missed))
    again = dual_solve(rest)
    return known if again is None else replaced(known, judged(rest, again, tol), missed)


def soft(game: AlignmentGame, tol: float) -> LoopResult | None:
    """A soft set's path for policy and target together, or None where the objective is no such sum."""
    found = soft_solve(game)
    return None if found is None else judged(game, found, tol)


def _attained(game: AlignmentGame) -> np.ndarray:
    """Games (B,) that have a policy of finite value: the reference, or the point of a hard set next to it."""
    start = game.log_reference
    if game.answer_map.kind == "identity":
        inside = game.objective.domain.project(start, game.weights)
        start = game.masked(log_normalise(game.masked(inside)))
    return to_numpy(game.value_log(start)) > NO_VALUE


def impossible(game: AlignmentGame) -> np.ndarray:
    """Games (B,) where one term is -inf of every policy.

    Once the forbidden answers are left out, a term without a set is -inf at the reference only where it
    misses an answer that it needs (a target's, a right one, a common one), and no policy has more answers.
    """
    lost = np.zeros(game.log_reference.shape[0], dtype=bool)
    if game.answer_map.kind != "identity":
        return lost
    for _, part in game.objective.terms():
        if not (part.own or part.has_multipliers or isinstance(part, OnSet)):
            value = part.value_log(game.log_reference, game.weights)
            lost |= to_numpy(value) < NO_VALUE
    return lost


def convex(game: AlignmentGame, tol: float) -> LoopResult:
    """cvxpy's optima, called solved at a certified relative gap of max(tol, 1e-6), its own accuracy."""
    table, feasible = convex_solve(game)
    log_nu = like(table, game.log_reference)
    return judged(game, _unjudged(log_nu, feasible), max(tol, _CVXPY_GAP))


def _unjudged(log_nu: Array, feasible: np.ndarray) -> LoopResult:
    """A direct method's result before its certificate: games are infeasible or, until judged, stalled."""
    statuses = Status.INFEASIBLE.times(len(feasible))
    statuses[feasible] = Status.STALLED
    return LoopResult(log_nu, np.zeros(len(statuses), dtype=int), statuses, [], [])


def judged(game: AlignmentGame, result: LoopResult, tol: float) -> LoopResult:
    """A direct method's result, its stalled games called solved where value and gap say so.

    A gap below 0 by more than the tolerance is no proof either: multipliers have lost their digits.
    """
    if game.provable and not game.objective.has_multipliers:
        now = game.evaluate(result.log_policy)
    elif game.provable and not _single(game):
        now = proved(game, result.log_policy, multipliers=result.multipliers)
    else:
        now = certify_log(game, result.log_policy, multipliers=result.multipliers)
    gap, value = to_numpy(now.gap), to_numpy(now.value)
    if game.objective.has_multipliers and _single(game):
        tol = max(tol, _SINGLE_GAP)
    proven = np.abs(gap) <= tol * np.maximum(np.abs(value), game.beta)
    finite = np.isfinite(value) & (value > NO_VALUE)
    solved = Status.STALLED.among(result.statuses) & proven & finite
    result.statuses[solved] = Status.SOLVED
    return result


def _single(game: AlignmentGame) -> bool:
    return game.log_reference.dtype != namespace(game.log_reference).float64


def constrained(game: AlignmentGame, limits: Limits) -> tuple[str, LoopResult]:
    """A term with multipliers beside others: cvxpy, and mirror steps inside the set from where it ends.

    Those also start from the reference, where cvxpy fails or the sum is concave only by its KL (T6).
    """
    tol, lost = limits.tol, impossible(game)
    if lost.all():
        return "convex", _unjudged(game.log_reference, ~lost)
    try:
        name, result = "convex", convex(game, tol)
        finite = _attained(game)
        result.statuses[Status.INFEASIBLE.among(result.statuses) & finite] = Status.STALLED
    except (NotConcave, NotConverged):
        name, result = "proximal", _unjudged(game.log_reference, ~lost)
    result.statuses[lost] = Status.INFEASIBLE
    again = np.flatnonzero(
        Status.STALLED.among(result.statuses)
        | (Status.SOLVED.among(result.statuses) & (_relative_gaps(game, result) > tol))
    )
    if not again.size:
        return name, result
    rest = game.rows(index_like(game.log_reference, again))
    start = namespace(game.log_reference).take(
        result.log_policy, index_like(game.log_reference, again), axis=0
    )
    rounds = min(limits.max_steps, _POLISH if name == "convex" else 100 * _POLISH)
    found = ascend(rest, start, tol, rounds)
    if found is None:
        return name, result
    log_nu, y = (like(part, game.log_reference) for part in found)
    empty = Status.STALLED.times(len(again))
    moved = LoopResult(log_nu, np.full(len(again), rounds), empty, [], [], y)
    moved = judged(rest, moved, tol)
    if name == "convex":  # cvxpy's own accuracy is enough where these steps do not better it
        moved = judged(rest, moved, max(tol, _CVXPY_GAP))
    if len(again) < len(result.statuses):
        return f"{name}+proximal", replaced(result, moved, again)
    return f"{name}+proximal" if name == "convex" else name, moved


def _relative_gaps(game: AlignmentGame, result: LoopResult) -> np.ndarray:
    proof = certify_log(game, result.log_policy, multipliers=result.multipliers)
    return np.abs(to_numpy(proof.relative_gap))
