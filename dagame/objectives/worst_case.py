"""The worst of several graders: the target mixes over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics.arrays import Array, like, namespace
from ..numerics.barrier import barrier_minimise
from ..numerics.shapes import Mask, Numbers, Table, Weights
from ..show.names import names_of, unlabelled
from ..show.tables import counted
from .fit import fit_oracle
from .forms import DualForm
from .objective import Objective, Scaled
from .pairing import weighted
from .parameters import as_table, largest
from .reply import Reply


@dataclass(frozen=True, eq=False)
class _WorstCase(Reply, Objective):
    rewards: Any
    tables = {"rewards": "k n"}  # noqa: RUF012
    has_multipliers = True
    has_supergradient = True
    mixture = True
    concave = True

    @property
    def magnitude(self) -> float:
        """max |r|."""
        return largest(self.rewards)

    def _grades(self, log_nu: Array, weights: Array) -> Array:
        """<r_k, nu> (*batch, k)."""
        xp = namespace(log_nu)
        mean = xp.sum(xp.exp(log_nu) * weights[..., None], axis=-2)
        return xp.sum(like(self.rewards, log_nu) * mean[..., None, :], axis=-1)

    def value_log(self, log_nu: Table, weights: Weights) -> Numbers:
        """min_k <r_k, nu>."""
        return namespace(log_nu).min(self._grades(log_nu, weights), axis=-1)

    def reward_log(self, log_nu: Table, weights: Weights) -> Table:
        """The rewards of a worst grader, a supergradient; `game.rewards` mixes over ties."""
        xp = namespace(log_nu)
        worst = xp.argmin(self._grades(log_nu, weights), axis=-1)
        k = xp.arange(self.rewards.shape[-2], device=log_nu.device)
        alpha = xp.astype(worst[..., None] == k, log_nu.dtype)
        return self._mixed(alpha, log_nu)

    def _mixed(self, alpha: Array, log_nu: Array) -> Array:
        xp = namespace(log_nu)
        u = xp.sum(alpha[..., None] * like(self.rewards, log_nu), axis=-2)
        return xp.broadcast_to(u[..., None, :], log_nu.shape)

    def dual_form(self, log_nu0: Table, weights: Weights) -> DualForm:
        """u = sum_k alpha_k r_k over the simplex."""
        xp = namespace(log_nu0)
        k, n = self.rewards.shape[-2:]
        rows = like(self.rewards, log_nu0)[..., :, None, :]
        rows = xp.broadcast_to(rows, (*log_nu0.shape[:-2], k, log_nu0.shape[-2], n))
        zero = xp.zeros((k,), dtype=log_nu0.dtype, device=log_nu0.device)
        return DualForm(rows, zero, zero == 0, simplex=True)

    def multipliers(
        self, log_nu: Table, weights: Weights, residual: Table, support: Mask, factor: float = 1.0
    ) -> Array | None:
        """alpha of the least squares fit to the residual, over the simplex."""
        form = self.dual_form(log_nu, weights) * factor
        oracle = fit_oracle(form, log_nu, weights, residual, support)
        start = 0 * form.rows[..., 0, 0] + 1 / self.rewards.shape[-2]
        flat = namespace(start).reshape(start, (-1, start.shape[-1]))
        alpha = barrier_minimise(oracle, flat, form.positive, simplex=True)
        return namespace(start).reshape(alpha, start.shape)

    def linearise(
        self, log_target: Table, weights: Weights, multipliers: Array | None = None
    ) -> tuple[Numbers, Table]:
        """c = 0, u = sum_k alpha_k r_k: Phi(nu) <= <u, nu> for every mixture."""
        if multipliers is None:
            u = self.reward_log(log_target, weights)
        else:
            u = self._mixed(multipliers, log_target)
        return 0 * weighted(u[..., 0], weights), u

    def cvxpy(self, nu: Any, weights: np.ndarray, constraints: list[Any]) -> Any:
        """A minimum of linear expressions."""
        import cvxpy as cp

        return cp.min(np.asarray(self.rewards) @ (weights @ nu))


@dataclass(frozen=True, eq=False)
class WorstCase(Scaled):
    """Phi(nu) = strength * min_k <r_k, nu>, one minimum over the weighted mean of the contexts.

    `rewards` (k, n), or (*batch, k, n), an array or a data frame whose rows are graders; `names` those of
    the k graders, by default the frame's labels. The target's move is the mixture alpha over the graders,
    reward strength sum_k alpha_k r_k(z), which `Solution.opponent` holds; alpha solves a convex dual in k
    numbers (docs/theory/objectives.md). Without the KL it is a matrix game, of which `dagame.run` plays
    the dynamics (docs/howto/game-theorists.md).

    Args:
        rewards: (k, n) or (*batch, k, n), an array or a data frame whose rows are graders.
        strength: lambda >= 0, by which value and reward are multiplied.
        names: of the k graders; None for the frame's labels.

    Raises:
        InvalidObjective: rewards are not finite, or there are more or fewer names than graders.
    """

    rewards: Any
    strength: float = 1.0
    names: Any = None
    unit = _WorstCase
    tables = _WorstCase.tables

    def __post_init__(self) -> None:
        labelled = unlabelled(self.rewards)
        table = as_table(labelled.table, "rewards")
        table = table[None, :] if table.ndim == 1 else table
        names = labelled.rows if self.names is None else self.names
        object.__setattr__(self, "rewards", table)
        object.__setattr__(self, "names", names_of(names, table.shape[-2], "graders"))
        super().__post_init__()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({counted(self.rewards.shape[-2], 'grader')}, {self.strength:g})"
        )
