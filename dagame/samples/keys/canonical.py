"""Answer strings -> hashable keys, so that equal answers are one answer everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable

from ...errors import ExtractionError, nearest
from ..lazy import pl
from .distinct import each_once
from .markup import with_ellipses
from .mathematics import amount_key
from .quantities import value
from .workers import check_row_seconds, map_in_workers

CANONICALS = ("exact", "nospace", "casefold", "number", "math")

Canonicaliser = Callable[["pl.Series"], "pl.Series"]


_WRITTEN: dict[str, Canonicaliser] = {
    "exact": lambda answers: answers.str.strip_chars(),
    "nospace": lambda answers: answers.str.replace_all(r"\s+", ""),
    "casefold": lambda a: a.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars(),
}
"""Keys by how answers are written."""


def make_canonicaliser(name: str, *, row_seconds: float = 5.0) -> Canonicaliser:
    r"""A map of answer strings to keys; an empty answer becomes null, the "no answer".

    exact: outer white space off. nospace: all white space out. casefold: lower case, white space
    runs to one blank. number: exact rationals ("1,000" = "1000.0" = "1e3", "1/2" = "0.5" = "50%"; a
    leading $ is dropped; never "1,5" or "3 1/2", which can be read two ways), quantities with their
    unit ("5cm" = "5 centimetres"), other text as nospace but for one blank between digits. math:
    exact values and normal forms of formulas, see `mathematics.exact_key`, read in worker processes
    of `row_seconds` a row; whatever can be read two ways stays text. Neither merges different values.
    """
    check_row_seconds(row_seconds)
    if name not in CANONICALS:
        raise ExtractionError(f"canonical {name!r} is unknown; {nearest(name, CANONICALS)}")

    def run(answers: pl.Series) -> pl.Series:
        if name in _WRITTEN:
            keys = _WRITTEN[name](answers)
        else:
            keys = each_once(answers, lambda texts: _by_value(texts, name, row_seconds))
        frame = pl.DataFrame({"a": keys})
        return frame.select(pl.when(pl.col("a") != "").then(pl.col("a")))["a"]

    return run


def _by_value(answers: pl.Series, name: str, row_seconds: float) -> pl.Series:
    """Keys of answers by what they mean, else by how they are written."""
    texts: list[str] = answers.to_list()
    values: list[str | None] = [_number(text) for text in texts]
    if name == "math":
        other = [k for k, found in enumerate(values) if not found]
        read, _ = map_in_workers("canonical_math", [texts[k] for k in other], row_seconds)
        for k, found in zip(other, read, strict=True):
            values[k] = found
    keys = [v or _text(t) for v, t in zip(values, texts, strict=True)]
    return pl.Series(answers.name, keys, dtype=pl.String)


def _number(text: str) -> str:
    """The exact value as "p" or "p/q", a quantity as that and its unit; "" if it is neither."""
    found = value(with_ellipses(text).strip().rstrip(". \n"))
    return amount_key(text) if found is None else str(found)


def _text(text: str) -> str:
    """White space out, but for a blank within a number: "3 1/2 cups" is not 31/2 of them."""
    return re.sub(r"(?<=[\d.])(\s+)(?=[\d.])|\s+", lambda m: " " if m[1] else "", text)
