"""Policy mirror ascent: damped best response in the KL geometry, with backtracking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array, namespace
from ..numerics.simplex import log_kl
from ..objectives.pairing import weighted
from .base import Stepping, accepted, column, pick


class Kept(NamedTuple):
    """The last iterate that kept the descent inequality, and the estimate of L."""

    log_policy: Array
    rewards: Array
    log_best: Array
    value: Array
    smoothness: Array


@dataclass(frozen=True)
class Mirror(Stepping):
    """nu_{t+1} ∝ nu_t^{1 - eta beta} nu0^{eta beta} exp(eta u_t) (docs/theory/dynamics.md#mirror-ascent).

    Converges to the equilibrium from any start inside the support: with eta = 1/(L + beta) J never
    decreases and KL(nu* || nu_t) <= ((L - mu)/(L + beta))^t KL(nu* || nu_0). `step_size=None` takes that
    eta, or, where L is unknown, backtracks an estimate of L on the relative descent inequality
    B(nu_{t+1}, nu_t) <= L KL(nu_{t+1} || nu_t). Slow when L/beta is large (it needs about L/beta
    steps per digit); a fixed one above 2/(L + beta) may diverge.
    """

    name: ClassVar[str] = "mirror"

    def _fixed(self, game: AlignmentGame) -> float | None:
        if self.step_size is not None:
            return min(self.step_size, 1 / game.free_beta)
        smoothness = game.smoothness
        if smoothness is None or smoothness + game.beta <= 0:
            return None
        return 1 / (smoothness + game.beta)

    def init(self, game: AlignmentGame, start: Evaluation) -> Kept | None:
        """Nothing for a fixed step, else the start and beta as the estimate of L."""
        if self._fixed(game) is not None:
            return None
        return _kept(start, 0 * start.value + game.free_beta)

    def step(
        self, game: AlignmentGame, now: Evaluation, state: Kept | None
    ) -> tuple[Array, Kept | None]:
        """One mirror step, from the last iterate that kept the descent inequality."""
        fixed = self._fixed(game)
        if fixed is not None or state is None:
            return game.mirror_step(now.log_policy, now.log_best, fixed), state
        xp, old, smooth = namespace(now.value), state, state.smoothness
        moved = weighted(log_kl(now.log_policy, old.log_policy), game.weights)
        change = xp.exp(now.log_policy) - xp.exp(old.log_policy)
        linear = weighted(xp.sum(change * old.rewards, axis=-1), game.weights)
        saved = game.cost(old.log_policy, game.free_beta) - game.cost(
            now.log_policy, game.free_beta
        )
        kept = accepted(game, now, old.value + saved + linear - smooth * moved)
        less = xp.maximum(0.7 * smooth, 0 * smooth + 1e-6 * game.free_beta)
        better = _kept(now, less)
        both = zip(better, old._replace(smoothness=2 * smooth), strict=True)
        new = Kept._make(pick(kept, a, b) for a, b in both)
        step = column(1 / (new.smoothness + game.free_beta))
        return game.mirror_step(new.log_policy, new.log_best, step), new


def _kept(now: Evaluation, smoothness: Array) -> Kept:
    return Kept(now.log_policy, now.rewards, now.log_best, now.value, smoothness)
