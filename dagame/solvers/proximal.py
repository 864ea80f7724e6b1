"""Mirror ascent inside a hard set or against a kink: each step is a small dual in the multipliers."""

from __future__ import annotations

import numpy as np

from ..games.certificate import certify_log
from ..games.game import AlignmentGame
from ..numerics.arrays import LOG_ZERO, Array, float64, log_normalise, namespace, to_numpy
from ..objectives.dual import dual_log_policy, solve_dual
from ..objectives.forms import DualForm
from ..objectives.objective import Objective
from .base import column, pick


def ascend(
    game: AlignmentGame, start: Array, tol: float, rounds: int
) -> tuple[Array, Array] | None:
    """log nu (B, m, traces) and multipliers (B, r) of least gap in `rounds` steps; None: no dual.

    nu_{t+1} = argmax <u_t, nu> + Phi_0(nu) - beta KL(nu || nu0) - l KL(nu || nu_t), u_t the rewards of
    the differentiable terms and Phi_0 the term with multipliers: Mirror's step with Phi_0 kept as it is, so
    that J never falls for l >= L, at Mirror's rate. l starts at L, or at beta where L is unknown, and is
    doubled for games whose J fell.
    """
    parts = _split(game)
    if parts is None:
        return None
    form, rest = parts
    xp, weights = namespace(start), float64(game.weights)
    smooth = game.beta if rest is None else _smoothness(game, rest)
    level = smooth + 0 * float64(start[:, 0, 0])
    x = best = float64(start)
    value = game.value_log(x)
    y = best_y = 0 * form.rows[..., 0, 0]
    gap = xp.inf + 0 * value
    for _ in range(rounds):
        total = game.beta + level
        logits = game.beta * float64(game.log_reference) + column(level) * x
        if rest is not None:
            log_nu = game.answer_map.log_push_forward(x)
            logits = logits + game.answer_map.pull_back(rest.reward_log(log_nu, weights))
        logits = xp.where(game.support, logits / column(total), LOG_ZERO)
        start_ = game.masked(log_normalise(game.masked(logits)))
        y = solve_dual(_scaled(form, 1 / total), start_, weights, 1.0)
        new = game.masked(dual_log_policy(_scaled(form, 1 / total), start_, y, 1.0))
        found = game.value_log(new)
        fell = (found < value - 1e-9 * (game.beta + xp.abs(value))) & (value > LOG_ZERO / 1e10)
        proof = certify_log(game, new, multipliers=y)
        less = ~(proof.gap >= gap) & xp.isfinite(proof.gap)
        best, best_y = pick(less, new, best), xp.where(less[:, None], y, best_y)
        gap = xp.where(less, proof.gap, gap)
        x, value = pick(fell, x, new), xp.where(fell, value, found)
        level = xp.where(fell, 2 * level, level)
        size = np.maximum(np.abs(to_numpy(value)), game.beta)
        if bool((to_numpy(gap) <= tol * size).all()):
            break
    return best, best_y


def _split(game: AlignmentGame) -> tuple[DualForm, Objective | None] | None:
    """The dual form on traces of the term with multipliers, and the sum of the others."""
    special = [(f, o) for f, o in game.objective.terms() if o.has_multipliers]
    others = [f * o for f, o in game.objective.terms() if not o.has_multipliers]
    form = special[0][1].dual_form(float64(game.log_reference_answers), float64(game.weights))
    if form is None:
        return None
    rows = special[0][0] * form.rows
    if game.answer_map.kind == "channel":
        rows = game.answer_map.pull_back(rows)
    form = form._replace(rows=rows, bound=special[0][0] * form.bound)
    return form, sum(others[1:], start=others[0]) if others else None


def _scaled(form: DualForm, unit: Array) -> DualForm:
    """The form in units of another beta, multipliers as they are."""
    rows = form.rows * unit[:, None, None, None]
    return form._replace(rows=rows, bound=form.bound * unit[:, None])


def _smoothness(game: AlignmentGame, rest: Objective) -> float:
    smooth = rest.smoothness
    return game.beta if smooth is None else max(smooth, 0.0)
