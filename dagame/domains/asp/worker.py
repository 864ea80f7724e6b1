"""One confined process that answers request after request, and a fresh one when it is late or dies."""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from ...errors import DagameError
from ...provenance import not_installed
from ...samples.keys.workers import Worker, check_row_seconds, exchange

TASK = "dagame.domains.asp.solving:load"
_STARTS, _TRIES, _CHUNK = 3, 2, 64
_DIED = {"outcome": "died", "why": "the process that grounds and solves it died of it"}


def require_clingo() -> None:
    """`DagameError` that names the extra where clingo is not installed."""
    if find_spec("clingo") is None:
        raise DagameError(not_installed("clingo", "asp", "reading answer-set programs"))


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

    def ask(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The reply of `solving` to each request, or the outcome of a process that gave none.

        Raises:
            DagameError: no process starts.
        """
        rows = [json.dumps(request) for request in requests]
        replies: list[dict[str, Any] | None] = [None] * len(rows)
        deaths: Counter[int] = Counter()
        with self._lock:
            if self._owner != os.getpid():  # after a fork the pipes are the parent's
                self._worker, self._owner = None, os.getpid()
            while todo := [k for k, reply in enumerate(replies) if reply is None]:
                first, end = self._work(todo[:_CHUNK], rows, replies)
                deaths[first] += end["outcome"] == "died"
                if end["outcome"] != "died" or deaths[first] == _TRIES:
                    replies[first] = end
        return [reply for reply in replies if reply is not None]

    def close(self) -> None:
        """End the process; the next request starts one."""
        with self._lock:
            self._drop()

    def _work(
        self, todo: list[int], rows: list[str], replies: list[dict[str, Any] | None]
    ) -> tuple[int, dict[str, Any]]:
        """One process at work on the rows in turn, until all are done or one ends it: which, and how."""
        worker = self._started()
        worker.give(todo, rows)
        last = todo[0]
        while worker.pending and not worker.dead and not worker.late():
            for last, text in exchange([worker]):
                replies[last] = json.loads(text) if text else _DIED
        if worker.out_of_memory:
            self._drop()
            return last, {"outcome": "memory", "why": "it needs more memory than it may have"}
        if not worker.pending:
            return last, replies[last] or _DIED
        first, late = worker.pending[0], not worker.dead
        self._drop()
        why = f"it was not done in {self.seconds:g} s"
        return first, {"outcome": "time", "why": why} if late else _DIED

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
