"""Label-free coherence on a real pretrained model: what it moves, beside labels, votes and controls.

    make smollm2
    python benchmarks/real_model.py run --data FOLDER --seeds 0 1 2   # ParaRel; resumes where it stopped
    python benchmarks/real_model.py tied --data FOLDER                # samples and kernel of `real_tied`
    python benchmarks/real_model.py report --data FOLDER              # the table, once runs are there
    python benchmarks/real_model.py try --data FOLDER                 # the recipes, on facts of their own
    python benchmarks/real_model.py run --data FOLDER --questions gsm8k --model NAME --gpu   # a GPU

Runs of one seed: coherence (no labels); labelled (the same budget, paid by the right answer); majority
(paid by the majority vote of the class's own samples, no labels); weighted (fine-tuning on samples of the
reference with the weights of the equilibrium); shuffled (control: classes of phrasings of different
facts). Measured before and after on facts of the same relation and of another one, neither trained on.
Every run is one line of WORK/runs.jsonl.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import fcntl
import json
import sys
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import real_report
import torch
from real_arms import ARMS, GPU, RECIPES, Recipe, Setting, train
from real_measures import OF_FACTS, Measure
from real_questions import Questions, gsm8k, pararel
from real_tied import prepare
from transformers import AutoTokenizer

from dagame.lm.models.loading import pretrained
from dagame.lm.models.smollm2 import ABSENT, cached

SIZES = {"train": 32, "dev": 8, "test": 20, "other": 12}
GPU_SIZES, GPU_TOKENS = {"train": 128, "dev": 0, "test": 64}, 320
"""Of word problems on a data-centre GPU, and the length of their answers."""


def one(setting: Setting, arm: str, seed: int, base: Any, measure: Measure) -> dict[str, Any]:
    """One run: trained, then measured."""
    started = time.perf_counter()
    model, tokenizer = setting.load()
    curve = train(setting, arm, seed, model, tokenizer)
    trained = time.perf_counter() - started
    watched = ("loss", "game/agreement", "game/accuracy", "game/kl", "game/no_answer")
    found = measure.after(model, tokenizer, base, seed)
    return {
        "run": arm,
        "seed": seed,
        "recipe": asdict(setting.recipe),
        "training seconds": trained,
        "seconds": time.perf_counter() - started,
        "curve": [{k: round(r[k], 4) for k in watched if k in r} for r in curve],
        **found,
    }


def run(setting: Setting, arms: list[str], seeds: list[int], part: str = "test") -> None:
    """Each arm of each seed that has no line yet; seeds on the outside."""
    torch.set_num_threads(torch.get_num_threads() if setting.gpu else 1)
    warnings.filterwarnings("ignore")
    setting.work.mkdir(parents=True, exist_ok=True)
    base, tokenizer = setting.load()
    measure = Measure(setting.questions, setting.recipe, setting.work, part)
    measure.before(base, tokenizer)
    for seed in seeds:
        for arm in arms:
            own = claim(setting.work, arm, seed)
            if own is None:
                continue
            print(time.strftime("%H:%M:%S"), "begins", arm, seed, flush=True)
            row = one(setting, arm, seed, base, measure)
            with (setting.work / "runs.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(time.strftime("%H:%M:%S"), real_report.brief(row), flush=True)


def claim(work: Path, arm: str, seed: int) -> Any:
    """The lock of a run that is not done and that no other process works on, else None.

    Held as long as the file is open, so that a killed run is free again.
    """
    lock = (work / f"{arm}-{seed}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    done = {(row["run"], row["seed"]) for row in real_report.runs_of(work)}
    return None if (arm, seed) in done else lock


def as_texts(questions: Questions, tokenizer: Any) -> Questions:
    """Chats as the texts that the model's template makes of them."""

    def text(row: dict[str, Any]) -> dict[str, Any]:
        if isinstance(row["prompt"], str):
            return row
        made = tokenizer.apply_chat_template(
            row["prompt"], tokenize=False, add_generation_prompt=True
        )
        added = tokenizer.decode(tokenizer("")["input_ids"])
        return {**row, "prompt": made.removeprefix(added)}

    parts = ("train", "dev", "test", "other")
    return replace(questions, **{p: [text(r) for r in getattr(questions, p)] for p in parts})


def setting_of(asked: argparse.Namespace) -> Setting:
    """What the command line asks for; leaves with a reason where the model or the data are absent."""
    folder = asked.model or cached()
    if folder is None:
        sys.exit(f"skipped: {ABSENT}")
    given = {k: v for k, v in vars(asked).items() if k in SIZES and v is not None}
    if asked.questions == "gsm8k":
        file = asked.data / "test.jsonl"
        if not file.is_file():
            sys.exit(f"skipped: no {file}")
        sizes = GPU_SIZES | {k: v for k, v in given.items() if k != "other"}
        questions = gsm8k(file, **sizes, max_new_tokens=asked.max_new_tokens or GPU_TOKENS)
        questions = as_texts(questions, pretrained(AutoTokenizer, str(folder)))
        recipe = GPU
    else:
        if not (asked.data / "P36_facts.jsonl").is_file():
            sys.exit(f"skipped: no ParaRel in {asked.data}")
        questions, recipe = pararel(asked.data, **(SIZES | given)), Recipe()
    changed = {k: getattr(asked, k) for k in ("steps", "learning_rate", "classes_per_step")}
    changed |= {"group_size": asked.group_size}
    recipe = replace(recipe, **{k: v for k, v in changed.items() if v is not None})
    return Setting(str(folder), questions, recipe, asked.work, asked.gpu)


def tried(work: Path, name: str) -> Path:
    """Where the try of a recipe is kept."""
    return work / "try" / name.replace(" ", "-")


def tries(setting: Setting) -> None:
    """Coherence under every recipe, seed 100, on the dev facts."""
    for name, recipe in RECIPES.items():
        own = replace(setting, recipe=recipe, work=tried(setting.work, name))
        run(own, ["coherence"], [100], "dev")


def of_try(run: dict[str, Any]) -> dict[str, Any]:
    """What is said of a try: the means over the dev facts."""
    found = {key: real_report.mean(run["same"][key]) for key in OF_FACTS}
    return found | {"seed": run["seed"], "commonest answer": run["same"]["commonest answer"]}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "try", "tied", "report"])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of ParaRel's or GSM8K's files"
    )
    parser.add_argument("--questions", choices=["pararel", "gsm8k"], default="pararel")
    parser.add_argument("--model", help="name or folder; SmolLM2 where none is given")
    parser.add_argument("--gpu", action="store_true", help="CUDA, bfloat16")
    parser.add_argument("--work", type=Path, default=Path("real_model_work"))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", default="real_model", help="name of the results")
    for name in (*SIZES, "steps", "classes_per_step", "group_size", "max_new_tokens"):
        parser.add_argument("--" + name.replace("_", "-"), type=int)
    parser.add_argument("--learning-rate", type=float)
    asked = parser.parse_args()
    setting = setting_of(asked)
    if asked.what == "report":
        report(setting, asked.out)
    elif asked.what == "tied":
        prepare(setting)
    elif asked.what == "try":
        tries(setting)
    else:
        run(setting, asked.arms, asked.seeds)


def report(setting: Setting, name: str) -> None:
    """The table of the runs in the work folder."""
    if not real_report.runs_of(setting.work):
        sys.exit(f"no runs in {setting.work}; start them with `run`.")
    measure = Measure(setting.questions, setting.recipe, setting.work)
    facts = {k: len({r["class_id"] for r in getattr(setting.questions, k)}) for k in SIZES}
    real_report.report(
        measure,
        name,
        command=f"python benchmarks/real_model.py run --data FOLDER, then report; {Path(setting.model).name}",
        recipe=asdict(setting.recipe),
        facts=facts,
        tries={
            name: [of_try(run) for run in real_report.runs_of(tried(setting.work, name))]
            for name in RECIPES
        },
    )


if __name__ == "__main__":
    main()
