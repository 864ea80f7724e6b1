r"""Letters of multiple choice, A to J, where a completion states one; several letters are one answer.

Tried in turn: a statement ("answer: B", "the answer I get is (B)", "\boxed{B}", "答案：B", the whole
completion); the last line that is a letter alone; "B is correct"; the only letter that begins a line
("B. Paris"); the only letter in brackets or behind "option". Where different letters compete in one
of the last three, there is no answer.
"""

from __future__ import annotations

import re

from .markup import announced

_OPEN = r"[^\S\n]*[*_#>\"'(\[{$\\-]*"
_LETTERS = (
    r"[A-J]\b(?:[)\]*]*\s*(?:,\s*and\b|,\s*or\b|,|/|&|\band\b|\bor\b|\u3001|\u548c|\u6216)"
    r"\s*[(\[*]*[A-J]\b)*"
)
_SIGNS = r"[:?=\uff1a]|\s[-\u2013\u2014]\s"
_ANSWER = announced("answers?", r".:?=\uff1a", _SIGNS)
_BEST = announced(r"(?:correct|right|best|final)\s+(?:choice|option)s?", r".:?\uff1a", _SIGNS, 40)
_CHOICE = announced("(?:choice|option)s?", r".:?\uff1a", _SIGNS, 40)
STATEMENT = "|".join(
    (
        rf"\A\W*(?:{_LETTERS}|[a-j])\W*\z",
        r"\\f?boxed\s*\{[^{}\n]{0,80}(?:\{[^{}\n]{0,40}\}[^{}\n]{0,40})?\}",
        r"(?i:<answer>)[^<]{1,200}(?i:</answer>)",
        rf"(?i:{_ANSWER})[\s*_]*[^\n]{{0,100}}",
        r"(?:\u7b54\u6848|\u6545\u9009|\u5e94\u9009)[^\n]{0,60}",
        rf"(?i:{_BEST})[^\n]{{0,100}}",
        r"(?i:\bI\s+(?:would\s+)?(?:choose|pick|select|chose|go\s+with|answer)\b)[^\n]{0,100}",
    )
)
ALONE = rf"(?m:^{_OPEN}[A-J][)\]}}.:\"'*_$\s]*$)"
CORRECT = rf"\b{_LETTERS}[)\]*_]*\s+(?:is|are)\s+(?:the\s+)?(?:correct|right|best|true)\b"
LINE = rf"(?m:^{_OPEN}(?:[A-J](?:[).\]:*_]|\uff1a|\s*,)|[A-J]\s+(?:is|and|or)\b)[^\n]*)"
MENTION = rf"[(\[]{_LETTERS}[)\]]|(?i:options?|choices?)\s+[(\[]?{_LETTERS}"
"""Patterns of the linear-time engine, see the module."""

_MARKER = re.compile(
    rf"(?:\\f?boxed\s*\{{|<answer>|{_ANSWER}"
    r"|(?:\u7b54\u6848|\u6545\u9009|\u5e94\u9009)[\u662f\u4e3a\u9009]*"
    rf"|{_CHOICE}"
    r"|\b(?:choose|pick|select|chose|go\s+with)\b)",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"(?:[\s:\uff1a=*_`\"'\u201c\u201d\u2018\u2019$(\[{<>#\\.-]"
    r"|(?:options?|choices?|answers?|either|both|the|is|are|text|textbf|mathrm|mathbf|boxed|fbox)\b)*",
    re.IGNORECASE,
)
_LETTER = re.compile(
    r"([A-J])(?![\w'\u2019+]|-\w|\.[A-Z]\.)|([a-j])(?=[)\]}>*_\"'.,;:$<]|\s*$)(?!\.\w)"
)
_RUN = re.compile(r"([A-J]{2,6})(?![\w'\u2019+])")
_JOIN = re.compile(
    r"[)\]}*_\"'\u201d.$\s]*?\s*(,\s*and\b|,\s*or\b|,|/|&|\+|\u3001|\u548c|\u53ca|\u4e0e|\u6216|\band\b|\bor\b)[\s(\[{*_\"'$]*"
    r"(?:options?\s+|choices?\s+)?[(\[{]?",
    re.IGNORECASE,
)
_WORD_BEHIND = re.compile(r"[^\S\n]+[a-z]")
_CONNECTIVE = re.compile(
    r"[^\S\n]+(?:because|since|as|and|or|is|which|with|for|given|due|so|not)\b"
)

_ASKED = re.compile(r"[)\]}*_\"'\u201d$\s]*\?\s*\w")  # "Is it A? No"


def stated_letters(candidate: str) -> str | None:
    """The letters behind the last statement of a candidate that a letter follows, joined."""
    ends = [0, *(m.end() for m in _MARKER.finditer(candidate))]
    for end in reversed(ends if len(ends) == 1 else ends[1:]):
        found = _letters(candidate[end:])
        if found is not None:
            return found
    return None


def one_choice(candidates: str) -> str | None:
    """What the letters of several candidates, one a line, say if they all say the same."""
    found = {_letters(line) for line in candidates.split("\n")} - {None}
    return found.pop() if len(found) == 1 else None


def _letters(text: str) -> str | None:
    start = _LEADING.match(text)
    rest = text[start.end() if start else 0 :]
    run = _RUN.match(rest)
    if run is not None:
        return ",".join(run[1]) if list(run[1]) == sorted(set(run[1])) else None
    letters, either, rest = _listed(rest)
    if _ASKED.match(rest):
        return None
    return (" or " if either else ",").join(sorted(set(letters))) or None


def _listed(rest: str) -> tuple[list[str], bool, str]:
    """The letters that a text begins with, whether "or" joins them, and what follows."""
    letters, either = [], False
    while (match := _LETTER.match(rest)) is not None:
        letter, rest = (match[1] or match[2]).upper(), rest[match.end() :]
        if match[1] in ("A", "I") and _WORD_BEHIND.match(rest) and not _CONNECTIVE.match(rest):
            break  # an article, a pronoun
        letters.append(letter)
        join = _JOIN.match(rest)
        if join is None:
            break
        either |= join[1].lower().endswith(("or", "\u6216"))
        rest = rest[join.end() :]
    return letters, either, rest
