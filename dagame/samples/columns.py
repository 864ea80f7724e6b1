"""Flat rows -> answers, keys and names: what `Samples` reads of the columns that have a role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import SamplesError
from .files.roles import Flat, missing
from .keys.extract import check_pattern
from .keys.reader import AnswerReader, Reading
from .partition import Partition

if TYPE_CHECKING:
    import polars as pl

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


def reader_of(
    extract: str | Callable[[str], str | None],
    canonical: str,
    *,
    thinking: str,
    of_answers: bool,
    abstain: str | None,
    truncated: str,
    no_answer: str,
) -> AnswerReader:
    """The reader that these options of `Samples.read` ask for, all of them checked before a file is read.

    of_answers: there is a column of answers, of which "auto" only takes the canonical form.
    """
    reader = AnswerReader(
        "answer" if of_answers and extract == "auto" else extract,
        canonical,
        thinking=thinking,
        settle=True,
    )
    if abstain is not None:
        check_pattern(abstain, "abstain pattern")
    if truncated not in ("no-answer", "read"):
        raise SamplesError(f"truncated is {truncated!r}; choose 'no-answer' or 'read'.")
    check_no_answer(no_answer)
    return reader


def check_no_answer(no_answer: str) -> None:
    """`SamplesError` unless it says what to do with samples without an answer."""
    if no_answer not in ("keep", "drop"):
        raise SamplesError(f"no_answer is {no_answer!r}; choose 'keep' or 'drop'.")


def nothing_left() -> SamplesError:
    """The error of samples that all have no answer."""
    return SamplesError("every sample is without an answer; nothing is left to solve.")


def read_answers(flat: Flat, reader: AnswerReader, cut: pl.Series | None) -> Reading:
    """What is read in the column of texts; of answers, the answers themselves."""
    import polars as pl

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


def beside_answers(flat: Flat) -> pl.Series | None:
    """The completions beside answers that are already extracted, if there is such a column."""
    import polars as pl

    if "completion" not in flat.frame.columns or flat.frame["completion"].dtype != pl.String:
        return None
    return flat.frame["completion"]


def unread(source: str, text: pl.Series, extract: Any) -> SamplesError:
    """The error of completions without any answer."""
    end = str(text.drop_nulls()[0] if text.null_count() < len(text) else "")[-80:]
    return SamplesError(
        f"{source}: no sample has an answer under extract={extract!r}; the first completion ends "
        f"{end!r}."
    )


def column_named(frame: pl.DataFrame, name: str, role: str) -> pl.Series:
    """The column that has a role."""
    if name not in frame.columns:
        raise missing(name, role, frame.columns)
    return frame[name]


def extract_in_words(extract: str | Callable[..., Any]) -> str:
    """How answers are found, in words."""
    return extract if isinstance(extract, str) else f"the function {_called(extract)}"


def _called(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def _names(by: str | Sequence[str]) -> list[str]:
    return [by] if isinstance(by, str) else list(by)


def names_in(
    frame: pl.DataFrame, by: str | Sequence[str], role: str, before: int = 0
) -> pl.DataFrame:
    """The columns that name classes or contexts; `before` counts the rows before those of the frame."""
    import polars as pl

    names = _names(by)
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
    import polars as pl

    if pattern is None:
        return keys
    return pl.DataFrame({"a": keys}).select(
        pl.when(~pl.col("a").str.contains(pattern)).then(pl.col("a"))
    )["a"]
