"""The page of the demo: before and after, learning curves, the worst and the best problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..provenance import in_words
from ..show import plots
from .report import picture, render

if TYPE_CHECKING:
    from ..lm.evaluation import LMEvaluation

_LISTED = 8


def demo_page(
    result: Mapping[str, Any],
    first: LMEvaluation,
    last: LMEvaluation,
    rows: Sequence[Mapping[str, Any]],
    curves: Sequence[Mapping[str, Any]],
) -> str:
    """HTML from the numbers of `run_demo`, both evaluations and the logged metrics of training."""
    from ..lm.finetune.card import curves as drawn

    before, after, predicted = (result[k] for k in ("before", "after", "predicted"))
    game = {
        "sampled_accuracy": predicted["accuracy_equilibrium"],
        "agreement": predicted["agreement_equilibrium"],
    }
    names = ("greedy_accuracy", "majority_accuracy", "entropy", "kl", "gap", "gap_interval")
    models = [
        ("reference", before),
        ("after Coherence-GRPO", after),
        *([("after training on labels", result["labelled"])] if "labelled" in result else []),
        ("equilibrium of the exact game", game | dict.fromkeys(names)),
    ]
    steps = [{**row, "step": row.get("step", k + 1)} for k, row in enumerate(curves)]
    both = [
        (label, first.classes[column].to_numpy(), last.classes[column].to_numpy())
        for label, column in (("accuracy", "sampled_accuracy"), ("agreement", "agreement"))
    ]
    pictures = [
        picture(
            drawn(steps), "Metrics of the training batches, step by step; accuracy is watched only."
        ),
        picture(plots.class_scatter(both, "after"), "Every test problem before and after."),
    ]
    return render(
        "demo.html.j2",
        title="Coherence-GRPO on the embedded language model",
        facts=result["settings"],
        rests_on=in_words(result["provenance"]),
        before=before,
        after=after,
        predicted=predicted,
        models=models,
        pictures=pictures,
        listed=_listed(first, last, rows),
    )


def _listed(
    first: LMEvaluation, last: LMEvaluation, rows: Sequence[Mapping[str, Any]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The problems that lost most or ended worst, and those that gained most."""
    import polars as pl

    text = {}
    for row in rows:
        text.setdefault(row["class_id"], f"{row['prompt']} ({row['answer']})")
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
            top = shares.filter(pl.col("class_id") == row["class_id"]).head(3).rows(named=True)
            answers = ", ".join(f"{a['answer'] or 'none'} {a['share']:.2f}" for a in top)
            out.append({**row, "prompt": text[row["class_id"]], "answers": answers})
        return out

    ordered = joined.sort("after", pl.col("after") - pl.col("before"), "class_id")
    gained = joined.sort(pl.col("after") - pl.col("before"), "class_id", descending=[True, False])
    return [
        ("Worst after training", shown(ordered.head(_LISTED))),
        ("Gained most", shown(gained.head(_LISTED))),
    ]
