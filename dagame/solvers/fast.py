"""Kernels that numba compiles (the extra `fast`): when they are loaded, and their threads.

Loading numba and its kernels takes as long as a thousand small games, the first time on a machine ten times
that. So a process loads them once it has solved as much without; then, and without numba, all is the same to
rounding.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..games.game import AlignmentGame

LOADING = 1.6e7
"""What loading costs, in entries of references solved on arrays, at about 0.1 microseconds each."""

_CALL = 1e4
"""What a call costs besides its entries."""

_ALONE = 1 << 18
"""Entries below which threads cost more than they save."""

_MAX_CONTEXTS = 32
"""With more contexts the products of matrices in numpy are faster."""


_ONE_ANSWER = False, (1.0, 1.0, 2.0, 1.0, 1e-10), (60, 5.0, 0.05, 1e-4)
"""The kernel's numbers for a game of one answer, by which it is compiled or read from its cache."""


class _Process:
    """What this process has solved on arrays that the kernel could have."""

    solved = 0.0


class KernelResult(NamedTuple):
    """Log-policies (B, m, n), moves and whether solved (B,); the reference where not."""

    log_policy: np.ndarray
    steps: np.ndarray
    solved: np.ndarray


def kernel_ready(game: AlignmentGame) -> bool:
    """Whether the kernel is loaded or this game pays for its loading; of double precision numpy only."""
    cost = _cost(game)
    return cost > 0 and _Process.solved + cost > LOADING and consensus_kernel() is not None


def without_kernel(game: AlignmentGame) -> None:
    """Counts a game that was solved on arrays."""
    _Process.solved += _cost(game)


def _cost(game: AlignmentGame) -> float:
    """Of a game on arrays that the kernel could have, else 0."""
    table = game.log_reference
    if not isinstance(table, np.ndarray) or table.dtype != np.float64:
        return 0.0
    return _CALL + table.size if game.contexts <= _MAX_CONTEXTS else 0.0


@cache
def consensus_kernel() -> Callable[..., None] | None:
    """`consensus_kernel.solve_games`, or None without numba; a warning where that does not load."""
    if find_spec("numba") is None:
        return None
    try:
        from .consensus_kernel import solve_games

        _run(solve_games, np.zeros((1, 1, 1)), None, np.ones((1, 1)), *_ONE_ANSWER)
    except (ImportError, RuntimeError, OSError) as error:  # its numpy, or no place for its cache
        warnings.warn(
            f"numba is installed but does not load ({error}); games are solved without it, more slowly.",
            stacklevel=2,
        )
        return None
    return solve_games


def solve_in_kernel(
    log_reference: np.ndarray,
    reward: np.ndarray | None,
    weights: np.ndarray,
    *numbers: Any,
) -> KernelResult:
    """A flat batch (B, m, n), consecutive games to each core; numbers are the kernel's other arguments."""
    kernel = consensus_kernel()
    assert kernel is not None
    return _run(kernel, log_reference, reward, weights, *numbers)


def _run(
    kernel: Callable[..., None],
    log_reference: np.ndarray,
    reward: np.ndarray | None,
    weights: np.ndarray,
    *numbers: Any,
) -> KernelResult:
    games, m, n = log_reference.shape
    paid = None if reward is None else _table(reward, (games, m, n))
    table, w = _table(log_reference, (games, m, n)), _table(weights, (games, m))
    found = KernelResult(
        np.empty_like(table), np.zeros(games, dtype=np.int64), np.zeros(games, bool)
    )

    def run(some: slice) -> None:
        rewards = np.zeros((1, 0, 0)) if paid is None else paid[some]
        kernel(table[some], rewards, w[some], *numbers, *(part[some] for part in found))

    workers = min(os.cpu_count() or 1, games) if table.size > _ALONE else 1
    ends = [games * k // workers for k in range(workers + 1)]
    parts = [slice(*pair) for pair in pairwise(ends)]
    if workers == 1:
        run(parts[0])
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, parts))
    return found


def _table(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Of this shape, row by row and writable: the one kind of array that the kernel is compiled for."""
    if values.shape == shape and values.flags.carray:
        return values
    return np.require(np.broadcast_to(values, shape), requirements=["C", "W"])
