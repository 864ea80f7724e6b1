"""Coherence on a real pretrained model, facts of ParaRel: with labels, votes, weights and a control.

    python paper_figs/fig13_real_model/make.py

SmolLM2-135M fine-tuned on paraphrases of 32 capitals, measured on 20 capitals (top) and 12 continents
(bottom), none trained on. Consistency is the share of pairs of phrasings with the same greedy answer,
accuracy that of samples, the commonest answer its share among the greedy answers to all facts, which
is high where agreement came from one answer to everything. Dashed: before; a mark per seed, and the
95 % interval of the mean over facts drawn anew; ticks: what the exact game, question by question, on the
reference's samples predicts; crosses: what policies tied by the last layer's gradients predict. Data:
benchmarks/results/real_model.json (`python benchmarks/real_model.py`, docs/results.md).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import DARK, PAGE, QUIET, Data, figure, letters, look, main, results

MEASURES = ("consistency", "sampled accuracy")
COMMONEST = "commonest answer"
SETS = {"same": "capitals", "other": "continents"}
GAMES = {"exact game": "|", "tied game": "x"}


def compute() -> Data:
    """Of each set and run: before, interval, seeds and predictions."""
    found = results("real_model")
    runs: Data = {}
    for run in found["runs"]:
        runs.setdefault(run["run"], []).append(run)
    return {
        name: {
            arm: {
                **{
                    key: {
                        "before": numbers[name][key]["before"],
                        "interval": numbers[name][key]["after interval"],
                        "seeds": [float(np.mean(run[name][key])) for run in runs[arm]],
                    }
                    for key in MEASURES
                },
                COMMONEST: {
                    "before": numbers[name][COMMONEST][0],
                    "interval": [],
                    "seeds": numbers[name][COMMONEST][1:],
                },
                "games": {g: numbers[name][g]["accuracy"] for g in GAMES if g in numbers[name]},
            }
            for arm, numbers in found["numbers"].items()
        }
        for name in SETS
    }


def draw_measure(axes: Any, arms: Data, key: str) -> None:
    """A row for each run, the first at the top."""
    for place, (arm, found) in enumerate(list(arms.items())[::-1]):
        k = list(arms).index(arm)
        one = found[key]
        places = place + np.linspace(0.15, -0.15, len(one["seeds"]))
        if one["interval"]:
            axes.plot(one["interval"], [place, place], color=look(k)["color"], lw=0.8, ls="-")
        axes.plot(one["seeds"], places, "o", color=look(k)["color"], ms=3.2)
        if key == "sampled accuracy":
            for game, at in found["games"].items():
                axes.plot(at, place, GAMES[game], color=QUIET, ms=6, mew=0.9)
    axes.axvline(next(iter(arms.values()))[key]["before"], color=DARK, lw=0.7, ls="--")
    axes.set_yticks(range(len(arms)), list(arms)[::-1])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(-0.6, len(arms) - 0.4)


def draw(data: Data) -> Any:
    """Three measures of two sets."""
    made = figure(PAGE, 3.4)
    panels = made.subplots(2, 3)
    keys = (*MEASURES, COMMONEST)
    for row, name in zip(panels, SETS, strict=True):
        for axes, key in zip(row, keys, strict=True):
            draw_measure(axes, data[name], key)
    titles = [f"{SETS[name]}: {key}" for name in SETS for key in keys]
    letters(panels.ravel(), titles)
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
