"""A fine-tuning run small enough to be killed a hundred times, and what must be the same after all of it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from forks import Forks, Outcome

sys.path.append(str(Path(__file__).parents[1] / "lm"))

from distributed import runs

TIMES = ("step_time", "train_runtime", "train_samples_per_second", "train_steps_per_second")


def write_task(folder: Path, steps: int = 3) -> Path:
    """The YAML file of a run into folder/out, with a checkpoint at every step."""
    model = folder / "model"
    if not model.exists():
        runs.model_folder(model)
    rows = runs.problems()
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = {
        "model": str(model),
        "output": str(folder / "out"),
        "data": {"path": str(folder / "data.jsonl"), "class_column": "class"},
        "answers": {"extract": runs.ANSWER, "truncated": "read"},
        "batch": {"group_size": 4, "classes_per_step": 2, "steps": steps},
        "training": {
            "learning_rate": 1e-2,
            "max_completion_length": 4,
            "save_steps": 1,
            **runs.ON_CPU,
            "gradient_checkpointing": False,
        },
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(made))
    return path


def result(folder: Path) -> dict[str, Any]:
    """Weights, metrics without times, and the names of what a run left."""
    out = folder / "out"
    lines = (out / "metrics.jsonl").read_text().splitlines()
    rows = [{k: v for k, v in json.loads(x).items() if k not in TIMES} for x in lines]
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    return {
        "weights": (out / "model" / "model.safetensors").read_bytes(),
        "metrics": rows,
        "names": [name for name in names if not name.startswith("checkpoints/")],
    }


def started_again(forks: Forks, task: Path, **fault: Any) -> Outcome:
    """As a user would: anew where nothing was begun, else with --resume."""
    begun = (task.parent / "out" / "run.json").exists()
    return forks.run(["finetune", task, *(["--resume"] if begun else [])], **fault)


def fresh(task: Path) -> None:
    """Nothing was ever run."""
    shutil.rmtree(task.parent / "out", ignore_errors=True)


def whole(folder: Path) -> bool:
    """model/ is absent or loads, and has its card."""
    from safetensors.numpy import load_file

    model = folder / "out" / "model"
    if not model.exists():
        return True
    load_file(model / "model.safetensors")
    return (model / "README.md").read_text().startswith("---") and (model / "config.json").exists()
