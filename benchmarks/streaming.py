"""1e8 traces to 1,000 answers from memory-mapped files, against one sequential read of the same files.

    python benchmarks/streaming.py [TRACES]

Files: float32 probabilities and int32 answers (0.8 GB for 1e8), random, seed 0, written to the temporary
folder. Each step in a process of its own; both read files that are in the page cache (warm), once each
order. The read is numpy's fromfile in 16 MiB blocks, one thread, its sum touched.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import keep

import dagame as dg
from dagame.scale.streaming import answer_masses, solve_streamed

ANSWERS = 1000


def write(folder: Path, traces: int) -> None:
    """Random probabilities and answers, piece by piece."""
    rng = np.random.default_rng(0)
    p = np.lib.format.open_memmap(folder / "p.npy", "w+", np.float32, (traces,))
    a = np.lib.format.open_memmap(folder / "a.npy", "w+", np.int32, (traces,))
    for k in range(0, traces, 1 << 22):
        end = min(k + (1 << 22), traces)
        p[k:end] = rng.random(end - k, dtype=np.float32)
        a[k:end] = rng.integers(0, ANSWERS, end - k, dtype=np.int32)


def read(folder: Path) -> None:
    """One sequential read of both files."""
    buffer = bytearray(16 << 20)
    for name in ("p.npy", "a.npy"):
        with (folder / name).open("rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                np.frombuffer(buffer, np.uint8, count)[:: 1 << 12].sum()


def solve(folder: Path) -> None:
    """Marginals and the equilibrium of Shannon diversity."""
    found = solve_streamed(
        folder / "p.npy", folder / "a.npy", dg.ShannonDiversity(), beta=1.0, n=ANSWERS
    )
    assert bool(found.solution.solved)


def push(folder: Path) -> None:
    """Marginals only."""
    answer_masses(folder / "p.npy", folder / "a.npy", ANSWERS)


def measured(step: str, folder: str) -> tuple[float, float]:
    """Seconds inside a fresh process and its peak resident GiB."""
    done = subprocess.run(
        [sys.executable, __file__, step, folder], capture_output=True, text=True, check=True
    )
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def main() -> None:
    """Write, then time each step three times, the median kept."""
    if len(sys.argv) > 2:
        step, folder = sys.argv[1:]
        started = time.perf_counter()
        {"read": read, "solve": solve, "push": push}[step](Path(folder))
        seconds = time.perf_counter() - started
        status = Path("/proc/self/status").read_text()
        peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
        print(seconds, peak)
        return
    traces = int(float(sys.argv[1])) if len(sys.argv) > 1 else 100_000_000
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), traces)
        measured("read", folder)
        times = {s: [measured(s, folder) for _ in range(3)] for s in ("read", "push", "solve")}
    one = float(np.median([t for t, _ in times["read"]]))
    for step, found in times.items():
        seconds = float(np.median([t for t, _ in found]))
        rows.append(
            {
                "step": step,
                "seconds": seconds,
                "multiple of one read": seconds / one,
                "peak GiB (mapped pages included)": max(peak for _, peak in found),
            }
        )
    keep("streaming", rows, traces=traces, answers=ANSWERS)


if __name__ == "__main__":
    main()
