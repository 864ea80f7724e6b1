"""What surrounds an answer and is none of it: emphasis, quotes, tags, dollars of formulas, full stops."""

from __future__ import annotations

import re

_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>|<\|[^<>\n]{0,100}\|>")
_EDGE = "*_`\"'\u201c\u201d\u2018\u2019\u00ab\u00bb#"
_STOPS = ".,;:?\u3002\uff0c\uff1b\uff1a\uff1f"
_WRAPPERS = re.compile(
    r"\\(?:boxed|fbox|text|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|emph|ensuremath|mbox)"
    r"\s*\{(.*)\}",
    re.DOTALL,
)
_PAIRS = (
    ("$$", "$$"),
    ("$", "$"),
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("**", "**"),
    ("(", ")"),
    ("[", "]"),
)
_OPENING, _CLOSING = "([{", ")]}"


_GOES_ON = re.compile(r"(\d\.\d+)(?:\.{2,}|\\l?dots(?![A-Za-z]))")

_TRAILS_OFF = re.compile("(?<![0-9.])([0-9]+)\u2026")


def with_ellipses(text: str) -> str:
    """The text with … behind decimals that go on, so that no full stop is taken off "3.33..."."""
    return _TRAILS_OFF.sub(r"\1...", _GOES_ON.sub("\\1\u2026", text))


def bare(text: str) -> str:
    """The text without what surrounds it; the brackets of lists, intervals and sets stay."""
    text = _TAG.sub(" ", text)
    while True:
        before, text = text, _peeled(text.strip())
        if text == before:
            return text


def _peeled(text: str) -> str:
    """One layer less, the same text where there is none."""
    inner = _WRAPPERS.fullmatch(text)
    if inner is not None and balanced(inner[1]):
        return inner[1]
    for left, right in _PAIRS:
        inside = text[len(left) : len(text) - len(right)]
        if len(text) > len(left + right) and text.startswith(left) and text.endswith(right):
            if left in "([" and (not balanced(inside) or re.search("[,;]", inside)):
                continue
            if left not in inside:
                return inside
    if re.search(r"(?:\.{2,}|\u2026)$", text) and "." in text.rstrip(".\u2026"):
        return text  # 3.33... goes on
    text = text.rstrip(_STOPS + "\u2026")
    text = _unmatched(text)
    return text.lstrip(_EDGE).rstrip(_EDGE)


def _unmatched(text: str) -> str:
    """Without an opening bracket at the start or a closing one at the end that has no partner."""
    if text[:1] in _OPENING and not _partner(text):
        return text[1:]
    if text[-1:] in _CLOSING and not _partner(text[::-1].translate(_MIRROR)):
        return text[:-2] if text[-2:-1] == "\\" else text[:-1]
    if text[:2] in ("\\(", "\\[") and text.count(text[:2]) > text.count(
        "\\" + ")]"["([".index(text[1])]
    ):
        return text[2:]
    return text.removeprefix("$$").removesuffix("$$") if text.count("$$") == 1 else text


_MIRROR = str.maketrans("([{)]}", ")]}([{")


def _partner(text: str) -> bool:
    """Whether the bracket that opens the text is closed in it, by any kind: [0, 1) is an interval."""
    depth = 0
    for sign in text:
        depth += (sign in _OPENING) - (sign in _CLOSING)
        if depth == 0:
            return True
    return False


def balanced(text: str) -> bool:
    """Whether every bracket is closed after it was opened."""
    depth = 0
    for sign in text:
        depth += (sign in _OPENING) - (sign in _CLOSING)
        if depth < 0:
            return False
    return depth == 0


def announced(noun: str, stops: str, signs: str, reach: int = 60) -> str:
    """A pattern, for both engines: the noun, at most `reach` characters but stops, and "is" or a sign."""
    return rf"\b{noun}\b[^\n{stops}]{{0,{reach}}}?(?:\bis\b|\bare\b|\bwould be\b|{signs})"
