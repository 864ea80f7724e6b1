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
    import polars as pl

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
    parts = {k: result[k] for k in ("before", "after", "predicted")}
    both = [
        (label, first.classes[column].to_numpy(), last.classes[column].to_numpy())
        for label, column in (("accuracy", "sampled_accuracy"), ("agreement", "agreement"))
    ]
    interval, won = _gain(*both[0][1:])
    return render(
        "demo.html.j2",
        title=headline(result["before"], result["after"], result["settings"]),
        interval=interval,
        won=won,
        facts=result["settings"],
        rests_on=in_words(result["provenance"]),
        **parts,
        models=[(title, result[k]) for k, title in _MODELS.items() if k in result],
        charts=_charts(curves),
        scatters=[_scatter(panel) for panel in both],
        listed=_listed(first, last, rows),
        steps=_STEPS,
    )


_MODELS = {
    "before": "before",
    "after": "after training without labels",
    "labelled": "after training on labels",
}


def _gain(before: np.ndarray, after: np.ndarray) -> tuple[tuple[float, float] | None, bool]:
    """The interval of the mean accuracy after, None for too few problems, and whether it clearly rose."""
    ends = bootstrap_means(np.column_stack([before, after, after - before]).astype(float))
    if ends is None:
        return None, False
    low, high = ends
    return (float(low[1]), float(high[1])), float(low[2]) > 0


def _scatter(panel: tuple[str, np.ndarray, np.ndarray]) -> Picture:
    caption = f"The {panel[0]} of every test problem, before and after."
    return picture(plots.class_scatter([panel], "after"), caption)


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
        made.append(picture(figure, f"{title[:1].upper()}{title[1:]}: {says}."))
    return made


def _listed(
    first: LMEvaluation, last: LMEvaluation, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The problems that lost most or ended worst, and those that gained most."""
    import polars as pl

    columns = {"sampled_accuracy": "{}", "agreement": "agreement_{}"}
    before, after = (
        found.classes.select("class_id", **{to.format(when): k for k, to in columns.items()})
        for found, when in ((first, "before"), (last, "after"))
    )
    joined, change = before.join(after, on="class_id"), pl.col("after") - pl.col("before")
    worst = joined.sort("after", change, "class_id").head(_LISTED)
    gained = joined.sort(change, "class_id", descending=[True, False]).head(_LISTED)
    text = {row["class_id"]: row for row in reversed(rows)}
    shares = _shares(last)
    return [
        (title, [_problem(row, text[row["class_id"]], shares) for row in part.rows(named=True)])
        for title, part in (("Worst after training", worst), ("Gained most", gained))
    ]


def _shares(found: LMEvaluation) -> pl.DataFrame:
    """Of every answer to a problem its share of the completions, the largest first."""
    import polars as pl

    counts = found.completions.group_by("class_id", "answer").len()
    shares = counts.with_columns(share=pl.col("len") / pl.col("len").sum().over("class_id"))
    return shares.sort("class_id", "share", "answer", descending=[False, True, False])


def _problem(row: dict[str, Any], asked: Mapping[str, Any], shares: pl.DataFrame) -> dict[str, Any]:
    right = str(asked["answer"])
    top = shares.filter(class_id=row["class_id"]).head(3).rows(named=True)
    answers = [
        {"text": a["answer"] or "none", "share": a["share"], "right": a["answer"] == right}
        for a in top
    ]
    return {**row, "prompt": f"{asked['prompt']} ({asked['answer']})", "answers": answers}
