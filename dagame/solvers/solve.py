"""`solve`: the verb. The game on answers in units of beta, in pieces, and its solution with a certificate."""

from __future__ import annotations

import time
from typing import Any

import array_api_compat
import numpy as np

from ..errors import InvalidGame, NotConcave, NotConverged
from ..games.certificate import not_provable
from ..games.game import AlignmentGame, require_game
from ..games.solution import History, Solution, Status
from ..numerics.arrays import LOG_ZERO, Array, like, logsumexp, namespace, to_numpy
from ..objectives.pairing import weighted
from .auto import solved_by
from .base import Solver, pick
from .causes import causes
from .chunks import in_pieces
from .consensus import solved_in_kernel
from .direct import impossible
from .loop import Limits, LoopResult
from .registry import require_solver


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
    the implicit function theorem (`dagame.scale.equilibrium` adds those by beta and strength).

    Args:
        game: any batch shape; all games are solved at once.
        method: "auto" or another name of `dagame.solvers.METHODS` ("anderson", "newton", "dual",
            "convex" for cvxpy, "frank_wolfe" ...), or a solver object such as `Mirror(step_size=0.1)`.
            "auto" decides in this order: the closed form if there is one; "consensus" for arithmetic
            coherence with rewards and entropies, "normalisers" for geometric and pairwise (KL, Hellinger)
            coherence; for hard sets and kinks the dual in few multipliers, or cvxpy and mirror steps in the
            set where other terms have no exponential form; compiled Newton for a `SmoothForm` (the extra
            `fast`, once it pays); Newton where L is unknown and a Hessian known; else Anderson, and Newton
            for the games it leaves. A difference of concave objectives that no
            theorem covers (PushPull at a small beta) is solved locally, `Status.LOCAL`.
        tol: relative gap, gap <= tol * max(beta, |J|): `distance_bound` is then at most
            tol * max(1, |J|/beta), and a game times a constant is the same game. max(tol, 1e-6) for hard
            sets and kinks in single precision, whose gap is the rounding of the policy.
        max_steps: rounds of the iterative methods.
        throw: raise `NotConverged` if a game misses the tolerance for another reason than being
            infeasible; with False look at `Solution.status`.
        max_bytes: memory of the solver; larger batches are solved in pieces, on the CPU in one thread
            per core. Default: pieces that stay in cache, all at once in a compiled kernel, on CUDA half
            of the free memory.
        check_every: rounds between tests of convergence; each is one transfer from a device.
        compile: torch only: compile the evaluation of Anderson, Mirror and the like for this shape (on
            CUDA as a captured graph). Worth it for many solves of one shape.

    Raises:
        InvalidGame: `compile` and no torch tensors.
        NotConverged: see `throw`; the message is the status.
        FalseCertificate: a known policy is better than the bound, so that a user's objective breaks one
            of its conditions.
        InvalidObjective: an unknown method, or one that does not apply to the objective.
    """
    require_game(game)
    if compile and not array_api_compat.is_torch_array(game.log_reference):
        raise InvalidGame("compile=True needs torch tensors; numpy games are solved as they are.")
    fixed = game
    if getattr(game.log_reference, "requires_grad", False):
        from .implicit import detached

        fixed = detached(game)
    limits = Limits(tol, max_steps, check_every, compile)
    solution = _solution(fixed, method, limits, max_bytes)
    if throw:
        _raise_unless_solved(solution, tol)
    if fixed is game:
        return solution
    from .implicit import with_gradient

    return with_gradient(game, fixed, solution)


def _solution(
    game: AlignmentGame, method: str | Solver, limits: Limits, max_bytes: int | None
) -> Solution:
    started, inner = time.perf_counter(), game.solved_form
    method = method if isinstance(method, str) else require_solver(method).in_units(game.beta)
    try:
        name, result = in_pieces(
            inner,
            lambda piece: solved_by(piece, method, limits),
            max_bytes=max_bytes,
            threads=not limits.compile,
            whole=solved_in_kernel if method in ("auto", "consensus") else None,
        )
    except NotConcave as error:  # in the units of the game that was asked for
        raise (error if game.provable else not_provable(game)) from None
    solution = _assembled(game, inner, name, result, time.perf_counter() - started)
    if any(part.own for _, part in game.objective.terms()) and game.provable:
        _ = solution.certificate  # confronts the bound with what is known to be attained
    return solution


def _assembled(
    game: AlignmentGame, inner: AlignmentGame, name: str, result: LoopResult, seconds: float
) -> Solution:
    xp, batch = namespace(game.log_reference), game.batch_shape
    log_nu, notes = result.log_policy, result.notes
    if not Status.SOLVED.among(result.statuses).all():
        ruled_out = _ruled_out(game) | impossible(inner)
        result.statuses[ruled_out & ~Status.SOLVED.among(result.statuses)] = Status.INFEASIBLE
        infeasible = Status.INFEASIBLE.among(result.statuses)
        log_nu = pick(like(infeasible, log_nu) > 0, inner.log_reference, log_nu)
        notes = causes(game, infeasible, notes)
    log_nu = xp.reshape(log_nu, (*batch, *inner.log_reference.shape[-2:]))
    return Solution(
        game=game,
        log_policy=_lifted(game, log_nu),
        statuses=np.reshape(result.statuses, batch),
        method=name,
        steps=np.reshape(result.steps, batch),
        history=_history(game, inner, name, result),
        multipliers=_reshaped(result.multipliers, batch),
        seconds=seconds,
        notes=notes,
    )


def _history(game: AlignmentGame, inner: AlignmentGame, name: str, result: LoopResult) -> History:
    """The rounds in units of the game, what the answers cost that the inner game leaves out added to J."""
    shape = (len(result.values), *game.batch_shape)
    if not result.values:
        return History(np.empty(shape), np.empty(shape), dynamic=name)
    values = np.asarray(result.values) + to_numpy(_left_out(game, inner))
    values, gaps = (game.beta * np.reshape(part, shape) for part in (values, result.gaps))
    return History(values, gaps, dynamic=name)


def _ruled_out(game: AlignmentGame) -> np.ndarray:
    """Games of the flat batch with a context that has forbidden answers only: J is -inf of every policy."""
    size = max(1, int(np.prod(game.batch_shape)))
    if game.forbidden is None:
        return np.zeros(size, dtype=bool)
    live = to_numpy(game.support & game.open_traces).reshape(size, game.contexts, -1)
    return np.asarray(~live.any(axis=-1).all(axis=-1))


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
    if Status.SOLVED.among(solution.statuses).all():
        return
    ended = (Status.SOLVED, Status.LOCAL, Status.INFEASIBLE)
    bad = np.asarray(np.logical_and.reduce([solution.statuses != status for status in ended]))
    if not bad.any():
        return
    first: Any = solution.statuses.ravel()[np.flatnonzero(bad)[0]]
    where = "" if bad.ndim == 0 else f"{int(bad.sum())} of {bad.size} games, the first at "
    at = "" if bad.ndim == 0 else f"{np.argwhere(bad)[0].tolist()}: "
    gap = np.max(to_numpy(solution.gap)[bad]) if bad.ndim else to_numpy(solution.gap)
    raise NotConverged(
        f"{where}{at}{first.value} (method {solution.method}, gap {float(gap):.3g}, tol {tol:g})"
    )
