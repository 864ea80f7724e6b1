"""Numbers for the values of columns, and for pairs of them, in their order; in blocks that stay in cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .cores import blocks
from .keys.distinct import Distinct
from .lazy import pl

_SPARSE = 64
"""Numbers for each row up to which all of them are marked; else the rows' are sorted."""


class Pairs(NamedTuple):
    """The pairs (group, value) that occur, sorted, and the number of each within its group."""

    group: np.ndarray
    value: np.ndarray
    number: np.ndarray


def numbered(frame: pl.DataFrame, live: np.ndarray) -> tuple[pl.DataFrame, np.ndarray]:
    """The distinct live rows, sorted, null last, and the place of each row among them, -1 for none."""
    columns = [_ranked(column) for column in frame]
    values, number = columns[0]
    rows = [np.arange(len(values))]
    for values, of_value in columns[1:]:
        found, number = _of_pairs(number, len(rows[0]), of_value, len(values))
        before, last = np.divmod(found, max(len(values), 1))
        rows = [*(each[before] for each in rows), last]
    if not live.all():
        found, number = _places(lambda some: number[some], len(number), len(rows[0]), live)
        rows = [each[found] for each in rows]
    table = [values.gather(each) for (values, _), each in zip(columns, rows, strict=True)]
    return pl.DataFrame(table), number


def _ranked(column: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """The distinct values of a column, sorted, null last, and the place of each row's among them."""
    if column.dtype == pl.String:
        texts, places = Distinct.of(column)
        order = texts.arg_sort().to_numpy()
        rank = np.empty(len(texts) + 1, dtype=np.int64)
        rank[order], rank[-1] = np.arange(len(texts)), len(texts)  # the last for null
        values = texts.gather(order)
        if column.null_count():
            values = values.extend_constant(None, 1)
        return values, rank[places.fill_null(len(texts)).to_numpy()]
    values = column.unique().sort(nulls_last=True)
    table = pl.DataFrame({"value": values, "place": np.arange(len(values))})
    found = column.to_frame("value").join(
        table, on="value", how="left", nulls_equal=True, maintain_order="left"
    )
    return values, found["place"].to_numpy(writable=True)


def within(
    group: np.ndarray, groups: int, names: pl.DataFrame, value: np.ndarray, live: np.ndarray
) -> tuple[Pairs, np.ndarray]:
    """The pairs of live rows, and which of their group's each row has, -1 where none of them.

    group, value: numbers below `groups` and the length of `names`, -1 in rows that are not live.
    """
    some = None if live.all() else live
    found, place = _of_pairs(group, groups, value, len(names), some)
    of, which = np.divmod(found, max(len(names), 1))
    number = np.arange(len(found)) - np.searchsorted(of, of)
    local = np.append(number, -1)
    for part in blocks(len(place)):
        place[part] = local[place[part]]
    return Pairs(of, which, number), place


def _of_pairs(
    first: np.ndarray, bound: int, second: np.ndarray, size: int, live: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`_places` of first * size + second."""

    def pair(some: slice) -> np.ndarray:
        one, other = first[some], second[some]
        both = one * size + other
        if live is not None:
            both[(one < 0) | (other < 0)] = -1
        return both

    return _places(pair, len(first), bound * size, live)


def _places(
    numbers: Callable[[slice], np.ndarray], rows: int, bound: int, live: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The distinct live ones of numbers below `bound`, sorted, and the place of each row's among them.

    It is -1 where there is none. `numbers` gives those of some of the rows; negative ones are in rows that
    are not live.
    """
    every = None
    if bound > _SPARSE * rows:
        every, inverse = np.unique(numbers(slice(None)), return_inverse=True)
        bound, numbers = len(every), lambda some: inverse[some]
    occurs = _occurring(numbers, rows, bound, live)
    words = np.packbits(occurs, bitorder="little").view("<u8")
    count = np.bitwise_count(words)
    before = np.cumsum(count, dtype=np.int64) - count
    place = np.empty(rows, dtype=np.int64)
    for some in blocks(rows):
        mine = numbers(some)
        word, bit = mine >> 6, (mine & 63).astype(np.uint64)
        below = words[word] & ((np.uint64(1) << bit) - np.uint64(1))
        place[some] = before[word] + np.bitwise_count(below)
        if live is not None:
            place[some][(mine < 0) | ~occurs[mine]] = -1
    found = np.flatnonzero(occurs)
    return found if every is None else every[found], place


def _occurring(
    numbers: Callable[[slice], np.ndarray], rows: int, bound: int, live: np.ndarray | None
) -> np.ndarray:
    """Which numbers below `bound` live rows have; in whole words of 64 bits."""
    occurs = np.zeros((bound // 64 + 1) * 64, dtype=bool)
    for some in blocks(rows):
        mine = numbers(some)
        occurs[mine if live is None else mine[live[some]]] = True
    return occurs
