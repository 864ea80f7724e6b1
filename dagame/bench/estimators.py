"""Bias, noise and cost of every reward table, and the samples each estimator needs to a given gap.

tables: sup-bias sup_p p |E g(N) - f'(p)| and worst rmse sup_p p sqrt(E (g(N) - f'(p))^2) of Shannon
diversity against K, with fitted log-log slopes and the time to build a table (no cache), and the
bias-variance frontier. No randomness; minimax stops at K = 32, where its entries explode.
gaps: exact gap against samples drawn for each estimator on three games, 10 seeds, K = 8 under the
leave-two-out baseline; `naive` is the plug-in under an uncorrected group mean.
throughput: rewards of 1e6 completions, integer keys; factorising strings is timed apart.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidObjective
from ..estimators import METHODS, MINIMAX_LIMIT, Frontier, count_rewards, frontier, reward_table
from ..estimators.sampled import SampledGame, SampledRun, train
from ..games.game import AlignmentGame
from ..objectives import Coherence, GiniDiversity, PassAtK, ShannonDiversity
from .common import (
    Result,
    Watch,
    group,
    label,
    median_seconds,
    panels,
    plain_ticks,
    slope,
    timed,
)
from .tables import Row, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("tables", "gaps", "throughput")
ALL_TABLES, QUICK_TABLES = ((4, 8, 16, 32, 64, 128, 256), (8, 16, 32, 64)), ((4, 8, 16), (4,))
"""K of the tables, and of the frontiers."""
GROUP, DECAY = 8, 400.0
Part = tuple[list[Section], Row]


TABLES = {
    "K": "samples a group",
    "sup-bias": "sup over p of p |E g(N) - f'(p)|, the largest bias that a probability can be paid with",
    "plug_in's bias over it": "how many times less bias than the plug-in, which puts N / K for p",
    "worst rmse": "sup over p of p sqrt(E (g(N) - f'(p))^2), bias and noise together",
    "rmse over plug_in's": "what the smaller bias costs in noise",
    "largest entry": "the largest |g(N)| of the table",
    "seconds": "to build the table, once for all trainings",
}
FITS = {"slope of the sup-bias in K": "-1: bias falls like 1 / K"}
GAPS = {
    "estimator": "of the reward; naive: plug_in under an uncorrected group mean",
    "gap at start": "exact duality gap of the reference",
    "final gap, median": "exact duality gap after training, over the seeds",
    "final gap, 10%": "its lower decile over the seeds",
    "final gap, 90%": "its upper decile",
    "samples to a tenth": "samples drawn until a tenth of the gap at start, median; – if never",
}
THROUGHPUT = {
    "completions": "paid in one call, with integer keys of answers",
    "seconds": "median of five calls",
    "completions a second": "their ratio",
}
DRAWN = (
    "variance_optimal", "plug_in", "jackknife", "minimax", "laplace", "u_statistic",
    "krichevsky_trofimov", "leave_one_out", "naive",
)  # fmt: skip
"""The estimators in the order of their colours, the same in every panel."""


def check_parts(parts: Sequence[str] | None) -> tuple[str, ...]:
    """The parts asked for, in order; `InvalidObjective` names an unknown one."""
    for part in parts or ():
        if part not in PARTS:
            raise InvalidObjective(f"part {part!r} is unknown; choose {', '.join(PARTS)}.")
    return tuple(p for p in PARTS if not parts or p in parts)


@timed
def run(quick: bool, seed: int = 5, *, watch: Watch, parts: tuple[str, ...] = PARTS) -> Result:
    """The parts asked for; `seed` draws the games of `gaps` and the completions of `throughput`."""
    sections: list[Section] = []
    facts: Row = {"objective": "ShannonDiversity(1)"}
    for part in (p for p in PARTS if p in parts):
        made, told = _PARTS[part](quick, seed, watch)
        sections += made
        facts |= told
    settings = {"parts": list(parts), "K of gaps": GROUP, "decay": DECAY, **_effort(quick)}
    return Result("estimators", quick, seed, settings, sections, facts)


def _effort(quick: bool) -> Row:
    return {"steps": 200, "replicas": 3} if quick else {"steps": 20_000, "replicas": 10}


# -- tables ---------------------------------------------------------------------------------------


@contextmanager
def _no_cache() -> Iterator[None]:
    """Tables are built, not read from the disk."""
    before = os.environ.get("DAGAME_CACHE_DIR")
    os.environ["DAGAME_CACHE_DIR"] = ""
    try:
        yield
    finally:
        del os.environ["DAGAME_CACHE_DIR"]
        if before is not None:
            os.environ["DAGAME_CACHE_DIR"] = before


def _tables(quick: bool, _seed: int, watch: Watch) -> Part:
    """Every method against K, slopes of the sup-bias, and the frontier."""
    phi, (sizes, ends) = ShannonDiversity(), QUICK_TABLES if quick else ALL_TABLES
    reward_table(phi, 3)
    jobs = [(method, k) for method in METHODS for k in sizes if _is_built(method, k)]
    with _no_cache():
        named = watch.over(jobs, lambda job: f"{job[0]}, K = {job[1]}")
        rows = [_table_row(phi, *job) for job in named]
        edges = {k: frontier(phi, k) for k in watch.over(ends, lambda k: f"frontier, K = {k}")}
    slopes = {
        method: slope([r["K"] for r in mine], [r["sup-bias"] for r in mine])
        for method, mine in group(rows, "method").items()
    }
    fits = [{"method": m, "slope of the sup-bias in K": s} for m, s in slopes.items()]
    title = "Reward tables g(N) of Shannon diversity, K samples a group"
    sections = [Section("tables", title, rows, TABLES, names=2)]
    sections.append(Section("fits", "Log-log slopes", fits, FITS))
    return sections, {"slopes": slopes, "frontier": {str(k): _edge(e) for k, e in edges.items()}}


def _is_built(method: str, k: int) -> bool:
    return method != "u_statistic" and not (method == "minimax" and k > MINIMAX_LIMIT)


def _table_row(phi: ShannonDiversity, method: str, k: int) -> Row:
    started = time.perf_counter()
    table = reward_table(phi, k, method)
    seconds = time.perf_counter() - started
    plain = reward_table(phi, k, "plug_in")
    return {
        "method": method,
        "K": k,
        "sup-bias": table.sup_bias,
        "plug_in's bias over it": plain.sup_bias / table.sup_bias,
        "worst rmse": table.worst_rmse,
        "rmse over plug_in's": table.worst_rmse / plain.worst_rmse,
        "largest entry": float(np.abs(table.entries).max()),
        "seconds": seconds,
    }


def _edge(edge: Frontier) -> list[Row]:
    return [
        {"rmse factor": f, "sup-bias": t.sup_bias, "worst rmse": t.worst_rmse}
        for f, t in zip(edge.factors.tolist(), edge.tables, strict=True)
    ]


# -- gaps -----------------------------------------------------------------------------------------


def _games(seed: int) -> dict[str, tuple[AlignmentGame, tuple[str, ...], float]]:
    """Three games with the estimators that serve them, the default first, and a learning rate for K = 8."""
    rng = np.random.default_rng(seed)
    reference = 0.97 * rng.dirichlet(np.full(6, 0.8), 8) + 0.03 / 6
    own = ("jackknife", "variance_optimal", "krichevsky_trofimov", "plug_in")
    success = np.array([0.0, 0, 1, 0, 0, 0])
    diverse = AlignmentGame(reference[:1], ShannonDiversity(1.0), beta=0.5)
    passing = AlignmentGame(reference[:1], PassAtK(success, 4, 1.0), beta=0.2)
    return {
        "Shannon diversity": (diverse, (*own, "minimax"), 0.15),
        "coherence": (AlignmentGame(reference, Coherence(1.0), beta=0.5), own, 0.15),
        "pass@4": (passing, ("u_statistic", *own), 0.3),
    }


class _Naive(SampledGame):
    """Plug-in rewards under a plain group mean: what an engine does that knows nothing of the game."""

    def paid(self, marginals: Any, target: Any) -> Any:
        """Uncorrected rewards, centred by the group's mean."""
        made = count_rewards(
            marginals.answers,
            self.game.objective,
            "plug_in",
            baseline=None,
            weights=self.game.weights,
        )
        return dataclasses.replace(made, baseline="group_mean")


def _gaps(quick: bool, seed: int, watch: Watch) -> Part:
    """Which estimator reaches a given gap first, at equal samples; and the curves for the picture."""
    effort, jobs = _effort(quick), []
    for name, (game, estimators, rate) in _games(seed).items():
        jobs += [(name, e, SampledGame(game, GROUP, estimator=e), rate) for e in estimators]
        jobs.append((name, "naive", _Naive(game, GROUP, baseline="group_mean"), rate))
    rows: list[Row] = []
    curves: Row = {}
    for name, estimator, sampled, rate in watch.over(jobs, lambda job: f"{job[0]}, {job[1]}"):
        run = train(sampled, **effort, learning_rate=rate, decay=DECAY)
        rows.append({"game": name, "estimator": estimator, **_ends(run)})
        curves.setdefault(name, {})[estimator] = _curve(run)
    title = f"Sampled games, K = {GROUP}, {effort['steps']:,} steps, {effort['replicas']} seeds"
    return [Section("gaps", title, rows, GAPS, names=2)], {"curves": curves}


def _curve(run: SampledRun) -> Row:
    bands = np.quantile(run.gaps, [0.1, 0.5, 0.9], axis=1)
    digits = [[float(f"{v:.4g}") for v in band] for band in bands]
    named = zip(("10%", "median", "90%"), digits, strict=True)
    return {"samples": run.samples.tolist(), **dict(named)}


def _ends(run: SampledRun) -> Row:
    low, middle, high = np.quantile(run.gaps[-6:].mean(0), [0.1, 0.5, 0.9]).tolist()
    start = float(run.gaps[0, 0])
    first = np.median(run.samples_to(start / 10))
    return {
        "gap at start": start,
        "final gap, median": middle,
        "final gap, 10%": low,
        "final gap, 90%": high,
        "samples to a tenth": None if np.isinf(first) else float(first),
    }


# -- throughput -----------------------------------------------------------------------------------


def _throughput(quick: bool, seed: int, watch: Watch) -> Part:
    """1e6 completions (quick: 2e4), K = 16, 8 contexts a class."""
    import polars as pl

    from ..lm.rewards import group_rewards

    classes, m, k = 157 if quick else 7813, 8, 16
    n = classes * m * k
    ids = np.repeat(np.arange(classes), m * k), np.tile(np.repeat(np.arange(m), k), classes)
    keys = np.random.default_rng(seed).zipf(1.6, n) % 97
    words = [f"answer {key}" for key in keys]
    euclidean, geometric = Coherence(1.0, "euclidean"), Coherence(1.0, "geometric")
    calls: dict[str, Callable[[], Any]] = {
        repr(phi): lambda phi=phi: group_rewards(*ids, keys, phi, baseline="group_mean")
        for phi in (Coherence(), ShannonDiversity(), GiniDiversity(), euclidean, geometric)
    }
    calls["(factorising strings)"] = lambda: pl.Series(words).cast(pl.Categorical).to_physical()
    rows: list[Row] = []
    for name in watch.over(list(calls), str):
        seconds = median_seconds(calls[name], 5)
        row = {"objective": name, "completions": n, "seconds": seconds}
        rows.append({**row, "completions a second": n / seconds})
    title = "Rewards of completions, K = 16, 8 contexts, one thread"
    return [Section("throughput", title, rows, THROUGHPUT)], {}


_PARTS = {"tables": _tables, "gaps": _gaps, "throughput": _throughput}


# -- the picture ----------------------------------------------------------------------------------


def draw(result: Result) -> Figure:
    """A row of panels for the tables, one for the gaps; throughput as bars where it stands alone."""
    parts = result.settings["parts"]
    pictured = [p for p in ("tables", "gaps") if p in parts]
    if not pictured:
        figure, axes = panels(1, width=6.4)
        rows = list(result["throughput"])[::-1]
        axes[0].barh([r["objective"] for r in rows], [r["completions a second"] for r in rows])
        label(axes[0], "completions a second", "", "rewards, one thread")
        return figure
    figure, axes = panels(3, len(pictured))
    for at, part in enumerate(pictured):
        {"tables": _draw_tables, "gaps": _draw_gaps}[part](axes[3 * at : 3 * at + 3], result)
    return figure


def _look(estimator: str) -> dict[str, Any]:
    """Colour and line of an estimator; naive, which no method of the package is, is black and dotted."""
    from ..show.plots import CYCLE

    at = DRAWN.index(estimator)
    if at < len(CYCLE):
        return {"color": CYCLE[at], "ls": "-"}
    return {"color": "#111827", "ls": ":"}


def _draw_tables(axes: Sequence[Axes], result: Result) -> None:
    slopes = result.facts["slopes"]
    for one, quantity in zip(axes[:2], ("sup-bias", "worst rmse"), strict=True):
        for method, rows in group(result["tables"], "method").items():
            mine = [r for r in rows if r[quantity] < 1e3]
            text = f"{method}, slope of sup-bias {slopes[method]:.2f}"
            x, y = [r["K"] for r in mine], [r[quantity] for r in mine]
            one.loglog(x, y, marker="o", ms=4, label=text, **_look(method))
        one.set_xscale("log", base=2)
        one.xaxis.set_major_formatter("{x:g}")
        label(one, "K, samples a group", "", quantity)
    axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize=7, frameon=False)
    _draw_frontier(axes[2], result)


def _draw_frontier(axes: Axes, result: Result) -> None:
    from ..show.plots import CYCLE

    for c, (k, points) in enumerate(result.facts["frontier"].items()):
        x, y = [p["worst rmse"] for p in points], [p["sup-bias"] for p in points]
        axes.loglog(x, y, "o-", ms=4, color=CYCLE[c], label=f"K = {k}")
        plain = next(r for r in result["tables"] if (r["method"], r["K"]) == ("plug_in", int(k)))
        axes.plot(plain["worst rmse"], plain["sup-bias"], "s", ms=7, mfc="none", color=CYCLE[c])
    for axis in (axes.xaxis, axes.yaxis):
        plain_ticks(axis)
    label(axes, "worst rmse", "sup-bias", "less bias costs noise; squares: plug_in")
    axes.legend(fontsize=8, frameon=False)


def _draw_gaps(axes: Sequence[Axes], result: Result) -> None:
    for one, (name, curves) in zip(axes, result.facts["curves"].items(), strict=True):
        for estimator, curve in curves.items():
            x, look = curve["samples"], _look(estimator)
            one.loglog(x, curve["median"], label=estimator, **look)
            band = curve["10%"], curve["90%"]
            one.fill_between(x, *band, color=look["color"], alpha=0.15, lw=0)
        label(one, "samples drawn", "exact gap", f"{name}, K = {GROUP}")
        plain_ticks(one.yaxis)
        one.legend(fontsize=7, frameon=False)
