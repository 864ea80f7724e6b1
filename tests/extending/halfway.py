"""Best response, damped by a half."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array, log_normalise
from .base import Solver


@dataclass(frozen=True)
class Halfway(Solver):
    """pi_{t+1} ∝ sqrt(pi_t best response to u_t): converges where strength is below 3 beta."""

    name: ClassVar[str] = "halfway"

    def step(self, game: AlignmentGame, now: Evaluation, state: None) -> tuple[Array, None]:
        return game.masked(log_normalise((now.log_policy + now.log_best) / 2)), None
