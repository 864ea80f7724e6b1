"""What solvers may know of an objective and use: facts, its set, its closed, dual and Newton forms.

Each has a default that says nothing, so that an objective states what it has.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import InvalidObjective
from ..numerics.arrays import Array
from ..numerics.shapes import Numbers, Table, Weights
from .domain import EVERYWHERE, Domain
from .forms import CountedForm, DualForm, ExponentialForm, Hessian, SmoothForm
from .parameters import Parametric
from .reply import Reply, Tangent

if TYPE_CHECKING:
    from .objective import Objective

_STATED_BY = {
    (Parametric, "hessian_log"): "has_hessian",
    (Domain, "violation"): "hard",
    (Domain, "project"): "hard",
    (Reply, "consensus_log"): "own_consensus",
}
"""Methods and facts: a class that defines the method has the fact, unless it states it otherwise."""

_INHERITED = {"domain": Domain, "reply": Reply}
"""What a class inherits whose objectives are their own domain, or their own reply."""

_RENAMED = ("separable_derivative", "success_derivative")
"""What `counted_form` was called."""


class Structure(Parametric):
    """Facts and structure of an objective; the value and reward they belong to are in `Objective`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._outside = cls.__module__.partition(".")[0] != __name__.partition(".")[0]
        for (kind, method), fact in _STATED_BY.items():
            if issubclass(cls, kind) and method in vars(cls) and fact not in vars(cls):
                setattr(cls, fact, True)
        if cls._outside:
            _check_methods_are_asked(cls)

    _outside: ClassVar[bool] = False

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
        return self._outside

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

    # -- the target's side ------------------------------------------------------------------------

    @property
    def reply(self) -> Reply:
        """The target's move, by default a point."""
        return Tangent(self)  # type: ignore[arg-type]

    @property
    def domain(self) -> Domain:
        """Where Phi is finite, by default everywhere."""
        return EVERYWHERE

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

    def smooth_form(self) -> SmoothForm | None:
        """The form of `SmoothForm`, if Phi has it: by default the exponential form without a coupling."""
        form = self.exponential_form()
        if form is None or form.coupling is not None:
            return None
        terms = (("entropy", form.entropy, 1.0),) if form.entropy else ()
        return SmoothForm(terms, form.reward)

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

    def counted_form(self) -> CountedForm | None:
        """The form of `CountedForm`, if Phi has it, so that samples are paid from a table over counts."""
        return None

    def separated(self) -> tuple[Objective, Objective] | None:
        """Phi as a sum over answers plus a rest that needs the other contexts; None: no such sum."""
        return None


def _check_methods_are_asked(cls: type[Structure]) -> None:
    """Refuse methods of a domain or a reply in a class that is none: nobody would call them."""
    for name, kind in _INHERITED.items():
        mine = [m for m in vars(kind) if m in vars(cls) and not m.startswith("_")]
        is_own = getattr(cls, name) is getattr(kind, name) or isinstance(
            vars(cls).get(name), property
        )
        if mine and not is_own:
            raise InvalidObjective(
                f"{cls.__name__} defines {mine[0]!r}, which is asked of an objective's {name}: inherit "
                f"dagame.objectives.{name}.{kind.__name__} before the other bases, or call it otherwise."
            )
    for name in _RENAMED:
        if name in vars(cls):
            raise InvalidObjective(
                f"{cls.__name__} defines {name!r}; define counted_form, which returns a "
                "dagame.objectives.forms.CountedForm."
            )


def _least_curvature(objective: Structure) -> float:
    """mu where none is stated."""
    return -math.inf if objective.concave is False else 0.0


def stated_curvature(objective: Structure) -> float:
    """mu, where `curvature` may also be None for unknown."""
    mu = objective.curvature
    return _least_curvature(objective) if mu is None else mu
