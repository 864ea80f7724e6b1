"""Kernels that numba compiles (the extra `fast`): when they are loaded, and their threads.

Loading numba and its kernels takes as long as a thousand small games, the first time on a machine ten times
that. So a process loads them once it has solved as much without; then, and without numba, all is the same to
rounding.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from .arrays import Array

LOADING = 1.6e7
"""What loading costs, in entries of references solved on arrays, at about 0.1 microseconds each."""

CALL = 1e4
"""What a call costs besides its entries."""

MAX_CONTEXTS = 32
"""With more contexts the products of matrices in numpy are faster."""

_ALONE = 1 << 18
"""Entries below which threads cost more than they save."""


class _Process:
    """What this process has solved on arrays that a kernel could have."""

    solved = 0.0


@contextmanager
def kernels_from_the_first_game() -> Iterator[None]:
    """Inside, kernels are loaded by the first game that can have one: for measurements."""
    before, _Process.solved = _Process.solved, max(_Process.solved, LOADING)
    try:
        yield
    finally:
        _Process.solved = before


_ALLOWED = ContextVar("kernels are allowed", default=True)


@contextmanager
def on_arrays() -> Iterator[None]:
    """Inside, no kernel is used.

    Then the bits of a result depend neither on what the process solved before, nor on numba, nor on how
    work is dealt out to threads and processes.
    """
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


class Kernel:
    """A compiled function of consecutive rows of tables (B, ..., n), loaded once this pays.

    `load` returns it after one call; `work` is what an entry costs on arrays, in those of `LOADING`;
    `contexts` the most that it takes.
    """

    def __init__(
        self, load: Callable[[], Callable[..., None]], work: float, contexts: float = np.inf
    ) -> None:
        """See the class."""
        self._load, self._work, self._contexts = load, work, contexts

    def ready(self, table: Array) -> bool:
        """Whether it is loaded or this table pays for its loading; of double precision numpy only."""
        cost = self._cost(table)
        return cost > 0 and _Process.solved + cost > LOADING and self.function is not None

    def without(self, table: Array) -> None:
        """Counts a table that was solved on arrays."""
        _Process.solved += self._cost(table)

    def _cost(self, table: Array) -> float:
        """On arrays, of a table that the kernel may and could have, else 0."""
        if not (_ALLOWED.get() and isinstance(table, np.ndarray) and table.dtype == np.float64):
            return 0.0
        return self._work * (CALL + table.size) if table.shape[-2] <= self._contexts else 0.0

    @cached_property
    def function(self) -> Callable[..., None] | None:
        """The compiled function, or None without numba; a warning where that does not load."""
        if find_spec("numba") is None:
            return None
        try:
            return self._load()
        except (
            ImportError,
            RuntimeError,
            OSError,
        ) as error:  # its numpy, or no place for its cache
            warnings.warn(
                f"numba is installed but does not load ({error}); games are solved without it, more slowly.",
                stacklevel=2,
            )
            return None

    def run(
        self, given: tuple[np.ndarray, ...], numbers: Any, found: tuple[np.ndarray, ...]
    ) -> None:
        """Fills the rows of `found` from those of `given`, consecutive ones on each core.

        Its arguments are tables of `row_table`, of one row where all have the same, then the numbers.
        """
        function, rows = self.function, len(found[0])
        assert function is not None
        workers = min(os.cpu_count() or 1, rows) if found[0].size > _ALONE else 1
        if workers == 1:
            function(*given, *numbers, *found)
            return

        def some(part: slice) -> None:
            tables = (table if len(table) == 1 else table[part] for table in given)
            function(*tables, *numbers, *(table[part] for table in found))

        ends = [rows * k // workers for k in range(workers + 1)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(some, (slice(*pair) for pair in pairwise(ends))))


def row_table(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Of this shape, row by row and writable: the one kind of array that kernels are compiled for."""
    if values.shape == shape and values.flags.carray:
        return values
    table = np.empty(shape, values.dtype)
    table[...] = values
    return table
