"""The games of the classes of a partition: as one batch, or solved bucket by bucket."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..errors import SamplesError
from ..games.game import AlignmentGame
from ..games.solution import Solution
from ..numerics.fast import on_arrays
from ..objectives import Objective
from ..show.progress import Progress, silent
from ..solvers import solve
from .cores import side_by_side
from .partition import Bucket, Partition

ObjectiveOf = Objective | Callable[[Bucket], Objective]

_CELLS = 150_000
"""Classes x contexts x answers that are solved together, few enough that a solver's tables stay in cache."""


def batched_game(partition: Partition, objective: ObjectiveOf, beta: float) -> AlignmentGame:
    """All classes as one padded game; `SamplesError` if they differ in their contexts."""
    buckets = partition.buckets()
    contexts = sorted({b.counts.shape[1] for b in buckets})
    if len(contexts) > 1:
        raise SamplesError(
            f"classes have {contexts[0]} to {contexts[-1]} contexts, so they are no single game; "
            "use samples.solve, which groups them."
        )
    width = max(b.counts.shape[2] for b in buckets)
    order = np.argsort(np.concatenate([b.classes for b in buckets]))
    padded = [
        np.pad(b.reference, ((0, 0), (0, 0), (0, width - b.counts.shape[2]))) for b in buckets
    ]
    made = objective if isinstance(objective, Objective) else None
    if made is None:
        raise SamplesError("samples.game takes an objective; a function of buckets needs solve.")
    return AlignmentGame(np.concatenate(padded)[order], made, beta=beta)


@dataclass(frozen=True)
class Game:
    """What is solved, and how; of classes with tables `objective` is a function of their `Bucket`."""

    objective: ObjectiveOf
    beta: float
    method: str = "auto"
    tol: float = 1e-12
    device: str | None = None

    def of(self, bucket: Bucket) -> Objective:
        """The objective of the classes of a bucket."""
        return self.objective if isinstance(self.objective, Objective) else self.objective(bucket)


def solve_partition(
    partition: Partition, game: Game, progress: Progress | None = None
) -> tuple[list[Bucket], list[Solution]]:
    """The tables of a partition, in parts of `_CELLS`, and their certified solutions.

    Each class is solved as if it were alone; on the CPU one thread per core takes part after part. Compiled
    kernels are not used, so that the same samples give the same bits in parts, on Ray and in a long process.
    """
    say = progress or silent
    cells = _CELLS if game.device is None else sys.maxsize
    buckets = [part for bucket in partition.buckets() for part in bucket.parts(cells)]
    pairs = [(bucket, game.of(bucket)) for bucket in buckets]
    many = sum(bucket.counts.size for bucket in buckets) > 2 * cells
    many = many and game.method != "convex"  # it silences warnings, which all threads share
    found, solutions = side_by_side(partial(_solved, game=game), pairs, many), []
    for k, bucket in enumerate(buckets, 1):
        say(f"solving {len(bucket.classes)} classes ({k}/{len(buckets)})")
        solutions.append(next(found))
    return buckets, solutions


@on_arrays()
def _solved(of: tuple[Bucket, Objective], game: Game) -> Solution:
    bucket, objective = of
    made = AlignmentGame(_placed(bucket.reference, game.device), objective, beta=game.beta)
    found = solve(made, game.method, tol=game.tol, throw=False)
    _ = found.certificate
    return found


def _placed(reference: np.ndarray, device: str | None) -> Any:
    if device is None:
        return reference
    from ..scale import resolve_device, to_device

    return to_device(reference, resolve_device(device))
