"""Workers that are killed, crash, print, hang or do not start: no row is lost or shifted."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from budget import FACTOR, scale
from interpreter import python

from dagame.errors import ExtractionError
from dagame.samples.keys.canonical import make_canonicaliser
from dagame.samples.keys.extract import make_extractor
from dagame.samples.keys.workers import map_in_workers

SEED = 8 if FACTOR == 1 else random.SystemRandom().randrange(2**32)


def children(pid):
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in paths for child in path.read_text().split()]


linux = pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds processes in /proc")


@linux
def test_killed_workers_lose_and_shift_no_row():
    rng = random.Random(SEED)
    rows = [f"{k}/7+x-x" for k in range(300)]
    done = threading.Event()
    kills, others = [], children(os.getpid())

    def kill():
        while not done.wait(rng.uniform(1, 6)):
            workers = [child for child in children(os.getpid()) if child not in others]
            if workers:
                os.kill(rng.choice(workers), signal.SIGKILL)
                kills.append(workers)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while len(kills) < scale(2):
            before = len(kills)
            found, given_up = map_in_workers("canonical_math", rows, 30.0, 2)
            assert sum(given_up) <= (len(kills) - before) // 2
            for k, (key, lost) in enumerate(zip(found, given_up, strict=True)):
                assert key == (None if lost else str(Fraction(k, 7)))
    finally:
        done.set()
        killer.join()


@pytest.mark.parametrize("executable", ["/nonexistent/python", "", None, "/bin/false", "/bin/cat"])
def test_a_worker_that_cannot_start_is_one_error(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(ExtractionError, match=r"start"):
        map_in_workers("canonical_math", ["1"] * 200, 5.0, 2)


FAULTY = """
import json, sys
from dagame.samples.keys import workers
def run():
    if sys.argv[1] == "noise":
        return lambda row: print("noise", flush=True) or row[:5]
    if sys.argv[1] == "crash":
        import os
        return lambda row: os._exit(3) if row == "5" else row
    if sys.argv[1] == "memory":
        return lambda row: str(len(bytearray(3 << 30))) if row == "5" else row
    return lambda row: row
if sys.argv[1] == "memory":
    workers._TRIES = 1  # so that one death charged to another row gives it up
workers._SERVE = workers._SERVE.replace("serve(sys", "import faulty; faulty.install(); serve(sys")
if __name__ == "__main__":
    rows = [str(k) * int(sys.argv[2]) for k in range(10)]
    found, given_up = workers.map_in_workers("canonical_math", rows, 20.0, 2)
    print(json.dumps([[f and f[:5] for f in found], [f and len(f) for f in found], given_up]))
"""


@pytest.mark.parametrize("fault", ["noise", "crash", "memory", "large"])
def test_faulty_workers(tmp_path, fault):
    task = FAULTY.split("workers._SERVE")[0].replace("sys.argv[1]", repr(fault))
    (tmp_path / "faulty.py").write_text(
        task + "def install():\n    workers.TASKS['canonical_math'] = run\n"
    )
    size = 10_000_000 if fault == "large" else 1
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    found, lengths, given_up = python(FAULTY, fault, str(size), env=environment)
    bad = 5 if fault in ("crash", "memory") else None
    for k in range(10):
        if k == bad:
            assert found[k] == (None if fault == "crash" else "")
        else:
            assert found[k] == str(k) * min(size, 5)
            assert lengths[k] == size
    assert given_up == [k == 5 and fault == "crash" for k in range(10)]


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 0, -1.0, "5", None])
def test_a_time_limit_that_cannot_pass_is_refused(seconds):
    for make in (make_extractor, make_canonicaliser):
        with pytest.raises(ExtractionError, match="row_seconds"):
            make("math", row_seconds=seconds)


def test_a_time_limit_beyond_any_is_none():
    assert map_in_workers("canonical_math", ["1/2", "0.25"], 1e300, 1) == (
        ["1/2", "1/4"],
        [False] * 2,
    )


HANGING = """
def install():
    from dagame.samples.keys import workers
    find = workers.TASKS["extract_math"]()
    def hang(row):
        while row == "late":
            pass
        return find(row)
    workers.TASKS["extract_math"] = lambda: hang
"""
WITH_IT = """
from dagame.samples.keys import workers
workers._SERVE = workers._SERVE.replace("serve(sys", "import faulty; faulty.install(); serve(sys")
"""
ORPHAN = WITH_IT + 'workers.map_in_workers("extract_math", ["late"] * 64, 4.0, 2)'
COMMAND = WITH_IT + "from dagame.apps.cli import main; main()"


def hanging(tmp_path):
    """The environment in which a worker hangs at the row "late": no real row does any more."""
    (tmp_path / "faulty.py").write_text(HANGING)
    return os.environ | {"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}


@linux
def test_workers_do_not_outlive_a_killed_parent(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN], env=hanging(tmp_path))
    deadline = time.monotonic() + 60
    while len(workers := children(parent.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2)
    parent.kill()
    parent.wait()
    assert len(workers) == 2
    while any(Path(f"/proc/{p}").exists() for p in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{p}/cmdline").exists() for p in workers)


def test_a_late_row_of_the_command_line_is_counted_not_fatal(tmp_path):
    path = tmp_path / "s.jsonl"
    rows = [{"q": 1, "completion": f"$\\boxed{{{k}}}$"} for k in range(3)]
    rows.append({"q": 1, "completion": "late"})
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    arguments = ["solve", str(path), "--class", "q"]
    command = [sys.executable, "-m", "dagame", *arguments]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments, "--extract", "math", "--json", "-"],
        env=hanging(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["summary"]["timed_out_rows"] == 1
    bad = subprocess.run(
        [*command, "--extract", "(a{1,1000}){1,1000}"], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
