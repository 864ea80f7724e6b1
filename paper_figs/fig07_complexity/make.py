"""What a given gap costs as the traces multiply, and what agreement costs as the contexts do.

    python paper_figs/fig07_complexity/make.py

Data: benchmarks/results/bench_scaling.json (`dagame-bench scaling --json`, whose text says what is
counted). (a), (b) |Y| = 4^T traces, two contexts, 16 answers, coherence: enumerating the gradient
evaluates every trace each round, the sampled game draws as many whatever their number, the solve on
answers after one pass does not see them; at small |Y| enumeration is cheaper. (c) Coherence of traces
or of answers on the same references: agreement, and the KL paid for it. (d) Value and reward of m
marginals over 64 answers, slopes over the three largest m. (e) Calls that published rewards make for 8
paraphrases with 8 responses each.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import NullFormatter, NullLocator

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import PAGE, Data, figure, letters, look, main, results

WAYS = (
    "gradient by enumeration",
    "solver on traces",
    "one pass to the answers",
    "solver on answers",
    "cvxpy on traces",
    "sampled game",
)
KEPT = ("gap", "slopes", "slopes_of", "rows", "levels", "contexts", "calls")
COUNTS = {"responses": 7, "further forward passes": 1, "scorer calls": 0}


def compute() -> Data:
    """The benchmark's result, as far as it is drawn."""
    found = results("bench_scaling")
    return {key: found[key] for key in KEPT}


def draw_ways(axes: Any, data: Data, cost: str) -> None:
    """A line per way where it has this cost."""
    for k, way in enumerate(WAYS):
        rows = [r for r in data["rows"] if r["way"] == way and r[cost]]
        slow = {"ls": "-", "ms": 5, "mfc": "white"} if way == "gradient by enumeration" else {}
        axes.loglog([r["|Y|"] for r in rows], [r[cost] for r in rows], **look(k, True) | slow)
    powers(axes, sorted({r["|Y|"] for r in data["rows"]}))


def powers(axes: Any, sizes: list[int]) -> None:
    """Powers of two under the logarithmic axis of |Y|."""
    axes.set_xscale("log", base=2)
    exponents = np.log2([sizes[0], sizes[-1]])
    ticks = np.arange(exponents[0], exponents[1] + 1, 4 if np.ptp(exponents) > 6 else 2)
    axes.set_xticks(2.0**ticks, [f"$2^{{{int(t)}}}$" for t in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("traces |Y|")


def draw_levels(axes: Any, rows: list[Data]) -> None:
    """Agreement, and the KL paid for it."""
    size = [r["|Y|"] for r in rows]
    for k, level in enumerate(("answers", "traces")):
        axes.plot(size, [r[f"KL, {level}"] for r in rows], **look(k, True), label=f"KL, {level}")
        agreed = [r[f"agreement, {level}"] for r in rows]
        axes.plot(size, agreed, **look(k, True), mfc="white", lw=0.6, label=f"agreement, {level}")
    axes.set_ylim(0, 1.55 * max(r["KL, traces"] for r in rows))
    powers(axes, size)


def draw_forms(axes: Any, key: Any, rows: list[Data]) -> None:
    """Milliseconds against m, and the key."""
    for k, row in enumerate(rows):
        m, seconds = zip(*row["seconds"].items(), strict=True)
        label = f"{row['form']}: {row['slope of seconds in m']:.2f}"
        axes.loglog([int(x) for x in m], 1e3 * np.array(seconds), **look(k, True))
        key.plot([], [], **look(k, True), label=label)
    key.legend(loc="center left", title="form: slope", title_fontsize=7, alignment="left",
               bbox_to_anchor=(-0.15, 0.5))  # fmt: skip
    key.set_axis_off()
    axes.set_xlabel("contexts m")
    axes.set_ylabel("milliseconds")
    axes.xaxis.set_minor_formatter(NullFormatter())


def draw_calls(axes: Any, rows: list[Data]) -> None:
    """Stacked bars, the longest at the top."""
    rows = sorted(rows, key=lambda r: r["calls in all"])
    left = np.zeros(len(rows))
    for name, k in COUNTS.items():
        values = np.array([r[name] for r in rows])
        hatch = "////" if k == 1 else None
        axes.barh(range(len(rows)), values, left=left, height=0.62, color=look(k)["color"],
                  hatch=hatch, edgecolor="white", lw=0, label=name)  # fmt: skip
        left += values
    for place, row in enumerate(rows):
        axes.annotate(f"{row['calls in all']:,}", (row["calls in all"], place), (2, 0), size=6.5,
                      textcoords="offset points", va="center")  # fmt: skip
    names = (r["reward"].replace("majority vote, ", "vote,\n") for r in rows)
    axes.set_yticks(range(len(rows)), [n.replace(" under each ", "\nunder each ") for n in names])
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    axes.legend(loc="lower right")
    axes.set_xlabel("calls of a model")


def draw(data: Data) -> Any:
    """Traces above, contexts below."""
    made = figure(PAGE, 4.9)
    upper, lower = made.subfigures(2, 1, height_ratios=(1.18, 1))
    counts, seconds, levels = upper.subplots(1, 3)
    forms, key, calls = lower.subplots(1, 3, width_ratios=(1, 0.75, 1.1))
    for axes, cost in ((counts, "trace evaluations"), (seconds, "seconds")):
        draw_ways(axes, data, cost)
        axes.set_ylabel(cost)
    for k, way in enumerate(WAYS):
        slow = {"ls": "-", "ms": 5, "mfc": "white"} if way == "gradient by enumeration" else {}
        of = "time" if data["slopes_of"][way] == "seconds" else "evaluations"
        text = f"{way}: {of} {round(data['slopes'][way], 2) + 0:.2f}"
        counts.plot([], [], **look(k, True) | slow, label=text)
    upper.legend(ncols=3, loc="outside lower center", title="way: log-log slope in |Y|",
                 title_fontsize=7)  # fmt: skip
    draw_levels(levels, data["levels"])
    levels.legend(fontsize=6.5, loc="upper left")
    draw_forms(forms, key, data["contexts"])
    draw_calls(calls, data["calls"])
    titles = (
        f"traces evaluated to a gap of {data['gap']:.2g}",
        "wall time of the same",
        "coherence of traces or answers",
        "one value and reward",
        "calls, 8 × 8 responses",
    )
    letters((counts, seconds, levels, forms, calls), titles)
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
