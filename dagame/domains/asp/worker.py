"""One confined process that answers request after request, and a fresh one when it is late or dies."""

from __future__ import annotations

import atexit
import json
import os
import threading
from importlib.util import find_spec
from typing import Any

from ...errors import DagameError
from ...samples.keys.workers import Worker, check_row_seconds, exchange

TASK = "dagame.domains.asp.solving:load"
_STARTS, _TRIES = 3, 2


def require_clingo() -> None:
    """`DagameError` that names the extra where clingo is not installed."""
    if find_spec("clingo") is None:
        raise DagameError(
            "clingo is not installed: install dagame[asp] to work with answer-set programs."
        )


class Solver:
    """A worker process kept for many programs; it starts with the first one.

    Late by `seconds` (by the clock): killed, outcome "time". Out of its memory: "memory". Dead by
    itself: tried once more in a fresh process, then "died".
    """

    def __init__(self, seconds: float) -> None:
        """See the class."""
        require_clingo()
        check_row_seconds(seconds)
        self.seconds = seconds
        self._worker: Worker | None = None
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self.starts = 0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply of `solving`, or the outcome of a process that gave none.

        Raises:
            DagameError: no process starts.
        """
        row = json.dumps(request)
        with self._lock:
            if self._owner != os.getpid():  # after a fork the pipes are the parent's
                self._worker, self._owner = None, os.getpid()
            for last in (False,) * (_TRIES - 1) + (True,):
                reply = self._once(row)
                if reply["outcome"] != "died" or last:
                    return reply
            raise AssertionError

    def close(self) -> None:
        """End the process; the next request starts one."""
        with self._lock:
            self._drop()

    def _once(self, row: str) -> dict[str, Any]:
        worker = self._started()
        worker.give([0], [row])
        answers: list[tuple[int, str]] = []
        while worker.pending and not worker.dead and not worker.late():
            answers += exchange([worker])
        if answers and not worker.dead:
            (_, text), emptied = answers[0], worker.out_of_memory
            if emptied:
                self._drop()
                return {"outcome": "memory", "why": "it needs more memory than it may have"}
            if text:
                return json.loads(text)
        late = worker.pending and not worker.dead
        self._drop()
        if late:
            return {"outcome": "time", "why": f"it was not done in {self.seconds:g} s"}
        return {"outcome": "died", "why": "the process that grounds and solves it died of it"}

    def _started(self) -> Worker:
        """A process that is ready, so that its start is no part of a program's time."""
        if self._worker is not None and self._worker.process.poll() is None:
            return self._worker
        self._drop()
        for _ in range(_STARTS):
            worker = Worker(TASK, self.seconds)
            self._worker = worker
            self.starts += 1
            worker.give([0], ["2"])  # any row that is no request
            while worker.pending and not worker.dead and not worker.late():
                exchange([worker])
            if not worker.dead and not worker.pending:
                return worker
            self._drop()
        raise DagameError(
            "the process that solves answer-set programs does not start; "
            "`python -c 'import dagame.domains.asp.solving'` should say why."
        )

    def _drop(self) -> None:
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


_SOLVERS: dict[float, Solver] = {}


def solver(seconds: float) -> Solver:
    """The process of this time limit, the same for every caller."""
    if seconds not in _SOLVERS:
        if not _SOLVERS:
            atexit.register(close)
        _SOLVERS[seconds] = Solver(seconds)
    return _SOLVERS[seconds]


def close() -> None:
    """End all processes; a later request starts new ones."""
    for one in _SOLVERS.values():
        one.close()
