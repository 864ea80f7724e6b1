"""Completions -> answer strings: regular expressions in linear time, presets, or a callable.

Patterns run in Rust's regex engine through polars: no backtracking, so no completion can make one
hang; in exchange it has no look-around and no back-references.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...errors import ExtractionError, nearest
from ..cores import on_all_cores
from ..lazy import pl
from .distinct import Distinct, each_once, once_if_repeated
from .presets import PRESETS
from .workers import check_row_seconds, map_in_workers

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: never in exchanged text

NAMES = (*PRESETS, "math")

LONGEST_PATTERN, MOST_GROUPS = 1000, 50


@dataclass(frozen=True)
class Extraction:
    """Answers (null: none found) and how many rows ran into the time limit.

    distinct: the same answers once for each distinct completion, where it was read once.
    """

    answers: pl.Series
    timed_out: int = 0
    distinct: Distinct | None = None


Extractor = Callable[["pl.Series"], Extraction]


def make_extractor(
    spec: str | Callable[[str], str | None], *, row_seconds: float = 5.0
) -> Extractor:
    """An extractor from a preset's name, a regular expression, or a function of one completion.

    A pattern takes group 1 of its last match. Presets are those of `presets.PRESETS`, each with a
    table of examples, and `math` (the whole formula with its unit), which reads in worker processes
    that are killed after `row_seconds` on one row.

    Raises:
        ExtractionError: the pattern does not compile, has no group, or looks like a misspelt preset;
            row_seconds is no positive, finite number.
    """
    check_row_seconds(row_seconds)
    if callable(spec):
        return _by_function(spec)
    if spec == "math":
        return lambda completions: _by_math(completions, row_seconds)
    if spec in PRESETS:
        return _by_columns(PRESETS[spec].find)
    if not re.search(r"[\\()\[\].*+?^$|{}]", spec):
        hint = nearest(spec, NAMES)
        raise ExtractionError(f"extract {spec!r} is neither a preset nor a pattern; {hint}")
    return _by_columns(_by_pattern(spec))


def check_pattern(pattern: str, what: str) -> int:
    """The number of groups of a pattern of the linear-time engine, or `ExtractionError`.

    Its time is the length of the text times that of the pattern, so both parts of a pattern that
    make it long are bounded: `LONGEST_PATTERN` characters and `MOST_GROUPS` groups.
    """
    shown = repr(pattern if len(pattern) <= 80 else f"{pattern[:80]}...")
    if len(pattern) > LONGEST_PATTERN:
        raise ExtractionError(f"{what} {shown} is longer than {LONGEST_PATTERN} characters.")
    try:
        pl.Series([""]).str.contains(pattern, strict=True)
        groups = pl.Series([""]).str.extract_groups(pattern)
        count = len(groups.dtype.fields)  # type: ignore[attr-defined]
    except UnicodeEncodeError:
        raise ExtractionError(f"{what} {shown} is not valid Unicode.") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ExtractionError(f"{what} {shown} does not compile: {_reason(error)}.") from None
    if count > MOST_GROUPS:
        raise ExtractionError(f"{what} {shown} has more than {MOST_GROUPS} groups.")
    return count


def _reason(error: BaseException) -> str:
    """Why the engine refuses a pattern."""
    reason = " ".join(str(error).split())
    if "look-around" in reason or "backreference" in reason:
        reason = "it uses look-around or a back-reference, which the linear-time engine lacks"
    elif "size limit" in reason:
        reason = "its repetitions make it too large"
    return re.sub(r"^.*error: | This error occurred.*$", "", reason)[:200]


def _by_columns(find: Callable[[pl.Series], pl.Series]) -> Extractor:
    """By a function of whole columns that tells nothing apart but texts."""

    def run(completions: pl.Series) -> Extraction:
        distinct = Distinct.if_repeated(completions)
        if distinct is None:
            return Extraction(find(completions))
        found = Distinct(find(distinct.texts), distinct.places)
        return Extraction(found.column, distinct=found)

    return run


def _by_pattern(pattern: str) -> Callable[[pl.Series], pl.Series]:
    groups = check_pattern(pattern, "extract pattern")
    if groups == 0:
        raise ExtractionError(
            f"extract pattern {pattern!r} has no group; put parentheses around the answer."
        )
    looks_around = any(sign in _ASSERTIONS for sign in _SIGN.findall(pattern))
    return partial(_last_group, pattern=pattern, looks_around=looks_around)


def _last_group(text: pl.Series, pattern: str, looks_around: bool) -> pl.Series:
    """Group 1 of the last match in each text."""

    def group(texts: pl.Series) -> pl.Series:
        return on_all_cores(texts, lambda each: _group_1(each, pattern))

    if text.str.contains(f"[{_OPEN}{_CLOSE}]").any():
        text = text.str.replace_all(f"[{_OPEN}{_CLOSE}]", "")
    if not looks_around:  # within its match a pattern finds the same again
        last = on_all_cores(text, lambda each: each.str.extract_all(pattern).list.last())
        return once_if_repeated(last, group)
    several = on_all_cores(text, lambda each: each.str.count_matches(pattern) > 1).arg_true()
    return group(text).scatter(several, _marked(text.gather(several), pattern))


_SIGN = re.compile(r"\\.|\[\^|.", re.DOTALL)
_ASSERTIONS = frozenset(("^", "$", *(f"\\{sign}" for sign in "bBAzZ<>")))
"""Signs of a pattern that look beyond the match; an escaped one or [^ is another."""


def _group_1(text: pl.Expr, pattern: str) -> pl.Expr:
    """Group 1 of the first match where there is one, empty if the match leaves it out."""
    return pl.when(text.str.contains(pattern)).then(text.str.extract(pattern, 1).fill_null(""))


def _marked(text: pl.Series, pattern: str) -> pl.Series:
    """Group 1 of the last match, marked where it stands."""
    shown = text.str.replace_all(pattern, f"{_OPEN}${{1}}{_CLOSE}")
    return shown.str.split(_OPEN).list.last().str.split(_CLOSE).list.first()


def _by_function(function: Callable[[str], str | None]) -> Extractor:
    def run(completions: pl.Series) -> Extraction:
        found: list[Any] = [None if c is None else function(c) for c in completions.to_list()]
        if any(a is not None and not isinstance(a, str) for a in found):
            raise ExtractionError("the extract function must return a string or None.")
        try:
            return Extraction(pl.Series("a", found, dtype=pl.String))
        except UnicodeEncodeError:
            raise ExtractionError(
                "the extract function returned text that is no valid Unicode."
            ) from None

    return run


def _by_math(completions: pl.Series, row_seconds: float) -> Extraction:
    def read(texts: pl.Series) -> pl.Series:
        results, killed = map_in_workers("extract_math", texts.to_list(), row_seconds)
        found = {
            "a": pl.Series(results, dtype=pl.String),
            "killed": pl.Series(killed, dtype=pl.Boolean),
        }
        return pl.DataFrame(found).to_struct("found")

    found = each_once(completions, read).struct
    return Extraction(found.field("a"), int(found.field("killed").sum() or 0))
