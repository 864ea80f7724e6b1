"""Both players as online learners: multiplicative weights, its optimistic form, and FTRL.

V is not convex in q, so the target's points must not be averaged: its reward tables and constants are
(theory, section 4). The certificate of a run after T rounds is

    mean_t [Phi(q_t) - <u_t, q_t>] + beta sum_x w_x log sum_y pi0 e^{ubar/beta} - J(mean_t pi_t)
        <= (regret of the policy + regret of the target) / T.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ..arrays import Array, log, log_normalise, logsumexp, namespace
from ..errors import InvalidObjective
from ..game import AlignmentGame, Evaluation
from ..objectives.base import weighted


class Averages(NamedTuple):
    """Sums over the rounds so far: policies, rewards of traces, constants, and the count."""

    policy: Array
    rewards: Array
    constant: Array
    count: Array


def _played(game: AlignmentGame, log_q: Array) -> tuple[Array, Array]:
    """The target's move at q: its constant and its rewards of traces."""
    constant, u = game._linearise(log_q, None)
    return constant, game.answer_map.pull_back(u)


@dataclass(frozen=True)
class _Learners:
    step_size: float | None = None
    target_share: float = 1.0
    certifies_average: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.step_size is not None and not self.step_size > 0:
            raise InvalidObjective(f"step_size is {self.step_size!r}; give a number > 0, or None.")
        if not 0 < self.target_share <= 1:
            raise InvalidObjective(f"target_share is {self.target_share!r}; give one in (0, 1].")

    def init(self, game: AlignmentGame, start: Evaluation) -> tuple[Array, ...]:
        """The target at the reference, the last rewards, and the averages of no round."""
        log_q = start.log_marginals
        constant, u = _played(game, log_q)
        return (log_q, u, 0 * u, 0 * u, 0 * constant, 0 * constant)

    def step(
        self, game: AlignmentGame, now: Evaluation, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        """Both move at once: the target to the policy's marginals, the policy along the rewards."""
        xp = namespace(now.value)
        log_q, last, policies, rewards, constants, count = state
        constant, u = _played(game, log_q)
        policies, rewards = policies + xp.exp(now.log_policy), rewards + u
        constants, count = constants + constant, count + 1
        shared = log_q + self.target_share * (now.log_marginals - log_q)
        new_q = now.log_marginals if self.target_share == 1 else log_normalise(shared)
        if self.target_share == 1:
            _, u_now = _played(game, now.log_marginals)
        else:
            u_now = u
        best = game.log_best_response(self._heading(u_now, last, rewards, count[:, None, None]))
        share = self._share(game, count)[:, None, None]
        log_new = game._masked(log_normalise(now.log_policy + share * (best - now.log_policy)))
        return log_new, (new_q, u_now, policies, rewards, constants, count)

    def _heading(self, u: Array, last: Array, rewards: Array, count: Array) -> Array:
        """The rewards that the policy moves along, from the latest, those before and the sum."""
        return u

    def _share(self, game: AlignmentGame, count: Array) -> Array:
        """eta beta in (0, 1], by default 1/t."""
        if self.step_size is not None:
            return 0 * count + min(self.step_size * game.beta, 1.0)
        return 1 / count

    def report(
        self, game: AlignmentGame, now: Evaluation, state: tuple[Array, ...]
    ) -> tuple[Array, Array, Array]:
        """Value, certified gap and log-marginals of the averaged play."""
        _, _, policies, rewards, constants, count = state
        played = count > 0
        if not bool(namespace(count).any(played)):
            return now.value, now.gap, now.log_marginals
        total = count[:, None, None]
        log_pi = game._masked(log_normalise(log(policies / total)))
        mean = rewards / total
        log_sum = logsumexp(game._masked(game.log_reference + mean / game.beta))
        bound = constants / count + game.beta * weighted(log_sum, game.weights)
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
    1/(2 (beta + L))) gives a gap of order 1/T on average. May diverge for steps far above 1/L.
    """

    name: ClassVar[str] = "optimistic_multiplicative_weights"

    def _heading(self, u: Array, last: Array, rewards: Array, count: Array) -> Array:
        return 2 * u - last

    def _share(self, game: AlignmentGame, count: Array) -> Array:
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
    """G^2 (1 + log T) / (2 beta T), the bound on the averaged play's gap (theory, section 4)."""
    from math import log as ln

    return span**2 * (1 + ln(rounds)) / (2 * beta * rounds)
