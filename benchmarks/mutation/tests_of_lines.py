"""Which tests run which line, and how long each takes: measured once, in a fork."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import server


@dataclass(frozen=True)
class TestsOfLines:
    """seconds of each test, and for each module the tests of each line."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def of(
        self, module: str, statement: tuple[int, int], body: tuple[int, int], patience: float
    ) -> list[str]:
        """Tests of a statement first, then those of its function, fast first.

        A statement that runs on import belongs to no test: then all tests of the module follow.
        """
        circles = [self._within(module, *statement), self._within(module, *body)]
        if not circles[0]:
            circles.append(self._within(module, 1, 10**9))
        ordered: dict[str, None] = {}
        for circle in circles:
            ordered |= dict.fromkeys(sorted(circle, key=self.seconds.__getitem__))
        before = itertools.accumulate((self.seconds[t] for t in ordered), initial=0.0)
        return [t for t, spent in zip(ordered, before, strict=False) if spent < patience]

    def _within(self, module: str, low: int, high: int) -> set[str]:
        return {
            t for line, tests in self.lines[module].items() if low <= line <= high for t in tests
        }


def measure(
    root: Path, store: Path, modules: list[str], tests: list[str], at_once: int
) -> TestsOfLines:
    """Run the test files under coverage, each once for each state of the package; all must pass."""
    package = [*list(root.glob("dagame/**/*.py")), root / "tests/conftest.py"]
    state = _digest(sorted(package), "".join(modules))
    files = {test: store / f"{_digest([root / test], state)}.json" for test in tests}
    store.mkdir(parents=True, exist_ok=True)
    missing = [test for test, out in files.items() if not out.exists()]

    def start(i: int) -> None:
        _in_fork(root, files[missing[i]], modules, missing[i])

    for i, code, _ in server.forks(start, len(missing), at_once):
        if code:
            log = files[missing[i]].with_suffix(".log").read_text()[-3000:]
            raise SystemExit(f"{missing[i]} fails without any mutation:\n{log}")
    seconds: dict[str, float] = {}
    lines: dict[str, dict[int, list[str]]] = {m: {} for m in modules}
    for out in files.values():
        content = json.loads(out.read_text())
        seconds |= content["seconds"]
        for module, found in content["lines"].items():
            for line, names in found.items():
                lines[module].setdefault(int(line), []).extend(names)
    return TestsOfLines(seconds, lines)


def collected(root: Path, files: dict[str, tuple[str, ...]]) -> TestsOfLines:
    """All tests of the files that belong to each module, in their order, as if they ran every line of it.

    Their times are not known: an equal share of 8 seconds each, so that a mutant has 60.
    """
    wanted = list(dict.fromkeys(file for some in files.values() for file in some))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-o",
        "addopts=",
        "-q",
        "-p",
        "no:cacheprovider",
        *wanted,
    ]
    done = subprocess.run(
        command,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    names = [line for line in done.stdout.splitlines() if "::" in line]
    if done.returncode or not names:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    order = {file: k for k, file in enumerate(wanted)}
    names.sort(key=lambda name: order[name.split("::")[0]])
    lines, seconds = {}, {}
    for module, some in files.items():
        mine = [name for name in names if name.split("::")[0] in some]
        lines[module] = {1: mine}
        seconds |= dict.fromkeys(mine, 8.0 / len(mine))
    return TestsOfLines(seconds, lines)


def _digest(files: list[Path], extra: str) -> str:
    found = hashlib.sha256(extra.encode())
    for file in files:
        found.update(file.read_bytes())
    return found.hexdigest()[:24]


def _in_fork(root: Path, out: Path, modules: list[str], test: str) -> None:
    code = 98
    try:
        log = os.open(out.with_suffix(".log"), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        server.use(root)
        import coverage

        cov = coverage.Coverage(data_file=None, include=[str(root / m) for m in modules])
        cov.start()
        watch = _Watch(cov)
        code = server.run_tests(root, [test], [watch])
        cov.stop()
        lines = {m: cov.get_data().contexts_by_lineno(str(root / m)) for m in modules}
        lines = {
            m: {k: [t for t in v if t] for k, v in found.items()} for m, found in lines.items()
        }
        if code == 0:
            out.write_text(json.dumps({"seconds": watch.seconds, "lines": lines}))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


class _Watch:
    """A context of coverage per test, with nothing remembered from the test before."""

    def __init__(self, cov: Any) -> None:
        self.cov, self.seconds = cov, {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for item in items:
            server.without_shrinking(item)

    def pytest_runtest_protocol(self, item: Any) -> None:
        _forget()
        self.cov.switch_context(item.nodeid)
        self.began = time.process_time()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.cov.switch_context("")
        self.seconds[nodeid] = time.process_time() - self.began


def _forget() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("dagame"):
            for value in vars(module).values():
                if isinstance(value, functools._lru_cache_wrapper):
                    value.cache_clear()
