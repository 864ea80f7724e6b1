"""Undamped best response: the textbook dynamic, kept because it shows when damping is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array
from .base import Solver


@dataclass(frozen=True)
class BestResponse(Solver):
    """nu_{t+1} ∝ nu0 exp(u_t / beta), u_t = grad Phi(nu_t) (docs/theory/dynamics.md#best-response).

    Converges linearly near the equilibrium when L < beta (sufficient, local). When it fails: for
    Shannon diversity the log-error is multiplied by -strength/beta each round, so for
    strength > beta it swings ever wider towards a 2-cycle of two point masses. Use `Mirror` then.
    """

    name: ClassVar[str] = "best_response"
    plays_kinks: ClassVar[bool] = True

    def step(self, game: AlignmentGame, now: Evaluation, state: None) -> tuple[Array, None]:
        """The best response."""
        return now.log_best, None
