"""Other people's solvers on our games, each as a function game -> marginals (m, n).

Games are single, with traces as answers and references without zeros. A peer that cannot state a game
raises `NotStated`; whatever else it raises is a failure of that solve.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import DagameError, InvalidObjective
from ..games.game import AlignmentGame
from ..objectives import Coherence, ShannonDiversity
from ..solvers import solve
from ..solvers.convex import convex_solve

Peer = Callable[[AlignmentGame], np.ndarray]


class NotStated(DagameError):
    """A peer has no form for a game."""


class OutOfTime(DagameError):
    """A peer took longer than its limit."""


def peers(seconds: float) -> dict[str, Peer | str]:
    """Every peer by name, with a limit of time where it can be had; a text says why one is missing."""
    jax = [name for name in ("jax", "jaxopt") if find_spec(name) is None]
    return {
        "dagame": lambda game: np.asarray(solve(game, throw=False).marginals),
        "cvxpy CLARABEL": cvxpy("CLARABEL", time_limit=seconds),
        "cvxpy SCS": cvxpy("SCS", time_limit_secs=seconds, eps=1e-9, max_iters=1_000_000),
        "scipy SLSQP": scipy_minimiser("SLSQP", seconds, 1e-13),
        "scipy trust-constr": scipy_minimiser("trust-constr", seconds, 1e-12),
        "jaxopt MirrorDescent": f"{jax[0]} is not installed"
        if jax
        else jaxopt_mirror(tolerance=1e-9),
    }


def cvxpy(solver: str, **options: Any) -> Peer:
    """J as a convex program; see `dagame.solvers.convex`."""

    def run(game: AlignmentGame) -> np.ndarray:
        try:
            log_nu, _ = convex_solve(game.flat(), solver, **options)
        except InvalidObjective as error:
            raise NotStated(str(error)) from None
        return np.exp(log_nu[0])

    return run


def scipy_minimiser(
    method: str, seconds: float | None = None, tolerance: float | None = None
) -> Peer:
    """-J with its gradient over nu >= 1e-12, rows of sum 1, from the reference; 1,000 iterations.

    `tolerance` is scipy's own, None for its default.
    """

    def run(game: AlignmentGame) -> np.ndarray:
        from scipy.optimize import Bounds, LinearConstraint, minimize

        rows = np.kron(np.eye(game.contexts), np.ones(game.n))
        inside = {"bounds": Bounds(1e-12, 1, keep_feasible=True)}
        inside |= {"constraints": LinearConstraint(rows, 1, 1)}
        how = {"method": method, "tol": tolerance, "options": {"maxiter": 1000}}
        watch = _stopwatch(method, seconds)
        start = game.reference.ravel()
        found = minimize(_cost(game), start, jac=True, callback=watch, **inside, **how)
        nu = np.maximum(found.x.reshape(game.contexts, game.n), 1e-300)
        return nu / nu.sum(-1, keepdims=True)

    return run


def _stopwatch(method: str, seconds: float | None) -> Callable[..., None]:
    """Raises `OutOfTime` when it is called after so many seconds; None: never."""
    started = time.perf_counter()

    def watch(*_: Any) -> None:
        if seconds is not None and time.perf_counter() - started > seconds:
            raise OutOfTime(f"{method} took more than {seconds:g} s.")

    return watch


def _cost(game: AlignmentGame) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """-J(nu) and its gradient with respect to the plain nu_x(z), flat."""
    w, log0 = np.asarray(game.weights), np.asarray(game.log_reference)

    def cost(flat: np.ndarray) -> tuple[float, np.ndarray]:
        log_nu = np.log(np.maximum(flat.reshape(log0.shape), 1e-300))
        phi, u = game.objective.value_and_reward_log(log_nu, game.weights)
        apart = log_nu - log0
        value = phi - game.beta * (w * (np.exp(log_nu) * apart).sum(-1)).sum()
        slope = w[:, None] * (u - game.beta * (apart + 1))
        return -float(value), -slope.ravel()

    return cost


def jaxopt_mirror(steps: int = 2000, tolerance: float = 1e-12) -> Peer:
    """MirrorDescent with the entropic mirror map, step 1/(L + beta), of two objectives.

    Compiled once for each shape, at its first game.
    """
    jax: Any = import_module("jax")
    jnp: Any = import_module("jax.numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jaxopt says at import that it is no longer maintained
        descent: Any = import_module("jaxopt").MirrorDescent
    jax.config.update("jax_enable_x64", True)

    def cost(nu: Any, log0: Any, w: Any, beta: float, strength: float, consensus: float) -> Any:
        q = jnp.log((w * nu).sum(0)) * consensus
        pull = strength * (w * nu * (jnp.log(nu) - q)).sum()
        return pull + beta * (w * nu * (jnp.log(nu) - log0)).sum()

    def prox(nu: Any, grad: Any, step: float, scale: Any) -> Any:
        return jax.nn.softmax(jnp.log(nu) - step * grad * scale, axis=-1)

    options = {"stepsize": 1.0, "maxiter": steps, "tol": tolerance, "jit": True}
    solver = descent(cost, projection_grad=prox, **options)

    def run(game: AlignmentGame) -> np.ndarray:
        objective = game.objective
        coherent = isinstance(objective, Coherence) and objective.consensus == "arithmetic"
        if not (coherent or isinstance(objective, ShannonDiversity)):
            raise NotStated(
                "a jax expression is written for arithmetic coherence and Shannon only."
            )
        strength: float = objective.strength
        w, start = jnp.asarray(game.weights)[:, None], jnp.asarray(game.reference)
        scale = 1 / (w * (strength + game.beta))
        consensus = float(coherent)
        told = jnp.log(start), w, game.beta, strength, consensus
        return np.asarray(solver.run(start, scale, *told).params)

    return run
