"""Arithmetic coherence, with rewards and entropies besides, played in the space of the consensus.

At a target q the policy's reply is nu_x = a_x q^s / S_x with a_x = exp((beta log nu0_x + r_x)/N), s = c/N,
N = beta + c + d for strength c, entropy d and rewards r. The equilibrium's q is explicit in the m numbers
theta_x = log S_x + constant, which are all that is left to find (docs/theory/dynamics.md#consensus):

    J* = N min_theta [norm(theta) + sum_x w_x theta_x],   norm = 1/k log sum_z G^k,   k = N/(beta + d),
    G = sum_x w_x a_x e^{-theta_x},   q ∝ G^k,

a convex function. Newton's step takes one product of a with itself and no exponential of size m x n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import LOG_ZERO, Array, like, namespace, row_major, solve, to_numpy
from ..numerics.fast import MAX_CONTEXTS, Kernel, row_table
from ..numerics.simplex import log_kl
from ..objectives.forms import ExponentialForm
from ..objectives.pairing import weighted
from .base import index_like, pick, take
from .chunks import in_pieces
from .loop import LoopResult, replaced

_ROUNDS = 60
"""Newton takes 0 to 6 moves; a game that needs so many is left to others."""

_FAR = 5.0
"""KL(w || shares) beyond which Newton's move is not tried."""

_SHORT = 0.05
"""The shortest part of Newton's move that is tried."""

_AIM = 1e-4
"""Share of the tolerance to come to: one move more, as a gap is squared by it, and digits of the policy."""

_LIMITS = _ROUNDS, _FAR, _SHORT, _AIM

_CONTEXTS = 128
"""With more contexts the m x m systems cost more than rounds on policies."""

_COLUMNS = 1 << 14
"""Answers at a time in the product of a with itself, so that no temporary is as large as the reference."""


def _load() -> Callable[..., None]:
    """The kernel, called once."""
    from .consensus_kernel import solve_games

    one, numbers = np.zeros((1, 1, 1)), (1.0, 1.0, 2.0, 1.0, 1e-10)
    found = np.empty_like(one), np.zeros(1, dtype=np.int64), np.zeros(1, bool)
    solve_games(one, np.zeros((1, 0, 0)), one[0] + 1, False, numbers, _LIMITS, *found)
    return solve_games


KERNEL = Kernel(_load, 1.0, MAX_CONTEXTS)
"""`consensus_kernel.solve_games`."""


class _Scales(NamedTuple):
    """beta, c and N of the module's formula, beta - rho of T6, the relative tolerance and the floats' eps."""

    beta: float
    strength: float
    total: float
    free: float
    tol: float
    eps: float

    @property
    def power(self) -> float:
        """k."""
        return self.total / (self.total - self.strength)


class _Problem(NamedTuple):
    """a (B, m, n) without the factors e^shift of its rows (B, m) and e^level of its columns (B, n), None for
    1; w (B, m); the answers (B, n) that some context can give, None for all.
    """

    a: Array
    shift: Array
    level: Array | None
    weights: Array
    live: Array | None


class _Point(NamedTuple):
    """At theta (B, m): norm (B,), log q, q, G/e^level (B, n), y = w e^{-theta} and sum_z q y a (y a)'/G^2.

    shares (B, m) = sum_z q(z) b_x(z) with b_x(z) = y_x a_x(z)/G(z) the share of a context in an answer, at
    an equilibrium w_x; they are the sums of the product's rows, as sum_x b_x = 1.
    """

    theta: Array
    norm: Array
    log_q: Array
    q: Array
    mass: Array
    y: Array
    product: Array
    shares: Array


class _Found(NamedTuple):
    """log q (B, n), log S (B, m), whether solved and after how many moves (B,)."""

    log_q: Array
    log_sums: Array
    solved: Array
    steps: Array


class _Walk(NamedTuple):
    """The kept theta, its dual value, Newton's move from it and the one that is sure to fall; the share of
    Newton's under test (B,), 0 for the sure one; the games that are done (B,), and what was found so far.
    """

    theta: Array
    dual: Array
    move: Array
    safe: Array
    length: Array
    done: Array
    found: _Found | None


def consensus_solve(game: AlignmentGame, tol: float) -> LoopResult | None:
    """Newton on the normalisers of the contexts, or None where arithmetic coherence does not couple them.

    A game is solved by a bound of its gap (T4) and of the rounding of its policy. The others, of normalisers
    beyond the range of floats or strengths beyond their digits, keep the reference and are left as stalled.
    """
    form = _form(game)
    if form is None:
        return None
    if KERNEL.ready(game.log_reference):
        return _in_kernel(game, form, tol)
    KERNEL.without(game.log_reference)
    return _on_arrays(game, form, tol)


def solved_in_kernel(game: AlignmentGame) -> bool:
    """Whether `consensus_solve` holds no other table than its result, so that batches need no pieces."""
    return _form(game) is not None and KERNEL.ready(game.log_reference)


def _form(game: AlignmentGame) -> ExponentialForm | None:
    """The objective's form, if it and the game are of those that the module's formula holds for."""
    form = game.objective.exponential_form()
    if form is None or form.coupling != "arithmetic":
        return None
    if game.answer_map.kind != "identity" or not game.provable:
        return None
    free = game.beta + form.entropy
    covered = form.strength > 0 and free + form.strength > form.strength
    return form if covered and game.contexts <= _CONTEXTS else None


def _in_kernel(game: AlignmentGame, form: ExponentialForm, tol: float) -> LoopResult:
    """Game by game in compiled code; what is not solved there is tried again on arrays."""
    table, forbidden, scales = game.log_reference, game.forbidden, _scales(game, form, tol)
    if forbidden is not None:
        table = np.where(forbidden, LOG_ZERO, table)
    plain, shape = isinstance(form.reward, float), table.shape
    reward = np.zeros((1, 0, 0)) if plain else row_table(like(form.reward, table), shape)
    scaled = not plain or bool(scales.total < game.beta)
    given = row_table(table, shape), reward, row_table(game.weights, shape[:-1])
    found, steps = np.empty(shape), np.zeros(shape[0], dtype=np.int64)
    solved, numbers = np.zeros(shape[0], bool), tuple(map(float, scales[:-1]))
    KERNEL.run(given, (scaled, numbers, _LIMITS), (found, steps, solved))
    statuses = Status.SOLVED.times(shape[0])
    result = LoopResult(found, steps, statuses, [], [])
    missed = np.flatnonzero(~solved)
    if not missed.size:
        return result

    def again(piece: AlignmentGame) -> tuple[str, LoopResult]:
        form = _form(piece)
        assert form is not None
        return "", _on_arrays(piece, form, tol)

    return replaced(result, in_pieces(game.rows(missed), again)[1], missed)


def _scales(game: AlignmentGame, form: ExponentialForm, tol: float) -> _Scales:
    total = game.beta + form.entropy + form.strength
    eps = float(namespace(game.log_reference).finfo(game.log_reference.dtype).eps)
    return _Scales(game.beta, form.strength, total, game.free_beta, tol, eps)


def _on_arrays(game: AlignmentGame, form: ExponentialForm, tol: float) -> LoopResult:
    """All games of a batch at once, on arrays of any library."""
    xp, support = namespace(game.log_reference), game.support
    if game.forbidden is not None:
        support = support & ~game.forbidden
    scales = _scales(game, form, tol)
    total = scales.total
    log_nu, plain = (game.beta / total) * game.log_reference, isinstance(form.reward, float)
    if not plain:
        log_nu = log_nu + like(form.reward, log_nu) / total
    full = bool(xp.all(support))
    if not full:
        log_nu = xp.where(support, log_nu, LOG_ZERO)
    shift, level = 0 * log_nu[..., 0], None
    live = None if full else xp.any(support, axis=-2)
    if not plain or total < game.beta:  # else a row's largest entry is at least 1/n
        shift = xp.max(log_nu, axis=-1)
        log_nu = log_nu - shift[..., None]
        level = xp.max(log_nu, axis=-2)
        level = level if live is None else xp.where(live, level, 0.0)
    a = xp.exp(log_nu if level is None else log_nu - level[:, None, :])
    if not full:
        a = xp.where(support, a, 0.0)  # also where a context has no answer left
    w = xp.broadcast_to(game.weights, shift.shape)
    with np.errstate(all="ignore"):  # what is not finite is not solved
        found = _newton(_Problem(row_major(a), shift, level, w, live), scales)
    log_nu += (scales.strength / total * found.log_q)[:, None, :]
    log_nu -= found.log_sums[..., None]
    if not full:
        log_nu = xp.where(support, log_nu, LOG_ZERO)
    solved = to_numpy(found.solved)
    if not solved.all():
        log_nu = pick(found.solved, log_nu, game.log_reference)
    statuses = Status.STALLED.times(len(solved))
    statuses[solved] = Status.SOLVED
    return LoopResult(log_nu, to_numpy(found.steps).astype(int), statuses, [], [])


def _newton(problem: _Problem, scales: _Scales) -> _Found:
    """Newton's moves until every game is done; those that are stay as they were and leave by the quarter."""
    xp = namespace(problem.a)
    trial = xp.log(_sums(problem))
    one = 0 * trial[:, 0] + 1
    walk = _Walk(trial, xp.inf * one, 0 * trial, 0 * trial, one, one < 0, None)
    alive, finished = np.arange(trial.shape[0]), []
    for round_ in range(_ROUNDS + 1):
        at = _point(problem, trial, scales)
        found, lost = _found(problem, at, scales, round_)
        if walk.found is not None:
            both = zip(walk.found, found, strict=True)
            found = _Found(*(pick(walk.done, old, new) for old, new in both))
        over = walk.done | found.solved | lost
        done = to_numpy(over)
        if done.all() or round_ == _ROUNDS:
            break
        walk, trial = _moved(problem, at, walk, scales)
        walk = walk._replace(done=over, found=found if done.any() else None)
        if done.mean() >= 0.25:
            out, rest = (index_like(trial, np.flatnonzero(which)) for which in (done, ~done))
            finished.append((alive[done], take(found, out)))
            problem, walk, alive = take(problem, rest), take(walk, rest), alive[~done]
            trial = xp.take(trial, rest, axis=0)
    return _in_order([*finished, (alive, found)])


def _moved(problem: _Problem, at: _Point, walk: _Walk, scales: _Scales) -> tuple[_Walk, Array]:
    """The next theta to look at: by Newton's move, shorter where the dual function rose, or the sure one.

    That is 1/k log(shares/w), which lowers the dual function by KL(w || shares)/k at least: for points so far
    out that the Hessian says nothing, and where short moves rise too.
    """
    xp, w = namespace(at.theta), problem.weights
    dual = at.norm + weighted(at.theta, w)
    size = 1 + xp.abs(at.norm) + xp.max(xp.abs(at.theta), axis=-1)
    fell = (dual <= walk.dual + 8 * scales.eps * size) | (walk.length == 0)
    far = log_kl(xp.log(w), xp.log(at.shares)) > _FAR
    theta, move, safe = at.theta, _move(w, at, scales), xp.log(at.shares / w) / scales.power
    length = xp.where(far, 0.0, 1 + 0 * walk.length)
    if not bool(xp.all(fell)):
        theta, move = pick(fell, theta, walk.theta), pick(fell, move, walk.move)
        safe, dual = pick(fell, safe, walk.safe), xp.where(fell, dual, walk.dual)
        shorter = xp.where(walk.length > _SHORT, walk.length / 4, 0.0)
        length = xp.where(fell, length, shorter)
    step = pick(length > 0, length[:, None] * move, safe)
    return _Walk(theta, dual, move, safe, length, walk.done, walk.found), theta + step


def _sums(problem: _Problem) -> Array:
    """sum_z a_x (B, m)."""
    xp = namespace(problem.a)
    if problem.level is None:
        return xp.sum(problem.a, axis=-1)
    return (problem.a @ xp.exp(problem.level)[..., None])[..., 0]


def _in_order(finished: list[tuple[np.ndarray, _Found]]) -> _Found:
    """What was found of all games, in their order."""
    found = finished[0][1]
    if len(finished) == 1:
        return found
    xp = namespace(found.log_q)
    joined = [xp.concat(parts, axis=0) for parts in zip(*(f for _, f in finished), strict=True)]
    order = np.argsort(np.concatenate([rows for rows, _ in finished]))
    return take(_Found(*joined), index_like(found.log_q, order))


def _point(problem: _Problem, theta: Array, scales: _Scales) -> _Point:
    """What the dual function and its derivatives are made of."""
    xp, (a, _, level, w, live) = namespace(theta), problem
    y = w * xp.exp(-theta)
    mass = (y[:, None, :] @ a)[:, 0, :]
    if live is not None:
        mass = xp.where(live, mass, 1.0)
    log_q = scales.power * (xp.log(mass) if level is None else level + xp.log(mass))
    if live is not None:
        log_q = xp.where(live, log_q, LOG_ZERO)
    log_q = log_q - (top := xp.max(log_q, axis=-1, keepdims=True))
    q = xp.exp(log_q)
    total = xp.sum(q, axis=-1, keepdims=True)
    q, log_total = q / total, xp.log(total)
    product = _product_of_shares(a, y, xp.sqrt(q) / mass)
    norm = (top + log_total)[:, 0] / scales.power
    shares = xp.clip(xp.sum(product, axis=-1), float(xp.finfo(a.dtype).smallest_normal), None)
    return _Point(theta, norm, log_q - log_total, q, mass, y, product, shares)


def _product_of_shares(a: Array, y: Array, h: Array) -> Array:
    """sum_z h^2 y a (y a)' (B, m, m) for h (B, n)."""
    xp, products = namespace(a), []
    for start in range(0, a.shape[-1], _COLUMNS):
        some = slice(start, min(start + _COLUMNS, a.shape[-1]))
        part = y[:, :, None] * a[:, :, some] * h[:, None, some]
        products.append(part @ xp.matrix_transpose(part))
    return sum(products[1:], products[0])


def _move(w: Array, at: _Point, scales: _Scales) -> Array:
    """Newton's move of theta.

    The dual function does not change along (1, ..., 1), which the added w w' forbids.
    """
    xp, shares = namespace(w), at.shares
    eye = xp.eye(w.shape[-1], dtype=w.dtype, device=w.device)
    hessian = eye * shares[:, None, :] + (scales.power - 1) * at.product
    hessian = hessian - scales.power * shares[:, :, None] * shares[:, None, :]
    hessian = hessian + w[:, :, None] * w[:, None, :]
    return solve(hessian, (shares - w)[..., None])[..., 0]


def _found(problem: _Problem, at: _Point, scales: _Scales, steps: int) -> tuple[_Found, Array]:
    """The consensus at a point, and the games that can come no nearer.

    The dual function is above J* and above J by N KL(w || shares), which decides cheaply whether the gap is
    worth a look.
    """
    xp, w, shares = namespace(at.q), problem.weights, at.shares
    log_sums = at.theta + xp.log(shares / w) + at.norm[:, None]
    value = scales.total * weighted(log_sums + problem.shift, w)
    allowed = scales.tol * xp.maximum(xp.abs(value), 0 * value + scales.beta)
    solved = scales.total * log_kl(xp.log(w), xp.log(shares)) <= allowed
    lost = ~xp.isfinite(value)
    found = _Found(at.log_q, log_sums, solved & ~lost, steps + 0 * w[:, 0])
    if not bool(xp.any(found.solved)):
        return found, lost
    gap, rounding = _gap(problem.a, at, w / shares - 1, scales), _rounding(at, scales)
    near = gap <= xp.maximum(_AIM * allowed, rounding)
    solved = near & found.solved & (gap + rounding <= allowed) & _in_range(at)
    return found._replace(solved=solved), lost | (found.solved & ~solved & (gap <= rounding))


def _gap(a: Array, at: _Point, off: Array, scales: _Scales) -> Array:
    """A bound of the gap (B,) of the policy at q, tight at the equilibrium, from w_x = (1 + off_x) shares_x.

    With q' = sum_x w_x nu_x = q (1 + sum_x y_x off_x a_x/G) and t = c/beta log(q'/q) the best response to
    the rewards at nu (T4) is nu_x e^t / Z_x: gap = beta sum_x w_x [log Z_x - <nu_x, t>], which is at most
    beta <q', e^t - 1 - t>.
    """
    xp = namespace(a)
    change = ((at.y * off)[:, None, :] @ a)[:, 0, :] / at.mass
    t = scales.strength / scales.free * xp.log1p(change)
    return scales.free * xp.sum(at.q * (1 + change) * (xp.expm1(t) - t), axis=-1)


def _rounding(at: _Point, scales: _Scales) -> Array:
    """The gap (B,) that comes from rounding log nu, whose errors the rewards hold c/beta times."""
    size = 1 + namespace(at.q).sum(at.q * at.log_q**2, axis=-1)
    return (scales.total * scales.eps / 2) ** 2 / scales.free * size


def _in_range(at: _Point) -> Array:
    """Whether every answer has a mass in some context that the floats can hold (B,)."""
    xp = namespace(at.mass)
    return xp.all(at.mass > float(xp.finfo(at.mass.dtype).smallest_normal), axis=-1)
