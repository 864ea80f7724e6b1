"""`dagame solve` on up to 2 million rows: seconds, rows per second, peak memory, each in a fresh process.

    python benchmarks/samples_throughput.py [SAMPLES.jsonl]

The rows of SAMPLES (default: the generated file of `dagame demo`; for the numbers in the README the
GPT-4 Game of 24 samples) are repeated under new class names until there are enough of them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import keep

from dagame.apps.sample_file import sample_file

SIZES = (20_000, 200_000, 2_000_000)


def repeated(source: Path, column: str, rows: int, path: Path) -> None:
    """Write `rows` rows, the class column with the number of the repetition appended."""
    known = [json.loads(line) for line in source.read_text().splitlines()]
    with path.open("w") as stream:
        for k in range(rows):
            row = known[k % len(known)]
            copy = dict(row) | {column: f"{row[column]}-{k // len(known)}"}
            stream.write(json.dumps(copy) + "\n")


def measured(arguments: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident GiB of one process."""
    before = time.perf_counter()
    child = (
        "import resource, subprocess, sys;"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", child, sys.executable, "-m", "dagame", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - before, int(done.stdout) / 2**20


def main() -> None:
    """Grow the file tenfold twice."""
    assert resource.getpagesize() > 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            source, column = Path(sys.argv[1]), "problem"
            options = ["--context", "prompt_format", "--extract", r"Answer:\s*([^=\n]*)"]
        else:
            source, column = (
                sample_file(Path(folder) / "s.jsonl", questions=100, samples=60),
                "question",
            )
            options = ["--context", "format", "--extract", r"Answer: (\S+)"]
        options += ["--class", column, "--correct", "correct", "--canonical", "nospace"]
        for size in SIZES:
            path = Path(folder) / "big.jsonl"
            repeated(source, column, size, path)
            megabytes = path.stat().st_size / 1e6
            for output in ("summary", "summary + samples.parquet"):
                more = [] if output == "summary" else ["--out", folder, "--no-report"]
                seconds, peak = measured(["solve", str(path), *options, *more])
                rows.append(
                    {
                        "rows": size,
                        "input MB": megabytes,
                        "output": output,
                        "seconds": seconds,
                        "rows/s": size / seconds,
                        "peak GiB": peak,
                    }
                )
    keep("samples_throughput", rows, source=source.name)


if __name__ == "__main__":
    main()
