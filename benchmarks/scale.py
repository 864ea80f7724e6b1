"""Samples at once, in parts and on Ray: rows per second and memory over sizes, and the same results.

    python benchmarks/scale.py [--sizes 2e5 2e6 2e7] [--ways plain local ray] [--max-memory 2GiB]
    python benchmarks/scale.py --sizes --passes 5e4 2e5 8e5 --max-memory 256MiB
    python benchmarks/scale.py --sizes --equal FILE --class question --context format --answer answer

The completions are made here: eight to a question, in two phrasings, about 100 bytes as JSON lines in
files of a million. `memory` is the most that all processes of a run held together (each shared page once,
PSS, and the whole of Ray's object store; looked at twice a second), and in the JSON `held` says which
of `KINDS` held it then; `CPU s` is what they took. Every way solves the same files by `dagame solve`;
`same` compares what it prints and every row of samples.parquet with those of the first way that ran, the
plain one up to 5e6 rows. `--equal` does so for a file, with all numbers of the JSON. The way `cluster`
starts a Ray cluster of its own, which the run joins by --address.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import environment, keep

WAYS = {
    "plain": [],
    "local": ["--engine", "local"],
    "ray": ["--engine", "ray"],
    "cluster": ["--engine", "ray", "--address"],
}
_IN_A_FILE = 1_000_000
KINDS = {
    "actors of Ray Data": r"ray::_",
    "spilling": r"ray::\S*(Spill|Restore)",
    "engine of Ray": r"ray::\w+Agent|ray\.scripts|/ray/(core|dashboard|autoscaler|_private/log_monitor)",
    "tasks": r"ray::|/ray/_private/workers",
    "dagame": r"",
}
"""Of which kind a process is: the first whose expression the beginning of its command line has."""


def make(folder: Path, rows: int, seed: int = 0) -> int:
    """JSON lines of so many completions; their bytes."""
    folder.mkdir()
    for k, start in enumerate(range(0, rows, _IN_A_FILE)):
        count = min(_IN_A_FILE, rows - start)
        rng = np.random.default_rng([seed, k])
        number = np.arange(start, start + count)
        question = number % max(rows // 8, 1)
        answer = (question * 7 + rng.geometric(0.45, count)) % 97
        frame = pl.DataFrame(
            {"question": question, "phrasing": rng.integers(0, 2, count), "a": answer}
        )
        text = pl.format("So the sum of it all comes to {}.\n#### {}", pl.col("a"), pl.col("a"))
        lines = frame.select(
            pl.format("q{}", pl.col("question")).alias("question"),
            "phrasing",
            text.alias("completion"),
            (pl.col("a") == (pl.col("question") * 7 + 1) % 97).alias("correct"),
        )
        lines.write_ndjson(folder / f"part-{k:04d}.jsonl")
    return sum(path.stat().st_size for path in folder.iterdir())


class Watch(threading.Thread):
    """What a process and all below it take: the most bytes held at once, and CPU seconds in all."""

    def __init__(self, *roots: int) -> None:
        """`roots` are numbers of processes."""
        super().__init__(daemon=True)
        self.roots, self.over = roots, threading.Event()
        self.spent: dict[int, float] = {}
        self.worst: dict[str, int] = {}

    def run(self) -> None:
        """Look twice a second."""
        while not self.over.wait(0.5):
            now = below(*self.roots)
            self.spent |= now
            self.worst = max(self.worst, _held(list(now)), key=lambda held: sum(held.values()))

    @property
    def cpu(self) -> float:
        """CPU seconds, of each process until it was last seen."""
        return sum(self.spent.values())


def below(*roots: int) -> dict[int, float]:
    """CPU seconds of processes and of all below them."""
    parents, spent = {}, {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(place.parent.name)
        parents[number] = int(fields[1])
        spent[number] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    found = [*roots]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return {number: spent[number] for number in found if number in spent}


def _held(processes: list[int]) -> dict[str, int]:
    """Bytes of each of `KINDS`, each shared page once, and what Ray's store takes of memory."""
    held, store = dict.fromkeys(KINDS, 0), {}
    for process in processes:
        place = Path(f"/proc/{process}")
        try:
            lines = (place / "smaps_rollup").read_text().splitlines()
            words = (place / "cmdline").read_text().split("\0")
            if (place / "comm").read_text() == "raylet\n":  # which holds the object store
                for fd in (place / "fd").iterdir():
                    if os.readlink(fd).startswith("/dev/shm/"):  # noqa: S108 -- looked for, not written
                        store[fd.stat().st_ino] = fd.stat().st_blocks * 512
        except OSError:
            continue
        sizes = {name: int(size) << 10 for name, size, _ in (x.split() for x in lines[1:])}
        first = " ".join(words[:4])
        kind = next(kind for kind, looks in KINDS.items() if re.search(looks, first))
        held[kind] += sizes["Pss:"] - sizes["Pss_Shmem:"]
    return {**held, "object store": sum(store.values())}


@contextmanager
def cluster() -> Iterator[tuple[str, int]]:
    """A Ray cluster of this machine, which is ended afterwards: its address and its first process."""
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="ray") as folder:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        os.environ["RAY_AUTH_MODE"] = "token"
        ray = [sys.executable, "-m", "ray.scripts.scripts"]
        subprocess.run([*ray, "get-auth-token", "--generate"], capture_output=True, check=True)
        command = [*ray, "start", "--head", "--block", f"--port={port}", f"--temp-dir={folder}"]
        command += ["--include-dashboard=false", "--disable-usage-stats", "--num-cpus=2"]
        command += [f"--object-store-memory={512 << 20}"]
        pipe = subprocess.PIPE
        head = subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        try:
            assert head.stdout is not None
            said = ""
            while "runtime started" not in said:
                line = head.stdout.readline()
                said += line
                if not line:
                    raise SystemExit(f"no cluster: {said[-2000:]}")
            threading.Thread(target=head.stdout.read, daemon=True).start()
            yield f"127.0.0.1:{port}", head.pid
        finally:
            head.terminate()
            head.wait()


def run(
    way: str, source: list[str], out: Path, memory: str, *, numbers: bool = False
) -> dict[str, Any]:
    """One `dagame solve`, its time and memory, and what it found; with all `numbers` as JSON too."""
    in_parts = [] if way == "plain" else [*WAYS[way], "--max-memory", memory]
    with cluster() if way == "cluster" else nullcontext(("", 0)) as (address, head):
        if way == "cluster":
            in_parts.insert(in_parts.index("--address") + 1, address)
        command = [sys.executable, "-m", "dagame", "solve", *source, *in_parts, "--no-report"]
        command += ["--out", str(out)]
        if numbers:
            command += ["--json", str(out.with_suffix(".json"))]
        began = time.perf_counter()
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        watch = Watch(process.pid, *([head] if head else []))
        watch.start()
        printed, errors = process.communicate()
        watch.over.set()
        seconds = time.perf_counter() - began
    if process.returncode != 0:
        raise SystemExit(f"{way}: exit code {process.returncode}: {errors[-2000:]}")
    return {
        "seconds": seconds,
        "cpu": watch.cpu,
        "worst": watch.worst,
        "found": found_in(out, printed),
    }


def found_in(out: Path, printed: str) -> dict[str, str]:
    """Hashes of what was printed, of all numbers but times, and of each column of the rows."""
    told = {"printed": hashlib.sha256(printed.partition("\nwrote ")[0].encode())}
    if out.with_suffix(".json").exists():
        content = json.loads(out.with_suffix(".json").read_text())
        content["summary"].pop("seconds")
        text = json.dumps({**content, "provenance": None})
        told["numbers"] = hashlib.sha256(text.encode())
    rows = pl.scan_parquet(out / "samples.parquet")
    count = rows.select(pl.len()).collect().item()
    for start in range(0, count, _IN_A_FILE):
        for column in rows.slice(start, _IN_A_FILE).collect():
            part = told.setdefault(f"column {column.name}", hashlib.sha256())
            part.update(column.to_frame().write_csv().encode())
    return {name: found.hexdigest() for name, found in told.items()}


def compared(found: dict[str, str], first: dict[str, str]) -> str:
    """Yes, or which of them are not the same."""
    other = [name for name in {**first, **found} if found.get(name) != first.get(name)]
    return f"not {', '.join(other)}" if other else "yes"


def sizes(folder: Path, counts: list[int], ways: list[str], memory: str) -> list[dict[str, Any]]:
    """A row for each size and way."""
    rows = []
    for count in counts:
        source = folder / f"rows-{count}"
        length = make(source, count)
        first = None
        for way in ways:
            if way == "plain" and count > 5_000_000:
                continue
            asked = [str(source), "--class", "question", "--context", "phrasing"]
            asked += ["--correct", "correct", "--extract", "gsm8k", "--canonical", "number"]
            made = run(way, asked, folder / f"{way}-{count}", memory)
            first = first or made["found"]
            rows.append(
                {
                    "rows": count,
                    "way": way,
                    "GB read": length / 1e9,
                    "seconds": made["seconds"],
                    "CPU s": made["cpu"],
                    "rows/CPU s": round(count / made["cpu"]),
                    "memory GiB": sum(made["worst"].values()) / 2**30,
                    "held": {k: v / 2**30 for k, v in made["worst"].items() if v},
                    "same": compared(made["found"], first),
                }
            )
            print(rows[-1], flush=True)
    return rows


def passes(folder: Path, counts: list[int], memory: str) -> list[dict[str, Any]]:
    """CPU seconds of each pass in one process, and bytes between them, by the size."""
    import dagame as dg

    rows = []
    for count in counts:
        source = folder / f"passes-{count}"
        length = make(source, count)
        clock = [time.process_time()]
        options = {"extract": "gsm8k", "canonical": "number", "max_memory": memory}
        ends: dict[str, float] = {}

        def said(stage: str, ends: dict[str, float] = ends) -> None:
            ends.setdefault(stage.split()[0], time.process_time())

        with dg.Samples.stream(
            source, "question", "phrasing", correct="correct", progress=said, **options
        ) as samples:
            clock += [ends["extracting"], time.process_time()]
            found = samples.solve(dg.Coherence(1.0), beta=1.0)
            clock.append(time.process_time())
            shelf = samples.work.shelf.folder
            held = {path.name.split("-")[0]: 0 for path in shelf.iterdir()}
            for path in shelf.iterdir():
                held[path.name.split("-")[0]] += path.stat().st_size
            found.write_rows(folder / "rows.parquet")
            clock.append(time.process_time())
            groups = sum(kept.groups.rows for kept in samples.counted)
        spent = np.diff(clock)
        names = ("read", "keys", "solve", "write")
        rows.append(
            {"rows": count, "classes": found.facts.classes, "G": groups, "bytes read": length}
            | {f"{name}, CPU s": float(t) for name, t in zip(names, spent, strict=True)}
            | {f"{name}, bytes": held.get(name, 0) for name in ("rows", "keys", "groups", "worths")}
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=lambda t: int(float(t)), default=[200_000])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["plain", "local", "ray"])
    parser.add_argument("--max-memory", default="2GiB")
    parser.add_argument("--equal", help="a file; the options behind it go to `dagame solve`")
    parser.add_argument("--at", help="an address of that file, for all ways but the plain one")
    parser.add_argument("--passes", nargs="+", type=lambda t: int(float(t)), default=[])
    parser.add_argument("--name", default="scale")
    options, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if options.equal:
            found = {}
            for way in options.ways:
                source = options.equal if way == "plain" else options.at or options.equal
                made = run(way, [source, *more], folder / way, "64MiB", numbers=True)
                found[way] = made["found"]
            first = found[options.ways[0]]
            same = {way: compared(one, first) for way, one in found.items()}
            print(f"{options.equal}: the same as by {options.ways[0]}: {same}")
        if options.passes:
            keep(f"{options.name}_passes", passes(folder, options.passes, options.max_memory))
        if options.sizes:
            rows = sizes(folder, options.sizes, options.ways, options.max_memory)
            facts = {"max_memory": options.max_memory, "python": environment()["python"]}
            keep(options.name, rows, **facts, held=[row.pop("held") for row in rows])


if __name__ == "__main__":
    main()
