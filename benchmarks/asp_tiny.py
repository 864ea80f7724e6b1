"""Label-free Coherence over phrasings, with what a program does as its answer, on a tiny model.

    python benchmarks/asp_tiny.py [--base FOLDER]

A model of the kind of dagame.lm.tiny (about 100,000 parameters) is pre-trained once on the "pretrain"
problems of the nine families in the eight training phrasings, each of which is misread at a rate of its
own: as one of the near misses of its own, or, a fifth of these times, with a token lost. Then it is
fine-tuned by Coherence-GRPO on other problems ("finetune"), without labels; the answer is the semantic
key, and a program without one is no answer (no_answer="lowest"). Measured on problems never seen
("test"), in the training phrasings and in eight that were never seen: the share of samples that have a
key (grounds), the share equal to the right program (sampled and greedy), agreement. Control "shuffled":
a class takes its phrasings from different problems of one family, so that there is nothing to agree on.
Three seeds of the fine-tuning.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import re
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import keep

import dagame as dg
from dagame.domains.asp import worker
from dagame.domains.asp.families import COMPOSITIONS, FAMILIES
from dagame.domains.asp.phrasings import TEST, TRAIN
from dagame.domains.asp.problems import Problem, problems, rows, semantic_key
from dagame.lm import tiny

CHOSEN = [family for family in FAMILIES if family not in COMPOSITIONS]
RATES = (0.10, 0.15, 0.20, 0.30, 0.45, 0.55, 0.60, 0.60)
"""Of misreading, one for each phrasing, as in dagame.lm.tiny."""
BROKEN = 0.2
PRETRAIN_STEPS, BATCH = 500, 64
STEPS, CLASSES, GROUP, RATE, BETA, STRENGTH = 40, 4, 6, 1e-3, 0.1, 1.0
MEASURED, SAMPLES, NEW_TOKENS, SECONDS = 3, 4, 24, 20.0
RUNS = {"before": (0,), "coherence": (0, 1, 2), "shuffled": (0, 1, 2)}
FACTS = {
    "families": CHOSEN, "rates": RATES, "broken": BROKEN, "pretrain_steps": PRETRAIN_STEPS,
    "steps": STEPS, "group_size": GROUP, "classes_per_step": CLASSES, "learning_rate": RATE,
    "beta": BETA, "strength": STRENGTH, "problems_of_each_family": MEASURED, "samples": SAMPLES,
}  # fmt: skip

_PROGRAM = re.compile(r"\([A-Z_]\w*(?:,[A-Z_])?\)|\([A-Z],|N@\d,X|#?\w+|:-|:~|[!<>]=|\S")
_PROSE = re.compile(r"\w+|[^\w\s]")


def spoken(text: str) -> str:
    """A prompt as tokens between blanks."""
    return " ".join(_PROSE.findall(text.lower()))


def written(program: str) -> str:
    """A program as tokens between blanks, which is a program too."""
    return " ".join(_PROGRAM.findall(program))


def vocabulary(every: list[Problem]) -> list[str]:
    """Every token of prompts, right programs and near misses."""
    texts = [spoken(t) for p in every for t in (*p.phrasings(TRAIN), *p.phrasings(TEST))]
    texts += [written(t) for p in every for t in (p.right, *p.misses().values())]
    return sorted({word for text in texts for word in text.split()})


def corpus(every: list[Problem], seed: int) -> list[list[tuple[str, str]]]:
    """Batches of (prompt, completion); phrasing t takes two near misses of its own for the right one."""
    rng, shown = np.random.default_rng(seed), {}
    for p in every:
        misses = [m for m in p.misses().values() if m and len(written(m).split()) < NEW_TOKENS]
        shown[p.class_id] = ([spoken(t) for t in p.phrasings(TRAIN)], misses)
    out = []
    for _ in range(PRETRAIN_STEPS):
        batch = []
        for k, i in enumerate(rng.integers(len(every), size=BATCH)):
            prompts, misses = shown[every[i].class_id]
            t = k % len(prompts)
            tokens = written(every[i].right).split()
            if rng.random() < RATES[t]:
                if rng.random() < BROKEN:
                    tokens.pop(int(rng.integers(len(tokens))))
                else:
                    tokens = written(misses[(t + 3 * int(rng.integers(2))) % len(misses)]).split()
            batch.append((prompts[t], " ".join(tokens)))
        out.append(batch)
    return out


def some(split: str, each: int | None = None) -> list[Problem]:
    """Problems of the nine families, `each` of every family."""
    return [p for family in CHOSEN for p in problems(split, family)[:each]]


def told(chosen: list[Problem], phrasings: str, key: Any) -> list[dict[str, Any]]:
    """Rows whose prompts are tokens between blanks."""
    return [r | {"prompt": spoken(r["prompt"])} for r in rows(chosen, phrasings, key)]


def shuffled(of: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """A class takes each phrasing from another problem of its family."""
    rng = np.random.default_rng(seed)
    moved = []
    for family in CHOSEN:
        mine = [r for r in of if r["family"] == family]
        classes = sorted({r["class_id"] for r in mine})
        to = [dict(zip(classes, rng.permutation(classes).tolist(), strict=True)) for _ in RATES]
        moved += [r | {"class_id": to[r["member_id"]][r["class_id"]]} for r in mine]
    return sorted(moved, key=lambda r: (r["class_id"], r["member_id"]))


def measure(model: Any, tokenizer: Any, key: Any, seed: int) -> dict[str, float]:
    """Shares on test problems, in the phrasings of training and in those never seen."""
    out = {}
    for phrasings in (TRAIN, TEST):
        found = dg.lm.evaluate(
            model, tokenizer, told(some("test", MEASURED), phrasings, key), samples=SAMPLES,
            max_new_tokens=NEW_TOKENS, extract=key, seed=seed, batch_size=512,
        ).as_dict()  # fmt: skip
        out |= {
            f"{phrasings} grounds": 1 - found["no_answer"],
            f"{phrasings} right": found["sampled_accuracy"],
            f"{phrasings} right, greedy": found["greedy_accuracy"],
            f"{phrasings} agreement": found["agreement"],
        }
    return out


def fine_tune(model: Any, tokenizer: Any, key: Any, of: list[dict[str, Any]], seed: int) -> None:
    """Coherence-GRPO in place; the rows' right answers are taken out first."""
    from transformers.trainer_callback import PrinterCallback

    blind = [{k: r[k] for k in ("class_id", "member_id", "prompt")} for r in of]
    with TemporaryDirectory() as folder:
        trainer = dg.lm.coherence_grpo(
            model, blind, dg.Coherence(STRENGTH), beta=BETA, extract=key, tokenizer=tokenizer,
            output_dir=folder, group_size=GROUP, classes_per_step=CLASSES, steps=STEPS,
            class_column="class_id", reward_options={"no_answer": "lowest"}, learning_rate=RATE,
            lr_scheduler_type="linear", max_completion_length=NEW_TOKENS, seed=seed, use_cpu=True,
            bf16=False, dataloader_pin_memory=False, gradient_checkpointing=False,
            save_strategy="no", logging_steps=10, disable_tqdm=True, report_to=[],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()


def run(kind: str, seed: int, folder: str) -> dict[str, Any]:
    """One fine-tuning, measured; "before": the pre-trained model of the folder."""
    quiet()
    began, key = time.process_time(), semantic_key(seconds=SECONDS)
    model, tokenizer = tiny.load(folder)
    if kind != "before":
        of = told(some("finetune"), TRAIN, None)
        fine_tune(model, tokenizer, key, shuffled(of, seed) if kind == "shuffled" else of, seed)
    found = {"run": kind, "seed": seed} | measure(model, tokenizer, key, seed=99)
    worker.close()
    return found | {"CPU seconds": time.process_time() - began}


def quiet() -> None:
    """One thread, no bars, no warnings of trainers."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore")


def pretrain(folder: Path) -> None:
    """Write the pre-trained model."""
    from dagame.lm.tiny._pretrain import fit
    from dagame.lm.tiny.llama import new_model, new_tokenizer

    words = vocabulary([p for split in ("pretrain", "finetune", "test") for p in some(split)])
    base, tokenizer = new_model(0, words), new_tokenizer(words)
    fit(
        base, tokenizer, corpus(some("pretrain"), seed=0),
        lambda step, loss: step % 100 or print(f"pre-training {step}: {loss:.3f}", flush=True),
    )  # fmt: skip
    tiny.save(base, tokenizer, folder)


def main() -> None:
    """Pre-train once, then all runs on two processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--base", type=Path, help="keeps the pre-trained model, and is read if there"
    )
    quiet()
    with TemporaryDirectory() as temporary:
        folder = parser.parse_args().base or Path(temporary) / "base"
        if not folder.exists():
            pretrain(folder)
        jobs = [(kind, seed) for kind in RUNS for seed in RUNS[kind]]
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            waiting = [pool.submit(run, kind, seed, str(folder)) for kind, seed in jobs]
            found = []
            for one in waiting:
                found.append(one.result())
                keep("asp_tiny", found, **FACTS)


if __name__ == "__main__":
    main()
