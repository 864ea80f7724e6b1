"""The speed of single solves, of a batch and of the import, beside an earlier commit.

    python benchmarks/speed_since.py --before 08458a9 [--repeats 5]

Arithmetic coherence (strength 10, beta 1, Dirichlet(1) references): one game of 4 contexts at three sizes and
a batch of 4 x 64, medians of warm repeats; the import in a fresh interpreter. Both commits in turn, every
run a process of its own, the median of the runs; one thread. `times` above 1: faster than before.
Files are read by `samples_throughput.py --before`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import keep

ROOT = Path(__file__).resolve().parents[1]

# It stands alone: an earlier commit has other helpers, or none.
MEASURED = """
import json, time
begin = time.perf_counter()
import dagame as dg
seconds = {"import dagame": time.perf_counter() - begin}
import numpy as np

def median(call, repeats):
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return float(np.median(times))

def solver(batch, n):
    reference = np.random.default_rng(n).dirichlet(np.ones(n), (*batch, 4))
    return lambda: dg.solve(dg.AlignmentGame(reference, dg.Coherence(10.0), beta=1.0))

for n, repeats in ((10, 99), (100, 99), (1000, 49)):
    seconds[f"one game, n = {n:,}"] = median(solver((), n), repeats)
seconds["2,000 games, n = 64"] = median(solver((2000,), 64), 5)
print(json.dumps(seconds))
"""


def measured(root: Path) -> dict[str, float]:
    """Seconds of each by the package at `root`, in a fresh process."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURED],
        env={**os.environ, **threads, "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{root}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def main() -> None:
    """Both commits in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", required=True, metavar="COMMIT")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(before), options.before], check=True)
        try:
            runs = [(measured(before), measured(ROOT)) for _ in range(options.repeats + 1)][1:]
        finally:
            subprocess.run([*git, "remove", "--force", str(before)], check=True)
    rows = []
    for name in runs[0][0]:
        old, new = (float(np.median([run[k][name] for run in runs])) for k in (0, 1))
        rows.append(
            {"what": name, "before, ms": 1e3 * old, "now, ms": 1e3 * new, "times": old / new}
        )
    keep("speed_since", rows, before=options.before, repeats=options.repeats)


if __name__ == "__main__":
    main()
