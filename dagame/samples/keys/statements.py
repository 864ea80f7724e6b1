"""Answers that a sentence states: "the answer is ...", "Answer: ...", <answer>...</answer>."""

from __future__ import annotations

import re

from .markup import announced, balanced, bare

_COLON = ":\uff1a"
_SAID = (
    announced("answers?", f".?!={_COLON}", f"[={_COLON}]") + f"|\u7b54\u6848[\u662f\u4e3a{_COLON}]*"
)
STATEMENT = rf"(?is:<answer>.{{1,2000}}?</answer>)|(?i:{_SAID})[\s*_{_COLON}]*[^\n]+"
"""A pattern of the linear-time engine."""

_MARKER = re.compile(rf"<answer>|{_SAID}", re.IGNORECASE)
_CODE = re.compile(r"[A-Za-z_]\w*[(\[]|\)\.[a-z]|[A-Za-z]\.[a-z_]+\b|^\s*[A-Za-z]\w*_\w+")
"""What a program assigns: a call, an attribute, an index, a name with an underscore."""
_STOP = re.compile(r"[.!?\u3002\uff01\uff1f](?=[\"'\u201d\u2019)\]*_]*(?:\s|$))")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|st|vs|jr|sr|mt|ft|fig|prof|gen|rep|sen|inc|ltd|co|approx|ca|cf|eq)"
    r"|\b(?:[A-Za-z]\.)+[A-Za-z])$",
    re.IGNORECASE,
)
_INITIAL = re.compile(r"\b[A-Z]$")
_OPENER = re.compile(
    r"(?:The|This|That|These|It|So|Because|We|I|You|He|She|They|Option|Therefore|Hence|Since|As|In|And|But|"
    r"Thus|If|For|Note|Let|To|A|An)\b"
)


def stated(candidate: str) -> str | None:
    """What stands behind the last marker, to the end of its sentence, without markup."""
    *_, marker = _MARKER.finditer(candidate)
    text = candidate[marker.end() :]
    if marker[0].lower() == "<answer>":
        return bare(re.sub(r"(?i)</answer>\s*$", "", text)) or None
    if marker[0].endswith("=") and _CODE.search(text):
        return None
    return bare(sentence(text.lstrip(f" \t\n*_{_COLON}"))) or None


def sentence(text: str) -> str:
    """The text to the end of its first sentence; initials, abbreviations and brackets end none."""
    for stop in _STOP.finditer(text):
        before, after = text[: stop.start()], text[stop.end() :].lstrip(" \"'\u201d)*_")
        if not balanced(before) or before.count("$") % 2:
            continue
        if stop[0] == "." and after and _ABBREVIATION.search(before):
            continue
        if stop[0] == "." and after and _INITIAL.search(before) and not _OPENER.match(after):
            continue
        if stop[0] == "." and after[:1].islower() and re.search(r"\b[A-Za-z]{1,4}$", before):
            continue
        return before
    return text
