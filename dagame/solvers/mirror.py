"""Policy mirror ascent: damped best response in the KL geometry, with backtracking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..arrays import Array, namespace
from ..errors import InvalidObjective
from ..game import AlignmentGame, Evaluation
from ..objectives.base import weighted
from ..simplex import log_kl
from .base import column, pick


@dataclass(frozen=True)
class Mirror:
    """nu_{t+1} ∝ nu_t^{1 - eta beta} nu0^{eta beta} exp(eta u_t) (theory, section 4).

    Converges to the equilibrium from any start inside the support: with eta = 1/(L + beta) J never
    decreases and KL(nu* || nu_t) <= ((L - mu)/(L + beta))^t KL(nu* || nu_0). `step=None` takes that
    eta, or, where L is unknown, backtracks an estimate of L on the relative descent inequality
    B(nu_{t+1}, nu_t) <= L KL(nu_{t+1} || nu_t). Slow when L/beta is large (it needs about L/beta
    steps per digit); a fixed `step` above 2/(L + beta) may diverge.
    """

    step_size: float | None = None
    name: ClassVar[str] = "mirror"

    def __post_init__(self) -> None:
        if self.step_size is not None and not self.step_size > 0:
            raise InvalidObjective(f"step_size is {self.step_size!r}; give a number > 0, or None.")

    def _fixed(self, game: AlignmentGame) -> float | None:
        if self.step_size is not None:
            return min(self.step_size, 1 / game.free_beta)
        smoothness = game.smoothness
        if smoothness is None or smoothness + game.beta <= 0:
            return None
        return 1 / (smoothness + game.beta)

    def init(self, game: AlignmentGame, start: Evaluation) -> tuple[Array, ...]:
        """Nothing for a fixed step, else the accepted iterate and the estimate of L."""
        if self._fixed(game) is not None:
            return ()
        smooth = 0 * start.value + game.free_beta
        return (start.log_policy, start.rewards, start.log_best, start.value, smooth)

    def step(
        self, game: AlignmentGame, now: Evaluation, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        """One mirror step, from the last iterate that kept the descent inequality."""
        fixed = self._fixed(game)
        if fixed is not None:
            return game.mirror_step(now.log_policy, now.log_best, fixed), state
        xp = namespace(now.value)
        log_old, u_old, best_old, value_old, smooth = state
        moved = weighted(log_kl(now.log_policy, log_old), game.weights)
        change = xp.exp(now.log_policy) - xp.exp(log_old)
        linear = weighted(xp.sum(change * u_old, axis=-1), game.weights)
        saved = game.cost(log_old, game.free_beta) - game.cost(now.log_policy, game.free_beta)
        model = value_old + saved + linear - smooth * moved
        slack = 16 * xp.finfo(now.value.dtype).eps * (game.beta + xp.abs(now.value))
        kept = now.value >= model - slack
        log_old = pick(kept, now.log_policy, log_old)
        u_old = pick(kept, now.rewards, u_old)
        best_old = pick(kept, now.log_best, best_old)
        value_old = pick(kept, now.value, value_old)
        smooth = xp.where(
            kept, xp.maximum(0.7 * smooth, 0 * smooth + 1e-6 * game.free_beta), 2 * smooth
        )
        log_new = game.mirror_step(log_old, best_old, column(1 / (smooth + game.free_beta)))
        return log_new, (log_old, u_old, best_old, value_old, smooth)
