"""Two processes play the same game as one: rewards recounted from the log, runs resumed exactly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("trl")
pytest.importorskip("resource")

from commandline import parent
from distributed import runs, weighted
from forks import TRAINING
from safetensors.numpy import load_file
from test_trl import centred, completion_log, euclidean_rewards


def written(tasks):
    """The file of each task, in its folder."""
    files = []
    for task in tasks:
        folder = Path(task["folder"])
        folder.mkdir(parents=True)
        files.append(folder / "task.json")
        files[-1].write_text(json.dumps(task))
    return files


def said(files):
    """What the ranks of each say."""
    return [
        [json.loads((file.parent / f"rank{r}.json").read_text()) for r in (0, 1)] for file in files
    ]


def forked(*tasks, extra=()):
    """Runs of two processes, one after the other, forked after their imports."""
    files = written(tasks)
    for rank in parent(TRAINING).ranks([*files, *extra], call="distributed.runs:main"):
        assert rank.code == 0, rank.said[-6000:]
    return said(files)


def torchrun(*tasks):
    """Runs of two processes, one after the other, started as a user does."""
    files = written(tasks)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [*command, weighted.__file__, *map(str, files)],
        capture_output=True,
        text=True,
        env=env,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return said(files)


def finetune_file(folder, model):
    made = {
        "model": model,
        "output": str(folder / "out"),
        "data": {"path": str(folder / "data.jsonl"), "class_column": "class"},
        "answers": {"extract": runs.ANSWER, "truncated": "read"},
        "batch": {"group_size": 4, "classes_per_step": 3, "steps": 2},
        "training": {
            "max_completion_length": 4,
            **runs.ON_CPU,
        },
    }
    (folder / "data.jsonl").write_text("".join(json.dumps(r) + "\n" for r in runs.problems()))
    (folder / "run.yaml").write_text(yaml.safe_dump(made))
    return folder / "run.yaml"


def test_two_processes_split_a_class_and_a_group_and_resume_exactly(tmp_path):
    model = runs.model_folder(tmp_path / "model")
    options = {"classes_per_step": 3, "steps": 4, "save_strategy": "steps", "save_steps": 2}
    task = {"model": model, "folder": str(tmp_path / "one"), "resume": None, "options": options}
    resumed = task | {
        "folder": str(tmp_path / "two"),
        "resume": str(tmp_path / "one" / "checkpoint-2"),
    }
    file = finetune_file(tmp_path, model)
    (first, second), again = forked(task, resumed, extra=[file])
    assert [f["world"] for f in (first, second, *again)] == [2] * 4

    completions = 3 * runs.CONTEXTS * runs.GROUP
    assert completions // 2 % (runs.CONTEXTS * runs.GROUP), "the middle class is split"
    assert completions // 2 % runs.GROUP, "the middle prompt's completions are split"
    for step in (1, 2, 3, 4):
        log = completion_log(tmp_path / "one", step)
        assert len(log) == completions
        wanted = centred(euclidean_rewards(log))
        ratio = centred(log["log_ratio"].to_numpy())
        wanted = wanted - 0.1 * runs.GROUP / (runs.GROUP - 1) * ratio
        assert np.abs(wanted - log["advantage"].to_numpy()).max() < 1e-5
        assert np.ptp(wanted) > 0.1
    games = [[r["game/value"] for r in f["log"] if "game/value" in r] for f in (first, second)]
    assert games[0] == games[1]

    saved = [
        load_file(tmp_path / run / f"rank{r}.safetensors") for run in ("one", "two") for r in (0, 1)
    ]
    start = load_file(Path(model) / "model.safetensors")
    assert max(np.abs(saved[0][k] - start[k]).max() for k in start) > 1e-3
    for other in saved[1:]:
        assert max(np.abs(saved[0][k] - other[k]).max() for k in other) == 0.0

    main, other = (
        json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("main", "other")
    )
    assert (main["processes"], other["processes"]) == (2, 2)
    assert "--resume" in main["refused"]
    assert main["refused"] == other["refused"]
    metrics = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in metrics] == [1, 2]
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()


def largest_difference(one, other):
    files = [load_file(folder / "rank0.safetensors") for folder in (one, other)]
    assert files[0].keys() == files[1].keys()
    return max(float(np.abs(files[0][k] - files[1][k]).max()) for k in files[0])


def test_weights_of_rows_on_two_processes(tmp_path):
    """Constant weights are TRL's own trainer, others those of one process; a resumed run is exact."""
    saving = {"save_strategy": "steps", "save_steps": 1, "optim": "adamw_torch"}
    tasks = []
    for kind in ("sft", "dpo"):
        made = {"kind": kind, "resume": None, "rows": 10, "options": {}}
        one_batch = {"rows": 8, "options": {"gradient_accumulation_steps": 1}}
        resumed = str(tmp_path / f"{kind}-saved" / "checkpoint-2")
        for name, changes in {
            "constant": {"weights": [0.3] * 10},
            "unweighted": {"weights": None},
            "split": {"weights": weighted.WEIGHTS} | one_batch,
            "saved": {"weights": weighted.WEIGHTS, "options": saving},
            "resumed": {"weights": weighted.WEIGHTS, "options": saving, "resume": resumed},
        }.items():
            tasks.append({"folder": str(tmp_path / f"{kind}-{name}")} | made | changes)
    found = torchrun(*tasks)
    assert [rank["world"] for ranks in found for rank in ranks] == [2] * 2 * len(tasks)

    for kind in ("sft", "dpo"):
        at = {
            name: tmp_path / f"{kind}-{name}"
            for name in ("constant", "unweighted", "split", "saved", "resumed")
        }
        assert largest_difference(at["constant"], at["unweighted"]) < 1e-6
        assert largest_difference(at["saved"], at["resumed"]) == 0.0
        assert largest_difference(at["saved"], at["constant"]) > 1e-4
        alone = weighted.weighted(
            kind, tmp_path / kind, weighted.WEIGHTS[:8], weighted.ROWS[kind][:8]
        )
        alone.train()
        both = load_file(at["split"] / "rank0.safetensors")
        for name, value in alone.model.state_dict().items():
            if name in both:
                assert np.abs(value.numpy() - both[name]).max() < 2e-6
