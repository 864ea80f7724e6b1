"""The processors of this process, work side by side on them, and blocks of rows for their caches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .lazy import pl

T = TypeVar("T")
U = TypeVar("U")

MANY = 100_000
"""Rows from which on work on them is done side by side."""


def cores() -> int:
    """Processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def side_by_side(function: Callable[[T], U], items: Iterable[T], many: bool = True) -> Iterator[U]:
    """The function of each item, in order; where there is `many` to do, in one thread per core.

    For functions that mostly run in libraries that leave Python's lock to others.
    """
    if not many or cores() == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(function, items)


def blocks(rows: int, size: int = 1 << 16) -> Iterator[slice]:
    """Consecutive rows, few enough that numbers made of each stay in cache and take no new memory."""
    return (slice(k, min(k + size, rows)) for k in range(0, rows, size))


def on_all_cores(texts: pl.Series, made: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    """What an expression makes of each text of a column, parts of it side by side."""
    frame, expression = texts.to_frame("text"), made(pl.col("text")).alias(texts.name)
    if len(texts) < MANY:
        return frame.select_seq(expression).to_series()
    return frame.lazy().select(expression).collect(engine="streaming").to_series()
