"""Names of answers and contexts: one for each, numbers where there are none, labels of a data frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..errors import InvalidGame


def names_of(given: Iterable[object] | None, count: int, what: str) -> tuple[str, ...] | None:
    """`given` as text, one name for each of `count` answers or contexts; None stays.

    Raises:
        InvalidGame: there are more names or fewer.
    """
    if given is None:
        return None
    names = tuple(map(str, given))
    if len(names) != count:
        shown = "1 name" if len(names) == 1 else f"{len(names)} names"
        raise InvalidGame(f"{shown} for {count} {what}; give one for each.")
    return names


def numbered(given: Iterable[object] | None, count: int, kind: str, what: str) -> tuple[str, ...]:
    """The names, or "answer 0", "answer 1", ... of a kind."""
    names = names_of(given, count, what)
    return tuple(f"{kind}{k}" for k in range(count)) if names is None else names


class Labelled(NamedTuple):
    """A table without its labels, and the labels."""

    table: Any
    columns: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None


def unlabelled(reference: Any) -> Labelled:
    """A pandas or polars frame as a table and its labels; anything else as it is, without.

    The rows' labels are the index, or the one column of text. Labels that only number, as a frame has
    them by itself (0, 1, ... or column_0, column_1, ...), are none.
    """
    if not (hasattr(reference, "columns") and hasattr(reference, "to_numpy")):
        return Labelled(reference)
    columns = list(reference.columns)
    index = getattr(reference, "index", None)
    rows = None if index is None else _told(list(index))
    parts = [_column(reference, k) for k in range(len(columns))]
    texts = [k for k, part in enumerate(parts) if is_text(part)]
    if len(texts) == 1 and len(columns) > 1 and rows is None:
        (k,) = texts
        rows = tuple(map(str, parts.pop(k)))
        columns.pop(k)
    table = np.stack(parts, axis=-1) if parts else reference.to_numpy()
    return Labelled(table, _told(columns), rows)


def _column(frame: Any, k: int) -> np.ndarray:
    """Column `k` of a pandas or polars frame."""
    part = frame.iloc[:, k] if hasattr(frame, "iloc") else frame.to_series(k)
    return np.asarray(part.to_numpy())


def is_text(values: np.ndarray) -> bool:
    """Whether an array holds texts and nothing else."""
    return (
        values.dtype.kind in "OUT"
        and values.size > 0
        and all(isinstance(v, str) for v in values.flat)
    )


def _told(labels: list[Any]) -> tuple[str, ...] | None:
    """Labels as text; None where they only number."""
    names = tuple(map(str, labels))
    numbers = [tuple(f"{kind}{k}" for k in range(len(names))) for kind in ("", "column_")]
    return None if names in numbers else names
