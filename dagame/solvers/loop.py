"""The only loop: evaluate, test, step, for a flat batch; finished games leave the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..arrays import Array, namespace, to_numpy
from ..game import AlignmentGame, Evaluation
from ..solution import Status
from .base import Solver, pick

NO_VALUE = -1e20
"""Values below stand for -infinity: no step has found a policy in the objective's domain."""


class LoopResult(NamedTuple):
    """Best log-policy (B, m, traces) of each game, rounds and statuses (B,), and the record."""

    log_policy: Array
    steps: np.ndarray
    statuses: np.ndarray
    values: list[np.ndarray]
    gaps: list[np.ndarray]
    multipliers: Array | None = None
    notes: tuple[str, ...] = ()


class _Best(NamedTuple):
    """Of each game the iterate of least gap so far, its value and gap, and its round."""

    log_policy: Array
    value: Array
    gap: Array
    at: Array


class Pace(NamedTuple):
    """Rounds between tests of convergence, and whether the evaluation is compiled (torch)."""

    check_every: int = 1
    compile: bool = False


_PACE = Pace()


def _evaluation(game: AlignmentGame, pace: Pace) -> Callable[[Array], Evaluation]:
    if not pace.compile:
        return game.evaluate
    from .compiled import compiled_evaluate

    return compiled_evaluate(game)


def iterate(
    game: AlignmentGame,
    solver: Solver,
    *,
    tol: float,
    max_steps: int,
    start: Array | None = None,
    pace: Pace = _PACE,
    patience: int = 500,
) -> LoopResult:
    """Run `solver` on a flat batch until every gap is <= tol * max(beta, |J|), or `max_steps` rounds.

    Each game keeps the iterate of least gap; one whose least gap is `patience` rounds old has stalled
    and is given up. A test of convergence reads one number per game from the device, every
    `pace.check_every` rounds; games that are done are then taken out of the batch once they are at
    least a quarter of it, unless the evaluation is compiled for its shape.
    """
    total, evaluate = game.log_reference.shape[0], _evaluation(game, pace)
    now = evaluate(game.log_reference if start is None else start)
    state = solver.init(game, now)
    best = _Best(now.log_policy, now.value, now.gap, 0 * now.gap)
    record = _Record(total)
    alive = np.arange(total)
    finished: list[tuple[np.ndarray, _Best]] = []
    for round_ in range(max_steps + 1):
        if round_ % pace.check_every == 0 or round_ == max_steps:
            done = to_numpy(_solved(best, tol, game.beta) | (best.at < round_ - patience))
            if round_ >= 2:
                done = done | ~to_numpy(_sound(best))
            record.add(alive, now)
            if done.all() or round_ == max_steps:
                break
            if done.mean() >= 0.25 and len(done) > 1 and not pace.compile:
                out, rest = np.flatnonzero(done), np.flatnonzero(~done)
                finished.append((alive[out], _Best(*_take(best, out))))
                alive = alive[rest]
                game = game.rows(index_like(now.gap, rest))
                evaluate = game.evaluate
                now = Evaluation(*_take(now, rest))
                state = _take(state, rest)
                best = _Best(*_take(best, rest))
        proposal, state = solver.step(game, now, state)
        now = evaluate(proposal)
        best = _improved(now, best, round_ + 1, tol, game.beta)
    finished.append((alive, best))
    return _gathered(finished, record, tol, max_steps - patience, game.beta)


def _sound(now: Evaluation | _Best) -> Array:
    """Whether the value is finite and the gap a number."""
    xp = namespace(now.value)
    return xp.isfinite(now.value) & (now.value > NO_VALUE) & ~xp.isnan(now.gap)


def _solved(best: _Best, tol: float, unit: float) -> Array:
    """Whether the least gap is within the tolerance for the value of the iterate that has it."""
    xp = namespace(best.value)
    size = xp.abs(best.value)
    return _sound(best) & (best.gap <= tol * xp.maximum(size, 0 * size + unit))


def _improved(now: Evaluation, best: _Best, at: int, tol: float, unit: float) -> _Best:
    """The better iterate of each game that is not done yet: of finite value, then of lesser gap."""
    xp, found, had = namespace(now.gap), _sound(now), _sound(best)
    better = ~_solved(best, tol, unit) & ((found & ~had) | ((found == had) & (now.gap < best.gap)))
    return _Best(
        pick(better, now.log_policy, best.log_policy),
        xp.where(better, now.value, best.value),
        xp.where(better, now.gap, best.gap),
        xp.where(better, 0 * best.at + at, best.at),
    )


def index_like(like_: Array, rows: np.ndarray) -> Array:
    """Row numbers as an integer array of the namespace and device of `like_`."""
    xp = namespace(like_)
    return xp.asarray(rows, device=like_.device)


def _take(arrays: tuple[Array, ...], rows: np.ndarray) -> tuple[Array, ...]:
    if not arrays:
        return ()
    index = index_like(arrays[0], rows)
    return tuple(namespace(a).take(a, index, axis=0) for a in arrays)


class _Record:
    """Values and gaps of every checked round; a finished game keeps its last."""

    def __init__(self, total: int) -> None:
        self.value, self.gap = np.full(total, np.nan), np.full(total, np.inf)
        self.values: list[np.ndarray] = []
        self.gaps: list[np.ndarray] = []

    def add(self, alive: np.ndarray, now: Evaluation) -> None:
        self.value[alive], self.gap[alive] = to_numpy(now.value), to_numpy(now.gap)
        self.values.append(self.value.copy())
        self.gaps.append(self.gap.copy())


def _gathered(
    finished: list[tuple[np.ndarray, _Best]],
    record: _Record,
    tol: float,
    stalled_at: int,
    unit: float,
) -> LoopResult:
    rows = np.concatenate([rows for rows, _ in finished])
    best = finished[0][1]
    if len(finished) > 1:
        xp = namespace(best.gap)
        joined = [xp.concat(parts, axis=0) for parts in zip(*(b for _, b in finished), strict=True)]
        best = _Best(*_take(tuple(joined), np.argsort(rows)))
    steps = to_numpy(best.at)
    statuses = np.full(len(rows), Status.MAX_STEPS, dtype=object)
    statuses[steps < stalled_at] = Status.STALLED
    statuses[to_numpy(best.value) < NO_VALUE] = Status.INFEASIBLE
    broken = ~np.isfinite(to_numpy(best.value)) | np.isnan(to_numpy(best.gap))
    statuses[broken] = Status.NOT_FINITE
    statuses[to_numpy(_solved(best, tol, unit))] = Status.SOLVED
    return LoopResult(best.log_policy, steps.astype(int), statuses, record.values, record.gaps)
