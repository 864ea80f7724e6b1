"""How a real model is trained in each run: the game, labels, votes, weights, and a control."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import torch
from embedded_lm import shuffled_classes
from real_questions import Questions, Rows
from transformers import AutoModelForCausalLM, AutoTokenizer

import dagame as dg
from dagame.lm.models.loading import pretrained
from dagame.lm.spec import named_objective
from dagame.samples.metrics import majority

ARMS = ("coherence", "shuffled", "labelled", "majority", "weighted")
EPOCHS = 2
"""Of the weighted fine-tuning: passes over as many completions as the other runs draw."""


@dataclass(frozen=True)
class Recipe:
    """How the model is fine-tuned; `real_model.py try` compares RECIPES on the dev facts."""

    strength: float = 1.0
    beta: float = 0.1
    learning_rate: float = 2e-5
    steps: int = 12
    classes_per_step: int = 3
    contexts: int = 4
    group_size: int = 4

    @property
    def batch(self) -> int:
        """Completions of a step."""
        return self.classes_per_step * self.contexts * self.group_size


RECIPES = {f"lr {rate:g}": replace(Recipe(), learning_rate=rate) for rate in (2e-5, 4e-5)}
GPU = Recipe(learning_rate=1e-6, steps=40, classes_per_step=8, group_size=8)
"""Of a data-centre GPU and word problems; not tuned."""


@dataclass(frozen=True, eq=False)
class Setting:
    """One model, its questions, where runs are kept, and whether a GPU computes."""

    model: str
    questions: Questions
    recipe: Recipe
    work: Path
    gpu: bool

    def load(self) -> tuple[Any, Any]:
        """A fresh model and its tokenizer."""
        kind = torch.bfloat16 if self.gpu else torch.float32
        model: Any = pretrained(AutoModelForCausalLM, self.model, dtype=kind)
        return model.to("cuda" if self.gpu else "cpu"), pretrained(AutoTokenizer, self.model)

    def trainer_settings(self, seed: int) -> dict[str, Any]:
        """What all trainers share."""
        return {
            "learning_rate": self.recipe.learning_rate,
            "lr_scheduler_type": "constant",
            "seed": seed,
            "use_cpu": not self.gpu,
            "bf16": self.gpu,
            "dataloader_pin_memory": self.gpu,
            "gradient_checkpointing": self.gpu,
            "save_strategy": "no",
            "logging_steps": 1,
            "disable_tqdm": True,
        }


def majority_vote(bucket: Any) -> Any:
    """Reward 1 of the answers that most completions of the class in the batch have; no labels."""
    return dg.Reward(majority(bucket).astype(float)[:, None, :])


def objective_of(arm: str, strength: float) -> Any:
    """What a run plays, as an objective or a function of a bucket of classes."""
    if arm == "labelled":
        return named_objective("reward", strength)
    return majority_vote if arm == "majority" else dg.Coherence(strength)


def train(setting: Setting, arm: str, seed: int, model: Any, tokenizer: Any) -> list[dict]:
    """Fine-tune the model in place; the metrics of every step."""
    if arm == "weighted":
        return weighted(setting, seed, model, tokenizer)
    rows = setting.questions.train
    if arm == "shuffled":
        rows = shuffled_classes(rows, seed)
    return grpo(setting, rows, objective_of(arm, setting.recipe.strength), seed, model, tokenizer)


def grpo(
    setting: Setting, rows: Rows, objective: Any, seed: int, model: Any, tokenizer: Any
) -> list[dict]:
    """Group rewards of the objective, with the exact KL in the reward."""
    recipe, asked = setting.recipe, setting.questions
    micro = recipe.contexts * recipe.group_size if setting.gpu else recipe.batch
    with tempfile.TemporaryDirectory() as folder:
        trainer = dg.lm.coherence_grpo(
            model,
            rows,
            objective,
            beta=recipe.beta,
            extract=asked.extract,
            truncated=asked.truncated,
            tokenizer=tokenizer,
            output_dir=folder,
            group_size=recipe.group_size,
            contexts=recipe.contexts,
            classes_per_step=recipe.classes_per_step,
            steps=recipe.steps,
            class_column="class_id",
            max_completion_length=asked.max_new_tokens,
            per_device_train_batch_size=micro,
            report_to=[],
            **setting.trainer_settings(seed),
        )
        return fitted(trainer)


def weighted(setting: Setting, seed: int, model: Any, tokenizer: Any) -> list[dict]:
    """Likelihood of the reference's own completions, weighted by the equilibrium; no labels.

    The prompts are those that the other runs visit, a class of the game for each visit, and so is the
    number of completions.
    """
    recipe, asked = setting.recipe, setting.questions
    plan = dg.lm.schedule(
        asked.train,
        classes_per_step=recipe.classes_per_step,
        contexts=recipe.contexts,
        steps=recipe.steps,
        class_column="class_id",
        seed=seed,
    )
    rows = [
        {"class_id": k // recipe.contexts, "member_id": k % recipe.contexts, "prompt": prompt}
        for k, prompt in enumerate(plan["prompt"])
    ]
    seen = asked.evaluate(model, tokenizer, rows, recipe.group_size, seed + 2_000_003)
    drawn = seen.completions.with_columns(
        prompt=pl.Series([r["prompt"] for r in rows for _ in range(recipe.group_size)])
    )
    samples = dg.Samples.from_answers(drawn, "class_id", "member_id")
    objective = objective_of("weighted", recipe.strength)
    weights = dg.lm.equilibrium_weights(samples, objective, beta=recipe.beta)
    with tempfile.TemporaryDirectory() as folder:
        trainer = dg.lm.weighted_sft(
            model,
            dg.lm.weighted_sft_rows(weights),
            tokenizer=tokenizer,
            output_dir=folder,
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=recipe.batch if not setting.gpu else recipe.contexts,
            gradient_accumulation_steps=1 if not setting.gpu else recipe.batch // recipe.contexts,
            report_to=[],
            **setting.trainer_settings(seed),
        )
        trainer.train_dataset = without_ends(
            trainer.train_dataset, drawn.filter(pl.Series(weights.weight) > 0)["truncated"]
        )
        return fitted(trainer)


def without_ends(data: Any, cut: pl.Series) -> Any:
    """The tokens without the end token that TRL puts behind a completion, where it was cut there."""

    def shorter(row: dict[str, Any], k: int) -> dict[str, Any]:
        stop = -1 if cut[k] else None
        return {name: row[name][:stop] for name in ("input_ids", "labels")}

    return data.map(shorter, with_indices=True)


def fitted(trainer: Any) -> list[dict]:
    """Train without printing; the log of every step."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [row for row in trainer.state.log_history if "loss" in row]
