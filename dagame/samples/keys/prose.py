"""Mathematics in plain sentences: maximal runs of formula words, with the units behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from .units import unit_key

_MATH_WORD = re.compile(
    r"(?:\ue000[0-9]+\ue001|\\[A-Za-z]+|\\.|[0-9]|[-+*/^_=<>()\[\]{}|!%'&,.;~]"
    r"|[…−–×·⋅÷≤≥≠≈±∞√∛π°∪∩∈∅½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ₀₁₂₃₄₅₆₇₈₉]|[$€£¥₹₩₽]"
    r"|[α-ωΓΔΘΛΞΣΦΨΩ]"
    r"|(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|max|min|arcsin|arccos|arctan)(?![A-Za-z])"
    r"|(?<=\{)[A-Za-z ]+(?=\})"
    r"|(?<![A-Za-z])[A-Za-z]{1,2}(?![A-Za-z]))++"
)
_OPERATOR = re.compile(
    r"[-+−–×·⋅÷*/^=<>≤≥≠≈±]+|\\(?:times|cdot|div|pm|mp|leq?|geq?|neq?|approx|in|cup|cap)"
)
_HAS_MATHEMATICS = re.compile(r"[\ue0000-9π∞½⅓⅔¼¾]|\\[A-Za-z]")
_OPAQUE = re.compile(r"[0-9]+(?::[0-9]+)+|[0-9]+(?:st|nd|rd|th)")
"""Ratios, times and ordinals: no value, but an answer."""
_RANGE = re.compile(r"[0-9][0-9.,]*%?(?:-[0-9][0-9.,]*%?)+")
_QUOTES = "\"'“”‘’`*_"
_ARTICLES = ("a", "A", "I")
_JOINERS = frozenset(("and", "or", "to", "by", "of", "out", "in", "per", "x", "×", "–", "-", "/"))
"""Words that make one statement of the numbers directly before and behind them."""
_MAGNITUDES = ("hundred", "thousand", "million", "billion", "trillion", "percent")


class _Run(NamedTuple):
    """A formula among words[start:end]."""

    text: str
    start: int
    end: int


def runs_of(prose: str) -> list[str]:
    """The maximal runs of mathematics in a piece of prose, in their order; "" for one that is cut."""
    if not _HAS_MATHEMATICS.search(prose) and not re.search(r"\s[=<>≤≥]\s", prose):
        return []
    words = prose.replace("\\ ", "~").split()
    runs: list[_Run] = []
    for run in _runs(words):
        gap = words[runs[-1].end : run.start] if runs else []
        joins = runs and _connected(words[runs[-1].end - 1], gap)
        runs.append(_joined(runs.pop(), words, gap, run) if joins else run)
    return [run.text for run in runs]


def _runs(words: list[str]) -> Iterator[_Run]:
    """One after the other, however near they are."""
    kinds, k = [_kind(word) for word in words], 0
    while k < len(words):
        if kinds[k] == "word":
            k += 1
            continue
        end = _end_of_run(words, kinds, k)
        run, k = _run(words, kinds, k, end), end
        if run is not None:
            k = max(k, run.end)
            yield run


def _end_of_run(words: list[str], kinds: list[str], start: int) -> int:
    """Behind the words of mathematics from `start` on, or behind the sentence that ends among them."""
    depth, k = 0, start
    while k < len(words) and (kinds[k] != "word" or depth > 0):
        depth += sum(map(words[k].count, "([{")) - sum(map(words[k].count, ")]}"))
        k += 1
        if _ends_sentence(words[k - 1]) and (depth <= 0 or k - start > 41):
            break
    return k


def _connected(last: str, gap: list[str]) -> bool:
    """Whether two runs are one statement: 2 hours 30 minutes, 3 to 5, 2 out of 3."""
    return not _ends_sentence(last) and len(gap) <= 2 and all(w in _JOINERS for w in gap)


def _joined(first: _Run, words: list[str], gap: list[str], second: _Run) -> _Run:
    comma = "," if words[first.end - 1].rstrip(_QUOTES).endswith(",") else ""
    between = f"{comma} {' '.join(gap)} ".replace("  ", " ")
    text = f"{first.text}{between}{second.text}" if first.text and second.text else ""
    return _Run(text, first.start, second.end)


def _kind(word: str) -> str:
    """Of a word: math, operator, letter, unit (5cm) or word."""
    core = word.strip(_QUOTES).rstrip(".,;:!?").strip(_QUOTES)
    if not core:
        return "word"
    if _OPERATOR.fullmatch(core):
        return "operator"
    if _OPAQUE.fullmatch(core):
        return "math"
    if core in _ARTICLES:
        return "letter"
    if not _MATH_WORD.fullmatch(core) or re.search(r"[A-Za-z]['’][A-Za-z]", core):
        return "unit" if core[0].isdigit() and _number_with_unit(core) else "word"
    if core.isalpha() and core.isascii():
        if len(core) == 1:
            return "letter"
        return "math" if core in ("pi", "sin", "cos", "tan", "log", "ln") else "word"
    return "word" if re.match(r"[A-Za-z]{2}[0-9]", core) else "math"


def _number_with_unit(core: str) -> bool:
    match = re.match(r"[0-9.,/]*[0-9]", core)
    return match is not None and unit_key(core[match.end() :]) is not None


def _ends_sentence(word: str) -> bool:
    return bool(re.search(r"[.!?;:][\"'”*_)]*$", word))


def _run(words: list[str], kinds: list[str], start: int, end: int) -> _Run | None:
    """Words as a formula with its unit; text "" if it is a part of more, None if it is no formula."""
    start, end = _trimmed(words, kinds, start, end)
    if start >= end:
        return None
    if _is_part(words, start, end):
        return _Run("", start, end)
    label, start = _label(words, kinds, start)
    if start >= end:  # "Final =", and no more: what was said before is not what it equals
        return _Run("", start, end) if end == len(words) else None
    run = _formula(words, kinds, start, end, label)
    if not _HAS_MATHEMATICS.search(run) and "=" not in run and not _OPERATOR.search(run):
        return None
    if not re.search(r"[0-9A-Za-zπ∞½⅓⅔¼¾α-ω]", run):
        return None
    return _with_unit(words, _Run(run, start, end))


def _trimmed(words: list[str], kinds: list[str], start: int, end: int) -> tuple[int, int]:
    """Without letters and signs at the ends that are the sentence's: "a 5 cm rod"."""
    while start < end and kinds[start] == "letter" and kinds[start + 1 : start + 2] != ["operator"]:
        start += 1
    while end > start and kinds[end - 1] == "letter" and kinds[end - 2 : end - 1] != ["operator"]:
        end -= 1
    while end > start and kinds[end - 1] == "operator" and words[end - 1] in "-–—*":
        end -= 1
    return start, end


def _is_part(words: list[str], start: int, end: int) -> bool:
    """Whether a word of digits or commands stands beside it that belongs to it."""
    beside = [words[start - 1]] if start and not _ends_sentence(words[start - 1]) else []
    if end < len(words) and not _ends_sentence(words[end - 1]):
        beside.append(words[end])
    return any(re.search(r"[0-9\\]", w.rstrip(",")) and not w.endswith(",") for w in beside)


def _label(words: list[str], kinds: list[str], start: int) -> tuple[str, int]:
    """The word before an operator at the start, "" for none or one that is only called equal."""
    label = ""
    if kinds[start] == "operator" and words[start] not in ("-", "+", "−", "±") and start:
        label = words[start - 1].strip(_QUOTES).rstrip(":,")
        if words[start] == "=" and re.fullmatch(r"[A-Za-z]{3,}", label):
            label, start = "", start + 1
    return label, start + (not label and words[start : start + 1] == ["="])


def _formula(words: list[str], kinds: list[str], start: int, end: int, label: str) -> str:
    run = " ".join(words[start:end])
    run = run.strip(_QUOTES + " ").rstrip(".,;:!?").strip(_QUOTES + " ")
    if _RANGE.fullmatch(run):
        run = run.replace("-", "–")
    run = f"{label} {run}" if label else run
    if kinds[end - 1] == "operator" and end < len(words):
        run = f"{run} {words[end].strip(_QUOTES).rstrip('.,;:!?')}"
    return _unbracketed(run)


def _with_unit(words: list[str], run: _Run) -> _Run:
    """The run with the unit behind it, "" where that goes on."""
    end = run.end
    if _ends_sentence(words[end - 1]) or end == len(words):
        return run
    unit = unit_behind(words, end)
    end += len(unit.split())
    behind = words[end : end + 1]
    ended = not unit or _ends_sentence(words[end - 1])
    if behind and not ended and behind[0] in ("per", "/", "squared", "cubed", "·", "*"):
        return run._replace(text="")
    return _Run(f"{run.text}{unit}", run.start, end)


def unit_behind(words: list[str], start: int) -> str:
    """The next words with a blank before them, as many as are a unit."""
    word = words[start].strip(_QUOTES).rstrip(".,;:!?)")
    if word in _MAGNITUDES:
        more = (
            "" if words[start] != word or start + 1 >= len(words) else unit_behind(words, start + 1)
        )
        return f" {word}{more}"
    for count in (4, 3, 2, 1):
        part = words[start : start + count]
        if len(part) < count or any(_ends_sentence(w) for w in part[:-1]):
            continue
        text = " ".join(part).strip(_QUOTES).rstrip(".,;:!?)").strip(_QUOTES)
        last = start + count == len(words) or _ends_sentence(part[-1])
        if unit_key(text) is not None and (last or text not in _ALSO_WORDS):
            return f" {text}"
    return ""


_ALSO_WORDS = frozenset(
    ("in", "A", "C", "F", "T", "B", "H", "K", "d", "t", "pt", "second", "Second")
)
"""Units only where the sentence ends behind them."""


def _unbracketed(run: str) -> str:
    """Without a bracket at its start or end that belongs to the sentence."""
    for opening, closing in (("(", ")"), ("[", "]")):
        depth = run.count(opening) - run.count(closing)
        intervals = re.search(r"[\[(][^()\[\]]*,[^()\[\]]*[\])]", run)
        if depth > 0 and run.startswith(opening) and not intervals:
            run = run[1:]
        elif depth < 0 and run.endswith(closing) and not intervals:
            run = run[:-1]
    return run.strip()
