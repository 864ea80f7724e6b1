"""Fine-tuning killed, out of space, started twice: it resumes to the weights of an undisturbed run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("trl")
pytest.importorskip("resource")

from budget import FACTOR
from commandline import parent
from forks import ROOT, TRAINING
from outputs import chosen, mounted, one_sentence
from training import fresh, result, started_again, whole, write_task

from dagame.errors import OutputError
from dagame.files.output import locked
from dagame.lm.finetune.config import read_config
from dagame.lm.finetune.folder import (
    last_complete,
    mark_complete,
    prepare,
    read_metrics,
    reporting_a_lost_folder,
)
from dagame.lm.finetune.run import _reporting_damage


@pytest.fixture(scope="module")
def forks():
    return parent(TRAINING)


@pytest.fixture(scope="module")
def straight(forks, tmp_path_factory):
    """A task, how often a run of it changes its folder, and what it ends in."""
    folder = tmp_path_factory.mktemp("straight")
    task = write_task(folder)
    count = forks.changes(["finetune", task], root=folder / "out")
    return task, count, result(folder)


def test_killed_at_changes_and_resumed(forks, straight):
    task, count, wanted = straight
    assert count > 60
    for k in chosen(count, 1) if FACTOR > 1 else (count * 2 // 3,):
        fresh(task)
        assert started_again(forks, task, kill=k, root=task.parent / "out").killed
        assert whole(task.parent)
        outcome = started_again(forks, task)
        assert outcome.code == 0, outcome.said
        assert result(task.parent) == wanted, k


def test_interrupted_is_one_line_and_resumes(forks, straight):
    task, count, wanted = straight
    fresh(task)
    fault = {"kill": count // 2, "signal_number": signal.SIGINT, "root": task.parent / "out"}
    outcome = started_again(forks, task, **fault)
    assert outcome.code == 130, outcome.said
    one_sentence(outcome.said, "interrupted")
    assert started_again(forks, task).code == 0
    assert result(task.parent) == wanted


@pytest.mark.parametrize("fault", ["torn", "full"])
def test_in_the_middle_of_a_write(forks, straight, fault):
    task, _, wanted = straight
    sizes = (100, 1_000, 5_000, 10_000, 20_000, 30_000) if FACTOR > 1 else (12_000,)
    for size in sizes:
        fresh(task)
        outcome = started_again(forks, task, **{fault: size})
        if fault == "torn":
            assert outcome.code == -signal.SIGXFSZ, outcome.said
        else:
            assert outcome.code == 2, outcome.said
            one_sentence(outcome.said)
        outcome = started_again(forks, task)
        assert outcome.code == 0, outcome.said
        assert result(task.parent) == wanted, size


def test_a_second_run_is_refused_while_the_first_lives(forks, straight):
    task = straight[0]
    with locked(task.parent / "out"):
        outcome = forks.run(["finetune", task, "--resume"])
    assert outcome.code == 2
    one_sentence(outcome.said, "being written to by another process")


def test_numbers_do_not_replace_what_a_run_reads_or_writes(forks, straight):
    task = straight[0]
    folder, before = task.parent, task.read_bytes()
    (folder / "out").mkdir(exist_ok=True)
    (folder / "model" / "deep").mkdir(exist_ok=True)
    (folder / "link.json").symlink_to(task)
    places = ["run.yaml", "link.json", "data.jsonl", "model/config.json", "model/deep/x.json"]
    for name in (*places, "out/run.json", "out/metrics.jsonl", "out/README.md"):
        outcome = forks.run(["finetune", task, "--json", folder / name])
        assert outcome.code == 2
        one_sentence(outcome.said, "is read or written already")
    assert task.read_bytes() == before
    (folder / "demo" / "model").mkdir(parents=True)
    for name in ("report.html", "game.html", "samples.parquet", "model/config.json"):
        outcome = forks.run(["demo", "--out", folder / "demo", "--json", folder / "demo" / name])
        assert outcome.code == 2
        one_sentence(outcome.said, "is read or written already")


def test_a_full_disk_freed_and_resumed(forks, straight, tmp_path):
    task, wanted = write_task(tmp_path), straight[2]
    (tmp_path / "out").mkdir()
    with mounted(tmp_path / "out", "size=300k"):
        outcome = forks.run(["finetune", task])
        assert outcome.code == 2
        one_sentence(outcome.said, "go on with --resume")
        assert not (tmp_path / "out" / "model").exists()
        remount = ["mount", "-o", "remount,size=4m", str(tmp_path / "out")]
        subprocess.run(remount, check=True)
        outcome = forks.run(["finetune", task, "--resume"])
        assert outcome.code == 0, outcome.said
        assert result(tmp_path)["weights"] == wanted["weights"]
        assert result(tmp_path)["metrics"] == wanted["metrics"]


def test_a_folder_moved_away_stops_the_run(forks, straight):
    task, count, _ = straight
    out = task.parent / "out"
    for k in range(2, count - 6) if FACTOR > 1 else (count // 3, count * 2 // 3):
        fresh(task)
        outcome = forks.run(["finetune", task], move=k, root=out)
        shutil.rmtree(task.parent / "out.moved")
        assert outcome.code == 2, (k, outcome.said)
        if k > count // 4:  # it had begun
            one_sentence(outcome.said, "moved or removed", "--resume")


def test_whatever_fails_in_a_folder_that_is_gone_says_so(tmp_path):
    """torch's writer gives no number of the system's, and no audit event to move a folder at."""
    import torch

    (tmp_path / "run.json").touch()
    with pytest.raises(RuntimeError, match="Parent directory"), reporting_a_lost_folder(tmp_path):
        torch.save({}, tmp_path / "gone" / "x.pt")
    with (
        pytest.raises(OutputError, match="moved or removed"),
        reporting_a_lost_folder(tmp_path / "gone"),
    ):
        torch.save({}, tmp_path / "gone" / "x.pt")


def test_checkpoints_that_lost_a_file_are_passed_over(tmp_path):
    for step in (2, 4, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_text("w" * step)
        mark_complete(folder, step)
    assert last_complete(tmp_path).endswith("checkpoint-10")
    (tmp_path / "checkpoint-10" / "weights").write_text("w")
    assert last_complete(tmp_path).endswith("checkpoint-4")
    (tmp_path / "checkpoint-4" / "weights").unlink()
    (tmp_path / "checkpoint-notes").mkdir()
    (tmp_path / "checkpoint-notes" / "complete.json").write_text("{}")
    assert last_complete(tmp_path).endswith("checkpoint-2")
    for damaged in ("", "[]", "{}", '{"files": 3}', '{"files": {"weights": "2"}}', "\0" * 40):
        (tmp_path / "checkpoint-2" / "complete.json").write_text(damaged)
        assert last_complete(tmp_path) is None


def test_a_run_whose_checkpoints_are_all_damaged_is_not_begun_again(straight, tmp_path):
    config = read_config(straight[0])
    assert prepare(tmp_path, config, 1, resume=False) is None
    first, second = (tmp_path / "checkpoints" / f"checkpoint-{step}" for step in (1, 2))
    first.mkdir(parents=True)
    (first / "weights").write_text("w")
    assert prepare(tmp_path, config, 1, resume=True) is None, "killed while it wrote its first"
    (first / "complete.json").write_text('{"step": 1}')
    assert prepare(tmp_path, config, 1, resume=True) == str(first), "a mark of the first release"
    (first / "complete.json").write_text('{"step": 2}')
    with pytest.raises(
        OutputError, match=r"no checkpoint in .* is whole, of checkpoint-1; restore"
    ):
        prepare(tmp_path, config, 1, resume=True)
    (first / "complete.json").unlink()
    second.mkdir()
    with pytest.raises(OutputError, match="of checkpoint-2, checkpoint-1"):
        prepare(tmp_path, config, 1, resume=True)
    (tmp_path / "run.json").unlink()
    for resume in (True, False):
        with pytest.raises(OutputError, match=r"checkpoint-1 but no run\.json"):
            prepare(tmp_path, config, 1, resume=resume)


@pytest.mark.parametrize(
    ("checkpoint", "step", "told"),
    [(None, 0, False), ("checkpoint-4", 5, False), ("checkpoint-4", 0, True)],
)
def test_only_a_checkpoint_that_is_being_read_is_called_unreadable(checkpoint, step, told):
    trainer = SimpleNamespace(state=SimpleNamespace(global_step=step))
    with (
        pytest.raises(
            OutputError if told else ValueError, match="checkpoint-4" if told else "Expecting"
        ),
        _reporting_damage(trainer, checkpoint),
    ):
        json.loads("{")


def test_damaged_metrics_are_read_as_far_as_they_go(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n[2]\n{"loss": 1}\n\xff\xfe\n{"step": 2}\n\0\0\0{"step": 3')
    assert [row["step"] for row in read_metrics(path)] == [1, 2]


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"config": 1, "processes": 1}', "\0"])
def test_a_damaged_record_is_told(straight, tmp_path, damaged):
    (tmp_path / "run.json").write_text(damaged)
    with pytest.raises(OutputError, match="cannot be read as the record of a run"):
        prepare(tmp_path, read_config(straight[0]), 1, resume=True)


@pytest.mark.skipif(FACTOR == 1, reason="two processes and their start take a minute: make torture")
def test_a_rank_killed_ends_the_job_and_it_resumes(tmp_path):
    tasks = []
    for name in ("straight", "killed"):
        (tmp_path / name).mkdir()
        tasks.append(write_task(tmp_path / name, steps=6))
    assert torchrun(tasks[0]).wait(timeout=400) == 0
    for rank in (0, 1):
        fresh(tasks[1])
        job = torchrun(tasks[1])
        metrics = tasks[1].parent / "out" / "metrics.jsonl"
        while len(read_metrics(metrics)) < 3 and job.poll() is None:
            time.sleep(0.05)
        os.kill(rank_of(job.pid, rank), signal.SIGKILL)
        assert job.wait(timeout=120) != 0, "the job ends, it does not hang"
        assert torchrun(tasks[1], "--resume").wait(timeout=400) == 0
        straight, killed = (result(task.parent) for task in tasks)
        assert straight["weights"] == killed["weights"]
        assert straight["metrics"] == killed["metrics"]


def torchrun(task, *more):
    """Two processes on this machine, in a group of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [*command, "-m", "dagame", "finetune", str(task), *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
    )


def rank_of(launcher, rank):
    """The process of a rank, by the environment that the launcher gave it."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            wanted = f"\0RANK={rank}\0" in "\0" + (place / "environ").read_text()
        except (OSError, ValueError):
            continue
        if parent == launcher and wanted:
            return int(place.name)
    raise AssertionError(f"rank {rank} is not there")
