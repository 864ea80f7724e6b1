"""What training without labels does to accuracy and agreement, beside labels and controls that must fail.

    python paper_figs/fig16_without_labels/make.py

Hollow: before, filled: after, a line per seed. Above: the embedded model on problems never seen
(`python benchmarks/embedded_lm.py report`); below: SmolLM2-135M on capitals never trained on
(`python benchmarks/real_model.py`, docs/results.md), whose agreement is shown as the consistency of its
greedy answers. Shuffled: classes of phrasings of different questions; shared error: most phrasings
misread the problem alike; under-trained: the model before it learnt the task. All runs use the same recipe
within a block.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import DARK, PAGE, QUIET, Data, figure, letters, look, main, results

EMBEDDED = {
    "coherence": "no labels",
    "labelled": "with labels",
    "shuffled": "shuffled classes",
    "wrong majority": "shared error",
    "under-trained": "under-trained",
}
REAL = {"coherence": "no labels", "labelled": "with labels", "shuffled": "shuffled classes"}
BLOCKS = {"embedded": "embedded model", "real": "SmolLM2-135M"}
MEASURES = ("accuracy", "agreement")


def compute() -> Data:
    """Of each block, run and measure: (before, after) of every seed."""
    found: Data = {name: {} for name in BLOCKS}
    for run in results("embedded_lm")["runs"]:
        if run["run"] in EMBEDDED:
            row = found["embedded"].setdefault(run["run"], {m: [] for m in MEASURES})
            for measure, key in zip(MEASURES, ("sampled_accuracy", "agreement"), strict=True):
                row[measure].append([run[f"{key} before"], run[f"{key} after"]])
    real = results("real_model")
    for run in real["runs"]:
        if run["run"] in REAL:
            row = found["real"].setdefault(run["run"], {m: [] for m in MEASURES})
            for measure, key in zip(MEASURES, ("sampled accuracy", "consistency"), strict=True):
                before = real["numbers"][run["run"]]["same"][key]["before"]
                row[measure].append([before, float(np.mean(run["same"][key]))])
    return found


def rows_of(data: Data) -> list[tuple[str, str, str]]:
    """(block, run, label) from the top."""
    names = {"embedded": EMBEDDED, "real": REAL}
    return [(b, run, label) for b in BLOCKS for run, label in names[b].items() if run in data[b]]


def draw(data: Data) -> Any:
    """Two panels of dumbbells."""
    made = figure(PAGE, 1.8)
    rows = rows_of(data)
    gap = len(data["embedded"])
    places = [-k - (0.8 if k >= gap else 0) for k in range(len(rows))]
    panels = made.subplots(1, 2, sharey=True)
    for axes, measure in zip(panels, MEASURES, strict=True):
        for place, (block, run, _) in zip(places, rows, strict=True):
            colour = look(list(EMBEDDED).index(run))["color"]
            seeds = data[block][run][measure]
            for shift, (before, after) in zip(
                np.linspace(0.18, -0.18, len(seeds)), seeds, strict=True
            ):
                at = [place + shift] * 2
                axes.plot([before, after], at, "-", color=colour, lw=0.8)
                axes.plot(before, at[0], "o", mfc="white", mec=colour, ms=3, mew=0.8)
                axes.plot(after, at[0], "o", color=colour, ms=3)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(places[-1] - 0.6, 1.25)
        axes.tick_params(axis="y", length=0)
        for block, top in zip(BLOCKS, (0.5, places[gap] + 0.5), strict=True):
            axes.axhline(top + 0.05, color=QUIET, lw=0.4)
            if axes is panels[0]:
                axes.text(0.0, top + 0.12, BLOCKS[block], color=DARK, fontsize=7, va="bottom")
    panels[0].set_yticks(places, [label for _, _, label in rows])
    letters(panels, ["share of sampled answers that are right", "agreement of phrasings"])
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
