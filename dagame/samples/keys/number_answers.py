"""Numbers in running text: the whole number with all that belongs to it, or the text it stands in.

A candidate is a run of words round some digits: what is joined to them by signs, operators,
brackets, groups of thousands or words such as "million". It is a number, which is returned without
markup, currency dollar and full stop, or it is returned as it stands, so that "10^6 + 1", "10:30"
and "A5" are answers of their own and never 1, 30 or 5. A word behind a blank ("5 apples", "5 km")
is the sentence's, not the number's.
"""

from __future__ import annotations

import re
from functools import cache, partial

from .markup import bare
from .numbers import MINUS
from .quantities import MAGNITUDES, value

_SCRIPTS = (  # written without blanks between words: a number beside them stands alone
    "\u0e00-\u0e7f\u1100-\u11ff\u3000-\u30ff\u3130-\u318f\u31f0-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uff01-\uff04\uff06-\uff0a\uff0c\uff1a\uff1b\uff1f\uff5e"
)
_DIGIT = "\\d\u00bc-\u00be\u2150-\u215f\u2189"
_CHARACTER = rf"(?:[<>!]=|[^\s=\u2248\u2192\u21d2{_SCRIPTS}])"
_LAST = rf"(?:[<>!]=|[^\s,;=\u2248\u2192\u21d2{_SCRIPTS}])"
_WORD = rf"{_CHARACTER}*[{_DIGIT}](?:{_CHARACTER}*{_LAST})?"
_GAP = r"[^\S\n]"
_SIGN = rf"{MINUS}+\u00b1\u2213\u00d7\u00b7\u22c5\u2219\u00f7/^\u2264\u2265\u2260\u221a"
_LONE = rf"[{_SIGN}*<>]|[<>!]=|\*\*|[xX]"
_COMMAND = r"\\[a-zA-Z]+"
_BEFORE = (
    rf"(?:{_CHARACTER}*{_GAP}+)?(?:{_CHARACTER}*[{_SIGN}<>(\[{{]|\*\*?|[<>!]=|{_COMMAND}"
    rf"|[{MINUS}+]?\\?[$\u20ac\u00a3\u00a5\u20b9][{MINUS}+]?|(?i:minus|negative|plus|times)){_GAP}+"
)
_ASCII = "|".join(word for word in MAGNITUDES if word.isascii())
_HAN = "".join(word for word in MAGNITUDES if not word.isascii())
_SHORT = "[kKM]|[Mm]ln|[Mm]io|[Bb]n"  # of a magnitude that could be something else: it stays text
_AFTER = "|".join(
    (
        rf"{_GAP}\d{{3}}{_CHARACTER}*",  # a group of thousands
        rf"{_GAP}+(?i:(?:{_ASCII})s?)\b|{_GAP}?[{_HAN}]|{_GAP}(?:{_SHORT})\b",
        rf"{_GAP}*[%\uff05\u066a\u2030]|{_GAP}+(?i:per ?cent|pct)\b",
        rf"{_GAP}+(?:{_LONE}){_GAP}+{_CHARACTER}+|{_GAP}+[{_SIGN}]{_WORD}",
        rf"{_GAP}+{_COMMAND}{_GAP}*{_CHARACTER}*",
        rf"{_GAP}\d+/\d+|{_GAP}+[)\]}}]+",
        rf"(?:{_GAP}+[^\s{{}}]+){{0,3}}{_GAP}*[^\s{{}}]*\}}{_CHARACTER}*",  # \text{ square cm}
        rf",?{_GAP}(?:and|or|&){_GAP}{_WORD}|[,;]{_GAP}{_WORD}",
    )
)
_LIST = rf"\\?[(\[{{]{_GAP}*{_WORD}(?:[,;]{_GAP}*{_WORD})+"
CANDIDATE = (
    rf"(?:(?:[-=~]+>|[=\u2248\u2192\u21d2])?{_GAP}*(?:{_LIST}|(?:{_BEFORE})?{_WORD})(?:{_AFTER})*)"
)
"""In the syntax that Rust's and Python's engines share; no candidate crosses a line."""

_ARROW = re.compile(
    r"^\s*(?:[-=~]+>|[=\u2248\u2192\u21d2])|.*(?:->|\\(?:approx|Rightarrow|rightarrow|to|implies|therefore|quad|item|simeq)\b)"
)
_COLON = re.compile(r".*(?:[^\d\s]|\s):(?!\d*\s*:)|^:|.*>>")
_EQUALS_WORD = re.compile(
    r"(?i)^(?:(?:is|are|was|be|equals?|gives?|[^\s\d]*[:,(])\s+)(?=\S+\s+[\d.$\\])"
)
_NEGATIVE = re.compile(r"(?i)^.*\s(?=negative\s)")
_PROSE = re.compile(rf"\s+(?:{_LONE})\s+[^\W\d_]{{2,}}.*$")
_BULLET = re.compile(r"^[*+>\u2022]\s+(?=\S)")
_EXCLAIMED = re.compile(r"^[^=+*/^]*\d[*_\"')\]]*[?!]+$")
_QUOTED = re.compile(r"[*_\"'\u201d\u2019%]!+$")
_DOLLAR = re.compile(r"\\?\$\s*")


def whole_number(candidate: str) -> str | None:
    """The number of a candidate, else its text; None where a dash may be a bullet or a sign.

    A dash before the number and a blank is a sign behind "is", ":" and "="; at the start of a line
    it could open a list, and behind another word it stays with that word.
    """
    if re.match(rf"\s*[{MINUS}]\s", candidate):
        return None
    text = _PROSE.sub("", _after_delimiters(bare(candidate)))
    text = _BULLET.sub("", _EQUALS_WORD.sub("", _NEGATIVE.sub("", text)))
    if _EXCLAIMED.match(text) or _QUOTED.search(text):
        text = text.rstrip("?!")
    text = bare(text)
    if not text:
        return None
    if value(text) is not None:
        return _DOLLAR.sub("", text)
    return whole_number(text.split()[-1]) if _are_numbers(text) else text


def _are_numbers(text: str) -> bool:
    """Whether it is no group of thousands after all, but numbers side by side."""
    pieces = text.split()
    each = all(re.fullmatch(rf"\S*[{_DIGIT}]\S*", piece) for piece in pieces)
    return len(pieces) > 1 and each and not re.search(r"[,;&(]|\d/\d", text)


def _after_delimiters(text: str) -> str:
    """What stands behind the last arrow or label ("Answer:72"); times and ratios keep their colon."""
    for delimiter in (_ARROW, _COLON):
        match = delimiter.match(text)
        if match is not None and re.search(rf"[{_DIGIT}]", text[match.end() :]):
            text = text[match.end() :]
    return text.strip()


# -- a number in front of a sentence --------------------------------------------------------------

_candidate = cache(partial(re.compile, CANDIDATE))  # it is long: compiled when it is first used
_EQUALS = re.compile(r"(?<![<>!=~])=(?![=>])")
_LABEL = re.compile(
    r"(?i)^[\s*_`\"'#:=]*(?:(?:the\s+)?(?:final\s+)?answer\s*(?:is\b|[:=])?)?[\s*_`\"':=]*"
)
_FRONT = re.compile(
    rf"(?P<sign>[{MINUS}+]?)\s*(?P<currency>\\?[^\W\d]{{0,3}}[$\u20ac\u00a3\u00a5\u20b9]?)\s*(?P<sign_2>[{MINUS}+]?)"
    rf"(?P<number>[\d.,'\u2019\u066b\u066c]*[{_DIGIT}](?:[eE][-+]?\d+)?)(?P<unit>[^{_DIGIT}]*)"
)
_GOES_ON = re.compile(
    rf"\s*[^\W\d]+\s+(?:and\s+)?[{_DIGIT}][\d.,/]*\s*[^\W\d]+"  # 2 hours 30 minutes
    r"|\s*(?:[(\[]?\s*(?:or|to|through|till|until)\s+)?"  # 10 to 12, 10 $12, 10 00
    rf"\\?[$\u20ac\u00a3\u00a5\u20b9]?\s*[{_DIGIT}]"
)


def first_number(line: str) -> str | None:
    """The number that a line begins with, whatever unit or sentence follows.

    Of an equation its right side. "2 hours 30 minutes" is not 2, "10:30" and "10 to 12" not 10, "3k" not 3:
    where the rest goes on with the number, the line is text.
    """
    parts = [p for p in _EQUALS.split(line.lstrip("# \t")) if re.search(rf"[{_DIGIT}]", p)]
    if not parts:
        return None
    text = re.sub(rf"^([{MINUS}])\s+", r"\1", _LABEL.sub("", parts[-1]))
    match = _candidate().search(text)
    if match is None:
        return None
    found = whole_number(match[0])
    if found is None or match.start() > 4 or _goes_on(text, match, found):
        return bare(text) or None
    number = found.rstrip(" %\\\uff05\u066a\u2030")
    return number if value(number) is not None else _without_unit(found)


def _without_unit(found: str) -> str:
    """The number at the front of a text whose rest is a unit, else the text."""
    front = _FRONT.fullmatch(found)
    if front is None or (front["sign"] and front["sign_2"]):
        return found
    number = front["sign"] + front["sign_2"] + front["number"]
    joined = re.match(rf"[{_SIGN}*:(]|\s*(?:{_SHORT}|[xyzn])\b", front["unit"])
    joined = joined and not front["unit"].startswith("/")
    return found if value(number) is None or joined else number


def _goes_on(text: str, match: re.Match[str], found: str) -> bool:
    """Whether more numbers stand beside the one that was found, before or behind it."""
    before = match[0].rpartition(found)[0]
    return bool(re.search(rf"[{_DIGIT}]\s+$", before) or _GOES_ON.match(text[match.end() :]))
