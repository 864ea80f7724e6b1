"""Caps, floors and quotas on disjoint groups of answers, hard or soft: a formula in the groups' masses.

With rewards and entropies folded into the reference, p_k its mass on a group (the answers in none are one
more, without bounds); within a group nothing is left to choose:

    hard:  nu(S_k) = t_k,  t_k = clip(p_k E, low_k, high_k) with sum_k t_k = 1
    soft:  nu(S_k) ∝ p_k^{1 - sigma} t_k^sigma at the same t,  sigma = lambda/(lambda + beta)

(docs/theory/objectives.md#bounds-on-disjoint-groups). The sum is increasing and piecewise linear in E, so
that E is found by looking at its corners.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import LOG_ZERO, Array, float64, like, log, namespace, to_numpy
from ..objectives.constraints import HardConstraint
from ..objectives.set_rows import Groups
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


class _Parts(NamedTuple):
    """The set's term and its factor, its groups, and logits and beta with the other terms in them."""

    factor: float
    term: HardConstraint | SoftConstraint
    groups: Groups
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
    member = np.asarray(parts.groups.member, dtype=float)
    member = np.concatenate([member, 1 - member.sum(axis=0, keepdims=True)])
    table = like(member, float64(logits[..., :0]))
    plain = logits is game.log_reference
    top = None if plain else xp.max(logits, axis=-1)
    masses = _masses(logits, top, table)
    total = xp.sum(masses, axis=-1, keepdims=True)
    p = masses / total
    with np.errstate(all="ignore"):  # groups of masses near 0; what is not finite is not solved
        change, multipliers, met = _changes(game, parts, p, xp.any(table > 0, axis=-1))
    met = xp.all(met, axis=-1)
    change = change - log(total)
    if top is not None:
        change = change - float64(top)[..., None]
    change = xp.where(column(met), xp.clip(change, LOG_ZERO, None), 0.0)
    if not plain and not bool(xp.all(met)):
        logits = pick(met, logits, game.log_reference)
    log_nu = like(change, logits) @ like(table, logits)
    log_nu += logits
    if not bool(xp.all(game.support)):
        log_nu = xp.where(game.support, log_nu, LOG_ZERO)
    solved = to_numpy(met)
    statuses = Status.STALLED.times(len(solved))
    statuses[solved] = Status.SOLVED
    return LoopResult(log_nu, np.zeros(len(solved), dtype=int), statuses, [], [], multipliers)


def _changes(
    game: AlignmentGame, parts: _Parts, p: Array, some: Array
) -> tuple[Array, Array | None, Array]:
    """log nu(S)/p (B, m, k) by the module's formulas, a hard set's multipliers, and where they hold (B, m).

    p holds the reference's masses, `some` (k,) whether a group has answers.
    """
    xp, groups = namespace(p), parts.groups
    low, high = like(np.append(groups.low, 0.0), p), like(np.append(groups.high, 1.0), p)
    if isinstance(parts.term, HardConstraint):
        t, level, met = _bounded(p, *_narrowed(low, high))
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
    t, _, met = _bounded(xp.where((p > 0) | ~(some & (high > 0)), p, _NONE), low, high)
    strength = parts.factor * parts.term.strength
    change = strength / (strength + parts.beta) * xp.where(p > 0, log(t) - log(p), 0.0)
    left = xp.sum(p * xp.exp(change), axis=-1, keepdims=True)
    met = met & xp.all((p > _LEAST) | (p == 0), axis=-1) & (left[..., 0] > _LEAST)
    return change - log(left), None, met


def _narrowed(low: Array, high: Array) -> tuple[Array, Array]:
    """The bounds, where there is room moved in by `_MARGIN`: no rounding of a policy passes them."""
    xp = namespace(low)
    room = low < high * (1 - 1e-9)
    return (
        xp.where(room, low * (1 + _MARGIN), low),
        xp.where(room & (high < 1), high * (1 - _MARGIN), high),
    )


def _split(game: AlignmentGame) -> _Parts | None:
    """The term with its groups, and the other terms folded into the reference."""
    if game.answer_map.kind != "identity":
        return None
    found = folded(game, lambda part: isinstance(part, HardConstraint | SoftConstraint))
    if found is None:
        return None
    term: Any = found.term
    groups = compiled_groups(term.set, game.n)
    if groups is None or len(groups.member) > _MOST:
        return None
    if isinstance(term, HardConstraint):
        if len(_signs(term.set)) != len(groups.member):  # several bounds on one group
            return None
    elif not found.factor * term.strength > 0:
        return None
    return _Parts(found.factor, term, groups, found.logits(game), game.beta + found.entropy)


def _signs(chosen: ConstraintSet) -> list[float]:
    """Of the rows of each group: -1 where they are floors."""
    signs: list[float] = []
    for part in chosen.parts():
        count = len(part.shares) if isinstance(part, Quota) and np.ndim(part.shares) else 1
        signs += [-1.0 if isinstance(part, Floor) else 1.0] * count
    return signs


def _masses(logits: Array, top: Array | None, table: Array) -> Array:
    """sum_z e^{logits - top} of each group (B, m, k), in pieces; table (k, n) of 0 and 1."""
    xp, (size, m, n) = namespace(logits), logits.shape
    step, parts = max(1, _PIECE // (size * m)), []
    for start in range(0, n, step):
        some = slice(start, min(start + step, n))
        part = logits[:, :, some]
        e = xp.exp(float64(part if top is None else part - top[..., None]))
        parts.append(e @ xp.matrix_transpose(table[:, some]))
    return sum(parts[1:], parts[0])


def _bounded(p: Array, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """t = clip(p E, low, high) with sum 1 (B, m, k), log E (B, m, 1), and whether that is a reply (B, m).

    It is none without such an E, or where p is 0 and t is not.
    """
    xp = namespace(p)
    some = p > 0
    safe = xp.where(some, p, 1.0)
    rise, stop = (xp.where(some, bound / safe, 0.0) for bound in (low, high))
    corners = xp.concat([rise, stop], axis=-1)
    at = corners[..., :, None]
    inside = xp.where(some[..., None, :], p[..., None, :] * at, low)
    below, above = at <= rise[..., None, :], at >= stop[..., None, :]
    held = xp.where(some[..., None, :], xp.where(below, low, xp.where(above, high, inside)), low)
    totals = xp.sum(held, axis=-1)
    under = totals <= 1 + _ROUNDING
    best = xp.max(xp.where(under, corners, 0.0), axis=-1, keepdims=True)
    start = xp.where(some, xp.where(best <= rise, low, xp.where(best >= stop, high, p * best)), low)
    moving = some & (best >= rise) & (best < stop)
    slope = xp.sum(xp.where(moving, p, 0.0), axis=-1, keepdims=True)
    missing = 1 - xp.sum(start, axis=-1, keepdims=True)
    move = xp.where((slope > 0) & (missing > 0), missing / xp.where(slope > 0, slope, 1.0), 0.0)
    level = best + move
    t = xp.where(some, xp.where(level <= rise, low, xp.where(level >= stop, high, p * level)), low)
    met = xp.abs(xp.sum(t, axis=-1, keepdims=True) - 1) <= _ROUNDING
    return t, log(level), met[..., 0] & xp.all(some | (t == 0), axis=-1)


def _multipliers(game: AlignmentGame, parts: _Parts, change: Array, level: Array) -> Array:
    """y (B, r) of the set's rows: the rewards of a group are beta (log(t/p) - log E) = -sign y / w."""
    xp, signs = namespace(change), like(np.array(_signs(parts.term.set)), change)
    equal = like((parts.groups.low == parts.groups.high).astype(float), change)
    paid = parts.beta * (change - level)[..., :-1] * float64(game.weights)[..., None]
    y = -signs * paid / parts.factor
    y = xp.where(equal > 0, y, xp.clip(y, 0.0, None))
    y = xp.where(xp.isfinite(y), y, 0.0)
    return like(xp.reshape(xp.matrix_transpose(y), (y.shape[0], -1)), game.log_reference)
