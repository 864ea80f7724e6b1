"""Coherence in other geometries: the Jensen gap of a convex generator; consensus over traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import InvalidObjective, NotConcave
from ..numerics.arrays import LOG_ZERO, Array, namespace
from ..numerics.shapes import Numbers, Table, Weights
from .coherence import ArithmeticCoherence
from .forms import Hessian
from .objective import Objective, Scaled
from .pairing import mean_log, weighted

_GRID = np.concatenate([np.geomspace(1e-6, 1e-2, 40), np.linspace(1e-2, 1, 400)[1:]])


@dataclass(frozen=True)
class Generator:
    """A separable convex phi on [0, 1]: phi, phi', phi'' as array functions of p, and a name."""

    phi: Callable[[Array], Array]
    first: Callable[[Array], Array]
    second: Callable[[Array], Array]
    name: str = "phi"

    @classmethod
    def power(cls, order: float) -> Generator:
        """The generator phi with phi'' = p^{t-2}: p log p (KL) at order t = 1, p^2 / 2 (Euclid) at t = 2."""
        t = float(order)
        if t == 1:
            return cls(_p_log_p, lambda p: _log(p) + 1, lambda p: 1 / p, "p log p")
        if t == 0:
            return cls(lambda p: -_log(p), lambda p: -1 / p, lambda p: p**-2, "-log p")
        return cls(
            lambda p: p * _power_excess(p, t) / t,
            lambda p: _power_excess(p, t) + 1 / t,
            lambda p: p ** (t - 2),
            f"p^{t:g}",
        )

    @classmethod
    def symbolic(cls, expression: Any) -> Generator:
        """From a sympy expression in one symbol."""
        import sympy

        symbols = sorted(expression.free_symbols, key=str)
        if len(symbols) != 1:
            raise InvalidObjective(
                f"the generator {expression} has {len(symbols)} symbols; give one, p."
            )
        (p,) = symbols
        made = [
            sympy.lambdify(p, sympy.diff(expression, p, k), "numpy", cse=True) for k in range(3)
        ]
        phi, first, second = (_broadcast(f) for f in made)
        return cls(phi, first, second, str(expression))


def _log(p: Array) -> Array:
    xp = namespace(p)
    return xp.log(xp.where(p > 0, p, 1.0))


def _power_excess(p: Array, t: float) -> Array:
    """(p^{t-1} - 1)/(t - 1), which tends to log p as t tends to 1."""
    return namespace(p).expm1((t - 1) * _log(p)) / (t - 1)


def _p_log_p(p: Array) -> Array:
    return p * _log(p)


def _broadcast(function: Callable[[Array], Any]) -> Callable[[Array], Array]:
    return lambda p: function(p) + 0 * p


@dataclass(frozen=True, eq=False)
class _JensenGap(Objective):
    """-sum_z (sum_x w_x phi(nu_x) - phi(q)), q the mean; concave by the Burbea-Rao criterion."""

    generator: Generator
    concave = True
    answerwise = True
    between_contexts = True

    @property
    def smoothness(self) -> float | None:  # type: ignore[override]
        """L = 1 where phi'' <= 1/p on (0, 1], else unknown."""
        bounded = self.generator.second(_GRID) * _GRID <= 1 + 1e-12
        return 1.0 if bool(np.all(bounded)) else None

    @property
    def affine(self) -> bool:  # type: ignore[override]
        """Whether phi'' is constant."""
        second = np.asarray(self.generator.second(_GRID), dtype=float)
        return bool(np.ptp(second) <= 1e-12 * np.abs(second).max())

    def _points(self, log_nu: Array, weights: Array) -> tuple[Array, Array]:
        xp = namespace(log_nu)
        floor = -690.0
        nu = xp.exp(xp.clip(log_nu, floor, None))
        q = xp.exp(xp.clip(mean_log(log_nu, weights)[..., None, :], floor, None))
        return nu, q

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """-sum_x w_x sum_z (phi(nu_x) - phi(q))."""
        nu, q = self._points(log_nu, weights)
        apart = self.generator.phi(nu) - self.generator.phi(q)
        return -weighted(namespace(nu).sum(apart, axis=-1), weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """phi'(q) - phi'(nu)."""
        nu, q = self._points(log_nu, weights)
        return self.generator.first(q) - self.generator.first(nu)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """Blocks (w delta phi''(nu) - w w' phi''(q)), scaled by sqrt(nu nu')."""
        xp = namespace(log_nu)
        nu, q = self._points(log_nu, weights)
        live = xp.where(log_nu > LOG_ZERO / 2, xp.exp(log_nu / 2), 0.0)
        eye = xp.eye(weights.shape[-1], dtype=log_nu.dtype, device=log_nu.device)
        bend = weights[..., None] * self.generator.second(nu) * live**2
        half = weights[..., None] * live * xp.sqrt(self.generator.second(q))
        half = xp.matrix_transpose(half)
        diagonal = xp.matrix_transpose(bend)[..., None] * eye
        return Hessian(diagonal - half[..., :, None] * half[..., None, :])


@dataclass(frozen=True, eq=False)
class BregmanCoherence(Scaled):
    """Phi(nu) = -strength * sum_z (sum_x w_x phi(nu_x) - phi(q)), the Jensen gap of phi; q the mean.

    The mean is the best consensus for every Bregman divergence, and Phi is minus the least
    sum_x w_x B_phi(nu_x, q). Reward -strength (phi'(nu_x) - phi'(q)). Jointly concave if 1/phi'' is
    concave (Burbea-Rao; for powers also only if, with three answers or more;
    docs/theory/bregman.md): checked on a grid of [1e-6, 1], `NotConcave` otherwise.

    Args:
        generator: an order t (phi'' = p^{t-2}, t in [1, 2]; 1 is arithmetic coherence, 2 half the
            Euclidean), a sympy expression in one symbol, or a `Generator`.
        strength: lambda.
    """

    _handmade: ClassVar[bool] = False

    generator: Any = 1.0
    strength: float = 1.0
    unit = _JensenGap

    def __post_init__(self) -> None:
        given = self.generator
        object.__setattr__(self, "_handmade", isinstance(given, Generator))
        if isinstance(given, int | float | np.number):
            made = Generator.power(float(given))
        elif isinstance(given, Generator):
            made = given
        elif hasattr(given, "free_symbols"):
            made = Generator.symbolic(given)
        else:
            raise InvalidObjective(
                f"generator is {given!r}; give an order t, a sympy expression or a Generator."
            )
        object.__setattr__(self, "generator", made)
        self._check_burbea_rao()
        super().__post_init__()

    @property
    def own(self) -> bool:
        """Whether phi and its derivatives are functions of the user's."""
        return self._handmade or super().own

    def __repr__(self) -> str:
        return f"BregmanCoherence({self.generator.name}, {self.strength:g})"

    def _check_burbea_rao(self) -> None:
        with np.errstate(all="ignore"):
            second = np.asarray(self.generator.second(_GRID), dtype=float)
        if not (np.isfinite(second).all() and (second > 0).all()):
            raise NotConcave(f"{self.generator.name} is not strictly convex on (0, 1].")
        inverse = 1 / second
        step = np.diff(_GRID)
        slopes = np.diff(inverse) / step
        size = np.abs(slopes[1:]) + np.abs(slopes[:-1])
        noise = 8e-16 * inverse[1:-1] * (1 / step[1:] + 1 / step[:-1])
        if (np.diff(slopes) > 1e-7 * size + noise).any():
            raise NotConcave(
                f"1/phi'' is not concave for the generator {self.generator.name}, so that its "
                "Jensen gap is not proved jointly convex (Burbea-Rao) and no theorem applies; for powers "
                "take an order in [1, 2]."
            )


@dataclass(frozen=True, eq=False)
class _TraceCoherence(ArithmeticCoherence):
    on_traces = True


@dataclass(frozen=True, eq=False)
class TraceCoherence(Scaled):
    """Arithmetic coherence over *traces*: -strength * min_q sum_x w_x KL(pi_x || q), q over traces.

    For comparison with answer-level coherence, where contexts share the trace space: it also pulls
    the reasoning together. Use it with `answers=None` and push the policy forward afterwards; a game
    with an answer map refuses it.

    Args:
        strength: lambda >= 0, by which value and reward are multiplied.
    """

    strength: float = 1.0
    unit = _TraceCoherence
