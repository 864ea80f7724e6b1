"""Observed cells of a table of counts: what rewards are computed for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidGame, InvalidObjective
from ..numerics.simplex import check_weights
from ..objectives import Objective


@dataclass(frozen=True, eq=False)
class Cells:
    """Observed (game, context, answer) cells of counts (B, m, n): where they are, count, group size."""

    counts: np.ndarray
    weights: np.ndarray
    b: np.ndarray
    x: np.ndarray
    z: np.ndarray
    count: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, weights: np.ndarray) -> Cells:
        """The cells with a count."""
        b, x, z = np.nonzero(counts)
        return cls(counts, weights, b, x, z, counts[b, x, z], counts.sum(-1)[b, x])

    def dense(self, values: np.ndarray) -> np.ndarray:
        """Values (C,) as a table (B, m, n), 0 elsewhere."""
        out = np.zeros(self.counts.shape)
        out[self.b, self.x, self.z] = values
        return out

    def per_group(self, values: np.ndarray) -> np.ndarray:
        """Sums over the answers of each group, at each cell: (C,) -> (C,)."""
        group = self.b * self.counts.shape[1] + self.x
        return np.bincount(group, values, self.counts.shape[0] * self.counts.shape[1])[group]


def checked_cells(counts: Any, objective: Objective, weights: Any) -> Cells:
    """The cells of counts (B, m, n); `InvalidGame` unless they are counts and weights fit."""
    counts = numbers(counts, "counts")
    whole = np.isfinite(counts) & (counts == np.round(counts)) & (np.abs(counts) < 2**53)
    if not whole.all():
        raise InvalidGame("counts must be whole numbers.")
    counts = counts.astype(np.int64)
    if counts.ndim != 3 or (counts < 0).any() or not (counts.sum(-1) > 0).all():
        raise InvalidGame(
            f"counts of shape {counts.shape} are no (B, contexts, answers) table in which every "
            "context has a sample; leave out contexts without one."
        )
    w = check_weights(
        None if weights is None else numbers(weights, "weights"), counts.shape, np.zeros(1)
    )
    if not isinstance(objective, Objective):
        raise InvalidObjective(
            f"objective is a {type(objective).__name__}, not a dagame Objective."
        )
    objective.check(counts.shape, w)
    return Cells.of(counts, np.broadcast_to(w, counts.shape[:2]))


def numbers(values: Any, name: str) -> np.ndarray:
    """Values as an array of floats; `InvalidGame` where they are none."""
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise InvalidGame(f"{name} are no table of numbers.") from None
