"""Games whose target moves few multipliers: worst case and hard sets, with rewards and entropies besides."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import Array, float64, like, log_normalise, to_numpy
from ..objectives.dual import dual_log_policy, solve_dual
from ..objectives.forms import DualForm
from ..objectives.set_rows import clashing
from .base import pick
from .folded import folded
from .loop import LoopResult

_FEASIBLE = 1e-7


def dual_solve(game: AlignmentGame) -> LoopResult | None:
    """Newton on the dual over the multipliers, or None where the objective has no such dual.

    One term with a `DualForm`, all others of exponential form (rewards, Shannon diversity, reverse
    matching): with these folded into the reference and beta, J* = min_y y . bound + beta' sum_x w_x
    log sum_z nu0' e^{u/beta'}. The primal policy is the best response to the multipliers; for sets
    it is strictly inside, within 1e-14 of the bound. Games that are not infeasible
    are left as stalled, for the caller to judge by their gap. No Slater point (a set that only just meets the
    reference's support): y runs away and the game is reported as infeasible or unsolved.
    """
    parts = _split(game)
    if parts is None:
        return None
    form, log_reference, beta = parts
    work = float64(log_reference)
    form = form._replace(rows=float64(form.rows), bound=float64(form.bound))
    y = solve_dual(form, work, float64(game.weights), beta)
    log_nu = game.masked(like(dual_log_policy(form, work, y, beta), game.log_reference))
    off, clashes = _residual(game, form, log_nu)
    statuses = Status.STALLED.times(log_nu.shape[0])
    notes: list[str] = []
    for b in np.flatnonzero(~(off <= _FEASIBLE)):
        names = clashes(int(b))
        if names:
            statuses[b] = Status.INFEASIBLE
            notes.append(f"game {b}: clash of {', '.join(names)}")
    if notes:
        lost = like(Status.INFEASIBLE.among(statuses).astype(float), game.log_reference) > 0
        log_nu = pick(lost, game.log_reference, log_nu)
    steps = np.zeros(len(statuses), dtype=int)
    return LoopResult(log_nu, steps, statuses, [], [], like(y, game.log_reference), tuple(notes))


def _split(game: AlignmentGame) -> tuple[DualForm, Array, float] | None:
    """The dual form on traces, and the reference and beta with the other terms folded in."""
    parts = folded(game, lambda part: part.has_multipliers)
    channel = game.answer_map.kind == "channel"
    if parts is None or (channel and parts.entropy):
        return None
    form = parts.term.dual_form(game.log_reference_answers, game.weights)
    if form is None:
        return None
    form = form if parts.factor == 1 else parts.factor * form
    if channel:
        form = form._replace(rows=game.answer_map.pull_back(form.rows))
    logits = parts.logits(game)
    if logits is not game.log_reference:
        logits = game.masked(log_normalise(logits))
    return form, logits, game.beta + parts.entropy


def _residual(game: AlignmentGame, form: DualForm, log_nu: Array) -> tuple[np.ndarray, Any]:
    """How far each game is from feasible, and a function that names its clashing rows."""
    off = np.zeros(log_nu.shape[0])
    sets = [part for _, part in game.objective.terms() if part.hard]
    if sets:
        log_answers = game.answer_map.log_push_forward(log_nu)
        off = off + to_numpy(game.objective.domain.violation(log_answers, game.weights))

    def clashes(b: int) -> list[str]:
        rows: Any = sets[0]
        w = np.reshape(to_numpy(game.weights), (-1, game.contexts))
        found = rows.set.rows(game.contexts, game.n, w[b % len(w)])
        live = to_numpy(game.answer_support)[b]
        return clashing(found, live)

    return off, clashes
