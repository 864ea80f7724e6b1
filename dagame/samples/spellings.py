"""How answers are spelled, and how completions end in which none was found."""

from __future__ import annotations

from typing import NamedTuple

from .disagreements import LISTED, SPELLINGS
from .lazy import pl

_LENGTHS = (40, 20, 10)


class Merged(NamedTuple):
    """Spellings (text, rows) that are one key, the commonest first; `count` of them in all."""

    key: str
    count: int
    spellings: tuple[tuple[str, int], ...]


def commonest_endings(texts: pl.Series) -> tuple[tuple[tuple[str, int], ...], int]:
    """The commonest endings, as long as it goes for the first to be one in twenty."""
    tails = texts.str.tail(4 * _LENGTHS[0]).str.replace_all(r"\d+", "0")
    tails = tails.str.replace_all(r"\s+", " ").str.strip_chars()
    counted: list[tuple[str, int]] = []
    for length in _LENGTHS:
        ends = pl.DataFrame({"end": tails.str.tail(length)}).group_by("end").len()
        counted = ends.sort("len", "end", descending=[True, False]).head(LISTED).rows()
        if counted and counted[0][1] * 20 >= len(texts) and counted[0][1] > 1:
            break
    return tuple((end, int(count)) for end, count in counted), len(texts)


def merged_spellings(answers: pl.Series, keys: pl.Series) -> tuple[tuple[Merged, ...], int]:
    """Keys whose answers differ by more than outer white space, those of most spellings first."""
    frame = pl.LazyFrame({"key": keys, "answer": answers})
    differs = pl.col("answer") != pl.col("key")
    pairs = _spelled(frame.filter(differs))  # lazy, so that no filtered copy is made
    if not len(pairs):
        return (), 0
    known = pairs.lazy().select("key").unique()
    exact = frame.filter(~differs).join(known, on="key", how="semi")
    table = pl.concat([pairs, _spelled(exact)])
    table = table.group_by("key", "answer").agg(pl.col("len").sum())
    table = table.with_columns(count=pl.len().over("key")).filter(pl.col("count") > 1)
    if not len(table):
        return (), 0
    first = table.select("key", "count").unique().sort("count", "key", descending=[True, False])
    shown = (Merged(key, count, _commonest(table, key)) for key, count in first.head(LISTED).rows())
    return tuple(shown), len(first)


def _commonest(table: pl.DataFrame, key: str) -> tuple[tuple[str, int], ...]:
    mine = table.filter(pl.col("key") == key).sort("len", "answer", descending=[True, False])
    return tuple(mine.select("answer", "len").head(SPELLINGS).rows())


def _spelled(frame: pl.LazyFrame) -> pl.DataFrame:
    """Each key with each of its answers, outer white space off, and their rows."""
    counted = frame.group_by("key", "answer").len().collect()
    return counted.with_columns(pl.col("answer").str.strip_chars()).filter(pl.col("answer") != "")
