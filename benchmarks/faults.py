"""Runs killed, torn and out of space: is each output whole, as it was, or absent, and the next run right?

    python benchmarks/faults.py [--json FILE] [--part solve] [--most 40]

Every run is started again after its fault, by --resume where it was begun. `mixed`: what was there
after the fault came from two runs or was cut off; `not the same after`: the next run did not end as
an undisturbed one does; `left over`: temporaries that it did not remove; `badly told`: a failure
without one sentence and exit code 2, or with a traceback; `hung`: past three minutes (Ray: twenty).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import keep

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "torture"))

import fault_engines
from forks import COMMAND, SOLVING, STEADY, TRAINING, Forks, Outcome
from outputs import left, solving, state

from dagame.apps.sample_file import sample_file
from dagame.bench.common import environment

SEED = 8
_STARTED_LIMIT = 1200
"""Seconds for a run of processes that all have to start, on a machine that has other work."""
Row = dict[str, Any]


@dataclass
class Case:
    """Two runs with the same outputs, told apart by what they write; `again` repairs after a fault."""

    name: str
    forks: Forks
    root: Path
    first: Sequence[str | Path]
    second: Sequence[str | Path]
    call: str = COMMAND

    def run(self, argv: Sequence[str | Path], **fault: Any) -> Outcome:
        """One run, with a fault or none."""
        return self.forks.run(argv, call=self.call, root=self.root, **fault)

    def prepare(self) -> int:
        """States of both runs; how often the second changes the folder."""
        self.run(self.second)
        self.new = state(self.root)
        self.run(self.first)
        count = self.forks.changes(self.second, call=self.call, root=self.root)
        self.run(self.first)
        self.old = state(self.root)
        return count

    def prepare_states(self) -> None:
        """States of both runs."""
        self.run(self.second)
        self.new = state(self.root)
        self.run(self.first)
        self.old = state(self.root)

    def mixed(self) -> bool:
        """Whether what is there is of both runs, or of neither."""
        found = state(self.root)
        return not any(found.items() <= whole.items() for whole in (self.old, self.new))

    def repaired(self) -> tuple[bool, bool]:
        """Whether the next run ends the same, and whether it leaves something over."""
        outcome = self.run(self.first)
        return outcome.code == 0 and state(self.root) == self.old, bool(left(self.root))


def spread(count: int, most: int) -> list[int]:
    """At most that many moments of 1 to count, evenly, and the last five, where the renames are."""
    step = max(count / most, 1)
    some = {min(round(1 + i * step), count) for i in range(most)}
    return sorted(some | set(range(max(1, count - 4), count + 1)))


def fault_rows(case: Case, most: int, sizes: Sequence[int]) -> Iterator[Row]:
    """A row for kills at changes, one for kills within writes, one for failing writes."""
    count = case.prepare()
    faults = {
        f"SIGKILL at changes 1 to {count} of its folder": [{"kill": k} for k in spread(count, most)]
    }
    faults["killed when a file passes n bytes"] = [{"torn": n} for n in sizes]
    faults["writes fail when a file passes n bytes"] = [{"full": n} for n in sizes]
    for name, moments in faults.items():
        yield tally(case.name, name, moments, lambda fault: case.run(case.second, **fault), case)


def tally(
    what: str,
    fault: str,
    moments: Sequence[Any],
    run: Callable[[Any], Outcome],
    case: Any,
) -> Row:
    """How the runs ended, counted."""
    started = time.perf_counter()
    row = {"run": what, "fault": fault, "times": len(moments), "came to pass": 0, "mixed": 0}
    row |= {"not the same after": 0, "left over": 0, "badly told": 0, "hung": 0}
    for moment in moments:
        outcome = run(moment)
        row["came to pass"] += outcome.code != 0
        row["hung"] += outcome.hung
        row["badly told"] += "Traceback" in outcome.said or not (
            outcome.killed or outcome.code in (0, 2)
        )
        row["mixed"] += case.mixed()
        same, over = case.repaired()
        row["not the same after"] += not same
        row["left over"] += over
    return row | {"seconds": round(time.perf_counter() - started, 1)}


def solve_rows(home: Path, most: int, *more: str) -> Iterator[Row]:
    samples = sample_file(home / "s.jsonl", 1, questions=3, samples=4)
    out = home / f"solve{''.join(more)}"
    out.mkdir()
    argv = solving(samples, out, *more)
    name = " ".join(["dagame solve", *more])
    case = Case(name, Started(), out, argv, [*argv, "--beta", "2"])  # type: ignore[arg-type]
    if "ray" not in more:  # whose processes do not start in a fork
        with Forks(SOLVING) as forks:
            case.forks = forks
            yield from fault_rows(case, most, (0, 1, 100, 1_000, 3_000, 10_000))
    case.forks = Started()
    case.prepare_states()
    began = time.perf_counter()
    case.run(argv)
    whole = time.perf_counter() - began
    rng = random.Random(SEED)
    delays = [rng.uniform(0, whole) for _ in range(most // 2)]
    run = lambda delay: case.run(case.second, delay=delay)  # noqa: E731
    yield tally(name, f"SIGKILL after 0 to {whole:.1f} s", delays, run, case)


def parts_rows(home: Path, most: int) -> Iterator[Row]:
    yield from solve_rows(home, most, "--max-memory", "64MiB")
    yield from fault_engines.rows("local", most)


def ray_rows(home: Path, most: int) -> Iterator[Row]:
    most = max(most // 10, 2)  # a run takes as long as all its processes to start
    yield from solve_rows(home, most, "--engine", "ray")
    yield from fault_engines.rows("ray", most)


class Started:
    """Runs as processes of their own, killed after a delay."""

    def run(self, argv: Sequence[str | Path], delay: float | None = None, **_more: Any) -> Outcome:
        """One run, killed after `delay` seconds."""
        command = [sys.executable, "-m", "dagame", *map(str, argv)]
        pipe, env = subprocess.PIPE, os.environ | STEADY
        process = subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, env=env)
        try:
            said, _ = process.communicate(timeout=delay or _STARTED_LIMIT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            said, _ = process.communicate()
        hung = delay is None and process.returncode < 0
        return Outcome(process.returncode, said.decode(errors="replace"), hung, 0)


def set_rows(home: Path, most: int) -> Iterator[Row]:
    out = home / "set"
    out.mkdir()
    with Forks(SOLVING) as forks:
        case = Case(
            "two files and a folder", forks, out, [out, "old"], [out, "new"], "faults:write_set"
        )
        count = case.prepare()
        moments = list(range(1, count + 1)) * max(most // 10, 1)
        name = f"SIGKILL at changes 1 to {count}"
        yield tally(case.name, name, moments, lambda k: case.run(case.second, kill=k), case)


def bench_rows(home: Path, most: int) -> Iterator[Row]:
    out = home / "bench"
    out.mkdir()
    argv = ["equivalence", "--quick", "--json", out / "n.json", "--plot", out / "p.svg"]
    modules = (*SOLVING, "dagame.bench.cli", "dagame.bench.equivalence", "matplotlib.figure")
    with Forks(modules) as forks:
        case = BenchCase(
            "dagame-bench equivalence",
            forks,
            out,
            argv,
            [*argv, "--seed", "1"],
            "dagame.bench.cli:main",
        )
        count = case.prepare()
        moments = spread(count, most // 4)
        name = f"SIGKILL at changes 1 to {count} of its folder"
        yield tally(case.name, name, moments, lambda k: case.run(case.second, kill=k), case)


class BenchCase(Case):
    """Told apart by the seed: the measurements of two runs are never the same."""

    def prepare(self) -> int:
        """The first run is there; how often the second changes the folder."""
        count = self.forks.changes(self.second, call=self.call, root=self.root)
        self.run(self.first)
        return count

    def seeds(self) -> list[int]:
        """The seeds of what is there; -1: something is cut off."""
        found = []
        for path in (p for p in self.root.iterdir() if p.suffix != ".part"):
            text = path.read_text()
            if path.suffix == ".json":
                found.append(json.loads(text)["seed"])
            elif not text.rstrip().endswith("</svg>"):
                found.append(-1)
        return found

    def mixed(self) -> bool:
        """Whether a file is cut off, or they are of two seeds."""
        try:
            return not set(self.seeds()) <= {0, 1} or len(set(self.seeds())) > 1
        except ValueError:
            return True

    def repaired(self) -> tuple[bool, bool]:
        """As in `Case`."""
        outcome = self.run(self.first)
        names = sorted(p.name for p in self.root.iterdir())
        return outcome.code == 0 and self.seeds() == [0], names != ["n.json", "p.svg"]


def demo_rows(home: Path, most: int) -> Iterator[Row]:
    out = home / "demo"
    argv = ["demo", "--out", out, "--steps", "1", "--problems", "2", "--json", out / "n.json"]
    with Forks((*TRAINING, "dagame.apps.demo", "dagame.apps.demo_report")) as forks:
        case = Case("dagame demo", forks, out, argv, [*argv, "--seed", "1"])
        count = case.prepare()
        name = f"SIGKILL at changes 1 to {count} of its folder"
        moments = spread(count, max(most // 8, 1))
        yield tally(case.name, name, moments, lambda k: case.run(case.second, kill=k), case)


def cache_rows(home: Path, most: int) -> Iterator[Row]:
    where = home / "cache"
    with Forks(SOLVING) as forks:
        case = CacheCase("reward tables", forks, where, ["4"], ["4"], "faults:build_tables")
        yield from fault_rows(case, most, (0, 1, 100))


class CacheCase(Case):
    """The table must be the same, whatever is there."""

    def run(self, argv: Sequence[str | Path], **fault: Any) -> Outcome:
        """One run with this cache."""
        return super().run(argv, env={"DAGAME_CACHE_DIR": str(self.root)}, **fault)

    def prepare(self) -> int:
        """The right table; how often building it changes the folder."""
        options = {"env": {"DAGAME_CACHE_DIR": str(self.root)}}
        count = self.forks.changes(self.second, call=self.call, root=self.root, **options)
        self.right = self.run(self.first).said
        self.empty()
        return count

    def empty(self) -> None:
        """Nothing is kept."""
        shutil.rmtree(self.root, ignore_errors=True)

    def mixed(self) -> bool:
        """Whether a table that is there is not the right one."""
        return any(
            p.suffix == ".json" and self.run(self.first).said != self.right
            for p in self.root.rglob("*")
        )

    def repaired(self) -> tuple[bool, bool]:
        """As in `Case`; and nothing is kept afterwards."""
        same = self.run(self.first).said == self.right
        over = any(p.suffix == ".part" for p in self.root.rglob("*"))
        self.empty()
        return same, over


def finetune_rows(home: Path, most: int) -> Iterator[Row]:
    import training

    folder = home / "finetune"
    folder.mkdir()
    task = training.write_task(folder)
    with Forks(TRAINING) as forks:
        count = forks.changes(["finetune", task], root=folder / "out")
        wanted = training.result(folder)

        class Resumed:
            def mixed(self) -> bool:
                """Whether model/ is there in part."""
                return not training.whole(folder)

            def repaired(self) -> tuple[bool, bool]:
                """Whether a resumed run ends as an undisturbed one."""
                outcome = training.started_again(forks, task)
                return outcome.code == 0 and training.result(folder) == wanted, bool(
                    left(folder / "out")
                )

        def run(fault: dict[str, int]) -> Outcome:
            training.fresh(task)
            return training.started_again(forks, task, root=folder / "out", **fault)

        sizes = (0, 100, 1_000, 3_000, 10_000, 13_000, 20_000, 30_000)
        kills = [{"kill": k} for k in spread(count, most)]
        name = f"SIGKILL at changes 1 to {count} of its folder"
        yield tally("dagame finetune", name, kills, run, Resumed())
        for kind, name in (
            ("torn", "killed when a file passes n bytes"),
            ("full", "writes fail when a file passes n bytes"),
        ):
            yield tally("dagame finetune", name, [{kind: n} for n in sizes], run, Resumed())


PARTS = {
    "set": set_rows,
    "cache": cache_rows,
    "solve": solve_rows,
    "parts": parts_rows,
    "ray": ray_rows,
    "finetune": finetune_rows,
    "bench": bench_rows,
    "demo": demo_rows,
}


def main() -> None:
    """Each part in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path, help="another place for the result")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--most", type=int, default=40, help="moments of a sweep, at most")
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        for name in given.part or PARTS:
            for row in PARTS[name](Path(place), given.most):
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    if given.json is None:
        keep("faults", rows, seed=SEED, most=given.most)
    else:
        content = {"machine": environment(), "seed": SEED, "most": given.most, "rows": rows}
        given.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
