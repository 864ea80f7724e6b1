"""Huge trace tables: marginals in one pass over memory-mapped files, weights written back the same way.

One game with 1e8 traces needs its table read once: nu0 is summed in pieces, the game is solved on the
answers (T3), and what each trace is worth is a look-up of its answer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidDistribution, InvalidGame
from ..files.output import replacing
from ..games.game import AlignmentGame
from ..games.solution import Solution
from ..objectives import Objective
from ..solvers import solve

_PIECE = 1 << 18
"""Traces at a time: the copies that a weighted count makes of them stay in cache."""


class _Table:
    """Rows (m, traces) of an array or a .npy file, read piece by piece.

    Files are read into one buffer per thread: mapping them would cost a page fault for every 4 KiB.
    """

    def __init__(self, table: Any, name: str) -> None:
        self.buffers = threading.local()
        self.file: int | None = None
        if isinstance(table, str | Path):
            mapped = self._mapped(table, name)
            if mapped.flags.c_contiguous and hasattr(os, "preadv"):
                self.file, self.offset = os.open(table, os.O_RDONLY), mapped.offset
            table = mapped
        array = np.asanyarray(table)
        self.array = array[None, :] if array.ndim == 1 else array
        self.shape, self.dtype = self.array.shape, self.array.dtype

    @staticmethod
    def _mapped(path: str | Path, name: str) -> np.memmap:
        try:
            mapped = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise InvalidGame(f"{name}: {path} is no readable .npy file ({error}).") from None
        if not isinstance(mapped, np.memmap):
            raise InvalidGame(f"{name}: {path} holds no single array.")
        return mapped

    def read(self, x: int, at: slice) -> np.ndarray:
        """Row x (the only row, if there is one) at a slice; valid until the thread's next read."""
        x = min(x, self.shape[0] - 1)
        if self.file is None:
            return np.asarray(self.array[x, at])
        count = at.stop - at.start
        held = getattr(self.buffers, "array", None)
        if held is None or len(held) < count:
            held = self.buffers.array = np.empty(count, self.dtype)
        start = self.offset + (x * self.shape[1] + at.start) * self.dtype.itemsize
        view, done = memoryview(held[:count].view(np.uint8)), 0  # type: ignore[arg-type]
        while done < len(view):
            got = os.preadv(self.file, [view[done:]], start + done)
            if got == 0:
                raise InvalidGame("a .npy file ends before its table does.")
            done += got
        return held[:count]

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            os.close(self.file)


def _pieces(traces: int, piece: int) -> Iterator[slice]:
    return (slice(k, min(k + piece, traces)) for k in range(0, traces, piece))


def answer_masses(
    probabilities: Any, answers: Any, n: int | None = None, *, piece: int = _PIECE
) -> np.ndarray:
    """sum of the probabilities (or counts) of the traces of each answer, (m, n), in one pass.

    Args:
        probabilities: (traces,) or (m, traces) >= 0, an array or the path of a .npy file; rows need not
            be normalised. None: every trace counts 1.
        answers: integers (traces,) or (m, traces), an array or the path of a .npy file.
        n: number of answers; default the largest + 1, which costs a pass of its own.
        piece: traces read at a time by each thread; memory is a few times that.

    Raises:
        InvalidGame: shapes disagree, answers outside 0..n-1, or an unreadable file.
        InvalidDistribution: a negative or infinite mass, or NaN.
    """
    with ExitStack() as stack:
        index = stack.enter_context(_Table(answers, "answers"))
        mass = None
        if probabilities is not None:
            mass = stack.enter_context(_Table(probabilities, "probabilities"))
        total = _summed(mass, index, n, piece)
    if not np.isfinite(total).all():
        raise InvalidDistribution("probabilities hold NaN or infinities.")
    return total


def _summed(mass: _Table | None, index: _Table, n: int | None, piece: int) -> np.ndarray:
    m, traces = (index if mass is None else mass).shape
    if index.dtype.kind not in "iu" or index.shape[-1] != traces or index.shape[0] not in (1, m):
        raise InvalidGame(
            f"answers are {index.dtype} of shape {index.shape}, which does not fit {m} x {traces} traces."
        )
    rows = range(index.shape[0])
    if n is None:
        n = 1 + max(int(index.read(x, at).max()) for x in rows for at in _pieces(traces, piece))

    def one(at: slice) -> np.ndarray:
        return np.stack([_counted(mass, index, x, at, n) for x in range(m)])

    total = np.zeros((m, n))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for part in pool.map(one, _pieces(traces, piece)):
            total += part
    return total


def _counted(mass: _Table | None, index: _Table, x: int, at: slice, n: int) -> np.ndarray:
    answers = index.read(x, at)
    values = None if mass is None else mass.read(x, at)
    if values is not None and values.min() < 0:
        raise InvalidDistribution("probabilities hold a negative entry.")
    negative = answers.dtype.kind == "i" and int(answers.min()) < 0
    counts = None if negative else np.bincount(answers, values, n)
    if counts is None or len(counts) > n:
        low, high = int(answers.min()), int(answers.max())
        raise InvalidGame(f"answers range over {low}..{high}, outside 0..{n - 1}.")
    return counts.astype(np.float64, copy=False)


@dataclass(frozen=True, eq=False)
class StreamedSolution:
    """The equilibrium on the answers of a streamed trace table.

    `solution` is that of the answer game; `ratio` (m, n) = nu*(z) / nu0(z), the weight of every trace
    with answer z (T3).
    """

    solution: Solution
    ratio: np.ndarray
    answers: Any

    def write_weights(self, path: str | Path, *, piece: int = _PIECE) -> Path:
        """Write the weight of each trace (m, traces) as a .npy file, piece by piece, float32."""
        with (
            replacing(path) as temporary,
            temporary.open("wb") as stream,
            _Table(self.answers, "answers") as index,
        ):
            shape = (len(self.ratio), index.shape[-1])
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            for x, ratio in enumerate(self.ratio):  # a full disk is an error; in a map it is SIGBUS
                for at in _pieces(shape[-1], piece):
                    stream.write(ratio[index.read(x, at)].astype("<f4").tobytes())
        return Path(path)


def solve_streamed(
    probabilities: Any,
    answers: Any,
    objective: Objective,
    *,
    beta: float,
    n: int | None = None,
    weights: Any = None,
    piece: int = _PIECE,
    **options: Any,
) -> StreamedSolution:
    """Solve one game whose traces do not fit in memory: one pass over the files, then n answers.

    `probabilities` and `answers` as in `answer_masses`; `options` go to `solve`.
    """
    masses = answer_masses(probabilities, answers, n, piece=piece)
    totals = masses.sum(axis=-1, keepdims=True)
    if not (totals > 0).all():
        raise InvalidDistribution("a context has no mass at all.")
    game = AlignmentGame(masses / totals, objective, beta=beta, weights=weights)
    solution = solve(game, **options)
    ratio = np.divide(
        solution.marginals, game.reference, out=np.zeros_like(masses), where=game.reference > 0
    )
    return StreamedSolution(solution, ratio, answers)
