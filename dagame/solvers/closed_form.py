"""Equilibria with an explicit formula: exponential forms, and objectives that bring their own."""

from __future__ import annotations

from ..games.game import AlignmentGame
from ..numerics.arrays import LOG_ZERO, Array, like, log_normalise, namespace


def closed_form(game: AlignmentGame) -> tuple[Array, Array | None] | None:
    """log nu* (B, m, n) of a flat game on answers and which are feasible (B,), None if its value says so.

    Exponential form (docs/theory/objectives.md#closed-forms): nu* ∝ exp((beta log nu0 + r) / (beta +
    entropy)), tied over contexts by averaging the exponent; exact, one pass. Needs beta +
    entropy > 0 (T6). Other objectives give
    `closed_form` themselves (a scalar root per context, to rounding error).
    """
    log_nu0, objective = game.log_reference, game.objective
    xp = namespace(log_nu0)
    form = objective.exponential_form()
    total = game.beta + (0.0 if form is None else form.entropy)
    if form is None or form.coupling not in (None, "equal") or total <= 0:
        log_nu = objective.closed_form(log_nu0, game.weights, game.beta)
        if log_nu is None:
            return None
        return game.masked(log_normalise(game.masked(log_nu))), None
    reward = form.reward if isinstance(form.reward, float) else like(form.reward, log_nu0)
    possible = game.support if game.forbidden is None else game.support & ~game.forbidden
    logits = xp.where(possible, (game.beta * log_nu0 + reward) / total, 0.0)
    if form.coupling == "equal":
        possible = xp.broadcast_to(xp.all(possible, axis=-2, keepdims=True), log_nu0.shape)
        logits = xp.sum(logits * game.weights[..., None], axis=-2, keepdims=True)
    feasible = xp.all(xp.any(possible, axis=-1), axis=-1)
    log_nu = log_normalise(xp.where(possible, logits, LOG_ZERO))
    log_nu = xp.where(possible, log_nu, LOG_ZERO)
    return xp.where(feasible[:, None, None], log_nu, log_nu0), feasible
