"""The page of the demo: before and after, learning curves, the worst and the best problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..provenance import in_words
from ..samples.bootstrap import bootstrap_means
from ..show import plots
from .report import Picture, picture, render

if TYPE_CHECKING:
    from ..lm.evaluation import LMEvaluation

_LISTED = 8


_CHARTS = (
    ("game/accuracy", "accuracy", "share of right answers; watched, never paid"),
    (
        "game/agreement",
        "agreement",
        "two phrasings of a problem give the same answer; what is paid for",
    ),
    ("game/entropy", "answer entropy", "nats; 0 where a phrasing always gives one answer"),
    ("game/no_answer", "no answer", "share of completions without a readable answer"),
    (
        "game/zero_signal",
        "no signal",
        "share of groups in which all answers are paid alike, so that nothing is learnt",
    ),
    (
        "game/kl",
        "KL to the model as it was",
        "nats per completion: how far it has moved, which β prices",
    ),
)
"""Training metrics that are drawn: name, title, and what it says."""


def demo_page(
    result: Mapping[str, Any],
    first: LMEvaluation,
    last: LMEvaluation,
    rows: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
) -> str:
    """HTML from the numbers of `run_demo`, both evaluations and the logged metrics of training."""
    before, after, predicted = (result[k] for k in ("before", "after", "predicted"))
    models = [
        ("before", before),
        ("after training without labels", after),
        *([("after training on labels", result["labelled"])] if "labelled" in result else []),
    ]
    both = [
        (label, first.classes[column].to_numpy(), last.classes[column].to_numpy())
        for label, column in (("accuracy", "sampled_accuracy"), ("agreement", "agreement"))
    ]
    gain = both[0][2] - both[0][1]
    table = np.column_stack([both[0][1], both[0][2], gain])
    ends = bootstrap_means(table.astype(float))
    interval = None if ends is None else (float(ends[0][1]), float(ends[1][1]))
    won = ends is not None and float(ends[0][2]) > 0
    return render(
        "demo.html.j2",
        title=headline(before, after, result["settings"]),
        interval=interval,
        won=won,
        facts=result["settings"],
        rests_on=in_words(result["provenance"]),
        before=before,
        after=after,
        predicted=predicted,
        models=models,
        charts=_charts(curves),
        scatters=[
            picture(
                plots.class_scatter([panel], "after"),
                f"The {panel[0]} of every test problem, before and after.",
            )
            for panel in both
        ],
        listed=_listed(first, last, rows),
        steps=_STEPS,
    )


def headline(before: Mapping[str, Any], after: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """What happened, in a sentence of the run's own numbers."""
    was, now = (100 * one["sampled_accuracy"] for one in (before, after))
    return (
        f"Without any labels, a {facts['parameters']:,}-parameter model went from {was:.0f}% to {now:.0f}% "
        "right on problems it never saw"
    )


_STEPS = (
    ("The same with labels beside it.", "dagame demo --compare"),
    ("Another seed.", "dagame demo --seed 1 --out demo-1"),
    (
        "Samples of your own: what they would gain.",
        "dagame solve --example --strength 10 --out results",
    ),
    (
        "The samples of the model as it was, with a weight each.",
        "samples.parquet, beside this page",
    ),
    ("The trained model, for transformers.", "model/, beside this page"),
)
"""What to do next: why, and the command."""


def _charts(curves: Sequence[Mapping[str, Any]]) -> list[Picture]:
    """One picture per training metric, where it was logged."""
    made = []
    for name, title, says in _CHARTS:
        points = [
            (row.get("step", k + 1), row[name]) for k, row in enumerate(curves) if name in row
        ]
        if not points:
            continue
        figure = plots.figure(3.6, 2.3)
        axes = figure.subplots()
        axes.plot(*zip(*points, strict=True), color=plots.AFTER, lw=1.4)
        axes.set_title(title, size=11, loc="left")
        axes.set_xlabel("step", size=9)
        axes.locator_params(axis="x", integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        made.append(picture(figure, f"{title[:1].upper()}{title[1:]}: {says}."))
    return made


def _listed(
    first: LMEvaluation, last: LMEvaluation, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The problems that lost most or ended worst, and those that gained most."""
    import polars as pl

    text = {}
    for row in rows:
        text.setdefault(row["class_id"], (f"{row['prompt']} ({row['answer']})", str(row["answer"])))
    joined = first.classes.select(
        "class_id", before="sampled_accuracy", agreement_before="agreement"
    ).join(
        last.classes.select("class_id", after="sampled_accuracy", agreement_after="agreement"),
        on="class_id",
    )
    shares = (
        last.completions.group_by("class_id", "answer")
        .len()
        .with_columns(share=pl.col("len") / pl.col("len").sum().over("class_id"))
        .sort("class_id", "share", "answer", descending=[False, True, False])
    )

    def shown(part: pl.DataFrame) -> list[dict[str, Any]]:
        out = []
        for row in part.rows(named=True):
            prompt, right = text[row["class_id"]]
            top = shares.filter(pl.col("class_id") == row["class_id"]).head(3).rows(named=True)
            answers = [
                {"text": a["answer"] or "none", "share": a["share"], "right": a["answer"] == right}
                for a in top
            ]
            out.append({**row, "prompt": prompt, "answers": answers})
        return out

    ordered = joined.sort("after", pl.col("after") - pl.col("before"), "class_id")
    gained = joined.sort(pl.col("after") - pl.col("before"), "class_id", descending=[True, False])
    return [
        ("Worst after training", shown(ordered.head(_LISTED))),
        ("Gained most", shown(gained.head(_LISTED))),
    ]
