"""The independent referee: J stated as a convex program and handed to cvxpy."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..errors import NotConcave, NotConverged
from ..games.game import AlignmentGame
from ..numerics.arrays import LOG_ZERO, log, to_numpy
from ..objectives.parameters import bound_to, of_game
from ..objectives.soft import SoftConstraint
from .base import index_like


def convex_solve(
    game: AlignmentGame, solver: str = "CLARABEL", **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """log nu* (B, m, n) and feasible (B,), numpy, of a flat game on answers or of a channel game's traces.

    Maximises Phi(nu) + beta * sum_x w_x [H(pi_x) + <log pi0_x, pi_x>] over the simplices. Entropy
    plus a linear term, as rel_entr(x, p0) made CLARABEL fail at n = 200. Interior point: a game a
    second at n = 1000, accurate to about 1e-8; it is the referee, not the fast path.

    Raises:
        NotConcave: the objective is not concave.
        NotConverged: cvxpy reports neither an optimum nor infeasibility for some game.
    """
    if game.objective.concave is False:
        raise NotConcave(f"{game.objective!r} is not concave, so it is no convex program.")
    total = game.log_reference.shape[0]
    found = [_one(game.rows(_row(game, b)), b, solver, options) for b in range(total)]
    start = to_numpy(game.log_reference).astype(np.float64)
    tables = [start[b] if f is None else f for b, f in enumerate(found)]
    return np.stack(tables), np.array([f is not None for f in found])


def _row(game: AlignmentGame, b: int) -> Any:
    return index_like(game.log_reference, np.asarray([b]))


def _one(game: AlignmentGame, b: int, solver: str, options: dict[str, Any]) -> np.ndarray | None:
    import cvxpy as cp

    log_p0 = to_numpy(game.log_reference)[0].astype(np.float64)
    keep = (log_p0 > LOG_ZERO / 2).any(axis=0)
    if any(isinstance(o, SoftConstraint) for _, o in game.objective.terms()):
        keep[:] = True  # its target may need answers that no policy gives
    pi, constraints = _policy_variable(log_p0[:, keep])
    nu, objective = _marginals(game, pi, keep)
    w = np.reshape(to_numpy(game.weights), (-1, game.contexts))[0].astype(np.float64)
    finite = np.where(log_p0[:, keep] > LOG_ZERO / 2, log_p0[:, keep], 0.0)
    entropy = cp.sum(cp.multiply(w[:, None], cp.entr(pi) + cp.multiply(finite, pi)))
    stated = objective.cvxpy(nu, w, constraints)
    problem = cp.Problem(cp.Maximize(stated + game.beta * entropy), constraints)
    try:
        with warnings.catch_warnings():  # "may be inaccurate": the certificate tells
            warnings.simplefilter("ignore", UserWarning)
            problem.solve(solver=solver, **options)
    except cp.SolverError as error:
        raise NotConverged(f"cvxpy with {solver} failed on game {b}: {error}") from error
    if problem.status in ("infeasible", "infeasible_inaccurate"):
        return None
    if pi.value is None:
        raise NotConverged(f"cvxpy with {solver} ended with status {problem.status} on game {b}.")
    out = np.zeros_like(log_p0)
    out[:, keep] = np.where(log_p0[:, keep] > LOG_ZERO / 2, np.maximum(pi.value, 0), 0)
    return np.asarray(log(out / out.sum(axis=-1, keepdims=True)))


def _policy_variable(log_p0: np.ndarray) -> tuple[Any, list[Any]]:
    import cvxpy as cp

    pi = cp.Variable(log_p0.shape, nonneg=True)
    constraints = [cp.sum(pi, axis=1) == 1]
    holes = log_p0 <= LOG_ZERO / 2
    if holes.any():
        constraints.append(pi[np.nonzero(holes)] == 0)
    return pi, constraints


def _marginals(game: AlignmentGame, pi: Any, keep: np.ndarray) -> tuple[Any, Any]:
    """The answer marginals as an expression, and the objective on the kept answers."""
    if game.answer_map.kind == "channel":
        channel = to_numpy(game.answer_map.table)[keep]
        return pi @ channel, of_game(bound_to(game.objective, np.zeros(1)), 0)
    return pi, of_game(bound_to(game.objective, np.zeros(1)).columns(keep), 0)
