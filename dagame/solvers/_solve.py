"""`solve`: choose a method, run it, certify the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import LOG_ZERO, Array, like, logsumexp, namespace, to_numpy
from ..certificate import certify_log, not_provable
from ..errors import InvalidObjective, NotConcave, NotConverged, nearest
from ..game import AlignmentGame
from ..objectives.base import weighted
from ..solution import History, Solution, Status
from .anderson import Anderson
from .base import Solver, pick, require_gradient
from .best_response import BestResponse
from .causes import causes
from .chunks import in_pieces, piece_size
from .closed_form import closed_form
from .convex import convex_solve
from .dual import dual_solve
from .loop import NO_VALUE, LoopResult, Pace, index_like, iterate
from .mirror import Mirror
from .newton import Newton, even_start, strengths
from .proximal import ascend

_CVXPY_GAP = 1e-6
_SINGLE_GAP = 1e-6
_POLISH = 10

Method = Callable[[AlignmentGame, float, int], "LoopResult | None"]


def solve(
    game: AlignmentGame,
    method: str | Solver = "auto",
    *,
    tol: float = 1e-10,
    max_steps: int = 10_000,
    throw: bool = True,
    max_bytes: int | None = None,
    check_every: int = 1,
    compile: bool = False,
) -> Solution:
    """The Nash equilibrium of a game, which is the ALFT optimum (T2), with its certificate.

    A deterministic answer map is solved on the answers and lifted (T3); a channel on the traces. For a
    torch reference in an autograd graph, policy and marginals carry the gradient of the equilibrium by
    the implicit function theorem (`dagame.gpu.equilibrium` adds those by beta and strength).

    Args:
        game: any batch shape; all games are solved at once.
        method: "auto", "closed_form", "anderson", "newton", "mirror", "best_response", "dual", "convex"
            (cvxpy), or a solver object such as `Mirror(step_size=0.1)`. "auto" decides in this
            order: the closed form if there is one; for hard sets and kinks the dual in few
            multipliers, or cvxpy and mirror steps in the set where other terms have no exponential form;
            Newton where L is unknown and a Hessian known; else Anderson, and Newton for the games it leaves.
        tol: relative gap, gap <= tol * max(beta, |J|): `distance_bound` is then at most
            tol * max(1, |J|/beta), and a game times a constant is the same game. max(tol, 1e-6) for hard
            sets and kinks in single precision, whose gap is the rounding of the policy.
        max_steps: rounds of the iterative methods.
        throw: raise `NotConverged` if a game misses the tolerance for another reason than being
            infeasible; with False look at `Solution.status`.
        max_bytes: memory of the solver; larger batches are solved in pieces, on the CPU in one thread
            per core. Default: pieces that stay in cache, on CUDA half of the free memory.
        check_every: rounds between tests of convergence; each is one transfer from a device.
        compile: torch only: compile the evaluation of Anderson, Mirror and the like for this shape (on
            CUDA as a captured graph). Worth it for many solves of one shape.

    Raises:
        NotConverged: see `throw`; the message is the status.
        FalseCertificate: a known policy is better than the bound, so that a user's objective breaks one
            of its conditions.
        InvalidObjective: an unknown method, or one that does not apply to the objective.
    """
    if getattr(game.log_reference, "requires_grad", False):
        from .implicit import solve_with_gradient

        options = {"tol": tol, "max_steps": max_steps, "throw": throw, "max_bytes": max_bytes}
        return solve_with_gradient(
            game, method=method, check_every=check_every, compile=compile, **options
        )
    started = time.perf_counter()
    inner = _inner(game)
    size = piece_size(inner, max_bytes)

    def solve_one(piece: AlignmentGame) -> tuple[str, LoopResult]:
        return _run(piece, method, tol, max_steps, Pace(check_every, compile))

    try:
        if inner.log_reference.shape[0] > size:
            name, result = in_pieces(inner, solve_one, size, threads=not compile)
        else:
            name, result = solve_one(inner)
    except NotConcave as error:  # in the units of the game that was asked for
        raise (error if game.provable else not_provable(game)) from None
    solution = _assembled(game, inner, name, result, time.perf_counter() - started)
    if any(part.own for _, part in game.objective.terms()) and game.provable:
        _ = solution.certificate  # confronts the bound with what is known to be attained
    if throw:
        _raise_unless_solved(solution, tol)
    return solution


def _inner(game: AlignmentGame) -> AlignmentGame:
    """The flat game that is solved, in units of beta: on answers where the map allows it, forbidden
    answers left out.
    """
    inner = (game.on_answers() if game.answer_map.deterministic else game).flat().unit
    if inner.answer_map.kind != "identity" or inner.forbidden is None:
        return inner
    return inner.without(inner.forbidden)


def _run(
    game: AlignmentGame, method: str | Solver, tol: float, max_steps: int, pace: Pace
) -> tuple[str, LoopResult]:
    if not game.provable and method not in ("auto", "closed_form"):
        raise not_provable(game)
    if not isinstance(method, str):
        require_gradient(game)
        return method.name, iterate(game, method, tol=tol, max_steps=max_steps, pace=pace)
    if method == "auto":
        return _auto(game, tol, max_steps, pace)
    if method not in METHODS:
        raise InvalidObjective(f"method {method!r} is unknown; {nearest(method, METHODS)}")
    result = METHODS[method](game, tol, max_steps)
    if result is None:
        raise InvalidObjective(
            f"{game.objective!r} has no closed form here; use method='auto' or 'anderson'."
        )
    return method, result


def _auto(game: AlignmentGame, tol: float, max_steps: int, pace: Pace) -> tuple[str, LoopResult]:
    """Closed form; else Anderson where L is finite or there is no Hessian; else, and after, Newton."""
    found = _closed(game, tol, max_steps)
    if found is not None:
        missed = np.flatnonzero(found.statuses == Status.STALLED)
        if not missed.size or not game.provable or game.objective.has_multipliers:
            return "closed_form", found
        rest = game.rows(index_like(game.log_reference, missed))
        name, again = _iterated(rest, tol, max_steps, pace)
        return f"closed_form+{name}", _replaced(found, again, missed)
    if not game.provable:
        raise not_provable(game)
    if game.objective.has_multipliers:
        found = dual_solve(game)
        if found is not None:
            return "dual", _judged(game, found, tol)
        return _constrained(game, tol, max_steps)
    return _iterated(game, tol, max_steps, pace)


def _iterated(
    game: AlignmentGame, tol: float, max_steps: int, pace: Pace
) -> tuple[str, LoopResult]:
    newton = game.answer_map.kind == "identity" and _has_hessian(game)
    if newton and game.smoothness is None:
        return "newton", _newton(game, tol, max_steps)
    limit = min(max_steps, 100) if newton else max_steps
    result = iterate(game, Anderson(), tol=tol, max_steps=limit, pace=pace)
    failed = np.flatnonzero(result.statuses != Status.SOLVED)
    if not newton or not failed.size:
        return "anderson", result
    again = _newton(game.rows(index_like(game.log_reference, failed)), tol, max_steps)
    return "anderson+newton", _replaced(result, again, failed)


def _has_hessian(game: AlignmentGame) -> bool:
    first = game.rows(index_like(game.log_reference, np.asarray([0])))
    return first.objective.hessian_log(first.log_reference, first.weights) is not None


def _replaced(result: LoopResult, again: LoopResult, failed: np.ndarray) -> LoopResult:
    """The result with the rows `failed` replaced by those of another one."""
    xp = namespace(again.log_policy)
    kept = np.setdiff1d(np.arange(len(result.statuses)), failed)
    rows = index_like(again.log_policy, kept)
    both = xp.concat([xp.take(result.log_policy, rows, axis=0), again.log_policy], axis=0)
    order = index_like(again.log_policy, np.argsort(np.concatenate([kept, failed])))
    steps, statuses = result.steps.copy(), result.statuses.copy()
    steps[failed] += again.steps
    statuses[failed] = again.statuses
    return result._replace(log_policy=xp.take(both, order, axis=0), steps=steps, statuses=statuses)


def _iterative(solver: Solver) -> Method:
    def run(game: AlignmentGame, tol: float, max_steps: int) -> LoopResult:
        require_gradient(game)
        return iterate(game, solver, tol=tol, max_steps=max_steps)

    return run


def _closed(game: AlignmentGame, tol: float, max_steps: int) -> LoopResult | None:
    found = closed_form(game) if game.answer_map.kind == "identity" else None
    if found is None:
        return None
    log_nu, feasible = found
    statuses = np.full(log_nu.shape[0], Status.INFEASIBLE, dtype=object)
    statuses[to_numpy(feasible)] = Status.STALLED
    steps = np.zeros(len(statuses), dtype=int)
    return _judged(game, LoopResult(log_nu, steps, statuses, [], []), tol)


def _judged(game: AlignmentGame, result: LoopResult, tol: float) -> LoopResult:
    """A direct method's result, its stalled games called solved where value and gap say so.

    A gap below 0 by more than the tolerance is no proof either: multipliers have lost their digits.
    """
    if game.provable and not game.objective.has_multipliers:
        now = game.evaluate(result.log_policy)
        gap, value = to_numpy(now.gap), to_numpy(now.value)
    else:
        proof = certify_log(game, result.log_policy, multipliers=result.multipliers)
        gap, value = to_numpy(proof.gap), to_numpy(proof.value)
    if game.objective.has_multipliers and _single(game):
        tol = max(tol, _SINGLE_GAP)
    proven = np.abs(gap) <= tol * np.maximum(np.abs(value), game.beta)
    finite = np.isfinite(value) & (value > NO_VALUE)
    solved = (result.statuses == Status.STALLED) & proven & finite
    result.statuses[solved] = Status.SOLVED
    return result


def _single(game: AlignmentGame) -> bool:
    return game.log_reference.dtype != namespace(game.log_reference).float64


def _convex(game: AlignmentGame, tol: float, max_steps: int) -> LoopResult:
    """cvxpy's optima, called solved at a certified relative gap of max(tol, 1e-6), its own accuracy."""
    table, feasible = convex_solve(game)
    log_nu = like(table, game.log_reference)
    statuses = np.full(len(feasible), Status.INFEASIBLE, dtype=object)
    statuses[feasible] = Status.STALLED
    steps = np.zeros(len(feasible), dtype=int)
    return _judged(game, LoopResult(log_nu, steps, statuses, [], []), max(tol, _CVXPY_GAP))


def _constrained(game: AlignmentGame, tol: float, max_steps: int) -> tuple[str, LoopResult]:
    """A term with multipliers beside others: cvxpy, and mirror steps inside the set from where it ends.

    Those also start from the reference, where cvxpy fails or the sum is concave only by its KL (T6).
    """
    try:
        name, result = "convex", _convex(game, tol, max_steps)
        finite = to_numpy(game.value_log(game.log_reference)) > NO_VALUE
        result.statuses[(result.statuses == Status.INFEASIBLE) & finite] = Status.STALLED
    except (NotConcave, NotConverged):
        name, result = "proximal", _unsolved(game)
    again = np.flatnonzero(
        (result.statuses == Status.STALLED)
        | ((result.statuses == Status.SOLVED) & (_relative_gaps(game, result) > tol))
    )
    if not again.size:
        return name, result
    rest = game.rows(index_like(game.log_reference, again))
    start = namespace(game.log_reference).take(
        result.log_policy, index_like(game.log_reference, again), axis=0
    )
    rounds = min(max_steps, _POLISH if name == "convex" else 100 * _POLISH)
    found = ascend(rest, start, tol, rounds)
    if found is None:
        return name, result
    log_nu, y = (like(part, game.log_reference) for part in found)
    empty = np.full(len(again), Status.STALLED, dtype=object)
    moved = LoopResult(log_nu, np.full(len(again), rounds), empty, [], [], y)
    moved = _judged(rest, moved, tol)
    if name == "convex":  # cvxpy's own accuracy is enough where these steps do not better it
        moved = _judged(rest, moved, max(tol, _CVXPY_GAP))
    if len(again) < len(result.statuses):
        return f"{name}+proximal", _replaced(result, moved, again)
    return f"{name}+proximal" if name == "convex" else name, moved


def _unsolved(game: AlignmentGame) -> LoopResult:
    """The reference, on which nothing has been tried."""
    size = game.log_reference.shape[0]
    statuses = np.full(size, Status.STALLED, dtype=object)
    return LoopResult(game.log_reference, np.zeros(size, dtype=int), statuses, [], [])


def _relative_gaps(game: AlignmentGame, result: LoopResult) -> np.ndarray:
    proof = certify_log(game, result.log_policy, multipliers=result.multipliers)
    return np.abs(to_numpy(proof.relative_gap))


def _dual(game: AlignmentGame, tol: float, max_steps: int) -> LoopResult:
    found = dual_solve(game)
    if found is None:
        raise InvalidObjective(f"{game.objective!r} has no dual in few multipliers; use 'auto'.")
    return _judged(game, found, tol)


def _newton(game: AlignmentGame, tol: float, max_steps: int) -> LoopResult:
    """Newton up the ladder of strengths, each rung from the optimum of the one below."""
    require_gradient(game)
    start, steps = even_start(game), 0
    for factor in strengths(game):
        last = factor == 1
        rung = game if last else game.with_objective(factor * game.objective)
        result = iterate(
            rung,
            Newton(),
            tol=tol if last else 1e-3,
            max_steps=max_steps if last else 50,
            start=start,
            patience=60,
        )
        start, steps = result.log_policy, steps + result.steps
        if (result.statuses == Status.INFEASIBLE).all():  # at one strength, hence at all
            break
    return result._replace(steps=steps)


METHODS: dict[str, Method] = {
    "closed_form": _closed,
    "anderson": _iterative(Anderson()),
    "mirror": _iterative(Mirror()),
    "best_response": _iterative(BestResponse()),
    "newton": _newton,
    "dual": _dual,
    "convex": _convex,
}


def _assembled(
    game: AlignmentGame, inner: AlignmentGame, name: str, result: LoopResult, seconds: float
) -> Solution:
    xp, batch = namespace(game.log_reference), game.batch_shape
    lost = like(result.statuses == Status.INFEASIBLE, inner.log_reference) > 0
    log_nu = pick(lost, inner.log_reference, result.log_policy)
    log_nu = xp.reshape(log_nu, (*batch, *inner.log_reference.shape[-2:]))
    log_pi = _lifted(game, log_nu)
    rounds = np.reshape(np.asarray(result.values), (len(result.values), len(result.statuses)))
    record = rounds + to_numpy(_left_out(game, inner))
    values = game.beta * np.reshape(record, (len(result.values), *batch))
    gaps = game.beta * np.reshape(np.asarray(result.gaps), (len(result.gaps), *batch))
    return Solution(
        game=game,
        log_policy=log_pi,
        statuses=np.reshape(result.statuses, batch),
        method=name,
        steps=np.reshape(result.steps, batch),
        history=History(values, gaps, dynamic=name),
        multipliers=_reshaped(result.multipliers, batch),
        seconds=seconds,
        notes=causes(game, result.statuses == Status.INFEASIBLE, result.notes),
    )


def _left_out(game: AlignmentGame, inner: AlignmentGame) -> Array:
    """sum_x w_x log of the reference's mass on the answers that the inner game keeps (B,)."""
    if inner.answer_map.kind != "identity" or game.forbidden is None:
        return 0 * inner.weights[..., 0]
    flat = game.on_answers().flat()
    xp = namespace(flat.log_reference)
    kept = logsumexp(xp.where(inner.support, flat.log_reference, LOG_ZERO))
    return weighted(kept, flat.weights)


def _reshaped(multipliers: Array | None, batch: tuple[int, ...]) -> Array | None:
    if multipliers is None:
        return None
    return namespace(multipliers).reshape(multipliers, (*batch, *multipliers.shape[1:]))


def _lifted(game: AlignmentGame, log_nu: Array) -> Array:
    if game.answer_map.kind in ("identity", "channel"):
        return log_nu
    log_ratio = log_nu - game.log_reference_answers
    xp = namespace(log_nu)
    log_ratio = xp.where(game.answer_support, log_ratio, 0.0)
    return game.answer_map.lift(game.log_reference, log_ratio)


def _raise_unless_solved(solution: Solution, tol: float) -> None:
    bad = np.asarray(
        (solution.statuses != Status.SOLVED) & (solution.statuses != Status.INFEASIBLE)
    )
    if not bad.any():
        return
    first: Any = solution.statuses.ravel()[np.flatnonzero(bad)[0]]
    where = "" if bad.ndim == 0 else f"{int(bad.sum())} of {bad.size} games, the first at "
    at = "" if bad.ndim == 0 else f"{np.argwhere(bad)[0].tolist()}: "
    gap = np.max(to_numpy(solution.gap)[bad]) if bad.ndim else to_numpy(solution.gap)
    raise NotConverged(
        f"{where}{at}{first.value} (method {solution.method}, gap {float(gap):.3g}, tol {tol:g})"
    )
