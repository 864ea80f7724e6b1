"""Newton's method with one m x m block per answer plus a low-rank part: O(n m^3) a step, batched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..errors import InvalidObjective
from ..games.game import AlignmentGame, Evaluation
from ..games.solution import Status
from ..numerics.arrays import LOG_ZERO, Array, log_normalise, namespace, solve
from ..objectives.pairing import per_context
from .base import Solver, accepted, column, pick
from .loop import Limits, LoopResult, iterate

_REACH = 20.0
"""Largest change of a log-probability in one step."""

_FAINTEST = -1400.0
"""The log of the least probability whose square root fits float64; smaller ones are raised to it."""


class Kept(NamedTuple):
    """The kept iterate and its J, the Newton direction there, and the step length to try."""

    log_policy: Array
    value: Array
    direction: Array
    length: Array


@dataclass(frozen=True)
class Newton(Solver):
    """Damped Newton ascent of J over the simplices, in coordinates scaled by sqrt(nu).

    The Hessian of -J is beta diag(w/nu) + one m x m block per answer + U U' - N N', solved with the
    m normalisation constraints by Schur complements (docs/theory/dynamics.md#faster). Quadratic near the
    equilibrium; the step is halved until J does not fall. Needs
    `Objective.hessian_log` and traces that are answers. Where it fails: from a far start at strengths
    above 100 beta, or with rewards like 1/nu at tiny masses, the step length can collapse; therefore
    `solve` climbs a ladder of strengths (`climb`), which solved every stress game of benchmarks/stress.py.
    """

    name: ClassVar[str] = "newton"

    def init(self, game: AlignmentGame, start: Evaluation) -> Kept:
        """The start, of no value yet, so that the first step takes it."""
        if game.answer_map.kind != "identity":
            raise InvalidObjective("Newton works on answers; use 'anderson' for a channel.")
        xp, zero = namespace(start.value), 0 * start.value
        return Kept(start.log_policy, zero - xp.inf, 0 * start.log_policy, 1 + zero)

    def step(self, game: AlignmentGame, now: Evaluation, state: Kept) -> tuple[Array, Kept]:
        """A new direction where J did not fall beyond its rounding error, else half the step."""
        xp = namespace(now.value)
        kept = accepted(game, now, state.value)
        new = Kept(
            log_policy=pick(kept, now.log_policy, state.log_policy),
            value=xp.where(kept, now.value, state.value),
            direction=pick(kept, newton_direction(game, now), state.direction),
            length=xp.where(kept, 1.0, state.length / 2),
        )
        moved = xp.clip(column(new.length) * new.direction, -_REACH, _REACH)
        return game.masked(log_normalise(new.log_policy + moved)), new


def takes_newton(game: AlignmentGame) -> bool:
    """Whether Newton's method works on this game: traces are answers, and the Hessian is known."""
    return game.answer_map.kind == "identity" and game.objective.has_hessian


def climb(game: AlignmentGame, limits: Limits) -> LoopResult:
    """Newton up the ladder of strengths, each rung from the optimum of the one below."""
    start, steps = even_start(game), 0
    rough = limits._replace(tol=1e-3, max_steps=50)
    for factor in strengths(game):
        last = factor == 1
        rung = game if last else game.with_objective(factor * game.objective)
        result = iterate(rung, Newton(), limits if last else rough, start=start, patience=60)
        start, steps = result.log_policy, steps + result.steps
        if Status.INFEASIBLE.among(result.statuses).all():  # at one strength, hence at all
            break
    return result._replace(steps=steps)


def strengths(game: AlignmentGame) -> list[float]:
    """Factors of the objective to solve in turn, the last one 1; steps of 4 from where J is easy."""
    smoothness = game.smoothness
    start = 1e-5 if smoothness is None else min(1.0, game.beta / max(smoothness, 1e-300))
    rungs = max(0, math.ceil(math.log(1 / max(start, 1e-9), 4)))
    return [4.0**-k for k in range(rungs, -1, -1)]


def even_start(game: AlignmentGame) -> Array:
    """(nu0 + the uniform distribution on its support) / 2, as log-policies.

    Rewards like q/nu or nu^-1/2 are huge where the reference is tiny; Newton doubles such a mass a step,
    hundreds of times over, but comes down from a large one in a few.
    """
    xp, nu0 = namespace(game.log_reference), game.log_reference
    even = log_normalise(xp.where(game.support, 0 * nu0, LOG_ZERO))
    top = xp.maximum(nu0, even)
    both = top + xp.log(xp.exp(nu0 - top) + xp.exp(even - top))
    return game.masked(log_normalise(game.masked(both)))


def newton_direction(game: AlignmentGame, now: Evaluation) -> Array:
    """d nu / nu (B, m, n) of the Newton step at an evaluation."""
    apart = now.log_marginals - game.log_reference
    gradient = game.weights[..., None] * (now.rewards - game.free_beta * apart)
    return kkt_solve(game, now.log_marginals, gradient)


def kkt_solve(game: AlignmentGame, log_nu: Array, gradient: Array) -> Array:
    """d nu / nu (B, m, n) with -J''(nu) d nu = gradient + constants and sum_z d nu_x(z) = 0.

    `gradient` holds plain derivatives by nu_x(z). The matrix beta diag(w/nu) + blocks + U U' - N N' is solved
    in coordinates scaled by sqrt(nu): blocks, Woodbury, a Schur complement of size m; O(n m^3) a game.

    Raises:
        InvalidObjective: the objective states no Hessian.
    """
    xp, w = namespace(log_nu), game.weights
    hessian = game.objective.hessian_log(log_nu, w)
    if hessian is None:
        raise InvalidObjective(f"{game.objective!r} gives no Hessian; use method='anderson'.")
    live = log_nu > LOG_ZERO / 2
    root = xp.where(live, xp.exp(xp.clip(log_nu, _FAINTEST, None) / 2), 0.0)
    gradient = xp.where(live, gradient, 0.0)
    gradient = gradient - xp.sum(gradient * root**2, axis=-1, keepdims=True)
    block_solve = _block_solver(game.beta * w, hessian.blocks, root)
    constraint = per_context(root)
    ranks = [u for u in (hessian.low_rank, hessian.negative) if u is not None]
    solved = block_solve(xp.concat([(root * gradient)[..., None], constraint, *ranks], axis=-1))
    if ranks:
        minus = 0 if hessian.negative is None else hessian.negative.shape[-1]
        solved = _woodbury(solved, xp.concat(ranks, axis=-1), minus)
    m = constraint.shape[-1]
    step, slack = solved[..., :1], solved[..., 1 : 1 + m]
    flat = constraint.shape[0], -1, m
    rows = xp.matrix_transpose(xp.reshape(constraint, flat))
    schur = rows @ xp.reshape(slack, flat)
    multiplier = solve(schur, rows @ xp.reshape(step, (*flat[:2], 1)))
    scaled = (step - slack @ multiplier[:, None, ...])[..., 0]
    return xp.where(live, scaled / xp.where(live, root, 1.0), 0.0)


def _block_solver(diagonal: Array, blocks: Array, root: Array) -> Callable[[Array], Array]:
    """Solve (diag(beta w) + blocks) per answer; blocks (B, m, n) diagonal or (B, n, m, m)."""
    xp = namespace(root)
    if blocks.ndim == 3:
        inverse = 1 / (diagonal[..., None] + blocks)
        return lambda right: inverse[..., None] * right
    eye = xp.eye(root.shape[-2], dtype=root.dtype, device=root.device)
    matrix = blocks + diagonal[..., None, :, None] * eye

    def by_blocks(right: Array) -> Array:
        moved = xp.permute_dims(right, (0, 2, 1, 3))
        return xp.permute_dims(solve(matrix, moved), (0, 2, 1, 3))

    return by_blocks


def _woodbury(solved: Array, u: Array, minus: int) -> Array:
    """Correct M^-1 [g, E, U] for the Hessian M + U s U', whose last `minus` signs s are -1: [g, E] of it."""
    xp = namespace(u)
    size, rank = u.shape[0], u.shape[-1]
    rest, back = solved[..., :-rank], solved[..., -rank:]
    rows = xp.matrix_transpose(xp.reshape(u, (size, -1, rank)))
    small = rows @ xp.reshape(back, (size, -1, rank))
    eye = xp.eye(rank, dtype=u.dtype, device=u.device)
    places = xp.arange(rank, device=u.device)
    small = small + xp.where(places < rank - minus, eye, -eye)
    inner = rows @ xp.reshape(rest, (size, -1, rest.shape[-1]))
    return rest - back @ solve(small, inner)[:, None, ...]
