"""Reading of untrusted answers in processes that can be killed: a time limit per row, no signals.

Workers are plain subprocesses that speak JSON lines, so a caller's unguarded script or notebook is
never imported again, nothing is pickled, and killing one loses one row. A worker that dies by
itself has its row tried once more.
"""

from __future__ import annotations

import json
import math
import os
import selectors
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from ...errors import ExtractionError
from ..cores import cores

_CHUNK = 32
_START_SECONDS = 60.0
_STARTS = 5
_TRIES = 2
_ROOT = str(Path(__file__).resolve().parents[3])
_SERVE = (
    "import sys; sys.path.append(sys.argv[1]); from dagame.samples.keys.workers import serve; "
    "serve(sys.argv[2], float(sys.argv[3]))"
)


def map_in_workers(
    task: str, rows: Sequence[str], row_seconds: float, workers: int | None = None
) -> tuple[list[str | None], list[bool]]:
    """`TASKS[task]` of each row, and whether the row was given up (result None).

    Given up: late by `row_seconds`, or its worker died twice in it. Rows travel in chunks; results
    come back one by one with their numbers, so the parent sees which row hangs, kills that process,
    and gives the rest of its chunk to a fresh one.

    Raises:
        ExtractionError: no worker starts.
    """
    return _Pool(task, rows, row_seconds, workers or cores()).run()


def check_row_seconds(row_seconds: float) -> None:
    """`ExtractionError` unless it is a time that can pass."""
    if not (isinstance(row_seconds, int | float) and 0 < row_seconds < math.inf):
        raise ExtractionError(
            f"row_seconds is {row_seconds!r}; give a positive, finite number of seconds."
        )


class _Pool:
    """The rows still to do, and the processes at work on them."""

    def __init__(self, task: str, rows: Sequence[str], row_seconds: float, workers: int) -> None:
        self.task, self.rows, self.row_seconds = task, rows, row_seconds
        self.results: list[str | None] = [None] * len(rows)
        self.given_up = [False] * len(rows)
        self.todo = deque(range(k, min(k + _CHUNK, len(rows))) for k in range(0, len(rows), _CHUNK))
        self.deaths: Counter[int] = Counter()
        self.failed_starts = 0
        self.workers: list[Worker] = []
        self.size = min(workers, len(self.todo))

    def run(self) -> tuple[list[str | None], list[bool]]:
        try:
            self.workers += [Worker(self.task, self.row_seconds) for _ in range(self.size)]
            while self.todo or any(w.pending for w in self.workers):
                for worker in self.workers:
                    if not worker.pending and self.todo:
                        worker.give(self.todo.popleft(), self.rows)
                self._exchange()
                for k, worker in enumerate(self.workers):
                    if worker.pending and (worker.dead or worker.late()):
                        self.workers[k] = self._successor(worker)
        finally:
            for worker in self.workers:
                worker.stop()
        return self.results, self.given_up

    def _exchange(self) -> None:
        for index, answer in exchange(self.workers):
            self.results[index], self.failed_starts = answer, 0

    def _successor(self, worker: Worker) -> Worker:
        """A fresh worker with the rest of the chunk, after one that died or was late."""
        code = worker.stop()
        if not worker.ready:
            self._count_start(code)
        elif not worker.out_of_memory:  # after which it ended itself: no fault of the next row
            first = worker.pending[0]
            self.deaths[first] += 1
            if not worker.dead or self.deaths[first] == _TRIES:
                self.given_up[first] = True
                worker.pending.popleft()
        fresh = Worker(self.task, self.row_seconds)
        fresh.give(worker.pending, self.rows)
        return fresh

    def _count_start(self, code: int) -> None:
        """One that failed; `ExtractionError` at the last that is tried."""
        self.failed_starts += 1
        if self.failed_starts == _STARTS:
            raise ExtractionError(
                f"the worker process that reads mathematics does not start (exit code {code}); "
                f"`{sys.executable} -c 'import dagame.samples.keys.mathematics'` should say why."
            )


def exchange(workers: Sequence[Worker]) -> list[tuple[int, str]]:
    """Wait briefly for workers that can be written to or read from; the answers that came."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            if worker.pending:
                selector.register(worker.output, selectors.EVENT_READ, worker.read)
                if worker.unsent:
                    selector.register(worker.input, selectors.EVENT_WRITE, worker.send)
        return [found for key, _ in selector.select(timeout=0.1) for found in key.data()]


class Worker:
    """One subprocess; `pending` are the row numbers it still owes, the first one in work.

    Its task is one of `TASKS`, or "module:function" where a later room keeps its own. Both pipes are
    read and written as they are ready, so that neither side waits for the other.
    """

    def __init__(self, task: str, row_seconds: float) -> None:
        """Start the process; it is ready when its first line came."""
        self.pending, self.row_seconds = deque[int](), row_seconds
        self.ready, self.dead, self.out_of_memory = False, False, False
        self.unsent, self.heard, self.since = deque[bytes](), bytearray(), time.monotonic()
        self.process = _started(task, row_seconds)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.input.fileno(), False)

    def give(self, indices: Sequence[int] | deque[int], rows: Sequence[str]) -> None:
        """Add rows, by their numbers, to what it owes."""
        self.pending.extend(indices)
        self.unsent.extend(json.dumps([i, rows[i]]).encode() + b"\n" for i in indices)
        self.since = time.monotonic()

    def send(self) -> Sequence[tuple[int, str]]:
        """Write what the pipe takes; no answers."""
        try:
            while self.unsent:
                sent = self.input.write(self.unsent[0])
                if sent is None:  # the pipe is full
                    break
                if sent == len(self.unsent[0]):
                    self.unsent.popleft()
                else:
                    self.unsent[0] = self.unsent[0][sent:]
        except OSError:
            self.unsent.clear()  # it died; its earlier answers are still to be read
        return ()

    def read(self) -> Sequence[tuple[int, str]]:
        """The answers that came, in the order of the rows; anything else is a broken worker."""
        data = os.read(self.output.fileno(), 1 << 16)
        self.dead = not data
        self.heard += data
        if b"\n" not in data:
            return ()
        *lines, rest = self.heard.split(b"\n")
        self.heard, self.since = bytearray(rest), time.monotonic()
        if not self.ready:
            self.ready, lines = True, lines[1:]
        answers = []
        for line in lines:
            index, answer = self._said(line)
            if not self.pending or index != self.pending[0] or not isinstance(answer, str):
                self.dead = True
                break
            answers.append((self.pending.popleft(), answer))
        return answers

    def _said(self, line: bytes | bytearray) -> tuple[object, object]:
        """The number of a row and its answer; None for any other line."""
        try:
            index, answer, self.out_of_memory = json.loads(line)
        except (TypeError, ValueError):
            return None, None
        return index, answer

    def late(self) -> bool:
        """Whether the row in work, or the start, has taken too long."""
        limit = self.row_seconds if self.ready else _START_SECONDS
        return time.monotonic() - self.since > limit

    def stop(self) -> int:
        """Kill the process; its exit code."""
        self.process.kill()
        code = self.process.wait()
        self.output.close()
        self.input.close()
        return code


def _started(task: str, row_seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-c", _SERVE, _ROOT, task, str(row_seconds)]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    environment = os.environ | {"PYTHONHASHSEED": "0"}  # normal forms alike in all workers
    try:
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=null, env=environment, bufsize=0
        )
    except (OSError, TypeError) as error:
        raise ExtractionError(
            f"Python ({sys.executable!r}) cannot be started to read answers: {error}."
        ) from None


def serve(task: str, row_seconds: float) -> None:
    """The worker: announce readiness, then answer line after line, never raising on a row."""
    from .confinement import confine, limit

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    function = _loader(task)()
    function("1")
    confine()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        limit(row_seconds)
        index, row = json.loads(line)
        answer, out_of_memory = _answered(function, row)
        print(json.dumps([index, answer, out_of_memory]), file=answers, flush=True)
        if out_of_memory:
            os._exit(0)  # the next row gets a process with all its memory


def _answered(function: Callable[[str], str], row: str) -> tuple[str, bool]:
    """The answer, and whether it filled the memory; "" where the function raises on hostile text."""
    try:
        return function(row), False
    except MemoryError:
        return "", True
    except Exception:
        return "", False


def _loader(task: str) -> Callable[[], Callable[[str], str]]:
    module, _, name = task.partition(":")
    return getattr(import_module(module), name) if name else TASKS[task]


def _load_extract() -> Callable[[str], str]:
    from .mathematics import find_mathematics

    return find_mathematics


def _load_canonical() -> Callable[[str], str]:
    from .mathematics import exact_key

    exact_key(r"\frac{x^2-1}{x-1}")  # loads sympy before the confinement
    return exact_key


TASKS: dict[str, Callable[[], Callable[[str], str]]] = {
    "extract_math": _load_extract,
    "canonical_math": _load_canonical,
}
