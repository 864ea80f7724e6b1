"""Where a training step goes, beside TRL's plain GRPO with a trivial reward, in the same run.

    python benchmarks/step_parts.py                    # the embedded model and a random Llama
    make smollm2; python benchmarks/step_parts.py --model smollm2

The game's trainer has the exact KL in its reward (kl="reward"), which reads every completion twice more;
the plain one is the same trainer, its reward the length of a completion. Both take the same number of
steps from the same weights, first one, then the other, and once more; one process, one thread, no GPU.
Seconds are of the processor, so that other work on the machine counts little; medians over steps, the
first ones (which check themselves) left out.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import keep

import dagame as dg
from dagame.lm.models.smollm2 import ABSENT, cached
from dagame.lm.tiny.experiment import MAX_NEW_TOKENS

STEMS = (
    "The capital of {} is",
    "{}'s capital is",
    "Country: {}. Capital:",
    "In {}, the capital is",
)
COUNTRIES = [
    "France",
    "Spain",
    "Italy",
    "Greece",
    "Egypt",
    "Japan",
    "China",
    "India",
    "Peru",
    "Chile",
    "Cuba",
    "Kenya",
    "Iran",
    "Iraq",
    "Norway",
    "Sweden",
    "Poland",
    "Austria",
    "Hungary",
    "Canada",
    "Mexico",
    "Brazil",
    "Turkey",
    "Russia",
]


@dataclass(frozen=True)
class Setting:
    """A model's folder (None: the embedded one), rows of class and prompt, and the size of a step."""

    name: str
    rows: list[dict[str, Any]]
    classes: int
    group: int
    tokens: int
    extract: Any
    steps: int
    warm: int

    @property
    def completions(self) -> int:
        """Of a step."""
        return (
            self.classes * self.group * sum(r["class"] == self.rows[0]["class"] for r in self.rows)
        )


def embedded() -> Setting:
    rows = [{"class": r["class_id"], "prompt": r["prompt"]} for r in dg.lm.tiny.rows("finetune")]
    return Setting("embedded", rows, 8, 8, MAX_NEW_TOKENS, dg.lm.tiny.extract, 12, 3)


def random_llama() -> Setting:
    rows = [
        {"class": c, "prompt": f"{c} + {t} ; n = {c} ; print n"} for c in range(48) for t in (2, 3)
    ]
    return Setting("random", rows, 3, 4, 64, r"(\d+)", 12, 3)


def smollm2() -> Setting:
    rows = [{"class": c, "prompt": s.format(c)} for c in COUNTRIES for s in STEMS]
    return Setting("smollm2", rows, 4, 8, 6, r"([A-Z][A-Za-z.' -]+)", 4, 1)


SETTINGS = {"embedded": embedded, "random": random_llama, "smollm2": smollm2}


def loaded(name: str, folder: str) -> tuple[Any, Any]:
    """A fresh model and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    if name == "embedded":
        return dg.lm.tiny.load()
    if name == "smollm2":
        source = cached()
        return (
            AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32),
            AutoTokenizer.from_pretrained(source),
        )
    _, tokenizer = dg.lm.tiny.load()
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=688, num_hidden_layers=4,
        num_attention_heads=8, max_position_embeddings=128, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    return LlamaForCausalLM(shape), tokenizer


def timed(spent: dict[str, list[float]], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, its seconds added to a list."""

    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.process_time()
        try:
            return call(*args, **kwargs)
        finally:
            spent.setdefault(name, []).append(time.process_time() - started)

    return run


def trainer_of(setting: Setting, folder: str) -> Any:
    """The trainer of both runs."""
    model, tokenizer = loaded(setting.name, folder)
    return dg.lm.coherence_grpo(
        model, setting.rows, dg.Coherence(), beta=0.1, kl="reward", extract=setting.extract,
        tokenizer=tokenizer, output_dir=folder, group_size=setting.group,
        classes_per_step=setting.classes, steps=setting.steps, class_column="class",
        truncated="read", max_completion_length=setting.tokens, learning_rate=1e-5, use_cpu=True, bf16=False,
        dataloader_pin_memory=False, gradient_checkpointing=False, save_strategy="no",
        disable_tqdm=True, report_to=[], logging_steps=setting.steps,
    )  # fmt: skip


def steps_of(trainer: Any, spent: dict[str, list[float]]) -> list[float]:
    """Seconds of each step; those of `generate` go to `spent`."""
    from transformers.trainer_callback import PrinterCallback, TrainerCallback

    marks = []

    class Clock(TrainerCallback):
        """Marks the end of each step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Note the time."""
            marks.append(time.process_time())

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Clock())
    trainer.model.generate = timed(spent, "generation", trainer.model.generate)
    trainer.train()
    return np.diff(marks).tolist()


def played(setting: Setting) -> tuple[list[float], dict[str, list[float]]]:
    """Seconds of each step of the game, and of its parts."""
    import dagame.lm.trainers.trl.reward as adapter

    spent: dict[str, list[float]] = {}
    parts = {"pay": "rewards", "judged": "answers", "sequence_log_probability": "KL"}
    plain = {name: getattr(adapter, name) for name in parts}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, part in parts.items():
                setattr(adapter, name, timed(spent, part, plain[name]))
            return steps_of(trainer_of(setting, folder), spent), spent
        finally:
            for name, call in plain.items():
                setattr(adapter, name, call)


def trivial(setting: Setting) -> tuple[list[float], dict[str, list[float]]]:
    """The same of TRL's trainer with a trivial reward."""
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(setting, folder)
        for callback in [
            c for c in trainer.callback_handler.callbacks if c in trainer.reward_funcs
        ]:
            trainer.remove_callback(callback)
        trainer.reward_funcs = [lambda completions, **_: [float(len(c)) for c in completions]]
        trainer.reward_func_names = ["trivial"]
        return steps_of(trainer, spent), spent


def measured(setting: Setting) -> list[dict[str, Any]]:
    """Rows: the steps of both, then the parts of the game's."""
    steps: dict[str, list[float]] = {"plain": [], "game": []}
    parts: dict[str, list[float]] = {}
    for _ in range(2):
        for name, run in (("plain", trivial), ("game", played)):
            seconds, spent = run(setting)
            steps[name] += seconds[setting.warm - 1 :]
            for part, calls in spent.items():
                each = len(calls) // setting.steps  # the KL's two calls a step; checks come first
                late = calls[len(calls) - each * (setting.steps - setting.warm) :]
                sums = np.sum(np.reshape(late, (-1, each)), 1).tolist() if each else []
                parts.setdefault(f"{name}: {part}", []).extend(sums)
    middle = {name: float(np.median(seconds)) for name, seconds in (steps | parts).items()}
    for name in steps:
        own = sum(v for k, v in middle.items() if k.startswith(name + ": "))
        middle[f"{name}: update and the rest"] = middle[name] - own
    return [
        {
            "model": setting.name,
            "what": name if ": " in name else f"{name}: a step",
            "seconds": seconds,
            "share of the plain step": seconds / middle["plain"],
            "tokens a second": setting.completions * setting.tokens / seconds,
        }
        for name, seconds in sorted(middle.items())
    ]


def main() -> None:
    """Measure the models that are asked for."""
    import torch
    from transformers.utils import logging

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", choices=list(SETTINGS))
    asked = parser.parse_args().model or ["embedded", "random"]
    if "smollm2" in asked and cached() is None:
        sys.exit(f"skipped: {ABSENT}")
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore")
    rows, sizes = [], {}
    for name in asked:
        setting = SETTINGS[name]()
        rows += measured(setting)
        sizes[name] = {k: getattr(setting, k) for k in ("completions", "tokens", "group", "steps")}
    name = "step_parts" if asked == ["embedded", "random"] else "step_parts_" + "_".join(asked)
    keep(name, rows, sizes=sizes)


if __name__ == "__main__":
    main()
