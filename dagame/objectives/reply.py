"""The target's move: the affine bound of Phi that it plays, and the consensus that it shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..numerics.arrays import Array
from ..numerics.shapes import Mask, Numbers, Shared, Table, Weights
from .domain import first
from .pairing import mean_log, pairing, times, total

if TYPE_CHECKING:
    from .objective import Objective


class Reply:
    """What the target answers to marginals: a point where Phi is smooth, multipliers at kinks and hard sets.

    An objective with a move of its own inherits this beside `Objective` and is its own reply.
    """

    @property
    def reply(self) -> Reply:
        """Itself."""
        return self

    value_and_reward_log: Callable[[Table, Weights], tuple[Numbers, Table]]

    def linearise(
        self, log_target: Table, weights: Weights, multipliers: Array | None = None
    ) -> tuple[Numbers, Table]:
        """The target's move as an affine upper bound of Phi: constant c (*batch,), rewards u.

        Phi(nu) <= c + <u, nu> for all nu (concave Phi): u = grad Phi(q), c = Phi(q) - <u, q>.
        Objectives with multipliers take u and c from those instead.
        """
        value, u = self.value_and_reward_log(log_target, weights)
        return value - pairing(u, log_target, weights), u

    def multipliers(
        self, log_nu: Table, weights: Weights, residual: Table, support: Mask, factor: float = 1.0
    ) -> Array | None:
        """The multipliers whose reward comes nearest to `residual` (*batch, m, n) at nu.

        Stationarity asks u = beta log(nu/nu0) + constant per context on the reference's `support`;
        `residual` is that less the rewards of the other terms, in units of beta; it is explained by
        `factor` times this objective. None where the target's move is the point alone.
        """
        return None

    def reply_gap(self, log_nu: Table, weights: Weights) -> Numbers | float:
        """By how much the affine bound at nu exceeds Phi(nu): 0 but for replies found by iteration."""
        return 0.0

    def consensus_log(self, log_nu: Table, weights: Weights) -> Shared:
        """The consensus that belongs to the marginals, (*batch, n): the weighted mean."""
        return mean_log(log_nu, weights)


class Tangent(Reply):
    """The reply of an objective whose target answers with a point: the tangent there."""

    def __init__(self, objective: Objective) -> None:
        """Of value and reward of the objective."""
        self.value_and_reward_log = objective.value_and_reward_log


class ReplyToSum(Reply):
    """The reply to sum_k factor_k Phi_k, one of whose parts at most has multipliers."""

    def __init__(self, parts: Sequence[tuple[float, Objective]]) -> None:
        """Of (factor, objective) pairs."""
        self.parts = parts

    def linearise(
        self, log_target: Table, weights: Weights, multipliers: Array | None = None
    ) -> tuple[Numbers, Table]:
        """Sums of the parts'; the multipliers go to the part that has them."""
        lines = [(f, *o.reply.linearise(log_target, weights, multipliers)) for f, o in self.parts]
        return total(times(f, c) for f, c, _ in lines), total(times(f, u) for f, _, u in lines)

    def multipliers(
        self, log_nu: Table, weights: Weights, residual: Table, support: Mask, factor: float = 1.0
    ) -> Array | None:
        """Those of the part that has them, after the other parts' rewards."""
        special = [(f, o) for f, o in self.parts if f and o.has_multipliers]
        if not special:
            return None
        ((own, chosen),) = special
        for f, o in self.parts:
            if o is not chosen:
                residual = residual - factor * f * o.reward_log(log_nu, weights)
        return chosen.reply.multipliers(log_nu, weights, residual, support, factor * own)

    def reply_gap(self, log_nu: Table, weights: Weights) -> Numbers | float:
        """Sum of those of the parts with positive factors."""
        return total(f * o.reply.reply_gap(log_nu, weights) for f, o in self.parts if f > 0)

    def consensus_log(self, log_nu: Table, weights: Weights) -> Shared:
        """The first part's own notion of consensus, else the mean."""
        own = first(o for _, o in self.parts if o.own_consensus)
        return (
            mean_log(log_nu, weights) if own is None else own.reply.consensus_log(log_nu, weights)
        )
