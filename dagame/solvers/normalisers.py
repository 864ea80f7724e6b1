"""Couplings of one number per answer (`objectives.couplings`): Newton on the contexts' normalisers.

With every answer's masses v_x(z) a function of the contexts' constants c, and of k in the geometric coupling,

    D(c, k) = log sum_x w_x S_x - sum_x w_x c_x [- kappa (k + 1)],    S_x = sum_z v_x(z),

is convex and smooth, an upper bound of J*/beta, and nu = v/S at its minimum is the equilibrium
(docs/theory/dynamics.md#one-number-per-answer). A round reads the reference once, in pieces that stay in
cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import LOG_ZERO, Array, like, logsumexp, namespace, solve, to_numpy
from ..numerics.fast import MAX_CONTEXTS, Kernel, row_table
from ..objectives.couplings import COUPLINGS, Coupling
from ..objectives.forms import ExponentialForm
from ..objectives.pairing import weighted
from .base import index_like, pick
from .loop import LoopResult, replaced
from .per_answer import LAST, NEAR, OFF, STEPS, Piece, Solved, Sums, slices

_ROUNDS, _FEW = 60, 8
"""Newton takes 1 to 6 moves; of a batch, games that need more than `_FEW` go on by themselves."""

_CONTEXTS = 64
"""With more contexts the m x m products cost more than rounds on policies."""

_AIM = 1e-4
"""Share of the tolerance to come to: one move more, as a gap is squared by it, and digits of the policy."""


_LIMITS = _ROUNDS, _AIM, STEPS, NEAR, OFF, LAST


def _load() -> Callable[..., None]:
    """The kernel, called once."""
    from .normalisers_kernel import solve_games

    one, zero = np.zeros((1, 1, 1)), np.zeros(1)
    found = np.empty_like(one), np.zeros(1, dtype=np.int64), np.zeros(1, bool)
    solve_games(one, one[0] + 1, zero, 0, (1.0, 1.0, 1.0, 1e-10), _LIMITS, *found)
    return solve_games


KERNEL = Kernel(_load, 3.0, MAX_CONTEXTS)
"""`normalisers_kernel.solve_games`."""


class _Problem(NamedTuple):
    """The answers by pieces, weights w (B, m); log-masses e^{c + rest} outside the coupling (B, m).

    J/beta is D + shift (B,) in units of the folded beta, `unit` being the game's in those.
    """

    pieces: list[Piece]
    weights: Array
    rest: Array
    coupling: Coupling
    shift: Array
    unit: float
    tol: float

    def allowed(self, dual: Array) -> Array:
        """The gap (B,) of the relative tolerance."""
        value = dual + self.shift
        return self.tol * namespace(value).maximum(abs(value), 0 * value + self.unit)


class _Point(NamedTuple):
    """At c (B, m) and k (B,): the pieces' answers, D (B,), its gradient (B, d) and Hessian (B, d, d), a bound
    of the gap (B,), and the last change of an answer's log y (B,); d = m, with k m + 1.
    """

    c: Array
    k: Array
    answers: list[Solved]
    dual: Array
    gradient: Array
    hessian: Array
    gap: Array
    off: Array


def normalisers_solve(game: AlignmentGame, tol: float) -> LoopResult | None:
    """Newton on the dual over the contexts' normalisers, or None where the objective has none of `COUPLINGS`.

    Converges quadratically, from strengths 1e-4 to 1e4 beta in 1 to 6 moves of O(m n) functions and O(m^2 n)
    products; solved is what its own bound of the gap (T4) says. Fails where rewards a hundred times beta
    oppose each other: such games keep the reference and are left as stalled, for rounds on policies.
    """
    form = game.objective.exponential_form()
    if form is None or form.coupling not in COUPLINGS or not game.provable:
        return None
    if game.answer_map.kind != "identity" or game.contexts > _CONTEXTS:
        return None
    if not (form.strength > 0 and game.beta + form.entropy > 0):
        return None
    size = game.log_reference.shape[0]
    if KERNEL.ready(game.log_reference):
        found = _in_kernel(game, form, tol)
    else:
        KERNEL.without(game.log_reference)
        found = _attempt(game, form, tol, _FEW if size > 1 else _ROUNDS)
        if size == 1:
            return found
    missed = np.flatnonzero(~Status.SOLVED.among(found.statuses))
    if not missed.size:
        return found
    rest = game.rows(index_like(game.log_reference, missed))
    again = rest.objective.exponential_form()
    assert again is not None
    return replaced(found, _attempt(rest, again, tol, _ROUNDS), missed)


def _in_kernel(game: AlignmentGame, form: ExponentialForm, tol: float) -> LoopResult:
    """Game by game in compiled code."""
    support, coupling, logits, shift = _folded(game, form)
    if logits is not game.log_reference or support is not game.support:
        logits = np.where(support, logits, LOG_ZERO)
    shape, beta = logits.shape, game.beta + form.entropy
    given = row_table(logits, shape), row_table(game.weights, shape[:-1]), shift
    found, steps = np.empty(shape), np.zeros(shape[0], dtype=np.int64)
    solved, number = np.zeros(shape[0], bool), list(COUPLINGS).index(form.coupling or "")
    scales = coupling.kappa, float(coupling.order), game.beta / beta, tol
    KERNEL.run(given, (number, scales, _LIMITS), (found, steps, solved))
    if not solved.all():
        found[~solved] = game.log_reference[~solved]
    statuses = Status.STALLED.times(shape[0])
    statuses[solved] = Status.SOLVED
    return LoopResult(found, steps, statuses, [], [])


def _attempt(game: AlignmentGame, form: ExponentialForm, tol: float, rounds: int) -> LoopResult:
    """The result of so many rounds."""
    support, coupling, logits, shift = _folded(game, form)
    xp, beta = namespace(logits), game.beta + form.entropy
    rest, live, coupled = logits[..., 0] * 0 + LOG_ZERO, None, support
    if not bool(xp.all(support)):
        if coupling.geometric:  # answers that some context lacks are paid nothing
            coupled = support & xp.all(support, axis=-2, keepdims=True)
            rest = logsumexp(xp.where(support & ~coupled, logits, LOG_ZERO))
        live = xp.astype(coupled, logits.dtype)
    table = logits if live is None else xp.where(coupled, logits, 0.0)
    w = xp.broadcast_to(game.weights, logits.shape[:-1])
    pieces = [
        Piece(coupling, table[:, :, s], w, None if live is None else live[:, :, s])
        for s in slices(logits.shape)
    ]
    problem = _Problem(pieces, w, rest, coupling, shift, game.beta / beta, tol)
    with np.errstate(all="ignore"):  # what is not finite is not solved
        at, solved, steps = _newton(problem, rounds)
        ends = [p.ended(a, at.c, at.k) for p, a in zip(pieces, at.answers, strict=True)]
        level = xp.log(sum((total for _, total in ends), xp.exp(at.c + rest)))
        log_nu = xp.concat([log_v for log_v, _ in ends], axis=-1) - level[..., None]
        if live is not None:
            outside = xp.where(support, logits + (at.c - level)[..., None], LOG_ZERO)
            log_nu = xp.where(coupled, log_nu, outside)
    solved = solved & xp.all(xp.isfinite(level), axis=-1)
    flags = to_numpy(solved)
    if not flags.all():
        log_nu = pick(solved, log_nu, game.log_reference)
    statuses = Status.STALLED.times(len(flags))
    statuses[flags] = Status.SOLVED
    return LoopResult(log_nu, to_numpy(steps).astype(int), statuses, [], [])


def _folded(game: AlignmentGame, form: ExponentialForm) -> tuple[Array, Coupling, Array, Array]:
    """The answers in play (B, m, n), the coupling, log nu0 with rewards and entropies in it, in units of
    beta + entropy, and what that adds to J (B,).
    """
    xp, logits, support = namespace(game.log_reference), game.log_reference, game.support
    if game.forbidden is not None:
        support = support & ~game.forbidden
    beta, plain = game.beta + form.entropy, isinstance(form.reward, float)
    coupling = COUPLINGS[form.coupling or ""](form.strength / beta)
    if plain and beta == game.beta:
        return support, coupling, logits, 0 * logits[..., 0, 0]
    logits = (game.beta * logits + (form.reward if plain else like(form.reward, logits))) / beta
    level = logsumexp(xp.where(support, logits, LOG_ZERO))
    return support, coupling, logits - level[..., None], weighted(level, game.weights)


def _newton(problem: _Problem, rounds: int) -> tuple[_Point, Array, Array]:
    """The last point, whether solved and after how many moves (B,).

    A move after which D is higher is shortened. Along a move of the geometric k, c moves by -kappa d(e^k)
    too, as each kappa'/r is about kappa'.
    """
    xp, coupling, m = namespace(problem.weights), problem.coupling, problem.weights.shape[-1]
    at = _started(problem)
    done, length = _near(problem, at, _AIM), 0 * at.k + 1
    eps, steps = float(xp.finfo(at.c.dtype).eps), 0 * at.k
    for _ in range(rounds):
        if bool(xp.all(done | ~xp.isfinite(at.dual))):
            break
        move = solve(at.hessian, -at.gradient[..., None])[..., 0]
        move = xp.where(done[:, None], 0.0, move * length[:, None])
        dc, dk = move[:, :m], 0 * at.k
        if coupling.geometric:
            dk = move[:, m]
            dc = dc - (coupling.kappa * xp.exp(at.k) * (xp.expm1(dk) - dk))[:, None]
        new = _point(problem, at.c + dc, at.k + dk, at)
        size = 1 + xp.abs(at.dual) + xp.max(xp.abs(at.c), axis=-1)
        slack = 16 * eps * size + 4 * (at.off**2 + new.off**2)
        fell = (new.dual <= at.dual + slack) | (new.gap < at.gap / 4)
        fell = fell & xp.isfinite(new.dual)
        steps = xp.where(done, steps, steps + 1)
        length = xp.where(fell, 1.0, length / 4)
        at = new if bool(xp.all(fell)) else _kept(fell, new, at)
        done = done | _near(problem, at, _AIM)
    return at, _near(problem, at, 1.0), steps


def _near(problem: _Problem, at: _Point, share: float) -> Array:
    """Whether the gap is within so much of the tolerance (B,)."""
    xp = namespace(at.gap)
    return xp.isfinite(at.dual) & (at.gap <= share * problem.allowed(at.dual))


def _kept(fell: Array, new: _Point, old: _Point) -> _Point:
    """The new point of the games whose D fell."""
    both = zip(new, old, strict=True)
    parts = [a if isinstance(a, list) else pick(fell, a, b) for a, b in both]
    both = zip(new.answers, old.answers, strict=True)
    parts[2] = [
        Solved(*(pick(fell, a, b) for a, b in zip(one, other, strict=True))) for one, other in both
    ]
    return _Point(*parts)


def _started(problem: _Problem) -> _Point:
    """The first point: rewards kappa'/r = kappa', and T = e^-k of the masses without coupling.

    That one is raised by strong couplings, and by weak ones where it is tiny.
    """
    xp, coupling, k = namespace(problem.weights), problem.coupling, 0 * problem.shift
    if coupling.geometric:
        means = xp.concat([p.log_overlap() for p in problem.pieces], axis=-1)
        k = -logsumexp(means) / (1 + coupling.kappa)
        most = math.log1p(10 / coupling.kappa)
        k = xp.clip(xp.where(xp.isfinite(k), k, 0.0), None, most)
    c = 0 * problem.weights - coupling.kappa * xp.exp(k)[:, None]
    return _point(problem, c, k, None)


def _point(problem: _Problem, c: Array, k: Array, old: _Point | None) -> _Point:
    """The answers at c and k, from where they were, and the dual function with its derivatives."""
    answers, total = [], None
    for i, piece in enumerate(problem.pieces):
        if old is None:
            at = piece.started(c, k)
        else:
            at = piece.followed(old.answers[i], old.k, c - old.c, k - old.k)
        at, log_r, off = piece.corrected(at, c, k)
        found = piece.sums(at, log_r, k, off)
        answers.append(at)
        total = found if total is None else total.joined(found)
    assert total is not None
    return _judged(problem, _Point(c, k, answers, k, c, c, k, total.off), total)


def _judged(problem: _Problem, at: _Point, total: Sums) -> _Point:
    """The point with the dual function and its derivatives, made of sums over answers.

    D does not change along c + 1, which the added w w' forbids. The gap: nu = v/S replies to rewards a y
    and is paid a y (1 + error) up to constants, so that it is at most sum_x w_x error^2 <nu, (a y)^2> where
    error a y <= 1 (docs/theory/dynamics.md#one-number-per-answer).
    """
    xp, coupling, w, (c, k) = namespace(at.c), problem.coupling, problem.weights, at[:2]
    free = xp.exp(c + problem.rest)
    masses, diagonal = total.masses + free, total.diagonal + w * free
    mass, outer = weighted(masses, w), total.outer
    shares = masses / mass[:, None]
    dual, slope, aim = xp.log(mass) - weighted(c, w), w * shares, w
    if coupling.geometric:
        kappa, zero = coupling.kappa * xp.exp(k), 0 * k[:, None]
        paid = kappa * total.overlap / mass
        outer, dual = outer * kappa[:, None, None], dual - coupling.kappa * (k + 1)
        slope = xp.concat([slope, paid[:, None]], axis=-1)
        aim = xp.concat([aim, zero + coupling.kappa], axis=-1)
        diagonal = xp.concat([diagonal, zero], axis=-1)
        fixed = xp.concat([w, zero], axis=-1)
        error = xp.abs(coupling.kappa * shares / paid[:, None] - 1)
    else:
        fixed = w
        error = (xp.max(shares, axis=-1) / xp.min(shares, axis=-1) - 1)[:, None] + 0 * shares
    eye = xp.eye(slope.shape[-1], dtype=c.dtype, device=c.device)
    hessian = (outer + eye * diagonal[:, None, :]) / mass[:, None, None]
    hessian = hessian + _outer(fixed) - _outer(slope)
    error = error + (at.off**2)[:, None] + 64 * xp.finfo(c.dtype).eps
    gap = weighted(error**2 * total.square / masses, w)
    sure = (xp.max(error * total.top, axis=-1) <= 1) & (at.off <= LAST)
    gap = xp.where(sure, gap, xp.inf)
    return at._replace(dual=dual, gradient=slope - aim, hessian=hessian, gap=gap)


def _outer(u: Array) -> Array:
    return u[:, :, None] * u[:, None, :]
