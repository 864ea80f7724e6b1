"""Flat rows -> answers, keys and names: what `Samples` reads of the columns that have a role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import SamplesError
from .files.roles import Flat, Roles, missing
from .keys.reader import AnswerReader, Reading
from .lazy import pl
from .partition import Partition

_EXACT = 2.0**53
"""Whole numbers below it are exact in float64; names beyond could fall together."""


def partition_of(
    frame: pl.DataFrame,
    class_by: str | Sequence[str],
    context_by: str | Sequence[str] | None,
    right: pl.Series | None,
    keys: pl.Series,
    no_answer: str,
) -> Partition:
    """The partition of rows by their columns; `SamplesError` where nothing is left."""
    check_no_answer(no_answer)
    classes = names_in(frame, class_by, "class")
    contexts = None if context_by is None else names_in(frame, context_by, "context")
    partition = Partition.build(classes, contexts, keys, right, no_answer=no_answer)
    if not len(partition):
        raise nothing_left()
    return partition


def check_no_answer(no_answer: str) -> None:
    """`SamplesError` unless it says what to do with samples without an answer."""
    if no_answer not in ("keep", "drop"):
        raise SamplesError(f"no_answer is {no_answer!r}; choose 'keep' or 'drop'.")


def nothing_left() -> SamplesError:
    """The error of samples that all have no answer."""
    return SamplesError("every sample is without an answer; nothing is left to solve.")


def read_answers(flat: Flat, reader: AnswerReader, cut: pl.Series | None) -> Reading:
    """What is read in the column of texts; of answers, the answers themselves."""
    (text,) = flat.roles.text
    values = flat.frame[text]
    if values.dtype != pl.String and not values.null_count() == len(values):
        raise SamplesError(f"column {text!r} (completion) holds {values.dtype}, not text.")
    values = values.cast(pl.String)
    if not flat.roles.answers:
        return reader.read(values, cut)
    if cut is not None:
        frame = pl.DataFrame({text: values, "": cut})
        values = frame.select(pl.when(~pl.col("")).then(pl.col(text)))[text]
    keys = pl.Series("key", reader.keys(values.to_list()), dtype=pl.String)
    return Reading(values, keys)


def completions(flat: Flat) -> pl.Series | None:
    """The texts; where there are answers instead, those beside them if there is such a column."""
    name = "completion" if flat.roles.answers else flat.roles.text[0]
    if flat.roles.answers and flat.frame.schema.get(name) != pl.String:
        return None
    return flat.frame[name].cast(pl.String)


def unread(source: str, text: pl.Series, extract: Any) -> SamplesError:
    """The error of completions without any answer."""
    return SamplesError(
        f"{source}: no sample has an answer under extract={extract!r}; the first completion ends "
        f"{first_end(text)!r}."
    )


def first_end(texts: pl.Series) -> str:
    """How the first of them ends, "" where there is none."""
    return str(texts.drop_nulls()[0] if texts.null_count() < len(texts) else "")[-80:]


def column_named(frame: pl.DataFrame, name: str, role: str) -> pl.Series:
    """The column that has a role."""
    if name not in frame.columns:
        raise missing(name, role, frame.columns)
    return frame[name]


def found_in_words(roles: Roles, extract: str | Callable[..., Any]) -> str:
    """How answers are found."""
    if roles.answers:
        return f"the column {roles.text[0]}"
    if isinstance(extract, str):
        return extract
    return f"the function {getattr(extract, '__qualname__', type(extract).__name__)}"


def names_in(
    frame: pl.DataFrame, by: str | Sequence[str], role: str, before: int = 0
) -> pl.DataFrame:
    """The columns that name classes or contexts; `before` counts the rows before those of the frame."""
    names = [by] if isinstance(by, str) else list(by)
    if len(set(names)) != len(names) or not names:
        raise SamplesError(f"name each {role} column once, and at least one.")
    columns = [column_named(frame, name, role) for name in names]
    for column in columns:
        if column.null_count():
            row = before + int(column.is_null().arg_max() or 0) + 1
            raise SamplesError(f"column {column.name!r} ({role}) is empty in row {row}.")
        if isinstance(column.dtype, pl.List | pl.Struct | pl.Array | pl.Object):
            raise SamplesError(f"column {column.name!r} ({role}) is nested; use plain values.")
        if column.dtype.is_float() and not bool((column.abs() < _EXACT).all()):
            raise SamplesError(
                f"column {column.name!r} ({role}) has decimal numbers of {_EXACT:g} and above or "
                "none at all (NaN), which are not told apart; write them as text."
            )
    return pl.DataFrame(columns)


def abstained(keys: pl.Series, pattern: str | None) -> pl.Series:
    """The keys, null where one is a word for none."""
    if pattern is None:
        return keys
    return pl.DataFrame({"a": keys}).select(
        pl.when(~pl.col("a").str.contains(pattern)).then(pl.col("a"))
    )["a"]
