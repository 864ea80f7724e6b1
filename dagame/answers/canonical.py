"""Answer strings -> hashable keys, so that equal answers are one answer everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING

from ..errors import ExtractionError
from .workers import map_in_workers

if TYPE_CHECKING:
    import polars as pl

CANONICALS = ("exact", "nospace", "casefold", "number", "math")

Canonicaliser = Callable[["pl.Series"], "pl.Series"]

_DECIMAL = re.compile(r"([-+]?)(\d{0,60})(?:\.(\d{0,60}))?(?:[eE]([-+]?\d{1,3}))?")


def make_canonicaliser(name: str, *, row_seconds: float = 5.0) -> Canonicaliser:
    """A map of answer strings to keys; an empty answer becomes null, the "no answer".

    exact: outer white space off. nospace: all white space out. casefold: lower case, white space
    runs to one blank. number: exact rationals ("1,000" = "1000.0" = "1e3", "1/2" = "0.5"; a leading
    $ and a trailing % or full stop are dropped, so "50%" = "50"), other text as nospace. math: the
    value that math-verify reads, as exact rational or normal form, other text as nospace.
    """
    if name not in CANONICALS:
        near = get_close_matches(name, CANONICALS, 1, 0.3) or ["exact"]
        raise ExtractionError(f"canonical {name!r} is unknown; did you mean {near[0]!r}?")

    def run(answers: pl.Series) -> pl.Series:
        import polars as pl

        if name == "exact":
            keys = answers.str.strip_chars()
        elif name == "casefold":
            keys = answers.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
        else:
            keys = answers.str.replace_all(r"\s+", "")
        if name in ("number", "math"):
            source = keys if name == "number" else answers
            keys = _by_value(source, keys, name, row_seconds)
        frame = pl.DataFrame({"a": keys})
        return frame.select(pl.when(pl.col("a") != "").then(pl.col("a")))["a"]

    return run


def _by_value(source: pl.Series, text: pl.Series, name: str, row_seconds: float) -> pl.Series:
    """Keys of the distinct source strings joined back, `text` where a string has no value."""
    import polars as pl

    distinct = source.drop_nulls().unique()
    if name == "number":
        values = [_rational(s) for s in distinct.to_list()]
    else:
        values, _ = map_in_workers("canonical_math", distinct.to_list(), row_seconds)
    table = pl.DataFrame(
        {"s": distinct, "key": values}, schema={"s": pl.String, "key": pl.String}
    ).with_columns(pl.when(pl.col("key") != "").then(pl.col("key")).alias("key"))
    frame = pl.DataFrame({"s": source, "text": text})
    joined = frame.join(table, on="s", how="left", maintain_order="left")
    return joined.select(pl.coalesce("key", "text").alias("a"))["a"]


def _rational(text: str) -> str:
    """The exact value of a number of bounded size as "p" or "p/q"; "" if it is none."""
    cleaned = text.removeprefix("$").rstrip("%.").replace(",", "")
    above, slash, below = cleaned.partition("/")
    value = _decimal(above)
    if slash:
        divisor = _decimal(below)
        if value is None or not divisor:
            return ""
        value = value / divisor
    return "" if value is None else str(value)


def _decimal(text: str) -> Fraction | None:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, part, exponent = match.groups()
    digits = whole + (part or "")
    if not digits:
        return None
    value = Fraction(int(digits), 10 ** len(part or "")) * Fraction(10) ** int(exponent or 0)
    return -value if sign == "-" else value
