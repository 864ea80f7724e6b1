"""Training-free use of the equilibrium on the embedded model, for `embedded_lm.py free`.

Budget: the completions that the chosen recipe generates in training. GRPO spends them on the
fine-tuning problems and is then asked new ones at one completion per prompt; reweighting spends them on
the new problems themselves, K completions for each phrasing, and needs no gradient. So the table shows
both at their own game: a policy that answers alone, and a vote that is solved again for every problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dagame.lm import tiny
from dagame.lm.evaluation import evaluate
from dagame.lm.reweight import best_of_n, equilibrium_weights, rejection_sample
from dagame.lm.tiny.experiment import MAX_NEW_TOKENS, Judge, Recipe, fine_tune
from dagame.samples import Samples


def compare(seeds: Sequence[int], problems: int = 100) -> list[dict[str, Any]]:
    """One row per method and seed: completions generated, and accuracy of what it answers."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    recipe, rows = Recipe(), []
    budget = recipe.steps * recipe.classes_per_step * tiny.PHRASINGS * recipe.group_size
    prompts = tiny.rows("test", problems)
    samples = budget // len(prompts)
    for seed in seeds:
        base, tokenizer = tiny.load()
        drawn = evaluate(
            base, tokenizer, prompts, samples=samples, max_new_tokens=MAX_NEW_TOKENS,
            extract=tiny.extract, seed=seed, batch_size=1024,
        )  # fmt: skip

        def add(method: str, spent: int, accuracy: float, seed: int = seed) -> None:
            rows.append(
                {"method": method, "seed": seed, "completions": spent, "accuracy": accuracy}
            )

        read = Samples.from_answers(drawn.completions, "class_id", "member_id", correct="correct")
        right = drawn.completions["correct"].cast(float).to_numpy()
        spent = len(right)
        add("reference, one sample", len(prompts), float(right.mean()))
        for share in (8, samples):
            few = drawn.completions.filter(
                np.arange(spent) % samples < share  # the first completions of each prompt
            )
            some = Samples.from_answers(few, "class_id", "member_id", correct="correct")
            weights = equilibrium_weights(some, recipe.objective(), beta=recipe.beta)
            good = few["correct"].cast(float).to_numpy()
            chosen = best_of_n(weights, by="mode", seed=seed)
            add(f"best of {share} by the equilibrium", len(few), float(good[chosen].mean()))
        weights = equilibrium_weights(read, recipe.objective(), beta=recipe.beta)
        kept = rejection_sample(weights, seed=seed)
        add("rejection sampling", spent, float(right[kept.index].mean()))
        rows[-1]["acceptance"] = float(kept.rate.mean())
        model, _ = tiny.load()
        fine_tune(model, tokenizer, tiny.rows("finetune"), recipe.objective(), recipe, seed)
        after, _ = Judge.of(base, tokenizer, prompts, recipe, seed, samples=4).measure(model)
        add("Coherence-GRPO, one sample", budget, after["sampled_accuracy"])
        add("Coherence-GRPO, greedy", budget, after["greedy_accuracy"])
    for row in rows:
        row.setdefault("acceptance", None)
    return rows
