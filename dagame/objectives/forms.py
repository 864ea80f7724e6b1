"""What an objective may say of its shape, so that a solver needs fewer steps, or none."""

from __future__ import annotations

from typing import NamedTuple

from ..arrays import Array


class ExponentialForm(NamedTuple):
    """Phi(nu) = <reward, nu> + entropy * sum_x w_x H(nu_x) + constant; `tied`: one shared marginal.

    Such objectives have nu* ∝ exp((beta log nu0 + reward) / (beta + entropy)), per context or, when
    tied, with the exponent averaged over contexts (theory, section 3).
    """

    reward: Array | float
    entropy: float
    tied: bool = False


class Hessian(NamedTuple):
    """The Hessian of -Phi in coordinates scaled by sqrt(nu): blocks + U U'.

    With D = diag(sqrt(nu)), blocks is D (-Phi'') D per answer, (*batch, n, m, m), or its diagonal
    (*batch, m, n) where contexts do not interact; low_rank is D U, (*batch, m, n, r), or None. No
    weights are divided out: these are derivatives with respect to the plain nu_x(z).
    """

    blocks: Array
    low_rank: Array | None = None


class DualForm(NamedTuple):
    """Phi(nu) = min_y [y . bound + <sum_i y_i rows_i, nu>] over y_i >= 0 where `positive`.

    rows (*batch, r, m, n) are reward tables per unit of multiplier, bound (r,), positive (r,) bool;
    with `simplex` also sum y = 1. So are kinks (worst case) and hard sets (rows = -G/w, bound = h).
    """

    rows: Array
    bound: Array
    positive: Array
    simplex: bool = False
