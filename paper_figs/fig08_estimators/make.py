"""What K samples cost: bias, its order in K, the trade of bias for noise, and where training ends.

    python paper_figs/fig08_estimators/make.py

Reward tables g(N) of Shannon diversity (theory, section 7). (a) p (E g(N) - f'(p)) at K = 8. (b) Its
supremum against K; minimax stops at K = 32, where its entries explode. (c) The frontier of
variance-optimal tables from the least bias to the least noise at each K; hollow: plug-in. (d), (e)
Exact gap of a softmax policy on two games of `dagame-bench estimators` (6 answers, strength 2 beta; 1
and 8 contexts), K = 8, against the samples drawn: median of 10 seeds, band of the middle 80 %; `naive`
is the plug-in under an uncorrected group mean. No table is exact for coherence: after 1e4 to 1e5
samples every estimator drifts to the fixed point of its own biased reward, away from the equilibrium.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter

import dagame as dg
from dagame.estimators import MINIMAX_LIMIT, CountRewards, count_rewards, frontier, reward_table
from dagame.estimators.sampled import Draw, SampledGame, train

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import DARK, MARKERS, PAGE, Data, figure, letters, look, main

METHODS = ("plug_in", "krichevsky_trofimov", "jackknife", "variance_optimal", "minimax")
SIZES, EDGES, GROUP = (4, 8, 16, 32, 64, 128, 256), (8, 16, 32, 64), 8
STEPS, SEEDS, RATE, DECAY = 10_000, 10, 0.15, 400.0
ESTIMATORS = ("plug_in", "krichevsky_trofimov", "jackknife", "variance_optimal")
SERIES = {name: k for k, name in enumerate((*METHODS, "", "naive"))}


class Naive(SampledGame):
    """Plug-in rewards under a plain group mean: what an engine does that knows nothing of the game."""

    def paid(self, marginals: Draw, target: Any) -> CountRewards:
        """Uncorrected rewards, centred by the group's mean."""
        options = {"baseline": None, "weights": self.game.weights}
        made = count_rewards(marginals.answers, self.game.objective, "plug_in", **options)
        return replace(made, baseline="group_mean")


def tables() -> Data:
    """Bias at K = 8, sup-bias against K, frontiers."""
    phi, p = dg.ShannonDiversity(), np.linspace(0, 1, 201)[1:]
    sup = {
        method: {
            k: reward_table(phi, k, method).sup_bias
            for k in SIZES
            if method != "minimax" or k <= MINIMAX_LIMIT
        }
        for method in METHODS
    }
    edges = {k: frontier(phi, k) for k in EDGES}
    return {
        "p": p,
        "bias": {method: reward_table(phi, GROUP, method).bias(p) for method in METHODS},
        "sup-bias": sup,
        "frontier": {
            k: {
                "sup-bias": [t.sup_bias for t in e.tables],
                "rmse": [t.worst_rmse for t in e.tables],
            }
            for k, e in edges.items()
        },
        "plug-in's rmse": {k: reward_table(phi, k, "plug_in").worst_rmse for k in EDGES},
    }


def games() -> dict[str, dg.AlignmentGame]:
    """Diversity of one context, coherence of eight."""
    rng = np.random.default_rng(5)
    reference = 0.97 * rng.dirichlet(np.full(6, 0.8), 8) + 0.03 / 6
    return {
        "diversity": dg.AlignmentGame(reference[:1], dg.ShannonDiversity(1.0), beta=0.5),
        "coherence": dg.AlignmentGame(reference, dg.Coherence(1.0), beta=0.5),
    }


def training(game: dg.AlignmentGame) -> Data:
    """Samples drawn, and the quantiles of the exact gap by estimator."""
    played = {"naive": Naive(game, GROUP, baseline="group_mean")}
    played |= {e: SampledGame(game, GROUP, estimator=e) for e in ESTIMATORS}
    how = {"learning_rate": RATE, "decay": DECAY, "replicas": SEEDS}
    runs = {name: train(sampled, STEPS, **how) for name, sampled in played.items()}
    gaps = {name: np.quantile(run.gaps, [0.1, 0.5, 0.9], axis=1) for name, run in runs.items()}
    return {"samples": runs["naive"].samples[1:], "gaps": {e: g[:, 1:] for e, g in gaps.items()}}


def compute() -> Data:
    """The tables, and training by each estimator."""
    os.environ.setdefault("DAGAME_CACHE_DIR", "")
    return tables() | {"training": {name: training(game) for name, game in games().items()}}


def draw_tables(bias: Any, order: Any, edge: Any, data: Data) -> None:
    """The exact panels."""
    for method in METHODS:
        bias.plot(data["p"], data["bias"][method], **look(SERIES[method]))
        sizes, values = zip(*data["sup-bias"][method].items(), strict=True)
        order.loglog(np.array(sizes, float), values, **look(SERIES[method], True))
    for k, (size, found) in enumerate(data["frontier"].items()):
        style = look(k, True) | {"color": DARK, "marker": MARKERS[k]}
        edge.loglog(found["rmse"], found["sup-bias"], **style, ms=2.5)
        edge.annotate(f"K = {size}", (found["rmse"][-1], found["sup-bias"][-1]), (0, 5), size=6.5,
                      textcoords="offset points", ha="center")  # fmt: skip
        plain = data["plug-in's rmse"][size], data["sup-bias"]["plug_in"][size]
        edge.plot(*plain, MARKERS[k], color=look(0)["color"], mfc="white", ms=4.5)
        if k == 0:
            edge.annotate("plug-in", plain, (7, -2), textcoords="offset points", size=6.5)


def label_of(method: str, sup: Data) -> str:
    """A method's name, with the log-log slope of its largest bias."""
    name = method.replace("_", "-").replace("krichevsky-trofimov", "Krichevsky–Trofimov")
    if method not in sup:
        return name
    sizes = np.array(list(sup[method]), float)
    slope = np.polyfit(np.log(sizes), np.log(list(sup[method].values())), 1)[0]
    return f"{name}, slope in (b) {slope:.2f}".replace(" -", " −")


def draw(data: Data) -> Any:
    """Five panels and a legend."""
    made = figure(PAGE, 3.9)
    bias, order, edge, *gaps, key = made.subplots(2, 3).ravel()
    draw_tables(bias, order, edge, data)
    for axes, found in zip(gaps, data["training"].values(), strict=True):
        for name, (low, middle, high) in found["gaps"].items():
            style = look(SERIES[name])
            axes.loglog(found["samples"], middle, **style)
            axes.fill_between(found["samples"], low, high, color=style["color"], alpha=0.15, lw=0)
    labels = (
        ("probability p", r"$p\,(E\,g(N) - f'(p))$"),
        ("group size K", "largest bias"),
        ("largest noise (rmse)", "largest bias"),
        *(("samples drawn", "exact gap"),) * 2,
    )
    panels = (bias, order, edge, *gaps)
    for axes, (x, y) in zip(panels, labels, strict=True):
        axes.set_xlabel(x)
        axes.set_ylabel(y)
    edge.xaxis.set_major_locator(FixedLocator((0.1, 0.2, 0.4, 0.8)))
    edge.xaxis.set_major_formatter("{x:g}")
    edge.xaxis.set_minor_formatter(NullFormatter())
    gaps[1].yaxis.set_major_locator(FixedLocator((0.05, 0.1, 0.2, 0.4, 0.8)))
    gaps[1].yaxis.set_major_formatter("{x:g}")
    gaps[1].yaxis.set_minor_formatter(NullFormatter())
    for name in (*METHODS, "naive"):
        key.plot([], [], **look(SERIES[name]), label=label_of(name, data["sup-bias"]))
    key.legend(loc="center", handlelength=2)
    key.set_axis_off()
    titles = "bias at K = 8", "order of the bias", "bias against noise", "diversity", "coherence"
    letters(panels, titles)
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
