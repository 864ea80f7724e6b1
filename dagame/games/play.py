"""The game between a policy and a target: its four moves, and the rounds in which they are played."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any


class DistributionalGame(abc.ABC):
    """Policy against target, played in four moves a round; tables play it exactly, samplers roughly.

    One round: marginals of the policy, the target's reply to them, the rewards that the reply pays,
    the policy's step along the rewards (docs/theory/dynamics.md). `play` makes the rounds; a trainer
    that makes its own asks `pay` for the first three moves.
    """

    @abc.abstractmethod
    def marginals(self, policy: Any) -> Any:
        """Answer marginals nu(pi) of a policy, exact, or what its samples show of them and of it."""

    @abc.abstractmethod
    def target_reply(self, marginals: Any) -> Any:
        """The target's best reply q to the marginals (T1: q = nu for a concave objective)."""

    @abc.abstractmethod
    def rewards(self, marginals: Any, target: Any) -> Any:
        """The reward of each answer, grad Phi at the target, or of each sample with the KL it pays."""

    @abc.abstractmethod
    def policy_step(self, policy: Any, rewards: Any, step: Any) -> Any:
        """The policy after one step along the rewards."""


def pay(game: DistributionalGame, policy: Any) -> Any:
    """The rewards of one round: the policy's marginals, the target's reply, what the reply pays."""
    marginals = game.marginals(policy)
    return game.rewards(marginals, game.target_reply(marginals))


def play(
    game: DistributionalGame,
    policy: Any,
    steps: int,
    size: float | Callable[[int], float] | None,
    watch: Callable[[int, Any], bool | None] | None = None,
) -> Any:
    """The policy after `steps` rounds from `policy`.

    Args:
        game: whose four moves are played.
        policy: in the game's own form.
        steps: rounds, numbered 1, 2, ...
        size: of the policy's step, or a function of the round; None where the game has one of its own.
        watch: called with the round and the policy after it; what it returns, if true, ends the play.
    """
    for t in range(1, steps + 1):
        step = size(t) if callable(size) else size
        policy = game.policy_step(policy, pay(game, policy), step)
        if watch is not None and watch(t, policy):
            break
    return policy
