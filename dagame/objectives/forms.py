"""What an objective may say of its shape, so that a solver needs fewer steps, or none.

Each form adds, and is scaled by a number, as its objective does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ..numerics.arrays import Array, namespace


class ExponentialForm(NamedTuple):
    """Phi(nu) = <reward, nu> + entropy * sum_x w_x H(nu_x) + strength * C(nu) + a, C by its name `coupling`.

    None: no C, so that nu* ∝ exp((beta log nu0 + reward) / (beta + entropy)) in every context. "equal": C is
    0 where all contexts are the same, -infinity elsewhere, and the exponent is averaged over contexts
    (docs/theory/objectives.md#closed-forms). "arithmetic": C = -sum_x w_x KL(nu_x || q), q the mean
    (docs/theory/dynamics.md#consensus). Those of `couplings.COUPLINGS` leave one number per answer
    (docs/theory/dynamics.md#one-number-per-answer). "": two that differ, of which nothing is known.
    """

    reward: Array | float
    entropy: float
    coupling: str | None = None
    strength: float = 0.0

    def __mul__(self, factor: float) -> ExponentialForm:  # type: ignore[override]
        """The form of factor * Phi."""
        entropy, strength = float(factor * self.entropy), float(factor * self.strength)
        return ExponentialForm(factor * self.reward, entropy, self.coupling, strength)

    def __rmul__(self, factor: float) -> ExponentialForm:  # type: ignore[override]
        return self * factor

    def __add__(self, other: ExponentialForm) -> ExponentialForm:  # type: ignore[override]
        """The form of a sum of two objectives."""
        named = {c for c in (self.coupling, other.coupling) if c is not None}
        return ExponentialForm(
            self.reward + other.reward,
            self.entropy + other.entropy,
            (named.pop() if len(named) == 1 else "") if named else None,
            self.strength + other.strength,
        )


SMOOTH = ("entropy", "tsallis", "renyi", "arithmetic", "euclidean", "bregman", "jensen_shannon")
"""The functions that `SmoothForm` names; "tsallis", "renyi" and "bregman" have an order."""


class SmoothForm(NamedTuple):
    """Phi(nu) = sum_k factor_k Phi_k(nu) + <reward, nu> + a, Phi_k the function and order of `terms`.

    terms holds (name, factor, order), the names of `SMOOTH`; what compiled code needs to know of Phi.
    """

    terms: tuple[tuple[str, float, float], ...]
    reward: Array | float = 0.0

    def __mul__(self, factor: float) -> SmoothForm:  # type: ignore[override]
        """The form of factor * Phi."""
        terms = tuple((name, factor * f, order) for name, f, order in self.terms)
        return SmoothForm(terms, factor * self.reward)

    def __rmul__(self, factor: float) -> SmoothForm:  # type: ignore[override]
        return self * factor

    def __add__(self, other: SmoothForm) -> SmoothForm:  # type: ignore[override]
        """The form of a sum of two objectives."""
        return SmoothForm(self.terms + other.terms, self.reward + other.reward)


class Hessian(NamedTuple):
    """The Hessian of -Phi in coordinates scaled by sqrt(nu): blocks + U U' - N N'.

    With D = diag(sqrt(nu)), blocks is D (-Phi'') D per answer, (*batch, n, m, m), or its diagonal
    (*batch, m, n) where contexts do not interact; low_rank is D U and negative D N, (*batch, m, n, r), or
    None. No weights are divided out: these are derivatives with respect to the plain nu_x(z).
    """

    blocks: Array
    low_rank: Array | None = None
    negative: Array | None = None

    def __mul__(self, factor: float) -> Hessian:  # type: ignore[override]
        """The Hessian of factor * -Phi; a negative factor swaps the two parts of low rank."""
        root = math.sqrt(abs(factor))
        parts = [None if u is None else root * u for u in (self.low_rank, self.negative)]
        return Hessian(factor * self.blocks, *(parts if factor >= 0 else parts[::-1]))

    def __rmul__(self, factor: float) -> Hessian:  # type: ignore[override]
        return self * factor

    def __add__(self, other: Hessian) -> Hessian:  # type: ignore[override]
        """The Hessian of a sum."""
        size = max(self.blocks.ndim, other.blocks.ndim)
        blocks = _as_blocks(self.blocks, size) + _as_blocks(other.blocks, size)
        return Hessian(
            blocks,
            _side_by_side(self.low_rank, other.low_rank),
            _side_by_side(self.negative, other.negative),
        )


class DualForm(NamedTuple):
    """Phi(nu) = min_y [y . bound + <sum_i y_i rows_i, nu>] over y_i >= 0 where `positive`.

    rows (*batch, r, m, n) are reward tables per unit of multiplier, bound (r,), positive (r,) bool;
    with `simplex` also sum y = 1. Kinks (worst case) and hard sets have this form (rows = -G/w, bound = h).
    """

    rows: Array
    bound: Array
    positive: Array
    simplex: bool = False

    def __mul__(self, factor: float) -> DualForm:  # type: ignore[override]
        """The form of factor * Phi, factor > 0, at the same multipliers."""
        return self._replace(rows=factor * self.rows, bound=factor * self.bound)

    def __rmul__(self, factor: float) -> DualForm:  # type: ignore[override]
        return self * factor


class CountedForm(NamedTuple):
    """Phi(nu) = sum_x w_x sum_z f(nu_x(z)), one f for every answer, or sum_x w_x F(p_x).

    `slope` is f', or F' of p_x = sum_z success(z) nu_x(z), success (n,) or (*batch, m, n), where that is
    given: what a sample is paid then depends on how many of its group share its answer, or succeed.
    """

    slope: Callable[[Any], Any]
    success: Any = None

    @property
    def of(self) -> str:
        """Whose probability it is a function of: that of the "answer", or that of "success"."""
        return "answer" if self.success is None else "success"

    def __mul__(self, factor: float) -> CountedForm:  # type: ignore[override]
        """The form of factor * Phi."""
        return self._replace(slope=lambda p: factor * self.slope(p))

    def __rmul__(self, factor: float) -> CountedForm:  # type: ignore[override]
        return self * factor

    def __add__(self, other: CountedForm) -> CountedForm:  # type: ignore[override]
        """The form of a sum of two objectives, both of the answers' probabilities."""
        return CountedForm(lambda p: self.slope(p) + other.slope(p))


def _side_by_side(one: Array | None, other: Array | None) -> Array | None:
    """The columns of both."""
    if one is None or other is None:
        return other if one is None else one
    return namespace(one).concat([one, other], axis=-1)


def _as_blocks(blocks: Array, size: int) -> Array:
    """A diagonal (*batch, m, n) as blocks (*batch, n, m, m), if that many axes are wanted."""
    if blocks.ndim == size:
        return blocks
    xp = namespace(blocks)
    eye = xp.eye(blocks.shape[-2], dtype=blocks.dtype, device=blocks.device)
    return xp.matrix_transpose(blocks)[..., None] * eye
