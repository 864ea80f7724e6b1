"""An hour in one process: does memory stay flat, are files closed?

    python benchmarks/soak.py solve    [--minutes 60] [--rows 2000000] [--json soak_solve.json]
    python benchmarks/soak.py finetune [--minutes 60] [--steps 20]     [--json soak_finetune.json]

`solve` runs the command line's solve (samples.parquet and report.html included) on one generated file
over and over; `finetune` trains, samples, certifies and reports the embedded model, a new seed each
round. After each round, with the garbage collected: resident memory, open files, threads, children,
temporary files. Reported: the least-squares slope of the memory over the second half of the rounds,
in MiB an hour, and the counts at the second and the last round.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from samples_throughput import repeated

from dagame.apps.sample_file import sample_file
from dagame.bench.common import environment

app = typer.Typer(add_completion=False)


def state(scratch: Path) -> dict[str, int | float]:
    """What this process holds now; memory in MiB from /proc/self/statm."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "rss_mib": pages * os.sysconf("SC_PAGESIZE") / 2**20,
        "files": len(list(Path("/proc/self/fd").iterdir())) - 1,
        "threads": int(status["Threads"]),
        "children": len(children),
        "scratch_files": sum(1 for p in scratch.rglob("*") if p.is_file()),
    }


def rounds(work: Callable[[int], Any], scratch: Path, minutes: float) -> list[dict[str, Any]]:
    """`work(k)` for k = 0, 1, ... until the time is over, and the state after each."""
    start, found = time.monotonic(), list[dict[str, Any]]()
    with Progress(TextColumn("{task.description}"), TimeElapsedColumn()) as bar:
        task = bar.add_task("round 1", total=None)
        for k in until(start + 60 * minutes):
            with Path(os.devnull).open("w") as null, redirect_stdout(null):
                work(k)
            row = {"round": k + 1, "minutes": (time.monotonic() - start) / 60, **state(scratch)}
            found.append(row)
            bar.update(task, description=f"{row['round']} rounds, {row['rss_mib']:.0f} MiB")
    return found


def until(deadline: float) -> Iterator[int]:
    """0, 1, ...: at least four rounds, then as many as begin before the deadline."""
    for k in count():
        if k >= 4 and time.monotonic() >= deadline:
            return
        yield k


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The slope of the second half, and how the counts changed since the second round."""
    half = found[len(found) // 2 :]
    hours = np.array([row["minutes"] / 60 for row in half])
    memory = np.array([row["rss_mib"] for row in half])
    slope, _ = np.polyfit(hours, memory, 1)
    counts = ("files", "threads", "children", "scratch_files")
    return {
        "rounds": len(found),
        "minutes": found[-1]["minutes"],
        "rss_mib_round_2": found[1]["rss_mib"],
        "rss_mib_last": found[-1]["rss_mib"],
        "rss_mib_largest": max(row["rss_mib"] for row in found),
        "slope_mib_per_hour": float(slope),
        **{f"{name}_round_2": found[1][name] for name in counts},
        **{f"{name}_last": found[-1][name] for name in counts},
    }


def keep(path: Path | None, found: list[dict[str, Any]], **facts: Any) -> None:
    """Print the summary; write it with every round."""
    shown = summary(found)
    print(json.dumps(shown, indent=1))
    if path is not None:
        content = {"machine": environment(), **facts, "summary": shown, "rounds": found}
        path.write_text(json.dumps(content, indent=1) + "\n")


Minutes = Annotated[float, typer.Option(min=0.0, help="How long new rounds begin.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write every round.")]


@app.command()
def solve(minutes: Minutes = 60.0, rows: int = 2_000_000, json_file: Json = None) -> None:
    """`dagame solve` on a file of that many rows."""
    from dagame.apps.cli import app as command

    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        source = sample_file(scratch / "s.jsonl", questions=100, samples=60)
        repeated(source, "question", rows, scratch / "big.jsonl")
        arguments = ["solve", str(scratch / "big.jsonl"), "--class", "question"]
        arguments += ["--context", "format", "--extract", r"Answer: (\S+)", "--correct", "correct"]
        arguments += ["--out", str(scratch / "out")]
        found = rounds(lambda k: command(arguments, standalone_mode=False), scratch, minutes)
    keep(json_file, found, command="solve", rows=rows)


@app.command()
def finetune(minutes: Minutes = 60.0, steps: int = 20, json_file: Json = None) -> None:
    """`dagame demo` with that many steps, a new seed each round."""
    import torch

    from dagame.apps.demo import run_demo
    from dagame.lm.tiny.experiment import Recipe

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        recipe = Recipe(steps=steps)
        work = lambda seed: run_demo(scratch, seed, recipe=recipe, problems=20)  # noqa: E731
        found = rounds(work, scratch, minutes)
    keep(json_file, found, command="finetune", steps=steps)


if __name__ == "__main__":
    app()
