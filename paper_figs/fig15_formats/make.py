"""Coherence over prompt formats on logged samples, beside the vote and the best single format.

    python paper_figs/fig15_formats/make.py

Logs of six models in five prompt formats (contexts; Faithful-COT), 359 questions about dates and 1,319 of
GSM8K, one greedy completion each; beta 1, no labels used. (a), (b) Accuracy of an answer drawn at random: of
all formats (strength 0), at the equilibrium, and, hollow, where completions without an answer are dropped;
lines: the best single format, chosen on other questions, and the majority vote of all 30 answers, where no
answer is a wrong one. (c) The vote at the equilibrium (its commonest answer) less the majority vote. Bars and
bands: 95 % bootstrap intervals over questions, in (c) paired. Data: benchmarks/results/faithful_cot.json
(`python benchmarks/faithful_cot.py`, docs/results.md).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import COLOURS, DARK, PAGE, Data, figure, letters, look, main, results

STRENGTHS = ("0.3", "1", "3", "10")
SETS = {"date": "dates", "gsm8k": "GSM8K"}
LINES = {"majority": "majority vote", "best format, cross-fitted": "best format"}


def compute() -> Data:
    """Mean and interval of each measure, by samples and by what no answer is."""
    found: Data = {name: {"keep": {}, "drop": {}} for name in SETS}
    for row in results("faithful_cot")["rows"]:
        measures = found[row["samples"]][row["no answer"]]
        measures[row["measure"]] = [row["mean"], row["low"], row["high"]]
    return found


def points(axes: Any, at: Any, found: list[list[float]], **style: Any) -> None:
    """Means with their intervals."""
    mean, low, high = np.array(found).T
    axes.errorbar(at, mean, (mean - low, high - mean), capsize=2, elinewidth=0.8, ms=3.5, **style)


def draw_accuracy(axes: Any, measures: Data) -> None:
    """One file's samples."""
    places = np.arange(len(STRENGTHS) + 1)
    for k, (name, label) in enumerate(LINES.items()):
        mean, low, high = measures["keep"][name]
        axes.axhspan(low, high, color=COLOURS[k + 2], alpha=0.2, lw=0)
        axes.axhline(mean, color=COLOURS[k + 2], ls=("--", ":")[k], label=label)
    for k, (no_answer, label) in enumerate(
        (("keep", "equilibrium"), ("drop", "no answer dropped"))
    ):
        found = measures[no_answer]
        rows = [found["before"], *(found[f"equilibrium {s}"] for s in STRENGTHS)]
        hollow = {"markerfacecolor": "white"} if k else {}
        points(axes, places + 0.15 * (k - 0.5), rows, **look(k, True), label=label, **hollow)
    axes.set_xticks(places, ("0", *STRENGTHS))
    axes.set_xlabel(r"strength $\lambda$")
    axes.set_ylim(0.4, 1)


def draw(data: Data) -> Any:
    """Accuracy in both files, and what the vote gains."""
    made = figure(PAGE, 2.3)
    panels = made.subplots(1, 3)
    for axes, name in zip(panels, SETS, strict=False):
        draw_accuracy(axes, data[name])
    panels[0].set_ylabel("accuracy")
    panels[0].legend(loc="lower right", fontsize=6)
    for k, (name, label) in enumerate(SETS.items()):
        rows = [data[name]["keep"][f"mode {s} - majority"] for s in STRENGTHS]
        points(
            panels[2],
            np.arange(4) + 0.2 * (k - 0.5),
            rows,
            **look(k + 4, True) | {"ls": ""},
            label=label,
        )
    panels[2].axhline(0, color=DARK, lw=0.6, ls="-")
    panels[2].set_xticks(range(4), STRENGTHS)
    panels[2].set_xlabel(r"strength $\lambda$")
    panels[2].set_ylabel("difference in accuracy")
    panels[2].legend(loc="upper left", fontsize=6)
    letters(panels, (*SETS.values(), "vote at equilibrium $-$ majority"))
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
