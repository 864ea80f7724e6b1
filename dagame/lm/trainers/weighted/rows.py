"""Rows with weights -> the dataset of a weighted trainer; and `resample`, weights as repetitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import SamplesError, nearest, one_line
from ...spec import check_count

if TYPE_CHECKING:
    import polars as pl
    from datasets import Dataset

WEIGHT = "weight"
"""The column of weights that the trainers read."""

TRUNCATED = "truncated"
"""The column that says of a completion that it was cut off; such ones get no end token."""

_HANDED_ON = ("tools", "chat_template_kwargs")
_LARGEST = 1e12


def check_weights(values: Any, name: str = WEIGHT) -> np.ndarray:
    """The weights (n,) as float64.

    Raises:
        SamplesError: one is missing, no number, not finite or negative (its row is named, the first
            is 0), or all are 0.
    """
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    for row, value in enumerate(found):
        if value is None:
            raise SamplesError(
                f"row {row} has no {name}; give every row one, 0 to leave the row out of the loss."
            )
        if not _is_weight(value):
            raise SamplesError(
                f"row {row} has the {name} {value!r}; give a finite number from 0 to {_LARGEST:g}."
            )
    weights = np.array(found, dtype=np.float64)
    if not weights.any():
        raise SamplesError(
            f"no row has a {name} above 0, so there is nothing to learn; check where they come from."
            if len(weights)
            else "there are no rows to train on."
        )
    return weights


def _is_weight(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and bool(0 <= value <= _LARGEST)  # NaN is not


def weighted_dataset(
    rows: Dataset | pl.DataFrame | Iterable[Mapping[str, Any]],
    weights: Sequence[float] | np.ndarray | None,
    column: str,
    texts: Mapping[str, str],
) -> Dataset:
    """The dataset of a weighted trainer: its text columns, `weight`, and nothing that TRL would misread.

    Args:
        rows: with the columns of texts.
        weights: (n,), or None for those of `column`.
        column: of weights.
        texts: the trainer's name of each column -> the rows' name; texts or lists of messages.

    Raises:
        SamplesError: a column is missing or has an empty cell, or see `check_weights`.
    """
    names, read = _columns(rows)
    for name in [*texts.values(), *([column] if weights is None else [])]:
        if name not in names:
            raise SamplesError(
                f"the rows have no column {name!r}; {nearest(name, names, 'columns')}"
            )
    columns = {new: read(old) for new, old in texts.items()}
    count = len(next(iter(columns.values())))
    given: Any = read(column) if weights is None else weights
    if len(given) != count:
        raise SamplesError(f"there are {len(given)} weights for {count} rows; give one each.")
    checked = check_weights(given, column if weights is None else WEIGHT)
    of_text = is_text(next(iter(columns.values())))
    for new, old in texts.items():
        _check_texts(columns[new], old, str if of_text else list)
    if TRUNCATED in names:
        columns[TRUNCATED] = _cut(read(TRUNCATED), of_text)
    columns |= {name: read(name) for name in _HANDED_ON if name in names}
    return _made(columns | {WEIGHT: checked.tolist()})


def is_text(values: Sequence[Any]) -> bool:
    """Whether prompts are texts rather than messages."""
    return not isinstance(values[0], list)


def _columns(rows: Any) -> tuple[list[str], Callable[[str], list[Any]]]:
    """The names of the columns, and a function that gives one."""
    if hasattr(rows, "column_names"):
        return rows.column_names, lambda name: list(rows[name])
    if hasattr(rows, "get_column"):
        return rows.columns, lambda name: rows.get_column(name).to_list()
    listed = [dict(row) for row in rows]
    if not listed:
        raise SamplesError("there are no rows to train on.")
    return list(dict.fromkeys(name for row in listed for name in row)), lambda name: [
        row.get(name) for row in listed
    ]


def _check_texts(values: Sequence[Any], name: str, kind: type) -> None:
    """Texts in all rows and columns, or messages in all."""
    for row, value in enumerate(values):
        if not isinstance(value, kind):
            raise SamplesError(
                f"row {row}: column {name!r} holds {value!r}; give texts in all rows, or lists of "
                "messages in all."
            )


def _cut(values: Sequence[Any], of_text: bool) -> list[bool]:
    """Which completions were cut off."""
    for row, value in enumerate(values):
        if not isinstance(value, bool):
            raise SamplesError(
                f"row {row}: column {TRUNCATED!r} holds {value!r}; give true or false, or drop it."
            )
        if value and not of_text:
            raise SamplesError(
                f"row {row} was cut off, but a chat template ends every message; leave the row out."
            )
    return list(values)


def _made(columns: dict[str, list[Any]]) -> Dataset:
    from datasets import Dataset

    try:
        return Dataset.from_dict(columns)
    except Exception as error:  # arrow's own errors, where messages have fields of several types
        raise SamplesError(f"the rows are no table: {one_line(error)}.") from error


def resample(
    rows: Sequence[Any] | pl.DataFrame | Dataset,
    weights: Sequence[float] | np.ndarray,
    n: int,
    seed: int = 0,
) -> Any:
    """`n` rows drawn by weight, so that any trainer without weights follows the weighted gradient on average.

    Systematic resampling after a random order of the rows. Unbiased: row i is taken e_i = n w_i / sum(w)
    times on average, and always floor(e_i) or ceil(e_i) times, so with less variance than by n
    independent draws. The copies come in a random order; rows of weight 0 never appear.

    Args:
        rows: a list, a polars frame or a dataset, N of them.
        weights: (N,), finite, >= 0, not all 0.
        n: rows wanted.
        seed: of both orders and the offset.

    Returns:
        The same kind of rows.

    Raises:
        SamplesError: see `check_weights`. SettingsError: n is no integer >= 1.

    Source: Kitagawa (1996), Monte Carlo filter and smoother.
    """
    check_count("n", n, 1)
    index = resampled_index(weights, n, seed)
    if len(rows) != len(weights):
        raise SamplesError(f"there are {len(weights)} weights for {len(rows)} rows; give one each.")
    taken: Any = rows
    if hasattr(rows, "column_names"):
        return taken.select(index.tolist())
    return taken[index.tolist()] if hasattr(rows, "to_dicts") else [taken[i] for i in index]


def resampled_index(weights: Sequence[float] | np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """The rows (n,) that `resample` takes."""
    w = check_weights(weights)
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(w))
    edges = np.cumsum(w[order] / w.sum())
    points = (np.arange(n) + rng.random()) / n
    place = np.searchsorted(edges, points, side="right").clip(max=len(order) - 1)
    return rng.permutation(order[place])
