"""The objective Phi: value, reward (= its gradient), and what solvers may know about it; sums; strength.

To define one, subclass `Objective` and give `value` and `reward` on probabilities; every generic
solver and the certificate then work. Objectives of this package are written on log-probabilities
(`value_log`, `reward_log`), where masses of 1e-300 and exact zeros keep their meaning, and at strength 1:
`Scaled` multiplies.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import InvalidObjective
from ..numerics.arrays import LOG_ZERO, Array, infinities, like, log, namespace
from ..numerics.shapes import Numbers, Table, Weights
from ..text import shortened
from .arguments import prepared, with_weights
from .forms import CountedForm, ExponentialForm, Hessian
from .parameters import check_strength
from .sets import ConstraintSet
from .structure import Structure
from .weighted import Weighted


class Objective(Structure):
    """An answer-level objective Phi(nu), to be maximised (docs/theory/objectives.md).

    Override `value(marginals, weights)` -> (*batch,) and `reward(marginals, weights)` ->
    (*batch, m, n), the gradient in the pairing <u, nu> = sum_x w_x sum_z u_x(z) nu_x(z) (an additive
    constant per context is free). Both are always given arrays and context weights, (m,) or
    (*batch, m): where a caller leaves the weights out they are uniform. Optionally state facts:
    `concave` (None: unknown, the certificate is then conditional on concavity), `smoothness` L and
    `curvature` mu with mu KL <= B(p, q) <= L KL, KL = sum_x w_x KL(p_x || q_x), B the Bregman
    divergence of -Phi. A game tries all of that when it is made (`dagame.testing.check_objective`
    tries harder) and raises `InvalidObjective` where it does not hold.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a subclass's own `value` and `reward` be called without weights, and with lists."""
        super().__init_subclass__(**options)
        for name in ("value", "reward"):
            if name in vars(cls):
                setattr(cls, name, with_weights(vars(cls)[name]))
        mine = vars(cls)
        if ("value_log" in mine or "reward_log" in mine) and "value_and_reward_log" not in mine:
            cls.value_and_reward_log = (
                Objective.value_and_reward_log
            )  # not that of a base's formulas

    def __repr__(self) -> str:
        return type(self).__name__

    def __dir__(self) -> list[str]:
        """Value, reward, facts and parameters, and what a class from outside defines; solvers call more."""
        own = [kind for kind in type(self).__mro__ if kind.__module__.split(".")[0] != "dagame"]
        mine = {name for kind in own for name in vars(kind)} | set(vars(self)) - {"parts"}
        return sorted(_USED | mine)

    # -- on probabilities -------------------------------------------------------------------------

    def value(self, marginals: Array, weights: Array | None = None) -> Array:
        """Phi(nu): marginals (*batch, m, n) -> (*batch,)."""
        nu, w = prepared(marginals, weights)
        return infinities(self.value_log(log(nu), w))

    def reward(self, marginals: Array, weights: Array | None = None) -> Array:
        """grad Phi(nu): marginals (*batch, m, n) -> the reward of each answer, same shape."""
        nu, w = prepared(marginals, weights)
        return infinities(self.reward_log(log(nu), w))

    # -- on log-probabilities: what solvers call --------------------------------------------------

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """Phi from log-marginals; the default goes through `value`."""
        self._require_override("value")
        xp = namespace(log_nu)
        value = like(self.value(_visible(log_nu), weights), log_nu)
        return xp.where(value == -xp.inf, LOG_ZERO, value)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """grad Phi from log-marginals; the default goes through `reward`.

        At an exact zero an infinite reward becomes +-1e30. So does NaN (+1e30), as nothing is known there.
        """
        self._require_override("reward")
        xp, zero = namespace(log_nu), log_nu < LOG_ZERO / 2
        u = like(self.reward(_visible(log_nu), weights), log_nu)
        u = xp.where(zero & (xp.isnan(u) | (u == xp.inf)), -LOG_ZERO, u)
        return xp.where(zero & (u == -xp.inf), LOG_ZERO, u)

    def value_and_reward_log(self, log_nu: Table, weights: Weights) -> tuple[Numbers, Table]:
        """Both at once, for objectives that share work between them."""
        return self.value_log(log_nu, weights), self.reward_log(log_nu, weights)

    def _require_override(self, name: str) -> None:
        """Refuse a class that defines neither `value` nor `value_log`, whose defaults call each other."""
        if getattr(type(self), name) is getattr(Objective, name):
            raise InvalidObjective(
                f"{type(self).__name__} defines no `{name}`; give `value(marginals, weights)` and "
                "`reward(marginals, weights)`."
            )

    # -- sums -------------------------------------------------------------------------------------

    def terms(self) -> tuple[tuple[float, Objective], ...]:
        """(factor, objective) pairs whose weighted sum this is."""
        return ((1.0, self),)

    def __add__(self, other: Objective) -> Objective:
        if not isinstance(other, Objective):
            return self._no_sum(other)
        return Combination(self.terms() + other.terms())

    def __radd__(self, other: Any) -> Objective:
        return (
            self if isinstance(other, int) and other == 0 else self._no_sum(other)
        )  # sum() begins at 0

    def __sub__(self, other: Objective) -> Objective:
        return self + (-1.0) * other if isinstance(other, Objective) else self._no_sum(other)

    def _no_sum(self, other: object) -> Any:
        """Say what a set or a class lacks to be a term; Python refuses everything else."""
        if isinstance(other, type | ConstraintSet):
            raise InvalidObjective(f"a term of the sum is {instead(other)}")
        return NotImplemented

    def __mul__(self, factor: float) -> Objective:
        try:
            finite = not isinstance(factor, Objective) and bool(np.isfinite(float(factor)))
        except (TypeError, ValueError):
            finite = False
        if not finite:
            raise InvalidObjective("an objective is scaled by one finite number.")
        return Combination(tuple((float(factor) * f, o) for f, o in self.terms()))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0


_USED = frozenset(
    {"concave", "curvature", "magnitude", "reward", "smoothness", "strength", "terms", "value"}
)
"""What `dir` names of every objective."""


def _visible(log_nu: Array) -> Array:
    """Probabilities in which every mass but an exact zero is positive, however small it is."""
    xp = namespace(log_nu)
    least = math.log(float(xp.finfo(log_nu.dtype).smallest_normal))
    return xp.where(log_nu > LOG_ZERO / 2, xp.exp(xp.clip(log_nu, least, None)), 0.0)


def instead(given: object) -> str:
    """What something that is no objective is, and what to give instead."""
    if isinstance(given, type) and issubclass(given, Objective):
        return (
            f"the class {given.__name__}, not a dagame Objective; call it: {given.__name__}(...)."
        )
    if isinstance(given, type) and issubclass(given, ConstraintSet):
        return f"the class {given.__name__}; give HardConstraint({given.__name__}(...))."
    if isinstance(given, ConstraintSet):
        name = " & ".join(f"{type(part).__name__}(...)" for part in given.parts())
        return (
            f"{shortened(repr(given), 80)}, a set and not a dagame Objective; "
            f"wrap it: HardConstraint({name}) or SoftConstraint({name}, strength)."
        )
    return (
        f"{shortened(repr(given), 80)} ({type(given).__name__}), not a dagame Objective; "
        "try dagame.ShannonDiversity() or subclass dagame.Objective."
    )


@dataclass(frozen=True, eq=False)
class Nothing(Objective):
    """Phi = 0."""

    concave = True
    smoothness = 0.0

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """0."""
        return 0 * log_nu[..., 0, 0]

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """0."""
        return 0 * log_nu

    def exponential_form(self) -> ExponentialForm:
        """Reward 0, entropy 0."""
        return ExponentialForm(0.0, 0.0)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """0."""
        return Hessian(0 * log_nu)


@dataclass(frozen=True, eq=False, repr=False)
class Combination(Weighted, Objective):
    """sum_k factor_k Phi_k: values, rewards, L and mu add; a negative factor swaps and negates L, mu.

    A term of factor 0 is left out, domain and all: 0 * HardConstraint(...) constrains nothing. A hard set
    times a positive factor is the same set.
    """

    parts: Sequence[tuple[float, Objective]]

    def __post_init__(self) -> None:
        first = self.parts[0][1]
        nothing = Nothing() if first.has_multipliers or first.concave is None else first
        live = tuple((f, o) for f, o in self.parts if f != 0)
        object.__setattr__(self, "parts", live or ((0.0, nothing),))
        special = [o for _, o in self.parts if o.has_multipliers]
        if len(special) > 1:
            names = ", ".join(type(o).__name__ for o in special)
            raise InvalidObjective(
                f"a sum may hold one term with multipliers, not {len(special)} ({names}); "
                "put several constraint sets into one HardConstraint."
            )
        if any(f < 0 for f, o in self.parts if o.has_multipliers):
            raise InvalidObjective("a term with multipliers cannot have a negative factor.")

    def terms(self) -> tuple[tuple[float, Objective], ...]:
        """The weighted parts."""
        return tuple(self.parts)

    def _each(self, change: Callable[[Objective], Objective]) -> Combination:
        return Combination(tuple((f, change(o)) for f, o in self.parts))


class Scaled(Weighted, Objective):
    """strength * Phi_1, a frozen dataclass: Phi_1 is a `unit`, the theory's row at strength 1.

    Strength 0 leaves the reference as it is. Its tables and the row's follow a batch alike.
    """

    unit: ClassVar[type[Objective]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a subclass keep the `__repr__` that it inherits; a dataclass would make its own."""
        super().__init_subclass__(**options)
        cls.__repr__ = cls.__repr__

    def __repr__(self) -> str:
        """The strength, and options that are not the default; tables are left out."""
        mine: Any = self
        others = (f for f in fields(mine) if f.name not in ("strength", *self.tables))
        told = [
            (f.name, getattr(self, f.name)) for f in others if getattr(self, f.name) != f.default
        ]
        parts = [f"{self.strength:g}", *(f"{name}={value!r}" for name, value in told)]
        return f"{type(self).__name__}({', '.join(parts)})"

    def __post_init__(self) -> None:
        check_strength(type(self).__name__, self.strength)
        object.__setattr__(self, "parts", ((float(self.strength), self.row()),))

    def row(self) -> Objective:
        """Phi_1, made of the parameters that it has a field for."""
        return self.unit(**{f.name: getattr(self, f.name) for f in fields(self.unit)})  # type: ignore[arg-type]

    def terms(self) -> tuple[tuple[float, Objective], ...]:
        """Itself, under the name that it was made with."""
        return ((1.0, self),)

    @property
    def concavity_known(self) -> str:
        """As the row's."""
        return self.parts[0][1].concavity_known

    def separated(self) -> tuple[Objective, Objective] | None:
        """The row's parts, scaled."""
        found = self.parts[0][1].separated()
        return None if found is None else (self.strength * found[0], self.strength * found[1])

    def counted_form(self) -> CountedForm | None:
        """The row's, scaled."""
        form = self.parts[0][1].counted_form()
        return None if form is None else self.strength * form

    check = Structure.check  # its own tables, by their names
    columns = Structure.columns  # type: ignore[assignment]

    def map_tables(self, change: Callable[[Array, list[str]], Array]) -> Self:
        """A copy with `change(table, axes)` for its own tables and the row's."""
        ((factor, row),) = self.parts
        changed: Any = Structure.map_tables(self, change)
        moved = row.map_tables(change)
        if moved is not row:
            changed = copy.copy(changed)
            object.__setattr__(changed, "parts", ((factor, moved),))
        return changed
