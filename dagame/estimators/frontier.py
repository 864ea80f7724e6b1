"""The bias-variance frontier: the least bias at each noise, table by table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .tables import RewardTable, reward_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..objectives import Objective

_FACTORS = (1.0, 1.01, 1.02, 1.05, 1.1, 1.2, 1.35, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True, eq=False)
class Frontier:
    """The bias-variance frontier of one objective and K: tables by growing rmse.

    factors (F,): worst rmse over the plug-in's; sup_bias, worst_rmse (F,); `plug_in` the table to beat.
    """

    factors: np.ndarray
    tables: tuple[RewardTable, ...]
    plug_in: RewardTable

    @property
    def sup_bias(self) -> np.ndarray:
        """(F,)."""
        return np.array([t.sup_bias for t in self.tables])

    @property
    def worst_rmse(self) -> np.ndarray:
        """(F,)."""
        return np.array([t.worst_rmse for t in self.tables])

    def plot(self, ax: Any = None, *, title: str = "", legend: bool = True) -> Figure:
        """Sup-bias against worst rmse, the plug-in a square; `ax` are axes to draw on."""
        from ..show.figure import entitle, explain, panels, root

        (axes,) = panels(ax, 1, (4.6, 3.6))
        k = len(self.plug_in)
        (line,) = axes.loglog(self.worst_rmse, self.sup_bias, "o-", ms=3, label=f"K = {k}")
        axes.plot(self.plug_in.worst_rmse, self.plug_in.sup_bias, "s", color=line.get_color())
        axes.set_xlabel("worst p rmse(p)")
        axes.set_ylabel("sup-bias")
        if legend:
            explain(axes)
        entitle(axes, title)
        return root(axes)


def frontier(
    objective: Objective,
    group_size: int,
    baseline: str | None = None,
    factors: tuple[float, ...] = _FACTORS,
) -> Frontier:
    """The tables of least sup-bias at each multiple of the plug-in's worst rmse.

    What the two axes mean: docs/theory/samples.md#how-much-bias-is-left.
    """
    made = tuple(
        reward_table(objective, group_size, "variance_optimal", baseline, rmse_factor=f)
        for f in factors
    )
    plain = reward_table(objective, group_size, "plug_in", baseline)
    return Frontier(np.array(factors, float), made, plain)
