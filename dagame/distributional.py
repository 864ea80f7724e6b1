"""The game between a policy and a target, without saying how it is represented."""

from __future__ import annotations

import abc
from typing import Any


class DistributionalGame(abc.ABC):
    """Policy against target, played in four moves a round; tables play it exactly, samplers roughly.

    One round: marginals of the policy, the target's reply to them, the rewards that the reply pays,
    the policy's step along the rewards (theory, sections 2 and 4).
    """

    @abc.abstractmethod
    def marginals(self, policy: Any) -> Any:
        """Answer marginals nu(pi) of a policy, exact or estimated."""

    @abc.abstractmethod
    def target_reply(self, marginals: Any) -> Any:
        """The target's best reply q to the marginals (T1: q = nu for a concave objective)."""

    @abc.abstractmethod
    def rewards(self, marginals: Any, target: Any) -> Any:
        """The reward of each answer, grad Phi at the target."""

    @abc.abstractmethod
    def policy_step(self, policy: Any, rewards: Any) -> Any:
        """The policy after one step along the rewards."""
