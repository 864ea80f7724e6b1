"""What solvers may know of an objective and use: facts, its set, its closed, dual and Newton forms.

Each has a default that says nothing, so that an objective states what it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import InvalidObjective, NotSeparable
from ..numerics.arrays import Array
from ..numerics.shapes import Mask, Numbers, Shared, Table, Weights
from .forms import DualForm, ExponentialForm, Hessian
from .pairing import mean_log, pairing
from .parameters import Parametric

if TYPE_CHECKING:
    from .objective import Objective

_STATED_BY = {
    "hessian_log": "has_hessian",
    "violation": "hard",
    "project": "hard",
    "consensus_log": "own_consensus",
}
"""Methods and facts: a class that defines the method has the fact, unless it states it otherwise."""


class Structure(Parametric):
    """Facts and structure of an objective; the value and reward they belong to are in `Objective`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for method, fact in _STATED_BY.items():
            if method in vars(cls) and fact not in vars(cls):
                setattr(cls, fact, True)

    # -- facts: a class states them as data -------------------------------------------------------

    concave: bool | None = None
    """Whether Phi is concave; None: unknown."""

    smoothness: float | None = None
    """L, or None: no finite constant is known and solvers backtrack."""

    strength: float = 1.0
    """The factor that it was made with."""

    has_multipliers: ClassVar[bool] = False
    """Whether the target's move is a multiplier vector rather than a point (kinks, hard sets)."""

    has_supergradient: ClassVar[bool] = False
    """Whether, with multipliers, `reward` is a supergradient wherever the policy is: kinks, no hard set."""

    mixture: ClassVar[bool] = False
    """Whether the multipliers are the target's mixed strategy: at least 0, of sum 1."""

    hard: ClassVar[bool] = False
    """Whether Phi is 0 on a set and -infinity off it."""

    has_hessian: ClassVar[bool] = False
    """Whether `hessian_log` gives one."""

    low_rank: ClassVar[bool] = False
    """Whether the Hessian has a part of low rank."""

    answerwise: ClassVar[bool] = False
    """Whether u_x(z) depends on (nu_x'(z))_x' alone, so that samples estimate it answer by answer."""

    affine: ClassVar[bool] = False
    """Whether u_x(z) is moreover affine in those, so that plug-in shares estimate it without bias."""

    between_contexts: ClassVar[bool] = False
    """Whether Phi only compares contexts: constant for one, whose samples are then paid exactly 0."""

    common_support: ClassVar[bool] = False
    """Whether answers that some context lacks get no mass in any context."""

    own_consensus: ClassVar[bool] = False
    """Whether its consensus is another than the weighted mean."""

    on_traces: ClassVar[bool] = False
    """Whether it acts on traces, in games without an answer map."""

    deterministic_only: ClassVar[bool] = False
    """Whether it needs an answer map that gives each trace one answer."""

    @property
    def curvature(self) -> float:
        """mu >= -inf; negative: -Phi is only weakly convex (T6). Default 0, unknown if not concave."""
        return _least_curvature(self)

    @property
    def own(self) -> bool:
        """Whether its formulas come from outside the package, so that a game checks them."""
        return type(self).__module__.partition(".")[0] != __name__.partition(".")[0]

    @property
    def concavity_known(self) -> str:
        """How it is known whether Phi is concave where `concave` is None; "" for not at all."""
        return ""

    @property
    def magnitude(self) -> float:
        """Size of the rewards where no probability is small: the strength, or the largest |r|; 0 for sets."""
        if self.hard:
            return 0.0
        return abs(float(self.strength)) if isinstance(self.strength, Real) else 1.0

    def value_and_reward_log(self, log_nu: Table, weights: Weights) -> tuple[Numbers, Table]:
        """Phi and its gradient, of `Objective`."""
        raise NotImplementedError

    # -- the target's side ------------------------------------------------------------------------

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

    def project(self, log_nu: Table, weights: Weights) -> Table:
        """The nearest marginals at which Phi is finite; the identity unless Phi is a hard set."""
        return log_nu

    def violation(self, log_nu: Table, weights: Weights) -> Numbers | float:
        """How far nu is outside Phi's domain (0 unless Phi is a hard set), shape (*batch,)."""
        return 0.0

    def slack(self, log_nu: Array, weights: Array) -> Array | None:
        """The excess G nu - h (*batch, r) of a hard set {G nu <= h}; None where Phi is no hard set."""
        return None

    def reply_gap(self, log_nu: Table, weights: Weights) -> Numbers | float:
        """By how much the affine bound at nu exceeds Phi(nu): 0 but for replies found by iteration."""
        return 0.0

    def consensus_log(self, log_nu: Table, weights: Weights) -> Shared:
        """The consensus that belongs to the marginals, (*batch, n): the weighted mean."""
        return mean_log(log_nu, weights)

    def forbidden(self, log_nu0: Table, weights: Weights) -> Mask | None:
        """Answers of the reference (*batch, m, n) that every finite policy avoids; None: there are none."""
        return None

    # -- structure that solvers may use -----------------------------------------------------------

    def curvature_for(self, weights: Array) -> float:
        """mu at given context weights, where it depends on them; the least over a batch."""
        mu = self.curvature
        return _least_curvature(self) if mu is None else mu

    def optimum(self, log_nu0: Table, weights: Weights, beta: float) -> Numbers | None:
        """J* (*batch,) where it is known although T4 and T6 do not apply, else None."""
        return None

    def chord(self) -> Array | None:
        """Rewards u with Phi(nu) >= <u, nu> for all nu: Phi at point masses; None where none are stated.

        A game of a concave Phi with a negative factor beyond what T6 allows is then solved locally
        (`minorant`, `majorant` of `difference`).
        """
        return None

    def exponential_form(self) -> ExponentialForm | None:
        """The form of `ExponentialForm`, if Phi has it."""
        return None

    def closed_form(self, log_nu0: Table, weights: Weights, beta: float) -> Table | None:
        """log nu* (*batch, m, n), if it has an explicit formula or a scalar root."""
        return None

    def dual_form(self, log_nu0: Table, weights: Weights) -> DualForm | None:
        """Phi as a minimum over few multipliers, where it is one."""
        return None

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian | None:
        """The scaled Hessian of -Phi, for Newton's method; None where `has_hessian` is False."""
        return None

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """Phi as a concave cvxpy expression of a variable (m, n), for the independent referee.

        Constraints that it needs besides are appended to `constraints`.
        """
        raise InvalidObjective(f"{type(self).__name__} states no cvxpy expression.")

    def separable_derivative(self) -> Callable[[Any], Any]:
        """f' with Phi(nu) = sum_x w_x sum_z f(nu_x(z)), the same f for every answer."""
        raise NotSeparable(
            f"{type(self).__name__} is not a sum of one function of each answer's probability, so "
            "it has no reward table over counts; use the group rewards instead."
        )

    def separated(self) -> tuple[Objective, Objective] | None:
        """Phi as a sum over answers plus a rest that needs the other contexts; None: no such sum."""
        return None

    def success_derivative(self) -> Callable[[Any], Any] | None:
        """The derivative F' where Phi(nu) = sum_x w_x F(p_x), p_x = sum_z success(z) nu_x(z); else None."""
        return None


def _least_curvature(objective: Structure) -> float:
    """mu where none is stated."""
    return -math.inf if objective.concave is False else 0.0


def stated_curvature(objective: Structure) -> float:
    """mu, where `curvature` may also be None for unknown."""
    mu = objective.curvature
    return _least_curvature(objective) if mu is None else mu
