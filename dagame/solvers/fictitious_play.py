"""Dynamics that average or look ahead: fictitious play, Frank-Wolfe, extragradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array, log_normalise
from ..numerics.simplex import log_mix
from .base import Solver, Stepping, column


class Mixed(NamedTuple):
    """How many best responses have been mixed in, (B,)."""

    count: Array


@dataclass(frozen=True)
class FrankWolfe(Solver):
    """Generalised Frank-Wolfe: pi_{t+1} = (1 - g) pi_t + g best response to u_t, g = 2/(t + 2).

    Phi is linearised, the KL kept, so a step is a mixture of policies and commutes with
    marginalisation (T5). J* - J(pi_t) <= 2 C / (t + 2), C the curvature of Phi along mixtures:
    C <= 4 strength for Gini and Euclidean coherence; no finite C for rewards that are unbounded
    at 0, where it still converges on references with a floor. Sublinear: prefer `Mirror`.
    """

    name: ClassVar[str] = "frank_wolfe"

    def init(self, game: AlignmentGame, start: Evaluation) -> Mixed:
        """None so far."""
        return Mixed(0 * start.value)

    def _share(self, count: Array) -> Array:
        return 2 / (count + 2)

    def step(self, game: AlignmentGame, now: Evaluation, state: Mixed) -> tuple[Array, Mixed]:
        """Mix the best response in."""
        share = column(self._share(state.count))
        mixed = game.masked(log_mix(now.log_policy, now.log_best, share))
        return mixed, Mixed(state.count + 1)


@dataclass(frozen=True)
class FictitiousPlay(FrankWolfe):
    """The target averages the marginals of the policy's best responses so far; the policy replies to it.

    q_{t+1} = q_t + (nu(best response to q_t) - q_t)/(t + 1): Frank-Wolfe with g = 1/(t + 1), kept in
    terms of the averaged policy, whose gap is recorded. J* - J = O(log t / t) under the same C.
    """

    name: ClassVar[str] = "fictitious_play"

    def _share(self, count: Array) -> Array:
        return 1 / (count + 2)


@dataclass(frozen=True)
class Extragradient(Stepping):
    """Entropic extragradient: a trial mirror step, then the real one with the rewards found there.

    pi' = mirror(pi_t, u(pi_t)), pi_{t+1} = mirror(pi_t, u(pi')), step 1/(L + beta) by default (1/(2
    beta) where L is unknown). Made for games whose two players circle; a concave Phi has no such circles,
    and it loses to `Mirror`: slower at the same step (Shannon diversity of strength 10, beta 1, reference
    (.5, .3, .2): mirror needs one round, this one has a gap of 0.15 after 20), and it diverges at steps
    where mirror converges (there at 1.1 times the default, mirror not at 1.9 times).
    """

    name: ClassVar[str] = "extragradient"

    def step(self, game: AlignmentGame, now: Evaluation, state: None) -> tuple[Array, None]:
        """Look ahead, then move."""
        smooth = game.smoothness
        eta = self.step_size
        if eta is None:
            eta = 1 / (game.beta + (game.beta if smooth is None else max(smooth, 0.0)))
        share = min(1.0, eta * game.free_beta)

        def toward(log_best: Array) -> Array:
            moved = now.log_policy + share * (log_best - now.log_policy)
            return game.masked(log_normalise(moved))

        ahead = game.evaluate(toward(now.log_best))
        return toward(ahead.log_best), None
