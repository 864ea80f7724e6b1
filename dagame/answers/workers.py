"""Parsing of untrusted mathematics in processes that can be killed: a time limit per row, no signals.

Workers are plain subprocesses that speak JSON lines, so a caller's unguarded script or notebook is
never imported again, nothing is pickled, and killing one loses one row.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

_CHUNK = 32
_MEMORY = 4 << 30
_START_SECONDS = 60.0


def map_in_workers(
    task: str, rows: Sequence[str], row_seconds: float, workers: int | None = None
) -> tuple[list[str | None], list[bool]]:
    """`TASKS[task]` of each row, and whether the row was killed at its time limit (result None).

    Rows travel in chunks; results come back one by one, so the parent sees which row hangs, kills
    that process, and gives the rest of its chunk to a fresh one.
    """
    results: list[str | None] = [None] * len(rows)
    killed = [False] * len(rows)
    todo = deque(list(range(k, min(k + _CHUNK, len(rows)))) for k in range(0, len(rows), _CHUNK))
    pool = [_Worker(task, rows) for _ in range(min(workers or os.cpu_count() or 1, len(todo)))]
    try:
        while todo or any(w.pending for w in pool):
            for worker in pool:
                if not worker.pending and todo:
                    worker.give(todo.popleft())
            _collect(pool, results)
            for k, worker in enumerate(pool):
                if worker.late(row_seconds):
                    killed[worker.pending.popleft()] = True
                    worker.stop()
                    pool[k] = _Worker(task, rows)
                    pool[k].give(list(worker.pending))
    finally:
        for worker in pool:
            worker.stop()
    return results, killed


def _collect(pool: Sequence[_Worker], results: list[str | None]) -> None:
    """Wait briefly for lines from busy workers and store what they say."""
    with selectors.DefaultSelector() as selector:
        for worker in pool:
            if worker.pending:
                selector.register(worker.output, selectors.EVENT_READ, worker)
        for key, _ in selector.select(timeout=0.1):
            key.data.read(results)


class _Worker:
    """One subprocess; `pending` are the row numbers it still owes, the first one in work."""

    def __init__(self, task: str, rows: Sequence[str]) -> None:
        self.rows, self.pending, self.ready, self.dead = rows, deque[int](), False, False
        self.buffer, self.since = b"", time.monotonic()
        command = [sys.executable, "-m", "dagame.answers.workers", task]
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout

    def give(self, indices: list[int]) -> None:
        self.pending.extend(indices)
        self.since = time.monotonic()
        try:
            for i in indices:
                self.input.write(json.dumps(self.rows[i]).encode() + b"\n")
            self.input.flush()
        except OSError:
            self.dead = True

    def read(self, results: list[str | None]) -> None:
        data = os.read(self.output.fileno(), 1 << 16)
        self.dead = not data
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            if self.ready:
                results[self.pending.popleft()] = json.loads(line)
            self.ready = True
            self.since = time.monotonic()

    def late(self, row_seconds: float) -> bool:
        limit = row_seconds if self.ready else _START_SECONDS
        return bool(self.pending) and (self.dead or time.monotonic() - self.since > limit)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()
        try:
            self.input.close()
        except OSError:
            self.dead = True


def serve(task: str) -> None:
    """The worker: announce readiness, then answer line after line, never raising on a row."""
    _limit_memory()
    function = TASKS[task]()
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            answer = function(json.loads(line))
        except Exception:  # whatever a parser throws at hostile text is "no answer"
            answer = ""
        print(json.dumps(answer or ""), flush=True)


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    except (ImportError, ValueError, OSError):
        return


def _load_extract() -> Callable[[str], str]:
    from math_verify import parse

    def extract(completion: str) -> str:
        found: list[Any] = parse(completion, parsing_timeout=None)  # type: ignore[arg-type]
        strings = [a for a in found if isinstance(a, str)]
        return strings[-1] if strings else str(found[-1]) if found else ""

    return extract


def _load_canonical() -> Callable[[str], str]:
    import sympy
    from math_verify import parse

    def canonical(answer: str) -> str:
        if re.search(r"[A-Za-z]{3,}", re.sub(r"\\[A-Za-z]+", "", answer)):
            return ""  # words are text: as a product of letters "dog" would equal "god"
        found: list[Any] = parse(f"${answer}$", parsing_timeout=None)  # type: ignore[arg-type]
        values = [a for a in found if not isinstance(a, str)]
        if not values:
            return ""
        value = values[0]
        if isinstance(value, sympy.Expr) and value.is_number:
            exact = sympy.nsimplify(value, rational=True) if value.has(sympy.Float) else value
            exact = sympy.simplify(exact)
            if isinstance(exact, sympy.Rational):
                return str(Fraction(int(exact.p), int(exact.q)))
            return sympy.srepr(exact)
        return sympy.srepr(sympy.simplify(value) if isinstance(value, sympy.Expr) else value)

    return canonical


TASKS: dict[str, Callable[[], Callable[[str], str]]] = {
    "extract_math": _load_extract,
    "canonical_math": _load_canonical,
}

if __name__ == "__main__":
    serve(sys.argv[1])
