"""Runs tests in forks of one process that has the heavy libraries loaded, but never dagame itself.

A fork imports dagame with one module's source replaced, in memory, and runs the chosen tests; the
files stay as they are.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRELOADED = ("numpy", "scipy.optimize", "scipy.special", "scipy.stats", "cvxpy", "torch", "pytest")
PRELOADED += ("hypothesis", "array_api_compat", "array_api_strict", "sympy", "matplotlib.figure")
NO_VERDICT = {98: "it broke before the tests", 99: "it would import another dagame"}
SOON = 15  # tests that are collected and run before all others, which mostly settles it
MEMORY = 12 * 2**30


def preload() -> None:
    """Import what every fork needs."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ |= {"HF_HUB_OFFLINE": "1", "DAGAME_CACHE_DIR": "", "PYTHONHASHSEED": "0"}
    for name in PRELOADED:
        importlib.import_module(name)
    sys.modules["torch"].set_num_threads(1)


@dataclass
class Job:
    """One fork: a mutated source of a module (or none), the tests in order, seconds of CPU."""

    name: str
    module: str | None
    source: str | None
    tests: list[str]
    limit: float


@dataclass
class Outcome:
    """How a fork ended: survived, killed, timeout; by which test, after how long."""

    status: str
    killer: str
    seconds: float


def run_all(
    jobs: list[Job], root: Path, scratch: Path, at_once: int
) -> Iterator[tuple[Job, Outcome]]:
    """Run every job, yielding as they end."""
    reports = [scratch / f"{i}.json" for i in range(len(jobs))]

    def start(i: int) -> None:
        _in_fork(jobs[i], root, reports[i])

    for i, code, seconds in forks(start, len(jobs), at_once):
        yield jobs[i], _outcome(code, reports[i], seconds)


def forks(
    start: Callable[[int], None], count: int, at_once: int
) -> Iterator[tuple[int, int, float]]:
    """Call start(i), which must end its process, in forks; yield i, exit code, seconds."""
    waiting, running = list(reversed(range(count))), {}
    while waiting or running:
        while waiting and len(running) < at_once:
            i = waiting.pop()
            pid = os.fork()
            if pid == 0:
                try:
                    start(i)
                finally:
                    os._exit(98)
            running[pid] = i, time.monotonic()
        pid, code = os.wait()
        if pid in running:
            i, since = running.pop(pid)
            yield i, code, time.monotonic() - since


def _outcome(code: int, report: Path, seconds: float) -> Outcome:
    killer = json.loads(report.read_text())["killer"] if report.exists() else ""
    report.unlink(missing_ok=True)
    if os.WIFSIGNALED(code):
        late = os.WTERMSIG(code) in (signal.SIGXCPU, signal.SIGALRM)
        return Outcome("timeout" if late else "killed", killer or "a crash", seconds)
    status = os.WEXITSTATUS(code)
    if status > 2:
        raise SystemExit(f"a fork ended with {status}: {NO_VERDICT.get(status, 'pytest broke')}")
    return Outcome("survived" if status == 0 else "killed", killer or "import", seconds)


def _in_fork(job: Job, root: Path, report: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(job.limit) + 1, int(job.limit) + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.alarm(int(10 * job.limit) + 1)
    code = 98
    try:
        _silence()
        use(root)
        if job.module is not None:
            sys.meta_path.insert(0, _Mutated(job.module, root, job.source or ""))
        for tests in (job.tests[:SOON], job.tests[SOON:]):
            code = run_tests(root, tests, [Chosen(tests, report)]) if tests else 0
            if code:
                break
    finally:
        os._exit(code)


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def use(root: Path) -> None:
    """Import dagame from `root`, and nothing else that is called so."""
    sys.path[:] = [str(root), *(p for p in sys.path if p != str(root))]
    sys.dont_write_bytecode = False
    os.chdir(root)
    found = importlib.util.find_spec("dagame")
    if found is None or not str(found.origin).startswith(str(root)):
        os._exit(99)


def run_tests(root: Path, tests: list[str], plugins: list[Any]) -> int:
    """pytest in this process, on the files of the tests."""
    import pytest

    files = list(dict.fromkeys(t.split("::")[0] for t in tests))
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is loaded already
    return int(pytest.main([*options, f"--rootdir={root}", *files], plugins=plugins))


class Chosen:
    """Runs the chosen tests in the order given; hypothesis neither shrinks nor remembers."""

    def __init__(self, tests: list[str], report: Path) -> None:
        """See the class."""
        self.order = {name: i for i, name in enumerate(tests)}
        self.report = report

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Choose and order."""
        chosen = [item for item in items if item.nodeid in self.order]
        items[:] = sorted(chosen, key=lambda item: self.order[item.nodeid])
        for item in items:
            without_shrinking(item)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note the test that failed."""
        if report.failed:
            self.report.write_text(json.dumps({"killer": report.nodeid}))


def without_shrinking(item: Any) -> None:
    """Let hypothesis fail at the first example found, and keep no database."""
    from hypothesis import Phase, settings

    test = getattr(item.obj, "__func__", item.obj)
    mine = getattr(test, "_hypothesis_internal_use_settings", None)
    if mine is not None:
        test._hypothesis_internal_use_settings = settings(
            mine, phases=(Phase.explicit, Phase.generate), database=None
        )


class _Mutated(importlib.abc.MetaPathFinder):
    """Finds one module with its source replaced."""

    def __init__(self, module: str, root: Path, source: str) -> None:
        self.name, self.path = module.removesuffix(".py").replace("/", "."), str(root / module)
        self.source = source

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        loader = _Loader(fullname, self.path)
        loader.source = self.source
        return importlib.util.spec_from_file_location(fullname, self.path, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    source = ""

    def get_code(self, fullname: str) -> Any:
        return compile(self.source, self.path, "exec", dont_inherit=True)
