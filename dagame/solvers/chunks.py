"""Huge batches in pieces that fit a cache or a device's memory, on all cores where that helps."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import array_api_compat
import numpy as np

from ..games.game import AlignmentGame
from ..numerics.arrays import Array, namespace
from .base import index_like
from .loop import LoopResult

_ARRAYS = 40
"""Tables of the size of the reference that a solver holds at once, Anderson's history included."""

_CACHE_BYTES = 48 << 20
"""Default for the CPU: tables of a piece that mostly stay in cache."""


def free_bytes(table: Array) -> int:
    """Memory that a piece may take by default: half of what is free on a CUDA device, else 48 MiB."""
    if array_api_compat.is_torch_array(table) and table.device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(table.device)[0] // 2)
    return _CACHE_BYTES


def piece_size(game: AlignmentGame, max_bytes: int | None) -> int:
    """Games of a piece: `max_bytes` over what one game needs, at least one."""
    table = game.log_reference
    bytes_each = _ARRAYS * int(np.prod(table.shape[1:])) * _item_size(table)
    limit = free_bytes(table) if max_bytes is None else max_bytes
    return max(1, limit // max(bytes_each, 1))


def _item_size(table: Array) -> int:
    return 4 if "32" in str(table.dtype) else 8


def in_pieces(
    game: AlignmentGame,
    solve_one: Callable[[AlignmentGame], tuple[str, LoopResult]],
    *,
    max_bytes: int | None = None,
    threads: bool = True,
    whole: Callable[[AlignmentGame], bool] | None = None,
) -> tuple[str, LoopResult]:
    """`solve_one` on consecutive rows of a flat game, joined; on the CPU one thread per core.

    The games are independent, so the result does not depend on the size or on the threads. Without
    `max_bytes` a game of which `whole` is true stays in one piece.
    """
    total = game.log_reference.shape[0]
    size = total if total == 1 else piece_size(game, max_bytes)
    if total <= size or (whole is not None and max_bytes is None and whole(game)):
        return solve_one(game)
    starts = range(0, total, size)

    def run(start: int) -> tuple[str, LoopResult]:
        rows = np.arange(start, min(start + size, total))
        return solve_one(game.rows(index_like(game.log_reference, rows)))

    workers = min(os.cpu_count() or 1, len(starts))
    if not threads or _on_device(game.log_reference):
        workers = 1
    if workers == 1:
        found = [run(s) for s in starts]
    else:
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(run, starts))
    names = sorted({name for name, _ in found}, key=len)
    return names[-1], _joined([result for _, result in found])


def _on_device(table: Array) -> bool:
    return array_api_compat.is_torch_array(table) and table.device.type != "cpu"


def _joined(parts: list[LoopResult]) -> LoopResult:
    xp = namespace(parts[0].log_policy)
    rounds = max(len(p.values) for p in parts)
    first = np.cumsum([0, *(len(p.statuses) for p in parts)])
    multipliers = [p.multipliers for p in parts if p.multipliers is not None]
    return LoopResult(
        log_policy=xp.concat([p.log_policy for p in parts], axis=0),
        steps=np.concatenate([p.steps for p in parts]),
        statuses=np.concatenate([p.statuses for p in parts]),
        values=_padded([p.values for p in parts], rounds),
        gaps=_padded([p.gaps for p in parts], rounds),
        multipliers=xp.concat(multipliers, axis=0) if multipliers else None,
        notes=tuple(
            note if not note.startswith("game ") else _renumbered(note, int(at))
            for part, at in zip(parts, first, strict=False)
            for note in part.notes
        ),
    )


def _padded(records: list[list[np.ndarray]], rounds: int) -> list[np.ndarray]:
    """Rounds of all pieces side by side; a piece that ended keeps its last."""
    if not all(records):
        return []
    return [np.concatenate([r[min(k, len(r) - 1)] for r in records]) for k in range(rounds)]


def _renumbered(note: str, first: int) -> str:
    number, rest = note.removeprefix("game ").split(":", 1)
    return f"game {int(number) + first}:{rest}"
