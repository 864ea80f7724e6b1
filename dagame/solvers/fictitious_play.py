"""Dynamics that average or look ahead: fictitious play, Frank-Wolfe, extragradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array, log_normalise, namespace
from ..numerics.simplex import log_mix
from .base import Solver, Stepping, answered, averaged_bound, column


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


class Replies(NamedTuple):
    """The target's moves so far: sums of their constants and rewards of traces, and their count."""

    constants: Array
    rewards: Array
    count: Array


@dataclass(frozen=True)
class FictitiousPlay(FrankWolfe):
    """The target averages the marginals of the policy's best responses so far; the policy replies to it.

    q_{t+1} = q_t + (nu(best response to q_t) - q_t)/(t + 1): Frank-Wolfe with g = 1/(t + 1), kept in
    terms of the averaged policy, whose gap is recorded. J* - J = O(log t / t) under the same C.

    Against a worst case both average, as in a matrix game (Brown 1951): the target replies to the mean
    policy by a worst grader, the policy to the mean of the graders so named, pi_{t+1} = best response
    to mean_s u_s, and mean policy and mean grader are certified against each other. In continuous time
    that gap falls like e^{-s}, s = log t (docs/howto/game-theorists.md); in rounds no rate is proved.
    """

    name: ClassVar[str] = "fictitious_play"
    plays_kinks: ClassVar[bool] = True

    def _share(self, count: Array) -> Array:
        return 1 / (count + 2)

    def init(self, game: AlignmentGame, start: Evaluation) -> Mixed | Replies:
        """No reply so far."""
        if not game.objective.has_multipliers:
            return super().init(game, start)
        return Replies(0 * start.value, 0 * start.rewards, 0 * start.value)

    def step(
        self, game: AlignmentGame, now: Evaluation, state: Mixed | Replies
    ) -> tuple[Array, Mixed | Replies]:
        """Mix the best response in: to the rewards here, or to the mean of all so far."""
        if isinstance(state, Mixed):
            return super().step(game, now, state)
        constant, u = answered(game, now.log_marginals)
        new = Replies(state.constants + constant, state.rewards + u, state.count + 1)
        best = game.log_best_response(new.rewards / column(new.count))
        share = column(self._share(state.count))
        return game.masked(log_mix(now.log_policy, best, share)), new

    def report(
        self, game: AlignmentGame, now: Evaluation, state: Mixed | Replies
    ) -> tuple[Array, Array, Array]:
        """The mean policy's value, and its gap to the bound by the mean grader."""
        found = super().report(game, now, state)
        if isinstance(state, Mixed) or not bool(namespace(state.count).any(state.count > 0)):
            return found
        return found[0], averaged_bound(game, *state) - found[0], found[2]


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
