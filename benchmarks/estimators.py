"""Sup-bias and rmse of every reward table for Shannon diversity against K, and the time to build a table.

    python benchmarks/estimators.py

Sup-bias is sup_p p |E g(N) - f'(p)|, rmse sup_p p sqrt(E (g(N) - f'(p))^2), on the grids of
`dagame.estimators`. No randomness. Minimax stops at K = 32, where its entries explode.
"""

from __future__ import annotations

import time

import numpy as np
from common import RESULTS, keep

import dagame as dg
from dagame.estimators import METHODS, MINIMAX_LIMIT, reward_table

SIZES = (4, 8, 16, 32, 64, 128, 256)


def main() -> None:
    """Fill the table and draw it."""
    from matplotlib.figure import Figure

    from dagame.plots import CYCLE

    phi, rows = dg.ShannonDiversity(), []
    for method in METHODS:
        if method == "u_statistic":
            continue
        for k in SIZES:
            if method == "minimax" and k > MINIMAX_LIMIT:
                continue
            started = time.perf_counter()
            table = reward_table(phi, k, method)
            seconds = time.perf_counter() - started
            plain = reward_table(phi, k, "plug_in")
            rows.append(
                {
                    "method": method,
                    "K": k,
                    "sup-bias": table.sup_bias,
                    "plug-in's over it": plain.sup_bias / table.sup_bias,
                    "rmse": table.worst_rmse,
                    "over the plug-in's rmse": table.worst_rmse / plain.worst_rmse,
                    "largest entry": float(np.abs(table.entries).max()),
                    "seconds": seconds,
                }
            )
    made = Figure(figsize=(10, 3.8), layout="constrained")
    for axes, quantity in zip(made.subplots(1, 2), ("sup-bias", "rmse"), strict=True):
        for c, method in enumerate(dict.fromkeys(r["method"] for r in rows)):
            mine = [r for r in rows if r["method"] == method and r[quantity] < 1e3]
            axes.loglog(
                [r["K"] for r in mine],
                [r[quantity] for r in mine],
                "o-",
                color=CYCLE[c],
                label=method.replace("_", " "),
            )
        axes.set_xlabel("K")
        axes.set_title(quantity, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    made.axes[0].legend(fontsize=8, frameon=False)
    made.savefig(RESULTS / "estimators.png", dpi=120)
    keep("estimators", rows, objective="ShannonDiversity(1)")


if __name__ == "__main__":
    main()
