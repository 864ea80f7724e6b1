"""Both players as online learners: multiplicative weights, its optimistic form, and FTRL.

V is not convex in q, so the target's points must not be averaged: its reward tables and constants are
(docs/theory/dynamics.md#no-regret-play). The certificate of a run after T rounds is

    mean_t [Phi(q_t) - <u_t, q_t>] + beta sum_x w_x log sum_y pi0 e^{ubar/beta} - J(mean_t pi_t)
        <= (regret of the policy + regret of the target) / T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..errors import InvalidObjective
from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array, log, log_normalise, namespace
from .base import Stepping, answered, averaged_bound, column


class Played(NamedTuple):
    """The target's point and its last rewards of traces; sums over the rounds so far, and their count."""

    log_target: Array
    last: Array
    policies: Array
    rewards: Array
    constants: Array
    count: Array


@dataclass(frozen=True)
class _Learners(Stepping):
    target_share: float = 1.0
    plays_kinks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.target_share <= 1:
            raise InvalidObjective(f"target_share is {self.target_share!r}; give one in (0, 1].")

    def init(self, game: AlignmentGame, start: Evaluation) -> Played:
        """The target at the reference, the last rewards, and the sums of no round."""
        log_q = start.log_marginals
        constant, u = answered(game, log_q)
        return Played(log_q, u, 0 * u, 0 * u, 0 * constant, 0 * constant)

    def step(self, game: AlignmentGame, now: Evaluation, state: Played) -> tuple[Array, Played]:
        """Both move at once: the target to the policy's marginals, the policy along the rewards."""
        log_q, count = state.log_target, state.count + 1
        constant, u = answered(game, log_q)
        rewards = state.rewards + u
        shared = log_q + self.target_share * (now.log_marginals - log_q)
        new_q = now.log_marginals if self.target_share == 1 else log_normalise(shared)
        if self.target_share == 1:
            _, u_now = answered(game, now.log_marginals)
        else:
            u_now = u
        best = game.log_best_response(self._heading(u_now, state.last, rewards, column(count)))
        share = column(self._share(game, count))
        log_new = game.masked(log_normalise(now.log_policy + share * (best - now.log_policy)))
        policies = state.policies + namespace(now.value).exp(now.log_policy)
        return log_new, Played(new_q, u_now, policies, rewards, state.constants + constant, count)

    def _heading(self, u: Array, last: Array, rewards: Array, count: Array) -> Array:
        """The rewards that the policy moves along, from the latest, those before and the sum."""
        return u

    def _share(self, game: AlignmentGame, count: Array) -> Array:
        """eta beta in (0, 1], by default 1/t."""
        if self.step_size is not None:
            return 0 * count + min(self.step_size * game.beta, 1.0)
        return 1 / count

    def report(
        self, game: AlignmentGame, now: Evaluation, state: Played
    ) -> tuple[Array, Array, Array]:
        """Value, certified gap and log-marginals of the averaged play; before the first round of now."""
        if not bool(namespace(state.count).any(state.count > 0)):
            return super().report(game, now, state)
        log_pi = game.masked(log_normalise(log(state.policies / column(state.count))))
        bound = averaged_bound(game, state.constants, state.rewards, state.count)
        value = game.value_log(log_pi)
        return value, bound - value, game.answer_map.log_push_forward(log_pi)


@dataclass(frozen=True)
class MultiplicativeWeights(_Learners):
    """pi_{t+1} ∝ pi_t^{1 - eta beta} pi0^{eta beta} e^{eta u_t}, eta = 1/(beta t) by default.

    Both move at the same time: in round t the target plays q_t = nu(pi_{t-1}), its reply to the round
    before (q_2 = q_1 = nu(pi0)), and u_t are the rewards at nu(pi_t), its reply to this one. The averaged
    play is certified: against a target that replies to round t itself, with rewards of span <= G, the gap
    is at most G^2 (1 + log T) / (2 beta T); with the target one round late it stayed below that in every
    run tried. Rewards without a bound (Shannon, log success, geometric) void it: floor the reference.
    `target_share` < 1 lets the target move only that share of
    the way to the marginals, in log space. Non-concave objectives are not certified.
    """

    name: ClassVar[str] = "multiplicative_weights"


@dataclass(frozen=True)
class OptimisticMultiplicativeWeights(_Learners):
    """Multiplicative weights on 2 u_t - u_{t-1}: the last rewards predict the next.

    Where rewards change slowly the regret is that of the changes, and a constant step (default
    1/(2 (beta + L))) gives a gap of order 1/T on average. May diverge for steps far above 1/L. Against
    a worst case, whose rewards jump, the default is 1/(beta t), as `MultiplicativeWeights` takes it.
    """

    name: ClassVar[str] = "optimistic_multiplicative_weights"

    def _heading(self, u: Array, last: Array, rewards: Array, count: Array) -> Array:
        return 2 * u - last

    def _share(self, game: AlignmentGame, count: Array) -> Array:
        if self.step_size is None and game.objective.has_multipliers:
            return super()._share(game, count)
        smooth = game.smoothness
        pull = game.beta if smooth is None else max(smooth, 0.0)
        step = 1 / (2 * (game.beta + pull)) if self.step_size is None else self.step_size
        return 0 * count + min(step * game.beta, 1.0)


@dataclass(frozen=True)
class FTRL(_Learners):
    """Follow the regularised leader: the best response to the mean of all rewards so far.

    pi_{t+1} ∝ pi0 exp(mean_s u_s / beta); the KL of the game is the regulariser. Regret at most
    G^2 (1 + log T) / (2 beta) for rewards of span <= G, hence a gap of order log T / T on average.
    """

    name: ClassVar[str] = "ftrl"

    def _heading(self, u: Array, last: Array, rewards: Array, count: Array) -> Array:
        return (rewards + u) / (count + 1)

    def _share(self, game: AlignmentGame, count: Array) -> Array:
        return 0 * count + 1


def average_gap_bound(span: float, beta: float, rounds: int) -> float:
    """G^2 (1 + log T) / (2 beta T), the bound on the averaged play's gap.

    Proof: docs/theory/dynamics.md#no-regret-play.
    """
    from math import log as ln

    return span**2 * (1 + ln(rounds)) / (2 * beta * rounds)
