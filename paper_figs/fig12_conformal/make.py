"""Conformal answer sets: coverage kept, sizes by what is scored, and published weights against preferences.

    python paper_figs/fig12_conformal/make.py

(a), (b) The example that ships with the package (359 questions about dates, five prompt formats, six models),
each half of the questions calibrated on the other, mean over 5 seeds of the halves: the share of questions
whose set holds the right answer, and answers in a set. Scores of the samples pooled over the formats, of one
format alone, and of the equilibrium of coherence of strength 10 at beta 1. The six samples of one format tie
often, and ties are inside, so its sets are larger than need be; at alpha 0.02 they are every answer, which
has no size. (c) Coverage at alpha 0.2 of a new simulated question where the score was fixed, or
chosen for the smallest sets on the n questions that calibrate (dotted: the promise). (d) Conformal Feedback
Alignment: the share of its comparisons that a response wins, mean over responses with four and more, against
the weight that was published for it. Data of (c), (d): benchmarks/results/conformal_coverage.json and
conformal_weights.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg
from dagame.samples import example

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import PAGE, QUIET, Data, figure, letters, look, main, results

ALPHAS, SEEDS = np.round(np.arange(0.02, 0.51, 0.04), 2), 5
SERIES = ("pooled samples", "one format", "equilibrium")
TUNED = ("exact", "tuned, 11 entropy terms", "tuned, 50 noisy scores")
LABELS = ("fixed", "best of 11 entropy terms", "best of 50 noisy scores")


def curve(found: Any, marginals: str) -> Data:
    """Coverage and mean set size at every alpha; no size where a set is every answer."""
    coverage, size = [], []
    for alpha in ALPHAS:
        made = [
            found.calibrate(alpha, seed=s, marginals=marginals).calibration for s in range(SEEDS)
        ]
        coverage.append(np.mean([m.coverage for m in made]))
        size.append(np.nan if any(m.whole.any() for m in made) else np.mean([m.size for m in made]))
    return {"coverage": coverage, "size": size}


def compute() -> Data:
    """The curves of the example, and what the benchmarks found."""
    objective = dg.Coherence(10.0)
    every = dg.Samples.example().solve(objective, beta=1.0)
    one = dg.Samples.read(
        example.PATH, example.CLASS, example.CONTEXT, answer=example.ANSWER,
        correct=example.CORRECT, where=["format=COT"],
    ).solve(objective, beta=1.0)  # fmt: skip
    found = {
        "pooled samples": curve(every, "samples"),
        "one format": curve(one, "samples"),
        "equilibrium": curve(every, "equilibrium"),
    }
    simulated = results("conformal_coverage")["simulated"]
    tuned = {
        what: [
            [r["n"], r["coverage"]] for r in simulated if (r["scores"], r["alpha"]) == (what, 0.2)
        ]
        for what in TUNED
    }
    rows = results("conformal_weights")["rows"]
    published = [[r["level"], r["weight"], r["win rate of 4+"]] for r in rows]
    return {"alpha": ALPHAS, "curves": found, "tuned": tuned, "published": published}


def draw(data: Data) -> Any:
    """Four panels."""
    made = figure(PAGE, 2.1)
    coverage, size, tuned, published = made.subplots(1, 4)
    alpha = np.array(data["alpha"])
    coverage.plot(alpha, 1 - alpha, color=QUIET, ls=(0, (1, 2)), lw=1)
    for k, name in enumerate(SERIES):
        found = data["curves"][name]
        coverage.plot(alpha, found["coverage"], **look(k), label=name)
        size.plot(alpha, np.array(found["size"], float), **look(k))
    tuned.axhline(0.8, color=QUIET, ls=(0, (1, 2)), lw=1)
    for k, (name, label) in enumerate(zip(TUNED, LABELS, strict=True)):
        tuned.semilogx(
            *zip(*data["tuned"][name], strict=True), **look(k + 3, True), ms=3.5, label=label
        )
    published.axhline(0.5, color=QUIET, ls=(0, (1, 2)), lw=1)
    for k, (level, weight, rate) in enumerate(data["published"]):
        published.plot(weight, rate, ms=5, **look(k, True) | {"ls": ""})
        published.annotate(level, (weight, rate), (-4, 6), textcoords="offset points", size=7)
    tuned.set_xticks((20, 50, 200), ("20", "50", "200"))
    tuned.minorticks_off()
    tuned.set_ylim(0.35, 0.9)
    published.set_xlim(-0.1, 1.0)
    published.set_ylim(0.44, 0.56)
    for axes, (x, y) in zip(
        (coverage, size, tuned, published),
        (
            (r"$\alpha$", "share covered"),
            (r"$\alpha$", "answers in a set"),
            ("questions that calibrate", "share covered"),
            ("published weight", "share won"),
        ),
        strict=True,
    ):
        axes.set_xlabel(x)
        axes.set_ylabel(y)
    letters(
        (coverage, size, tuned, published), ("coverage", "size", "a chosen score", "preferences")
    )
    coverage.set_ylim(0.3, 1.03)
    coverage.legend(loc="lower left", handlelength=1.6, fontsize=6.5)
    tuned.legend(loc="lower right", handlelength=1.6, fontsize=6)
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
