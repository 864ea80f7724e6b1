"""What a real model is measured by, before and after, and what the exact game predicts of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from real_questions import Questions, Rows, collapse, consistency

import dagame as dg
from dagame.samples.metrics import agreement

BEFORE, AFTER = 8, 4
"""Samples of each prompt of the reference, of which predictions and certificates are made; of a model."""
OF_FACTS = (
    "consistency",
    "consistent accuracy",
    "greedy accuracy",
    "sampled accuracy",
    "agreement",
    "entropy",
    "no answer",
    "kl",
)


@dataclass(frozen=True, eq=False)
class Measure:
    """Measures on a part of the questions, "test" or "dev", and on those of the other kind."""

    questions: Questions
    recipe: Any
    work: Path
    part: str = "test"

    @property
    def sets(self) -> dict[str, Rows]:
        """What is measured; the other kind where there is any, and only beside the test."""
        found = {"same": getattr(self.questions, self.part)}
        if self.questions.other and self.part == "test":
            found["other"] = self.questions.other
        return found

    def before(self, base: Any, tokenizer: Any) -> None:
        """Measure the reference once, and keep its samples."""
        file = self.work / "before.json"
        if file.exists():
            return
        found = {}
        for name, rows in self.sets.items():
            seen = self.questions.evaluate(base, tokenizer, rows, BEFORE, 1_000_003)
            seen.completions.write_parquet(self.work / f"before-{name}.parquet")
            found[name] = of_facts(seen)
        file.write_text(json.dumps(found), encoding="utf-8")

    def reference_samples(self, name: str = "same") -> pl.DataFrame:
        """Those that `before` kept."""
        return pl.read_parquet(self.work / f"before-{name}.parquet")

    def after(self, model: Any, tokenizer: Any, base: Any, seed: int) -> dict[str, Any]:
        """The measures of each fact of every set, the KL and the certificate of the first."""
        found: dict[str, Any] = {}
        for name, rows in self.sets.items():
            reference = base if name == "same" else None
            seen = self.questions.evaluate(model, tokenizer, rows, AFTER, seed, reference)
            found[name] = of_facts(seen)
            if name == "same":
                found["kl error"] = seen.kl_error
                found |= self.certificate(seen.completions, seed)
        return found

    def certificate(self, completions: pl.DataFrame, seed: int) -> dict[str, Any]:
        """The gap to the equilibrium of coherence on these questions, with its interval."""
        ours = completions.with_columns(log_reference=pl.col("log_prob") - pl.col("log_ratio"))
        found = dg.lm.certificate_from_samples(
            ours,
            self.reference_samples(),
            dg.Coherence(self.recipe.strength),
            self.recipe.beta,
            log_policy="log_prob",
            seed=seed,
        )
        return {
            "gap": found.gap,
            "gap interval": list(found.interval),
            "gap samples needed": found.samples_needed,
            "gap upper if light": found.upper_if_light,
            "value": found.value,
        }


def of_facts(seen: Any) -> dict[str, Any]:
    """Lists over facts of every measure, and what is of all facts together."""
    names, lists = [], {name: [] for name in OF_FACTS}
    for (name,), prompts in seen.prompts.group_by("class_id", maintain_order=True):
        greedy = prompts["greedy_accuracy"]
        names.append(name)
        lists["consistency"].append(consistency(prompts["greedy_answer"].to_list()))
        lists["consistent accuracy"].append(float((greedy == 1).all()))
        lists["greedy accuracy"].append(greedy.mean())
        lists["sampled accuracy"].append(prompts["sampled_accuracy"].mean())
        lists["entropy"].append(prompts["entropy"].mean())
        lists["no answer"].append(prompts["no_answer"].mean())
        lists["kl"].append(prompts["kl"].mean())
    lists["agreement"] = seen.classes["agreement"].to_list()
    share, distinct = collapse(seen.prompts["greedy_answer"].to_list())
    phrasings = seen.prompts.group_by("member_id", maintain_order=True).agg(
        pl.col("sampled_accuracy").mean()
    )
    return {
        "facts": names,
        **lists,
        "commonest answer": share,
        "distinct answers": distinct,
        "by phrasing": [round(a, 3) for a in phrasings["sampled_accuracy"]],
    }


def entropies(drawn: pl.DataFrame, samples: int) -> list[float]:
    """Plug-in entropy of each fact's answers, mean over prompts and over sets of so many samples.

    It is biased low, the more the fewer samples, so that only equal numbers compare.
    """
    prompt = ["class_id", "member_id"]
    part = pl.int_range(pl.len()).over(prompt) // samples
    each = drawn.with_columns(part=part).group_by(*prompt, "part", maintain_order=True)
    of_parts = each.agg(e=pl.col("answer").unique_counts().entropy())
    of_facts = of_parts.group_by("class_id", maintain_order=True).agg(pl.col("e").mean())
    return of_facts["e"].to_list()


def predicted(
    drawn: pl.DataFrame,
    objective: Any,
    beta: float,
    regroup: Callable[[Rows], Rows] | None = None,
) -> dict[str, list[float]]:
    """Accuracy and agreement of each fact under the equilibrium of the reference's samples.

    regroup: puts phrasings into other classes for the game (a control); measured is always by fact.
    """
    played = drawn if regroup is None else regrouped(drawn, regroup)
    samples = dg.Samples.from_answers(
        played, "class_id", "member_id", correct=None if regroup else "correct"
    )
    weight = dg.lm.equilibrium_weights(samples, objective, beta=beta).weight
    return weighted_measures(drawn, weight)


def regrouped(drawn: pl.DataFrame, regroup: Callable[[Rows], Rows]) -> pl.DataFrame:
    """The same rows in the same order, each prompt in the class that `regroup` gives it."""
    prompts = drawn.select("class_id", "member_id").unique(maintain_order=True)
    rows = [{**row, "fact": row["class_id"]} for row in prompts.to_dicts()]
    to = {(row["fact"], row["member_id"]): row["class_id"] for row in regroup(rows)}
    pairs = zip(drawn["class_id"], drawn["member_id"], strict=True)
    return drawn.with_columns(class_id=pl.Series([to[pair] for pair in pairs]))


def weighted_measures(drawn: pl.DataFrame, weight: np.ndarray) -> dict[str, list[float]]:
    """Accuracy and agreement of each fact if every sample counts by its weight within its prompt."""
    table = drawn.with_columns(
        weight=pl.Series(weight), answer=pl.col("answer").fill_null("none")
    ).with_columns(weight=pl.col("weight") / pl.col("weight").sum().over("class_id", "member_id"))
    found: dict[str, list[float]] = {"accuracy": [], "agreement": []}
    for _, rows in table.group_by("class_id", maintain_order=True):
        m = rows["member_id"].n_unique()
        found["accuracy"].append(float((rows["weight"] * rows["correct"]).sum()) / m)
        wide = rows.pivot("answer", index="member_id", values="weight", aggregate_function="sum")
        found["agreement"].append(float(agreement(wide.drop("member_id").fill_null(0).to_numpy())))
    return found
