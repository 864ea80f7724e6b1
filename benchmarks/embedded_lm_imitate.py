"""Training on the reference's own samples by the equilibrium's weights, for `embedded_lm.py imitate`.

Budget: the completions that the chosen recipe of Coherence-GRPO generates in training, here drawn from the
reference all at once, ten of each phrasing of the 500 fine-tuning problems. Four uses of them, with as many
optimiser steps of as many rows: weighted SFT by nu*/nu0; SFT on the rows that rejection sampling accepts;
SFT on the best row of each prompt; SFT on all rows alike, the control, whose optimum is the reference.
Every model answers the problems and prompts of `report`, so its rows for Coherence-GRPO (the same recipe,
seeds and budget) stand beside these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from dagame.lm import tiny, weighted_sft
from dagame.lm.evaluation import evaluate
from dagame.lm.reweight import (
    best_of_n,
    equilibrium_weights,
    rejection_sample,
    weighted_sft_rows,
)
from dagame.lm.tiny.experiment import MAX_NEW_TOKENS, Recipe
from dagame.samples import Samples

METRICS = ("sampled_accuracy", "greedy_accuracy", "majority_accuracy", "agreement", "kl")


@dataclass(frozen=True)
class Imitation:
    """How the embedded model is trained on given completions; chosen on the selection split."""

    learning_rate: float = 1e-3
    steps: int = 300
    rows_per_step: int = 64


TRIED = [Imitation(rate, steps) for rate in (3e-4, 1e-3, 3e-3) for steps in (150, 300)]
"""Recipes of weighted SFT that were tried."""


def select(seed: int = 0, problems: int = 60) -> Iterator[dict[str, Any]]:
    """One row per recipe tried, measured on the selection split."""
    base, tokenizer = _embedded()
    prompts = tiny.rows("selection", problems)
    rows = selections(spend(base, tokenizer, seed), seed)["weighted SFT"]
    for imitation in TRIED:
        model = imitate(tokenizer, rows, imitation, seed)
        yield asdict(imitation) | measure(model, base, tokenizer, prompts, seed)


def compare(seeds: Sequence[int], problems: int = 100) -> Iterator[dict[str, Any]]:
    """One row per seed and method: completions drawn, rows trained on, and metrics on the test split."""
    base, tokenizer = _embedded()
    prompts = tiny.rows("test", problems)
    for seed in seeds:
        drawn = spend(base, tokenizer, seed)
        for method, rows in selections(drawn, seed).items():
            model = imitate(tokenizer, rows, Imitation(), seed)
            found = {"seed": seed, "method": method, "completions": len(drawn), "rows": len(rows)}
            yield found | measure(model, base, tokenizer, prompts, seed)


def spend(base: Any, tokenizer: Any, seed: int) -> pl.DataFrame:
    """The budget as completions of the fine-tuning problems, with their prompts."""
    recipe, rows = Recipe(), tiny.rows("finetune")
    budget = recipe.steps * recipe.classes_per_step * tiny.PHRASINGS * recipe.group_size
    drawn = evaluate(
        base, tokenizer, rows, samples=budget // len(rows), max_new_tokens=MAX_NEW_TOKENS,
        extract=tiny.extract, seed=seed, batch_size=1024,
    )  # fmt: skip
    prompts = pl.DataFrame(rows).select("class_id", "member_id", "prompt")
    by = ["class_id", "member_id"]
    return drawn.completions.join(prompts, on=by, how="left", maintain_order="left")


def selections(completions: pl.DataFrame, seed: int) -> dict[str, pl.DataFrame]:
    """Rows prompt, completion, weight, truncated of each use of the completions."""
    recipe = Recipe()
    samples = Samples.from_answers(completions, "class_id", "member_id")
    weights = equilibrium_weights(samples, recipe.objective(), beta=recipe.beta)
    rows = weighted_sft_rows(weights, min_weight=-1.0)
    rows = rows.with_columns(truncated=completions["truncated"])
    alike = rows.with_columns(weight=pl.lit(1.0))
    return {
        "weighted SFT": rows,
        "SFT on accepted": alike[rejection_sample(weights, seed=seed).index.tolist()],
        "SFT on best of n": alike[best_of_n(weights, by="mode", seed=seed).tolist()],
        "SFT on all": alike,
    }


def imitate(tokenizer: Any, rows: pl.DataFrame, imitation: Imitation, seed: int) -> Any:
    """The embedded model trained on weighted rows."""
    from transformers.trainer_callback import PrinterCallback

    model, _ = tiny.load()
    with TemporaryDirectory() as folder:
        trainer = weighted_sft(
            model,
            rows,
            tokenizer=tokenizer,
            output_dir=folder,
            per_device_train_batch_size=imitation.rows_per_step,
            learning_rate=imitation.learning_rate,
            lr_scheduler_type="linear",
            max_steps=imitation.steps,
            seed=seed,
            use_cpu=True,
            bf16=False,
            dataloader_pin_memory=False,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return model


def measure(
    model: Any, base: Any, tokenizer: Any, prompts: list[dict[str, Any]], seed: int
) -> dict[str, Any]:
    """The metrics of a model on prompts, 16 samples of each as in `report`."""
    found = evaluate(
        model, tokenizer, prompts, samples=16, max_new_tokens=MAX_NEW_TOKENS,
        extract=tiny.extract, reference=base, seed=seed, batch_size=1024,
    ).as_dict()  # fmt: skip
    return {name: found[name] for name in METRICS}


def _embedded() -> tuple[Any, Any]:
    """The embedded model and its tokenizer, on one thread and without progress bars."""
    import torch
    from datasets import disable_progress_bars
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    disable_progress_bars()
    return tiny.load()
