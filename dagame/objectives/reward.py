"""Objectives of a given reward: expected reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics.arrays import like, namespace
from ..numerics.shapes import Numbers, Table, Weights
from .forms import ExponentialForm, Hessian
from .objective import Objective
from .pairing import pairing
from .parameters import as_table, largest, told


@dataclass(frozen=True, eq=False)
class Reward(Objective):
    """Expected reward: Phi(nu) = <r, nu>, reward r_x(z) (docs/theory/objectives.md).

    `r` has shape (n,), (m, n) or (*batch, m, n); any finite numbers. nu* ∝ nu0 e^{r/beta}.

    Args:
        r: finite rewards of the answers, (n,), (m, n) or (*batch, m, n).
    """

    r: Any
    tables = {"r": "m n"}  # noqa: RUF012
    concave, smoothness = True, 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "r", as_table(self.r, "r"))

    def __repr__(self) -> str:
        return f"Reward({told(self.r)})"

    @property
    def magnitude(self) -> float:
        """max |r|."""
        return largest(self.r)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """<r, nu>."""
        return pairing(like(self.r, log_nu), log_nu, weights)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """The table r itself."""
        xp = namespace(log_nu)
        return xp.broadcast_to(like(self.r, log_nu), log_nu.shape)

    def exponential_form(self) -> ExponentialForm:
        """Reward r, entropy 0."""
        return ExponentialForm(self.r, 0.0)

    def hessian_log(self, log_nu: Table, weights: Weights) -> Hessian:
        """0."""
        return Hessian(0 * log_nu)

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """<r, nu>."""
        import cvxpy as cp

        r = np.broadcast_to(np.asarray(self.r), nu.shape)
        return cp.sum(cp.multiply(weights[:, None] * r, nu))
