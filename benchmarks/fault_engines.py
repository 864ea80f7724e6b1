"""Faults of `dagame solve` in parts and on Ray, for `faults.py`: files, disks and workers."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from outputs import left, state

Row = dict[str, Any]
FILES = 100
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut in two": lambda whole: whole[: len(whole) // 2],
    "no gzip": lambda whole: b"damaged" + whole,
    "of no line": lambda whole: b"",
    "with half a line": lambda whole: gzip.compress(gzip.decompress(whole)[:-9]),
}


def tally(run: str, fault: str, ended: Sequence[Row], seconds: float) -> Row:
    """A row of `faults.py`: what each run said of itself, counted."""
    names = ("came to pass", "mixed", "not the same after", "left over", "badly told", "hung")
    row = {"run": run, "fault": fault, "times": len(ended)}
    row |= {name: sum(one.get(name, 0) for one in ended) for name in names}
    return row | {"seconds": round(seconds, 1)}


class Solve:
    """`dagame solve` of files into a folder of its own, with `more` options."""

    def __init__(self, source: Path, out: Path, *more: str) -> None:
        """The folder is made."""
        out.mkdir(exist_ok=True)
        self.out = out
        columns = ["--class", "question", "--context", "format", "--extract", "gsm8k"]
        self.argv = [str(source), *columns, "--out", str(out), "--json", str(out / "n.json")]
        self.argv += ["--no-report", *more]

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """A run, not waited for."""
        command = [sys.executable, "-m", "dagame", "solve", *self.argv, *more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, *more: str) -> tuple[int, str]:
        """Exit code, and what was said."""
        process = self.start(*more)
        said, _ = process.communicate(timeout=1200)
        return process.returncode, said.decode(errors="replace")

    def state(self) -> dict[str, bytes]:
        """What it wrote, without times and versions."""
        found = state(self.out)
        if "n.json" in found:
            content = json.loads((self.out / "n.json").read_text())
            content.pop("provenance")
            content["summary"].pop("seconds")
            found["n.json"] = json.dumps(content).encode()
        return found


def is_told(code: int, said: str, *words: str) -> bool:
    """Whether a failure is one sentence, with these words."""
    line = said.strip().splitlines()[-1] if said.strip() else ""
    told = line.startswith("dagame") and line.endswith(".") and all(w in line for w in words)
    return code == 2 and told and "Traceback" not in said


def write_rows(folder: Path, files: int, rows: int) -> Path:
    """Gzipped JSON lines."""
    folder.mkdir()
    rng = random.Random(7)
    for k in range(files):
        lines = "".join(
            json.dumps(
                {
                    "question": f"q{rng.randrange(rows)}",
                    "format": rng.choice("ab"),
                    "completion": f"{rng.random()} and so\\n#### {rng.randrange(5)}",
                }
            )
            + "\n"
            for _ in range(rows)
        )
        (folder / f"{k:02d}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return folder


def damaged_rows(home: Path, name: str, more: Sequence[str], most: int) -> Iterator[Row]:
    """One file of a hundred cannot be read: named and nothing written, or by --on-error skip left out."""
    source = write_rows(home / f"hundred{len(more)}", FILES, 20)
    file = source / "42.jsonl.gz"
    whole = file.read_bytes()
    plain = Solve(source, home / f"plain{len(more)}", "--on-error", "skip")
    way = Solve(source, home / f"way{len(more)}", *more)
    began, ended = time.perf_counter(), []
    damages = dict(list(DAMAGES.items())[:most])
    for damage in damages.values():
        file.write_bytes(damage(whole))
        code, said = way.run()
        one = {"came to pass": code != 0, "badly told": not is_told(code, said, "42.jsonl.gz")}
        one["mixed"] = bool(way.state())
        one["left over"] = bool(left(way.out))
        codes = plain.run()[0], way.run("--on-error", "skip")[0]
        one["not the same after"] = codes != (0, 0) or plain.state() != way.state()
        for path in way.out.iterdir():
            path.unlink()
        ended.append(one)
    fault = "one of 100 files damaged: " + ", ".join(damages)
    yield tally(name, fault, ended, time.perf_counter() - began)


@contextmanager
def disk(folder: Path, size: int) -> Iterator[bool]:
    """A disk of so many bytes; False where none may be mounted."""
    folder.mkdir(exist_ok=True)
    made = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    mounted = subprocess.run(made, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def full_rows(home: Path, name: str, more: Sequence[str], sizes: Sequence[int]) -> Iterator[Row]:
    """The disk of --out is full: one sentence, nothing half-written, nothing left."""
    source = write_rows(home / f"big{len(more)}", 4, 10_000)
    began, ended = time.perf_counter(), []
    for size in sizes:
        with disk(home / "disk", size) as mounted:
            if not mounted:
                return
            way = Solve(source, home / "disk", *more)
            (way.out / "samples.parquet").write_bytes(b"of a run before")
            code, said = way.run()
            one: Row = {"came to pass": code != 0}
            if code:
                one["badly told"] = not is_told(code, said, "No space left")
                one["mixed"] = way.state() != {"samples.parquet": b"of a run before"}
            one["left over"] = bool(left(way.out))
            ended.append(one)
    fault = "a disk of " + ", ".join(f"{size >> 10} KiB" for size in sizes)
    yield tally(name, fault, ended, time.perf_counter() - began)


def workers_below(root: int) -> list[int]:
    """Ray's processes that run a task below a process."""
    from scale import below

    found = []
    for number in below(root):
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes()
        except OSError:
            continue
        if words.startswith((b"ray::MapBatches", b"ray::HashShuffle")):
            found.append(number)
    return found


def worker_rows(home: Path, name: str, more: Sequence[str], times: int) -> Iterator[Row]:
    """A worker is killed at a random moment; the run goes on and ends the same."""
    source = write_rows(home / "few", 6, 500)
    plain, way = Solve(source, home / "once"), Solve(source, home / "again", *more)
    codes = plain.run()[0], way.run()[0]
    if codes != (0, 0) or plain.state() != way.state():
        raise SystemExit(f"{name} is not the same undisturbed")
    rng = random.Random(8)
    began, ended = time.perf_counter(), []
    for _ in range(times):
        process = way.start()
        skipped, killed = rng.randrange(12), False
        seen: set[int] = set()
        while process.poll() is None and not killed:
            for number in workers_below(process.pid):
                seen.add(number)
                if len(seen) + rng.randrange(3) > skipped:
                    os.kill(number, signal.SIGKILL)
                    killed = True
                    break
            time.sleep(0.05)
        said = process.communicate(timeout=1200)[0].decode(errors="replace")
        one = {"came to pass": killed, "badly told": "Traceback" in said}
        one["not the same after"] = process.returncode != 0 or way.state() != plain.state()
        one["left over"] = bool(left(way.out))
        ended.append(one)
    yield tally(name, "SIGKILL of a worker", ended, time.perf_counter() - began)


def rows(engine: str, times: int) -> Iterator[Row]:
    """All of them, in parts or on Ray; at most so many times each."""
    more = ["--engine", "ray"] if engine == "ray" else ["--max-memory", "64MiB"]
    name = " ".join(["dagame solve", *more])
    with tempfile.TemporaryDirectory() as place:
        yield from damaged_rows(Path(place), name, more, times)
        sizes = [n << 10 for n in (1024, 64, 512, 256, 2048, 3072)]
        yield from full_rows(Path(place), name, more, sizes[:times])
        if engine == "ray":
            yield from worker_rows(Path(place), name, more, times)
