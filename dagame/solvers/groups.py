"""Caps, floors and quotas on disjoint groups of answers, hard or soft: a formula in the groups' masses.

With rewards and entropies folded into the reference, p_k its mass on a group (the answers in none are one
more, without bounds); within a group nothing is left to choose:

    hard:  nu(S_k) = t_k,  t_k = clip(p_k E, low_k, high_k) with sum_k t_k = 1
    soft:  nu(S_k) ∝ p_k^{1 - sigma} t_k^sigma at the same t,  sigma = lambda/(lambda + beta)

(docs/theory/objectives.md#bounds-on-disjoint-groups). The sum is increasing and piecewise linear in E, so
that E is found by looking at its corners.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import LOG_ZERO, Array, float64, like, log, namespace, to_numpy
from ..objectives.constraints import HardConstraint
from ..objectives.sets import ConstraintSet, Floor, Quota, compiled_groups
from ..objectives.soft import SoftConstraint
from .base import column, pick
from .folded import folded
from .loop import LoopResult

_MOST = 32
"""Groups; more are left to other methods."""

_PIECE = 1 << 15
"""Numbers at a time, so that temporaries stay in cache."""

_LEAST = 1e-290
"""Mass of a group with a bound to keep, below which its formula has no digits."""

_NONE = 1e-300
"""What a mass of zero counts as for the target of a soft set."""

_MARGIN = 1e-14
"""By what share of themselves hard bounds are kept more strictly."""

_ROUNDING = 1e-12
"""By how much sums of masses may miss 1."""


class _Table(NamedTuple):
    """The groups of a set and last the answers in none: member (k, n), the rest (k,).

    `some`: whether there are answers; within: the bounds, where there is room moved in by `_MARGIN`, so that
    no rounding of a policy passes them; signs and equal (k - 1,): of the set's rows.
    """

    member: np.ndarray
    some: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]
    within: tuple[np.ndarray, np.ndarray]
    signs: np.ndarray
    equal: np.ndarray


class _Parts(NamedTuple):
    """The set's term and its factor, its groups, and logits and beta with the other terms in them."""

    factor: float
    term: HardConstraint | SoftConstraint
    table: _Table
    logits: Array
    beta: float


def grouped_solve(game: AlignmentGame) -> LoopResult | None:
    """The formula, or None where the objective is no such set with terms of exponential form.

    Exact, in two passes over the reference. Games without a policy in the set, or where a group to be raised
    has next to no mass, keep the reference and are left as stalled.
    """
    parts = _split(game)
    if parts is None:
        return None
    xp, logits = namespace(game.log_reference), parts.logits
    plain = logits is game.log_reference
    top = None if plain else xp.max(logits, axis=-1)
    masses = _masses(logits, top, parts.table.member)
    total = xp.sum(masses, axis=-1, keepdims=True)
    with np.errstate(all="ignore"):  # groups of masses near 0; what is not finite is not solved
        change, multipliers, met = _changes(game, parts, masses / total)
    met = xp.all(met, axis=-1)
    change = change - log(total)
    if top is not None:
        change = change - float64(top)[..., None]
    change = xp.where(column(met), xp.clip(change, LOG_ZERO, None), 0.0)
    if not plain and not bool(xp.all(met)):
        logits = pick(met, logits, game.log_reference)
    log_nu = _raised(logits, like(change, logits), parts.table.member)
    if not bool(xp.all(game.support)):
        log_nu = xp.where(game.support, log_nu, LOG_ZERO)
    solved = to_numpy(met)
    statuses = Status.STALLED.times(len(solved))
    statuses[solved] = Status.SOLVED
    return LoopResult(log_nu, np.zeros(len(solved), dtype=int), statuses, [], [], multipliers)


def _changes(game: AlignmentGame, parts: _Parts, p: Array) -> tuple[Array, Array | None, Array]:
    """log nu(S)/p (B, m, k) by the module's formulas, a hard set's multipliers, and where they hold (B, m).

    p holds the reference's masses.
    """
    xp, low, high = namespace(p), *(like(bound, p) for bound in parts.table.bounds)
    if isinstance(parts.term, HardConstraint):
        t, level, met = _bounded(p, *(like(bound, p) for bound in parts.table.within))
        if not bool(xp.all(met)):  # no room for the margin
            again = _bounded(p, low, high)
            t, level = (
                xp.where(met[..., None], a, b) for a, b in zip((t, level), again, strict=False)
            )
            met = met | again[2]
        change = xp.where(p > 0, log(t) - log(p), 0.0)
        met = met & xp.all((p > _LEAST) | (low == 0), axis=-1)
        return change, _multipliers(game, parts, xp.where(p > 0, change, level), level), met
    # the target may have mass where the policy has none
    needed = xp.asarray(parts.table.some & (parts.table.bounds[1] > 0))
    t, _, met = _bounded(xp.where((p > 0) | ~needed, p, _NONE), low, high)
    strength = parts.factor * parts.term.strength
    change = strength / (strength + parts.beta) * xp.where(p > 0, log(t) - log(p), 0.0)
    left = xp.sum(p * xp.exp(change), axis=-1, keepdims=True)
    met = met & xp.all((p > _LEAST) | (p == 0), axis=-1) & (left[..., 0] > _LEAST)
    return change - log(left), None, met


def _split(game: AlignmentGame) -> _Parts | None:
    """The term with its groups, and the other terms folded into the reference."""
    if game.answer_map.kind != "identity":
        return None
    found = folded(game, lambda part: isinstance(part, HardConstraint | SoftConstraint))
    if found is None:
        return None
    term: Any = found.term
    table = _table(term.set, game.n)
    if table is None:
        return None
    if isinstance(term, HardConstraint):
        if len(table.signs) != len(table.equal):  # several bounds on one group
            return None
    elif not found.factor * term.strength > 0:
        return None
    return _Parts(found.factor, term, table, found.logits(game), game.beta + found.entropy)


@functools.lru_cache(maxsize=256)
def _table(chosen: ConstraintSet, n: int) -> _Table | None:
    """What the formula needs of a set, made once and kept; None for a set that is no few groups."""
    groups = compiled_groups(chosen, n)
    if groups is None or len(groups.member) > _MOST:
        return None
    member = np.concatenate([groups.member, ~groups.member.any(axis=0, keepdims=True)])
    low, high = np.append(groups.low, 0.0), np.append(groups.high, 1.0)
    room = low < high * (1 - 1e-9)
    least = np.where(room, low * (1 + _MARGIN), low)
    most = np.where(room & (high < 1), high * (1 - _MARGIN), high)
    signs, equal = np.array(_signs(chosen)), groups.low == groups.high
    return _Table(member, np.any(member, axis=-1), (low, high), (least, most), signs, equal)


def _signs(chosen: ConstraintSet) -> list[float]:
    """Of the rows of each group: -1 where they are floors."""
    signs: list[float] = []
    for part in chosen.parts():
        count = len(part.shares) if isinstance(part, Quota) and np.ndim(part.shares) else 1
        signs += [-1.0 if isinstance(part, Floor) else 1.0] * count
    return signs


def _pieces(logits: Array) -> list[slice]:
    """Answers at a time."""
    size, m, n = logits.shape
    step = max(1, _PIECE // (size * m))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def _masses(logits: Array, top: Array | None, member: np.ndarray) -> Array:
    """sum_z e^{logits - top} of each group (B, m, k), in pieces; member (k, n)."""
    xp, parts = namespace(logits), []
    for some in _pieces(logits):
        part = logits[:, :, some]
        e = xp.exp(float64(part if top is None else part - top[..., None]))
        parts.append(e @ xp.matrix_transpose(like(member[:, some], e)))
    return sum(parts[1:], parts[0])


def _raised(logits: Array, change: Array, member: np.ndarray) -> Array:
    """logits and the change (B, m, k) of each answer's group, in pieces."""
    found = namespace(logits).empty_like(logits)
    for some in _pieces(logits):
        found[:, :, some] = change @ like(member[:, some], change) + logits[:, :, some]
    return found


def _bounded(p: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """t = clip(p E, low, high) with sum 1 (B, m, k), log E (B, m, 1), and whether that is a reply (B, m).

    It is none without such an E, or where p is 0 and t is not.
    """
    xp = namespace(p)
    some = p > 0
    safe = xp.where(some, p, 1.0)
    rise, stop = (xp.where(some, bound / safe, 0.0) for bound in (low, high))
    corners = xp.concat([rise, stop], axis=-1)
    at_corners = xp.minimum(xp.maximum(p[..., None, :] * corners[..., :, None], low), high)
    under = xp.sum(at_corners, axis=-1) <= 1 + _ROUNDING
    best = xp.max(xp.where(under, corners, 0.0), axis=-1, keepdims=True)
    start = xp.minimum(xp.maximum(p * best, low), high)
    slope = xp.sum(xp.where((best >= rise) & (best < stop), p, 0.0), axis=-1, keepdims=True)
    missing = 1 - xp.sum(start, axis=-1, keepdims=True)
    move = xp.where((slope > 0) & (missing > 0), missing / xp.where(slope > 0, slope, 1.0), 0.0)
    level = best + move
    t = xp.minimum(xp.maximum(p * level, low), high)
    met = xp.abs(xp.sum(t, axis=-1, keepdims=True) - 1) <= _ROUNDING
    return t, log(level), met[..., 0] & xp.all(some | (t == 0), axis=-1)


def _multipliers(game: AlignmentGame, parts: _Parts, change: Array, level: Array) -> Array:
    """y (B, r) of the set's rows: the rewards of a group are beta (log(t/p) - log E) = -sign y / w."""
    xp, signs = namespace(change), like(parts.table.signs, change)
    paid = parts.beta * (change - level)[..., :-1] * float64(game.weights)[..., None]
    y = -signs * paid / parts.factor
    y = xp.where(like(parts.table.equal, change) > 0, y, xp.clip(y, 0.0, None))
    y = xp.where(xp.isfinite(y), y, 0.0)
    return like(xp.reshape(xp.matrix_transpose(y), (y.shape[0], -1)), game.log_reference)
