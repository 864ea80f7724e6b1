r"""Where a completion says its answer: the whole of it, or nothing; linear in the text.

In this order: the last box; what stands behind the last "the answer is"; the last formula, between
delimiters or in plain text. A formula that the end of the text cuts off is no answer, and no part
of a formula is one.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from .markup import with_ellipses
from .prose import runs_of, unit_behind
from .units import unit_key

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_JOINED = re.compile(
    r"[\s$.,;*]*(?:\b(?:and|or)\b|\\(?:text|quad|qquad)\b\s*\{?\s*(?:and|or)\s*\}?|,)?[\s$;*]*"
)
_STATEMENT = re.compile(
    r"answers?(?:\*\*|__)?\s*"
    r"(?:(?:is|are|was|equals|will be|would be|must be|should be)(?![a-z])(?:\s*(?:\*\*|__)?:)?|[:=])",
    re.IGNORECASE,
)
_FORMULA = re.compile(
    r"\$\$(?P<display>(?:[^$\\]|\\.)+)\$\$"
    r"|(?<![\\$])\$(?P<dollars>(?:[^$\\\n]|\\.|\n(?!\s*\n))+)\$(?![0-9])"
    r"|\\\((?P<round>(?:[^\\]|\\(?![()\[\]]).)*)\\\)"
    r"|\\\[(?P<square>(?:[^\\]|\\(?![()\[\]]).|\\\\)*)\\\]"
    r"|\\begin\{(?P<name>[a-z]+\*?)\}(?P<body>.{0,4000}?)\\end\{(?P=name)\}",
    re.DOTALL,
)
_SENTENCE_INSIDE = re.compile(
    r"(?<![\\A-Za-z{])[A-Za-z]{2,}(?:[.;:]\s+[A-Za-z]{2,}|(?:\s+[A-Za-z]{2,}){3})"
)
_IN_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textbf|begin|end)\s*\{[^{}]*\}")
_TURNS = re.compile(
    r"\b(?:not|least|most|than|between|over|under|from|none|either)\b", re.IGNORECASE
)
"""A number behind these in a sentence is not what the sentence says."""


def find_mathematics(completion: str) -> str:
    """The text of the whole answer; "" if there is none."""
    text = with_ellipses(completion.replace("\ue000", "").replace("\ue001", ""))
    if "boxed" in text or "fbox" in text:
        box = _last_box(text)
        if box is not None:
            return box
    statement = _last_statement(text)
    if statement is not None:
        return statement
    return _last_formula(text)


# -- boxes ----------------------------------------------------------------------------------------


class _Box(NamedTuple):
    """Where a box starts, and what is inside; end -1 where it does not close."""

    start: int
    inside: int
    end: int


def _last_box(text: str) -> str | None:
    """The last box, or the last ones where only commas, "and" or "or" stand between them."""
    boxes = _boxes(text)
    if not boxes:
        return None
    if boxes[-1].end < 0:
        return ""
    first = len(boxes) - 1
    while first and _are_joined(text, boxes[first - 1], boxes[first]):
        first -= 1
    if first == len(boxes) - 1:
        return _with_neighbours(text, boxes[-1])
    said = text[boxes[first].inside : boxes[first].end]
    for before, box in pairwise(boxes[first:]):
        join = " or " if re.search(r"\bor\b", text[before.end + 1 : box.start]) else ", "
        said += join + text[box.inside : box.end]
    return said.strip()


def _boxes(text: str) -> list[_Box]:
    """The last of them, but for those within others."""
    boxes: list[_Box] = []
    for match in list(_BOX.finditer(text))[-20:]:
        inside = match.end() + 1
        end = _closing_brace(text, inside) if text[match.end() : inside] == "{" else None
        if not boxes or end is None or match.start() >= boxes[-1].end:
            boxes.append(_Box(match.start(), inside, -1 if end is None else end))
    return boxes


def _are_joined(text: str, before: _Box, box: _Box) -> bool:
    between = text[before.end + 1 : box.start]
    short = before.end >= 0 and len(between) <= 60 and between.strip(" $")
    return bool(short and _JOINED.fullmatch(between))


def _closing_brace(text: str, inside: int) -> int | None:
    depth = 1
    for match in _BRACES.finditer(text, inside):
        sign = match[0]
        depth += (sign == "{") - (sign == "}")
        if not depth:
            return match.start()
    return None


def _with_neighbours(text: str, box: _Box) -> str:
    """The box's content, with the unit behind it, or the formula that the box is a part of."""
    content = text[box.inside : box.end].strip()
    if not content:
        return ""
    opening, before = _formula_before(text, box.start)
    behind, outside = _behind(text, box.end + 1)
    if _belongs(before):
        if opening:
            return f"{before}({content}){behind}"
        runs = runs_of(f"{before}({content}) {behind}")
        return runs[-1] if runs else ""
    if _is_unit(behind) or re.match(r"\\(?:text|mathrm)\s*\{", behind):
        return f"{content} {behind}"
    if behind and not re.match(r"=|\\(?:approx|implies|quad|end|\\)|[A-Za-z,;:.(]", behind):
        return f"({content}){behind}"
    unit = _unit_before_the_end(behind or outside)
    return f"{content} {unit}" if unit else content


def _behind(text: str, end: int) -> tuple[str, str]:
    """What follows a box in its formula or line, and in the sentence behind the formula."""
    stop = re.compile(r"\$|\\\)|\\\]|\n|$").search(text, end)
    assert stop is not None
    outside = text[stop.end() : stop.end() + 60].split("\n")[0] if stop[0] not in ("", "\n") else ""
    return text[end : stop.start()].strip(" *_").rstrip(".,;!").strip(), outside


def _is_unit(words: str) -> bool:
    return unit_key(words) is not None or words in ("%", r"\%", "percent")


def _formula_before(text: str, start: int) -> tuple[str, str]:
    """How the formula or line of a box is opened ("" for a line) and what stands before the box."""
    opened = max(
        (text.rfind(sign, 0, start) + len(sign), sign)
        for sign in ("\n", "$", r"\(", r"\[", r"\\")
        if text.rfind(sign, 0, start) >= 0 or sign == "\n"
    )
    at, sign = opened
    if sign == "$" and text.count("$", 0, at) % 2 == 0 and text[max(at - 2, 0) : at] != "$$":
        sign = ""  # that dollar closed a formula
    return sign.strip(), re.sub(r"^\s*[-*+•]\s+", "", text[at:start]).strip(" \t*_")


def _belongs(before: str) -> bool:
    """Whether a formula goes on in the box: a sign, a factor or an inequality before it."""
    if re.search(r"(?:[-+−*/^<>≤≥≠±·×]|\\(?:cdot|times|pm|mp|div|leq?|geq?|neq?))$", before):
        return not before.endswith(("=>", "->", "⇒", "→"))
    return bool(re.search(r"[0-9})]$|(?<![A-Za-z])[A-Za-z]$", before)) and not before.endswith("a")


def _unit_before_the_end(text: str) -> str:
    """A known unit at the start of a text if its sentence ends behind it."""
    words = re.split(r"(?:[.,;!?)](?:\s|$)|[*_]+|$)", text, maxsplit=1)[0].strip()
    if _is_unit(words):
        return words
    return unit_behind(words.split(), 0).strip() if words else ""


# -- final statements -----------------------------------------------------------------------------


def _last_statement(text: str) -> str | None:
    """What the last "the answer is" says, to the end of its sentence."""
    marker = _last_marker(text)
    if marker is None:
        return None
    rest = text[marker.end() :].lstrip(" \t*_:").lstrip("\n \t*_")
    formula = _FORMULA.match(rest)
    end = 0 if formula is None else formula.end()
    line = rest[:end] + rest[end:].split("\n", 1)[0]
    if not line.strip(" .*_"):
        return None
    found = _of_line(line, first=True)
    if found is None:
        words = _sentence(line).replace("$", " ").strip(" *_\"'“”`")
        found = words if len(words) <= 60 else ""
    return found


def _last_marker(text: str) -> re.Match[str] | None:
    """The last "the answer is"."""
    last, end = None, len(text)
    while last is None:
        end = max(text.rfind("nswer", 0, end), text.rfind("NSWER", 0, end))
        if end < 1:
            return None
        last = _STATEMENT.match(text, end - 1)
    return last


def _sentence(line: str) -> str:
    """Up to the full stop that ends the first sentence."""
    match = re.search(r"(?<=[^A-Z.])[.!?](?=[\s*_\"”)]|$)", line)
    return line[: match.start()] if match else line


# -- the last formula -----------------------------------------------------------------------------


def _last_formula(text: str) -> str:
    """The last formula of the last line, or block of lines, that has one."""
    if _is_unclosed(text):
        return ""
    end = len(text.rstrip())
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        if text[start:end].strip():
            start = _block_start(text, start, end)
            found = _of_line(text[start:end])
            if found is not None:
                return found
        end = start - 1
    return ""


def _block_start(text: str, start: int, end: int) -> int:
    """Where the line begins, or the display that ends in it."""
    line, first = text[start:end], start
    for closing, opening in ((r"\]", r"\["), (r"\)", r"\("), (r"\end{", r"\begin{")):
        at = line.find(closing)
        if at >= 0 and opening not in line[:at]:
            opened = text.rfind(opening, 0, start)
            first = min(first, opened) if opened >= 0 else first
    if line.count("$$") % 2:
        opened = text.rfind("$$", 0, start)
        first = min(first, opened) if opened >= 0 else first
    return text.rfind("\n", 0, first) + 1


def _is_unclosed(text: str) -> bool:
    r"""Whether the last \[ or \( has no end."""
    for closing, opening in ((r"\]", r"\["), (r"\)", r"\(")):
        opened = text.rfind(opening)
        row = opened > 0 and text[opened - 1] == "\\"  # \\[2pt]
        if opened > text.rfind(closing) and not row:
            return True
    return False


def _content(match: re.Match[str]) -> str:
    for name in ("display", "dollars", "round", "square"):
        if match[name] is not None:
            return match[name].strip()
    name, body = match["name"], match["body"]
    if re.fullmatch(r"(?:equation|align|gather|multline|displaymath|math)\*?", name):
        return body.strip()
    return match[0]


def _of_line(line: str, first: bool = False) -> str | None:
    r"""The last (or first) formula of a line with its unit; "" if it is cut off, None if none."""
    flat, rest, formulas = _with_places(line)
    flat = _sentence(flat + rest) if first else flat + rest
    if _is_cut(flat if first else rest):
        return ""
    runs = runs_of(flat)
    if not runs or (first and runs[0] and _TURNS.search(flat.split(runs[0].split(" ")[0])[0])):
        return None
    return _restored(runs[0 if first else -1], formulas)


def _with_places(line: str) -> tuple[str, str, list[str]]:
    """The line with places for its formulas, what is behind the last of them, and the formulas."""
    flat, formulas, position, scan = "", list[str](), 0, 0
    if "$" not in line and "\\" not in line:
        return "", line, []
    while (match := _FORMULA.search(line, scan)) is not None:
        scan = match.start() + 1
        if _is_formula(match):
            flat += f"{line[position : match.start()]}\ue000{len(formulas)}\ue001"
            formulas.append(_content(match))
            position = scan = match.end()
    return flat, line[position:], formulas


def _restored(run: str, formulas: list[str]) -> str:
    """With the formulas for their places; in brackets where signs stand beside them."""

    def formula(match: re.Match[str]) -> str:
        before, behind = run[: match.start()].rstrip(), run[match.end() :].lstrip()
        inside = formulas[int(match[1])]
        signs = "-+−*/^<>=≤≥·×√"
        beside = before.endswith(tuple(signs)) or behind.startswith((*signs, "!"))
        return f"({inside})" if beside else inside

    return re.sub("\ue000([0-9]+)\ue001", formula, run)


def _is_formula(match: re.Match[str]) -> bool:
    """Between two dollars stands mathematics, not a sentence between two prices."""
    inside = match["dollars"]
    if inside is None:
        return True
    if inside[0].isspace() != inside[-1].isspace():
        return False
    return not _SENTENCE_INSIDE.search(_IN_TEXT.sub("", inside))


def _is_cut(prose: str) -> bool:
    """Whether a formula begins here that the end of the text cuts off."""
    if re.search(r"\\[(\[]|\\begin\{|\$\$", prose):
        return True
    dollar = re.search(r"(?<!\\)\$(?![0-9\s.,]*[0-9](?:[0-9.,]*)(?:[\s.,;:!?)*\"]|$))", prose)
    if dollar and dollar.end() < len(prose):
        return True
    depth = 0
    for sign in _BRACES.findall(prose):
        depth += (sign == "{") - (sign == "}")
    return depth > 0
