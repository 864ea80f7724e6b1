"""Bias, noise and cost of every reward table, and the samples each estimator needs to a given gap.

    python benchmarks/estimators.py            # everything, about 6 minutes on one core
    python benchmarks/estimators.py tables     # one part: tables | gaps | throughput

tables: sup-bias sup_p p |E g(N) - f'(p)| and worst rmse sup_p p sqrt(E (g(N) - f'(p))^2) of Shannon
diversity against K, with fitted log-log slopes and the time to build a table (no cache), and the
bias-variance frontier. No randomness; minimax stops at K = 32, where its entries explode.
gaps: exact gap against samples drawn for each estimator on three games, 10 seeds, K = 8 under the
leave-two-out baseline; `naive` is the plug-in under an uncorrected group mean.
throughput: rewards of 1e6 completions, integer keys; factorising strings is timed apart.
"""

from __future__ import annotations

import os

os.environ["DAGAME_CACHE_DIR"] = ""
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")

import sys
import time
from typing import Any

import numpy as np
from common import RESULTS, keep, median_seconds

import dagame as dg
from dagame.estimators import METHODS, MINIMAX_LIMIT, count_rewards, frontier, reward_table
from dagame.sampled import SampledGame, train

SIZES = (4, 8, 16, 32, 64, 128, 256)
SEEDS = 10


def axes_of(width: float, columns: int) -> tuple[Any, Any]:
    """A figure and its axes."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, 3.8), layout="constrained")
    axes = made.subplots(1, columns)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return made, axes


def tables() -> None:
    """Every method against K, and the frontier."""
    from dagame.plots import CYCLE

    phi, rows = dg.ShannonDiversity(), []
    reward_table(phi, 3)
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
    slopes = {
        method: float(np.polyfit(*np.log([(r["K"], r["sup-bias"]) for r in mine]).T, 1)[0])
        for method in dict.fromkeys(r["method"] for r in rows)
        if (mine := [r for r in rows if r["method"] == method])
    }
    made, (bias, noise, edge) = axes_of(13, 3)
    for axes, quantity in ((bias, "sup-bias"), (noise, "rmse")):
        for c, method in enumerate(slopes):
            mine = [r for r in rows if r["method"] == method and r[quantity] < 1e3]
            label = f"{method.replace('_', ' ')}, slope {slopes[method]:.2f}"
            axes.loglog(
                [r["K"] for r in mine], [r[quantity] for r in mine], "o-", ms=4, color=CYCLE[c],
                label=label,
            )  # fmt: skip
        axes.set_xlabel("K")
        axes.set_title(quantity, fontsize=11)
    edges = {k: frontier(phi, k) for k in (8, 16, 32, 64)}
    for made_edge in edges.values():
        made_edge.plot(edge)
    edge.set_title("frontier; squares: plug-in", fontsize=11)
    edge.legend(fontsize=8, frameon=False)
    bias.legend(fontsize=7, frameon=False)
    made.savefig(RESULTS / "estimators.png", dpi=120)
    found = {
        str(k): [
            {"rmse factor": f, "sup-bias": t.sup_bias, "rmse": t.worst_rmse}
            for f, t in zip(e.factors.tolist(), e.tables, strict=True)
        ]
        for k, e in edges.items()
    }
    keep("estimators", rows, objective="ShannonDiversity(1)", slopes=slopes, frontier=found)
    print("slopes:", {m: round(s, 2) for m, s in slopes.items()})


def games() -> dict[str, tuple[dg.AlignmentGame, tuple[str, ...], float]]:
    """Three games with the estimators that serve them, and a learning rate for K = 8."""
    rng = np.random.default_rng(5)
    reference = 0.97 * rng.dirichlet(np.full(6, 0.8), 8) + 0.03 / 6
    own = ("variance_optimal", "krichevsky_trofimov", "plug_in")
    success = np.array([0.0, 0, 1, 0, 0, 0])
    return {
        "Shannon diversity": (
            dg.AlignmentGame(reference[:1], dg.ShannonDiversity(1.0), beta=0.5),
            (*own, "minimax", "jackknife"),
            0.15,
        ),
        "coherence": (dg.AlignmentGame(reference, dg.Coherence(1.0), beta=0.5), own, 0.15),
        "pass@4": (
            dg.AlignmentGame(reference[:1], dg.PassAtK(success, 4, 1.0), beta=0.2),
            ("u_statistic", *own),
            0.3,
        ),
    }


class _Naive(SampledGame):
    """Plug-in rewards under a plain group mean: what an engine does that knows nothing of the game."""

    def paid(self, marginals: Any, target: Any) -> Any:
        """Uncorrected rewards, centred by the group's mean."""
        import dataclasses

        made = count_rewards(
            marginals.answers, self.game.objective, "plug_in", baseline=None,
            weights=self.game.weights,
        )  # fmt: skip
        return dataclasses.replace(made, baseline="group_mean")


def gaps(k: int = 8, steps: int = 20_000) -> None:
    """Which estimator reaches a given gap first, at equal samples."""
    how = {"decay": 400.0, "replicas": SEEDS}
    made, panels = axes_of(13, 3)
    rows = []
    for axes, (name, (game, estimators, rate)) in zip(panels, games().items(), strict=True):
        sampled = {e: SampledGame(game, k, estimator=e) for e in estimators}
        sampled["naive"] = _Naive(game, k, baseline="group_mean")
        runs = {
            e: train(s, steps, learning_rate=rate, label=e.replace("_", " "), **how)
            for e, s in sampled.items()
        }
        for estimator, run in runs.items():
            run.plot(axes)
            low, middle, high = np.quantile(run.gaps[-6:].mean(0), [0.1, 0.5, 0.9]).tolist()
            start = float(run.gaps[0, 0])
            first = np.median(run.samples_to(start / 10))
            rows.append(
                {
                    "game": name,
                    "estimator": estimator,
                    "gap at start": start,
                    "final gap, median": middle,
                    "10%": low,
                    "90%": high,
                    "samples to a tenth": None if np.isinf(first) else float(first),
                }
            )
        axes.set_title(f"{name}, K = {k}", fontsize=11)
        axes.legend(fontsize=7, frameon=False)
    made.savefig(RESULTS / "estimator_gaps.png", dpi=120)
    keep("estimator_gaps", rows, K=k, steps=steps, seeds=SEEDS, **how)


def throughput() -> None:
    """1e6 completions, K = 16, 8 contexts a class."""
    import polars as pl

    from dagame.lm.rewards import group_rewards

    rng = np.random.default_rng(0)
    classes, m, k = 7813, 8, 16
    n = classes * m * k
    ids = np.repeat(np.arange(classes), m * k), np.tile(np.repeat(np.arange(m), k), classes)
    keys = rng.zipf(1.6, n) % 97
    words = [f"answer {key}" for key in keys]
    rows = []
    for phi in (
        dg.Coherence(), dg.ShannonDiversity(), dg.GiniDiversity(), dg.Coherence(1.0, "euclidean"),
        dg.Coherence(1.0, "geometric"),
    ):  # fmt: skip
        call = lambda phi=phi: group_rewards(*ids, keys, phi, baseline="group_mean")  # noqa: E731
        rows.append({"objective": repr(phi), "completions": n, "seconds": median_seconds(call, 5)})
    strings = median_seconds(lambda: pl.Series(words).cast(pl.Categorical).to_physical(), 5)
    rows.append({"objective": "(factorising strings)", "completions": n, "seconds": strings})
    keep("reward_throughput", rows, K=k, contexts=m, threads=1)


if __name__ == "__main__":
    parts = {"tables": tables, "gaps": gaps, "throughput": throughput}
    for part in sys.argv[1:] or parts:
        parts[part]()
