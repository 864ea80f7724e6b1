"""Coherence-GRPO of the embedded language model without labels, its controls, and the certificate.

    python paper_figs/fig09_learning_curves/make.py

(a), (b) The training batches: median over seeds (five of coherence and labelled, three of the
controls), band from the lowest to the highest. (c), (d) Problems of the test split, which no training
saw: a mark per seed, hollow before, filled after; (c) ticks: what the game on the first model's samples
predicts; (d) estimated gain of any other policy in the coherence game with 95 % intervals, on the first
of these problems. With labels or without, training ends near the prediction; where most phrasings share
one misreading, and for a model that knows too little, it ends below (the prediction takes each problem
on its own, training has one model for all). In (b) the classes of `shuffled` are those it is paid for.
Data: benchmarks/results/embedded_lm.json (`python benchmarks/embedded_lm.py report`). (e), (f) A model
of 341 completions per prompt, whose exact gain J* - J is known: the certificate's estimate from 256
samples with its 95 % interval (`python benchmarks/lm_certificate.py`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import DARK, PAGE, QUIET, Data, figure, letters, look, main, results

CURVES = {"coherence": 0, "labelled": 1, "shuffled": 2, "wrong majority": 3}
UNPREDICTED = ("labelled", "shuffled")
"""Runs that play another game than the one whose equilibrium is the prediction."""
CERTIFIED = ("coherence", "Shannon diversity")


def compute() -> Data:
    """Curves (seeds, steps) and ends (seeds,) by run; the certificate along two trainings."""
    runs: dict[str, list[Data]] = {}
    for run in results("embedded_lm")["runs"]:
        runs.setdefault(run["run"], []).append(run)
    numbers = "sampled_accuracy", "gap", "gap_interval"
    ends = [f"{number} {when}" for number in numbers for when in ("before", "after")]
    return {
        "curves": {
            name: {
                key: [[step[f"game/{key}"] for step in run["curve"]] for run in runs[name]]
                for key in ("accuracy", "agreement")
            }
            for name in CURVES
        },
        "ends": {
            name: {key: [run[key] for run in mine] for key in (*ends, "predicted accuracy")}
            for name, mine in runs.items()
        },
        "certificate": {
            name: {
                key: [row[key] for row in results("lm_certificate")["rows"] if row["run"] == name]
                for key in ("step", "exact gain", "estimate", "lower", "upper")
            }
            for name in CERTIFIED
        },
    }


def draw_curves(axes: Any, data: Data, key: str) -> None:
    """Median and range over seeds."""
    for name, k in CURVES.items():
        table = np.array(data["curves"][name][key], float)
        step = np.arange(1, table.shape[1] + 1)
        axes.plot(step, np.median(table, 0), **look(k), label=name)
        axes.fill_between(
            step, table.min(0), table.max(0), color=look(k)["color"], alpha=0.15, lw=0
        )
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("training step")


def rows_of(axes: Any, data: Data) -> list[tuple[str, Data, Any, str]]:
    """Name, ends, places of the seeds and colour of every run, the first at the top."""
    rows = list(data["ends"].items())[::-1]
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.tick_params(axis="y", length=0)
    found = []
    for place, (name, ends) in enumerate(rows):
        places = place + np.linspace(0.25, -0.25, len(ends["gap after"]))
        found.append((name, ends, places, look(CURVES.get(name, 6))["color"]))
    return found


def draw_accuracy(axes: Any, data: Data) -> None:
    """A line per seed from before to after, and the prediction where the run plays that game."""
    for name, ends, places, colour in rows_of(axes, data):
        both = [ends[f"sampled_accuracy {when}"] for when in ("before", "after")]
        axes.plot(both, [places, places], color=colour, lw=0.6, ls="-")
        axes.plot(both[0], places, "o", color=colour, mfc="white", ms=2.8, mew=0.7)
        axes.plot(both[1], places, "o", color=colour, ms=2.8)
        if name not in UNPREDICTED:
            axes.plot(ends["predicted accuracy"], places, "|", color=QUIET, ms=3)
    axes.set_xlim(0, 1.02)


def draw_gaps(axes: Any, data: Data) -> None:
    """Estimate and interval of every seed."""
    for _, ends, places, colour in rows_of(axes, data):
        for when, fill in (("before", "white"), ("after", colour)):
            interval = np.array(ends[f"gap_interval {when}"]).T
            axes.plot(interval, [places, places], color=colour, lw=0.6, ls="-")
            axes.plot(ends[f"gap {when}"], places, "o", color=colour, mfc=fill, ms=2.8, mew=0.7)
    axes.set_xlim(0, None)


def draw_certificate(axes: Any, found: Data) -> None:
    """The estimate with its interval, and the truth."""
    axes.fill_between(found["step"], found["lower"], found["upper"], color=look(2)["color"],
                      alpha=0.25, lw=0, label="95 % interval")  # fmt: skip
    axes.plot(found["step"], found["estimate"], **look(0, True), label="estimate")
    axes.plot(found["step"], found["exact gain"], "--", color=DARK, lw=1, marker="x", label="exact")
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlabel("training step")
    axes.set_ylim(0, None)


def draw(data: Data) -> Any:
    """Curves, ends, certificates."""
    made = figure(PAGE, 4.3)
    panels = made.subplots(2, 3).ravel()
    accuracy, agreement, held_out, gap, *certificates = panels
    for axes, key in ((accuracy, "accuracy"), (agreement, "agreement")):
        draw_curves(axes, data, key)
    agreement.legend(loc="lower right", bbox_to_anchor=(1, 0.07))
    draw_accuracy(held_out, data)
    draw_gaps(gap, data)
    for axes, name in zip(certificates, CERTIFIED, strict=True):
        draw_certificate(axes, data["certificate"][name])
    certificates[0].legend()
    titles = "accuracy", "agreement of paraphrases", "test accuracy (○ before, ● after)"
    certified = (f"certificate, {name}" for name in CERTIFIED)
    letters(panels, (*titles, "test: estimated gap", *certified))
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
