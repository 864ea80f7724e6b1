"""Completions on disk as `how_read` looks at them: a few rows, fetched by their numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..lazy import pl


@dataclass(frozen=True, eq=False)
class OnDisk:
    """All completions, see `how_read.Read`.

    sizes, lost_sizes: rows of each part, and those of them in which no answer was found. text_of,
    keys_of, lost_of: the texts of a part (None: only answers are known), its answers with their keys,
    and the places of its lost rows.
    """

    sizes: np.ndarray
    lost_sizes: np.ndarray
    read: int
    labelled: tuple[int, int]
    text_of: Callable[[int], pl.Series] | None
    keys_of: Callable[[int], pl.DataFrame]
    lost_of: Callable[[int], np.ndarray]

    @property
    def rows(self) -> int:
        """Completions in all."""
        return int(self.sizes.sum())

    @property
    def lost(self) -> int:
        """Those in which no answer was found."""
        return int(self.lost_sizes.sum())

    def texts(self, rows: np.ndarray) -> pl.Series | None:
        """The completions of some rows, in their order."""
        return None if self.text_of is None else _gathered(rows, self.sizes, self.text_of)

    def answers(self, rows: np.ndarray) -> pl.Series:
        """What was found in them."""
        return _gathered(rows, self.sizes, lambda part: self.keys_of(part)["answer"])

    def keys(self, rows: np.ndarray) -> pl.Series:
        """What makes two of them equal."""
        return _gathered(rows, self.sizes, lambda part: self.keys_of(part)["key"])

    def lost_rows(self, positions: np.ndarray) -> np.ndarray:
        """The row numbers of some of the lost ones."""
        starts = np.cumsum(self.sizes) - self.sizes
        found = _gathered(
            positions,
            self.lost_sizes,
            lambda part: pl.Series("row", self.lost_of(part) + starts[part], dtype=pl.Int64),
        )
        return found.to_numpy()


def _gathered(
    rows: np.ndarray, sizes: np.ndarray, series_of: Callable[[int], pl.Series]
) -> pl.Series:
    """The elements of the parts, one after the other, at sorted places; parts without one stay closed."""
    ends = np.cumsum(sizes)
    part = np.searchsorted(ends, rows, side="right")
    found: Sequence[pl.Series] = [
        series_of(int(k)).gather(rows[part == k] - (ends[k] - sizes[k])) for k in np.unique(part)
    ]
    if not found:
        return series_of(0).clear() if len(sizes) else pl.Series([], dtype=pl.String)
    return pl.concat(found)
