"""The only loop: evaluate, test, step, for a flat batch; finished games leave the batch."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from ..games.game import AlignmentGame, Evaluation
from ..games.solution import Status
from ..numerics.arrays import Array, namespace, to_numpy
from .base import Solver, State, index_like, pick, take

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


def replaced(result: LoopResult, again: LoopResult, failed: np.ndarray) -> LoopResult:
    """The result with the rows `failed` replaced by those of another one."""
    xp = namespace(again.log_policy)
    kept = np.setdiff1d(np.arange(len(result.statuses)), failed)
    rows = index_like(again.log_policy, kept)
    order = index_like(again.log_policy, np.argsort(np.concatenate([kept, failed])))

    def merged(old: Array, new: Array) -> Array:
        return xp.take(xp.concat([xp.take(old, rows, axis=0), new], axis=0), order, axis=0)

    steps, statuses, multipliers = result.steps.copy(), result.statuses.copy(), result.multipliers
    steps[failed] += again.steps
    statuses[failed] = again.statuses
    if multipliers is not None and again.multipliers is not None:
        multipliers = merged(multipliers, again.multipliers)
    return result._replace(
        log_policy=merged(result.log_policy, again.log_policy),
        steps=steps,
        statuses=statuses,
        multipliers=multipliers,
        notes=(*result.notes, *(_of_row(note, failed) for note in again.notes)),
    )


def _of_row(note: str, rows: np.ndarray) -> str:
    """A note on "game b" of some rows, with the number that the game has among all."""
    number, colon, rest = note.removeprefix("game ").partition(":")
    return f"game {rows[int(number)]}:{rest}" if colon and number.isdigit() else note


class _Best(NamedTuple):
    """Of each game the iterate of least gap so far, its value and gap, and its round."""

    log_policy: Array
    value: Array
    gap: Array
    at: Array


class Limits(NamedTuple):
    """When a loop ends, every how many rounds that is tested, and whether torch compiles the evaluation."""

    tol: float = 1e-10
    max_steps: int = 10_000
    check_every: int = 1
    compile: bool = False


class Round(NamedTuple):
    """One round: the games that are played, the iterate and what the solver remembers."""

    game: AlignmentGame
    now: Evaluation
    state: State


def rounds(
    game: AlignmentGame, solver: Solver, start: Array | None = None, compile: bool = False
) -> Generator[Round, np.ndarray | None, None]:
    """The rounds of `solver` on a flat batch, without end; the first is the start, by default the reference.

    `send(rows)` goes on with these games of the batch only, `next` with all.
    """
    evaluate = game.evaluate
    if compile:
        from .compiled import compiled_evaluate

        evaluate = compiled_evaluate(game)
    now = evaluate(game.log_reference if start is None else start)
    state = solver.init(game, now)
    while True:
        rows = yield Round(game, now, state)
        if rows is not None:
            index = index_like(now.gap, rows)
            game, now, state = game.rows(index), take(now, index), take(state, index)
            evaluate = game.evaluate
        proposal, state = solver.step(game, now, state)
        now = evaluate(proposal)


def iterate(
    game: AlignmentGame,
    solver: Solver,
    limits: Limits,
    *,
    start: Array | None = None,
    patience: int = 500,
) -> LoopResult:
    """Run `solver` on a flat batch until every gap is <= tol * max(beta, |J|), or `max_steps` rounds.

    Each game keeps the iterate of least gap; one whose least gap is `patience` rounds old has stalled
    and is given up. A test of convergence reads one number per game from the device, every
    `check_every` rounds; games that are done are then taken out of the batch once they are at
    least a quarter of it, unless the evaluation is compiled for its shape.
    """
    tol, max_steps, unit, total = (
        limits.tol,
        limits.max_steps,
        game.beta,
        game.log_reference.shape[0],
    )
    playing = rounds(game, solver, start, limits.compile)
    now = next(playing).now
    best = _Best(now.log_policy, now.value, now.gap, 0 * now.gap)
    record, alive = _Record(total), np.arange(total)
    finished: list[tuple[np.ndarray, _Best]] = []
    for round_ in range(max_steps + 1):
        rest = None
        if round_ % limits.check_every == 0 or round_ == max_steps:
            done = to_numpy(_solved(best, tol, unit) | (best.at < round_ - patience))
            if round_ >= 2:
                done = done | ~to_numpy(_sound(best))
            record.add(alive, now)
            if done.all() or round_ == max_steps:
                break
            if done.mean() >= 0.25 and len(done) > 1 and not limits.compile:
                out, rest = np.flatnonzero(done), np.flatnonzero(~done)
                finished.append((alive[out], take(best, index_like(now.gap, out))))
                alive, best = alive[rest], take(best, index_like(now.gap, rest))
        now = playing.send(rest).now
        best = _improved(now, best, round_ + 1, tol, unit)
    finished.append((alive, best))
    return _gathered(finished, record, tol, max_steps - patience, unit)


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
        best = take(_Best(*joined), index_like(best.gap, np.argsort(rows)))
    steps = to_numpy(best.at)
    statuses = Status.MAX_STEPS.times(len(rows))
    statuses[steps < stalled_at] = Status.STALLED
    statuses[to_numpy(best.value) < NO_VALUE] = Status.INFEASIBLE
    broken = ~np.isfinite(to_numpy(best.value)) | np.isnan(to_numpy(best.gap))
    statuses[broken] = Status.NOT_FINITE
    statuses[to_numpy(_solved(best, tol, unit))] = Status.SOLVED
    return LoopResult(best.log_policy, steps.astype(int), statuses, record.values, record.gaps)
