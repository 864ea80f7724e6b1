"""`dagame solve` on up to 2 million rows beside an earlier commit: seconds, peak memory, fresh processes.

    python benchmarks/samples_throughput.py [SAMPLES.jsonl] [--before COMMIT] [--rows N] [--presets N]
                                            [--repeats N]

The rows of SAMPLES (default: the generated file of `dagame demo`; for the numbers in the documentation
the GPT-4 Game of 24 samples) are repeated under new class names until there are enough of them, as they
are and with the row's number in each completion, so that none is read twice. One case for each preset
reads the demo's completions with their answers written as the preset expects. COMMIT, by default this
one without its changes, is measured in turn with the working tree, medians of N repeats after one that
writes, and the numbers (--json) and samples.parquet of both are compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from common import keep

from dagame.apps.sample_file import sample_file
from dagame.bench.common import watching

ROOT = Path(__file__).resolve().parents[1]
WRITTEN: dict[str, Callable[[str], str]] = {
    "boxed": lambda answer: rf"so it is $\boxed{{{answer}}}$.",
    "gsm8k": lambda answer: f"\n#### {answer}",
    "choice": lambda answer: f"The answer is ({'ABCDEFGHIJ'[int(answer) % 10]}).",
    "answer": lambda answer: f"The answer is {answer}.",
    "last-number": lambda answer: f"So there are {answer} of them.",
    "auto": lambda answer: f"The answer is {answer}.",
}
"""How an answer stands in a completion that the preset reads."""

Change = Callable[[dict[str, Any], int], dict[str, Any]]


class Case(NamedTuple):
    """A file and the command that reads it."""

    name: str
    rows: int
    path: Path
    options: list[str]


def repeated(
    source: Path, column: str, rows: int, path: Path, change: Change = lambda row, _: row
) -> None:
    """Write `rows` rows, the class column with the number of the repetition appended."""
    known = [json.loads(line) for line in source.read_text().splitlines()]
    with path.open("w") as stream:
        for k in range(rows):
            row = known[k % len(known)]
            copy = dict(row) | {column: f"{row[column]}-{k // len(known)}"}
            stream.write(json.dumps(change(copy, k)) + "\n")


def cases(source: Path | None, rows: int, of_presets: int, folder: Path) -> Iterator[Case]:
    """The files, each gone when the next one is asked for."""
    demo = sample_file(folder / "demo.jsonl", questions=100, samples=60)
    path = folder / "big.jsonl"
    if source is None:
        source, column = demo, "question"
        options = ["--context", "format", "--extract", r"Answer: (\S+)"]
    else:
        column = "problem"
        options = ["--context", "prompt_format", "--extract", r"Answer:\s*([^=\n]*)"]
    options += ["--class", column, "--correct", "correct", "--canonical", "nospace"]
    for size in (rows // 100, rows // 10, rows):
        repeated(source, column, size, path)
        yield Case("pattern", size, path, options)
    repeated(source, column, rows, path, _told_apart)
    yield Case("pattern, no completion twice", rows, path, options)
    for preset, written in WRITTEN.items():
        repeated(demo, "question", of_presets, path, _with_answers(written))
        columns = ["--class", "question", "--context", "format", "--correct", "correct"]
        yield Case(preset, of_presets, path, [*columns, "--extract", preset])


def _told_apart(row: dict[str, Any], number: int) -> dict[str, Any]:
    return row | {"completion": f"({number}) {row['completion']}"}


def _with_answers(written: Callable[[str], str]) -> Change:
    def change(row: dict[str, Any], number: int) -> dict[str, Any]:
        text, found, answer = row["completion"].partition("Answer: ")
        return _told_apart(row | {"completion": text + written(answer) if found else text}, number)

    return change


class Run(NamedTuple):
    """One process: wall and processor seconds, peak resident GiB."""

    seconds: float
    processor: float
    peak: float


def measured(arguments: list[str], root: Path, bytecode: Path) -> Run:
    """`dagame` of the package at `root` with these arguments; its compiled files are kept in `bytecode`."""
    child = (
        "import resource, subprocess, sys;"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss); sys.exit(code)"
    )
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", child, sys.executable, "-m", "dagame", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        env=os.environ
        | {
            "PYTHONPATH": str(root),
            "PYTHONPYCACHEPREFIX": str(bytecode),
            "PYTHONDONTWRITEBYTECODE": "",  # an installed package is compiled once, too
        },
    )
    processor, peak = done.stdout.split()
    return Run(time.perf_counter() - before, float(processor), int(peak) / 2**20)


def compared(case: Case, roots: dict[str, Path], folder: Path, repeats: int) -> dict[str, Any]:
    """One case, both commits in turn; each with its results written once, then without."""
    outputs = {name: folder / f"rows-{name}" for name in roots}
    command, bytecode = ["solve", str(case.path), *case.options], folder / "bytecode"
    for name, root in roots.items():
        written = ["--out", str(outputs[name]), "--no-report", "--json", f"{outputs[name]}.json"]
        measured([*command, *written], root, bytecode)
    runs: dict[str, list[Run]] = {name: [] for name in roots}
    for _ in range(repeats):
        for name, root in roots.items():
            runs[name].append(measured(command, root, bytecode))
    now, before = (Run(*np.median(runs[name], axis=0).tolist()) for name in ("now", "before"))
    return {
        "completions read by": case.name,
        "rows": case.rows,
        "input MB": case.path.stat().st_size / 1e6,
        "seconds": now.seconds,
        "before": before.seconds,
        "times": before.seconds / now.seconds,
        "processor seconds": now.processor,
        "processor before": before.processor,
        "peak GiB": now.peak,
        "peak before": before.peak,
        "rows/s": case.rows / now.seconds,
        **_compared(outputs["now"], outputs["before"]),
    }


def _compared(one: Path, other: Path) -> dict[str, Any]:
    """Whether all but decimal numbers is equal in both samples.parquet, and how far those are apart at most.

    Of --json what both commits write counts, but for sentences, times and where it comes from.
    """
    found, known = (pl.read_parquet(folder / "samples.parquet") for folder in (one, other))
    if found.schema != known.schema or len(found) != len(known):
        return {"same but decimals": False, "decimals apart": math.inf}
    apart = [_apart(*(_numbers(Path(f"{folder}.json")) for folder in (one, other)))]
    for column, before in zip(found, known, strict=True):
        if column.dtype.is_float():
            alike = column.is_null().equals(before.is_null())
            apart.append(float((column - before).abs().max() or 0) if alike else math.inf)  # type: ignore[arg-type]
        else:
            apart.append(0.0 if column.equals(before) else math.inf)
    worst = max(apart)
    return {"same but decimals": worst < math.inf, "decimals apart": worst}


def _numbers(path: Path) -> dict[str, Any]:
    """What --json wrote, but for sentences, how long it took and where it comes from."""
    content = json.loads(path.read_text())
    del content["provenance"], content["summary"]["seconds"]
    content.pop("verdict", None)
    return content


def _apart(one: Any, other: Any) -> float:
    """The largest difference of numbers in both; infinite where anything else differs."""
    if isinstance(one, dict) and isinstance(other, dict):
        return max((_apart(one[k], other[k]) for k in one.keys() & other.keys()), default=0.0)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False) if len(one) == len(other) else ()
        return max((_apart(*pair) for pair in pairs), default=0.0 if one == other else math.inf)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other)
    return 0.0 if one == other else math.inf


def main() -> None:
    """All cases on both commits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", nargs="?", type=Path)
    parser.add_argument("--before", default="HEAD", help="the commit to compare with")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the largest file")
    parser.add_argument("--presets", type=int, default=200_000, help="rows for each preset")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, in turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        old = folder / "old"
        archive = subprocess.run(
            ["git", "archive", options.before, "dagame"], cwd=ROOT, check=True, capture_output=True
        )
        old.mkdir()
        subprocess.run(["tar", "-x"], cwd=old, check=True, input=archive.stdout)
        roots = {"before": old, "now": ROOT}
        found = []
        with watching() as watch, watch.stage("read by") as say:
            for case in cases(options.samples, options.rows, options.presets, folder):
                say(f"{case.name}, {case.rows:,} rows")
                found.append(compared(case, roots, folder, options.repeats))
    source = "dagame demo" if options.samples is None else options.samples.name
    facts = {"source": source, "before": options.before, "repeats": options.repeats}
    keep("samples_throughput", found, **facts)


if __name__ == "__main__":
    main()
