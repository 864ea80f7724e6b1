"""Coherence-GRPO on the embedded language model: seeds, labels, controls, and what the game predicts.

    python benchmarks/embedded_lm.py select   # the recipes that were tried, selection split, seeds 0, 1
    python benchmarks/embedded_lm.py report   # the recipe chosen, test split, seeds never used before
    python benchmarks/embedded_lm.py free     # training-free use at an equal budget of completions
    python benchmarks/embedded_lm.py imitate  # training on such completions by their weights

Runs: coherence; labelled (the same budget with true labels); and controls: shuffled (classes are made
of phrasings of different problems, so that there is nothing to agree on), wrong majority (another
pre-trained model, most of whose phrasings share one misreading), keep (no answer may be a consensus),
under-trained (a model pre-trained for 400 steps).
Two processes of one thread each. Every run is kept.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from common import keep

from dagame.lm import tiny
from dagame.lm.tiny.experiment import Judge, Recipe, fine_tune

SELECTION_SEEDS, REPORT_SEEDS = (0, 1), (101, 102, 103, 104, 105)
RECIPES = {
    "chosen": Recipe(),
    "40 steps": replace(Recipe(), steps=40),
    "lr 1e-4": replace(Recipe(), learning_rate=1e-4),
    "lr 3e-4": replace(Recipe(), learning_rate=3e-4),
    "lr 5e-3": replace(Recipe(), learning_rate=5e-3),
    "beta 0.02": replace(Recipe(), beta=0.02),
    "beta 0.3": replace(Recipe(), beta=0.3),
    "lr 5e-3, beta 0.02": replace(Recipe(), learning_rate=5e-3, beta=0.02),
}
KINDS = ("coherence", "labelled", "shuffled", "wrong majority", "keep", "under-trained")
OTHER_MODELS = {"wrong majority": {"corpus": "wrong_majority"}, "under-trained": {"steps": 400}}
"""Runs that begin with a model of their own, and how it is pre-trained."""


def shuffled_classes(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Every phrasing keeps its prompts, but a class takes each from another problem."""
    rng = np.random.default_rng(seed)
    classes = sorted({r["class_id"] for r in rows})
    to = {t: dict(zip(classes, rng.permutation(classes).tolist(), strict=True)) for t in range(8)}
    moved = [{**r, "class_id": to[r["member_id"]][r["class_id"]]} for r in rows]
    return sorted(moved, key=lambda r: (r["class_id"], r["member_id"]))


def run(kind: str, name: str, split: str, problems: int, seed: int, models: str) -> dict[str, Any]:
    """One fine-tuning, measured before and after on `problems` of the split."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    recipe, started = RECIPES[name], time.perf_counter()
    folder = Path(models) / kind if kind in OTHER_MODELS else None
    base, tokenizer = tiny.load(folder)
    model, _ = tiny.load(folder)
    rows = tiny.rows("finetune")
    if kind == "shuffled":
        rows = shuffled_classes(rows, seed)
    judge = Judge.of(base, tokenizer, tiny.rows(split, problems), recipe, seed)
    before, first = judge.measure(base)
    predicted = judge.predict(first).summary
    options = {"no_answer": "keep"} if kind == "keep" else {}
    objective = recipe.labelled() if kind == "labelled" else recipe.objective()
    trained = time.perf_counter()
    curve = fine_tune(model, tokenizer, rows, objective, recipe, seed, **options)
    trained = time.perf_counter() - trained
    after, _ = judge.measure(model)
    watched = ("game/agreement", "game/accuracy", "game/kl", "game/gap_estimate", "game/no_answer")
    return {
        "run": kind,
        "recipe": name,
        "split": split,
        "seed": seed,
        **{f"{k} before": v for k, v in before.items()},
        **{f"{k} after": v for k, v in after.items()},
        "predicted accuracy": predicted["accuracy_equilibrium"],
        "predicted agreement": predicted["agreement_equilibrium"],
        "seconds": time.perf_counter() - started,
        "training seconds": trained,
        "curve": [{k: round(r[k], 4) for k in watched if k in r} for r in curve],
    }


def all_of(jobs: list[tuple[str, str, str, int, int]]) -> list[dict[str, Any]]:
    """The jobs on two processes, in order."""
    with tempfile.TemporaryDirectory() as models:
        for kind in dict.fromkeys(job[0] for job in jobs if job[0] in OTHER_MODELS):
            tiny.save(*tiny.pretrain(0, **OTHER_MODELS[kind]), Path(models) / kind)
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            futures = [pool.submit(run, *job, models) for job in jobs]
            rows = []
            for future in futures:
                rows.append(future.result())
                print(brief(rows[-1]), flush=True)
    return rows


def brief(row: dict[str, Any]) -> str:
    """One line of a run."""
    pairs = ("sampled_accuracy", "greedy_accuracy", "agreement", "gap")
    moved = "  ".join(f"{k} {row[f'{k} before']:.3f} -> {row[f'{k} after']:.3f}" for k in pairs)
    return (
        f"{row['run']:>15} {row['recipe']:>10} seed {row['seed']}: {moved}  {row['seconds']:.0f} s"
    )


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means and ranges over seeds of each run and recipe."""
    out = []
    for key in dict.fromkeys((r["run"], r["recipe"]) for r in rows):
        mine = [r for r in rows if (r["run"], r["recipe"]) == key]
        line: dict[str, Any] = {"run": key[0], "recipe": key[1], "seeds": len(mine)}
        for name in ("sampled_accuracy", "greedy_accuracy", "agreement", "kl", "gap"):
            for when in ("before", "after"):
                values = [r[f"{name} {when}"] for r in mine]
                line[f"{name} {when}"] = (
                    f"{np.mean(values):.3f} [{min(values):.3f}, {max(values):.3f}]"
                )
        out.append(line)
    return out


def select() -> None:
    """Every recipe tried, coherence only."""
    jobs = [
        ("coherence", name, "selection", 60, seed) for name in RECIPES for seed in SELECTION_SEEDS
    ]
    rows = all_of(jobs)
    recipes = {name: asdict(recipe) for name, recipe in RECIPES.items()}
    keep("embedded_lm_selection", summary(rows), recipes=recipes, runs=rows)


def report() -> None:
    """The chosen recipe and the controls on problems and seeds that no choice has seen."""
    jobs = [
        (kind, "chosen", "test", 100, seed)
        for kind in KINDS
        for seed in (REPORT_SEEDS if kind in ("coherence", "labelled") else REPORT_SEEDS[:3])
    ]
    rows = all_of(jobs)
    keep("embedded_lm", summary(rows), recipe=asdict(Recipe()), runs=rows)


def free() -> None:
    """What the equilibrium's weights do without training, and the same completions spent on GRPO."""
    from embedded_lm_free import compare

    keep("embedded_lm_free", compare(REPORT_SEEDS[:2]), recipe=asdict(Recipe()))


def imitate() -> None:
    """Weighted SFT and other uses of the same number of completions; first the recipes that were tried."""
    import embedded_lm_imitate as imitation

    tried = _printed(imitation.select())
    facts = {"recipe": asdict(Recipe()), "imitation": asdict(imitation.Imitation())}
    keep(
        "embedded_lm_imitation",
        _printed(imitation.compare(REPORT_SEEDS[:3])),
        **facts,
        tried=tried,
    )


def _printed(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for row in rows:
        print(row, flush=True)
        found.append(row)
    return found


if __name__ == "__main__":
    commands = {"select": select, "report": report, "free": free, "imitate": imitate}
    commands[sys.argv[1]]()
