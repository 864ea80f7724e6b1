"""What the game's reward costs in a TRL step of about a second, beside the same trainer with a trivial one.

    python benchmarks/reward_overhead.py

A random Llama (hidden 256, 4 layers) generates 64 tokens for 3 classes x 2 prompts x 4 completions; one
process, one thread, no GPU. The game's reward is timed in its three parts: reading answers, gathering
rows over processes, and the rewards themselves. Both trainers take the same number of steps.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from common import keep

import dagame as dg

STEPS, WARM = 12, 2


def timed(spent: dict[str, list[float]], name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """The call, its seconds added to a list."""

    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            spent.setdefault(name, []).append(time.perf_counter() - started)

    return run


def trainer_of(model: Any, tokenizer: Any, folder: str, **how: Any) -> Any:
    """The trainer of both runs."""
    rows = [
        {"class": c, "prompt": f"{c} + {t} ; n = {c} ; print n"} for c in range(48) for t in (2, 3)
    ]
    return dg.lm.coherence_grpo(
        model, rows, dg.Coherence(), beta=0.05, kl="loss", extract=r"(\d+)", tokenizer=tokenizer,
        output_dir=folder, group_size=4, classes_per_step=3, steps=STEPS, class_column="class",
        max_completion_length=64, use_cpu=True, bf16=False, dataloader_pin_memory=False,
        gradient_checkpointing=False, save_strategy="no", disable_tqdm=True, report_to=[],
        logging_steps=STEPS, **how,
    )  # fmt: skip


def steps_of(trainer: Any) -> list[float]:
    """Seconds of each step."""
    from transformers.trainer_callback import PrinterCallback, TrainerCallback

    marks = []

    class Clock(TrainerCallback):
        """Marks the end of each step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Note the time."""
            marks.append(time.perf_counter())

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Clock())
    trainer.train()
    return np.diff(marks).tolist()[WARM:]


def main() -> None:
    """Both trainers, and the parts of the reward."""
    import accelerate.utils
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    import dagame.lm.trainers.trl.reward as adapter

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.filterwarnings("ignore")
    _, tokenizer = dg.lm.tiny.load()
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=688, num_hidden_layers=4,
        num_attention_heads=8, max_position_embeddings=128, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    spent: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        LlamaForCausalLM(shape).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        adapter.pay = timed(spent, "rewards", adapter.pay)
        accelerate.utils.gather_object = timed(spent, "gather", accelerate.utils.gather_object)
        game = trainer_of(folder, tokenizer, f"{folder}/game")
        adapter.judged = timed(spent, "answers", adapter.judged)
        played = steps_of(game)
        parts = {name: float(np.median(s[WARM:])) for name, s in spent.items()}
        plain = trainer_of(folder, tokenizer, f"{folder}/plain")
        plain.reward_funcs = [lambda completions, **_: [float(len(c)) for c in completions]]
        plain.reward_func_names = ["trivial"]
        trivial = steps_of(plain)
    step = float(np.median(trivial))
    rows = [
        {"what": "step with a trivial reward", "seconds": step, "share of the step": 1.0},
        {
            "what": "step with the game's reward",
            "seconds": float(np.median(played)),
            "share of the step": float(np.median(played)) / step,
        },
        *(
            {"what": f"game: {name}", "seconds": seconds, "share of the step": seconds / step}
            for name, seconds in parts.items()
        ),
    ]
    keep("reward_overhead", rows, steps=STEPS - WARM - 1, completions=24, tokens=64)


if __name__ == "__main__":
    main()
