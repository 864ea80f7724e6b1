r"""Ways to find an answer by name: where it stands, how far it goes, and examples that are its tests.

A preset is a pattern of candidates, which the linear-time engine finds in whole columns, and a
function that reads one candidate to its end: the whole answer, or None. Its distinct candidates are
read once. None of math-verify, lm-evaluation-harness or regular expressions alone serves here:
they cut what goes on beside the match ("1 - \sqrt{2}" to 1, "118 000" to 0).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..cores import on_all_cores
from ..lazy import pl
from . import choices, statements
from .distinct import each_once
from .markup import bare
from .number_answers import CANDIDATE, first_number, whole_number

Example = tuple[str, str | None]


@dataclass(frozen=True)
class Rule:
    """One pattern of candidates: `take` "first", "last" or "all" (one a line), read by `whole`."""

    pattern: str
    take: str
    whole: Callable[[str], str | None]

    def candidates(self, texts: pl.Series) -> pl.Series:
        """The candidate of each text, null where there is none."""
        return on_all_cores(texts, self._candidate)

    def _candidate(self, text: pl.Expr) -> pl.Expr:
        if self.take == "first":
            return text.str.extract(f"({self.pattern})", 1)
        found = text.str.extract_all(self.pattern)
        if self.take == "last":
            return found.list.last()
        distinct = found.list.unique(maintain_order=True).list.join("\n")
        return pl.when(found.list.len() > 0).then(distinct)


@dataclass(frozen=True)
class Preset:
    """Rules tried in turn until one finds an answer; `canonical` is the form of keys that suits it."""

    rules: tuple[Rule, ...]
    canonical: str
    meaning: str
    examples: tuple[Example, ...]

    def find(self, texts: pl.Series) -> pl.Series:
        """The answer of each text, null where there is none."""
        answers = pl.Series("answer", [None], dtype=pl.String).new_from_index(0, len(texts))
        for rule in self.rules:
            open_ = answers.is_null()
            if not open_.any():
                break
            found = mapped(rule.candidates(texts.filter(open_)), rule.whole)
            answers = answers.scatter(open_.arg_true(), found)
        return answers


def mapped(column: pl.Series, function: Callable[[str], str | None]) -> pl.Series:
    """The function of each value, called once for each distinct one."""
    return each_once(
        column, lambda texts: pl.Series([function(t) for t in texts.to_list()], dtype=pl.String)
    )


# -- boxes ----------------------------------------------------------------------------------------


def _nested(depth: int) -> str:
    inside = r"(?:\\.|[^{}\\])*"
    for _ in range(depth):
        inside = rf"(?:\\.|[^{{}}\\]|\{{{inside}\}})*"
    return inside


_BOX = rf"\\f?boxed\b\s*(?:\{{{_nested(6)}\}})?|\\fbox\b\s*(?:\{{{_nested(6)}\}})?"
_BETWEEN = (
    r"\$?\s*(?:,|;|\band\b|\bor\b|\\text\{\s*(?:and|or)\s*\})\s*(?:and\b|or\b)?\s*\$?\s*"
    r"(?:\\?[a-zA-Z](?:_\d)?\s*=\s*)?"
)
_BOXES = rf"(?:{_BOX})(?:{_BETWEEN}(?:{_BOX}))*"
_OPENED = re.compile(r"\\(?:f?boxed|fbox)\b\s*")


def _boxed(candidate: str) -> str | None:
    """What stands in the boxes of a candidate; None if one is not closed or has no braces."""
    parts = []
    for box in _OPENED.finditer(candidate):
        inside = _braced(candidate[box.end() :])
        if inside is None:
            return None
        if not parts or box.start() >= parts[-1][1]:
            parts.append((inside, box.end() + len(inside) + 2))
    return ", ".join(_unboxed(inside) for inside, _ in parts) or None


def _unboxed(text: str) -> str:
    """A box's content, without a box that is all of it."""
    inner = re.fullmatch(r"\s*\\(?:f?boxed|fbox)\s*(\{.*\})\s*", text, re.DOTALL)
    inside = None if inner is None else _braced(inner[1])
    return text.strip() if inside is None else _unboxed(inside)


def _braced(text: str) -> str | None:
    depth = 0
    escaped = False
    for k, sign in enumerate(text):
        if escaped or sign == "\\":
            escaped = not escaped
            continue
        depth += (sign == "{") - (sign == "}")
        if k == 0 and depth != 1:
            return None
        if depth == 0:
            return text[1:k]
    return None


# -- the table ------------------------------------------------------------------------------------

_HASHES = r"####[^\S\n]*"
_GSM8K = (
    Rule(
        rf"{_HASHES}[^\n\pL\d]{{0,12}}(?i:(?:the\s+)?(?:final\s+)?answer(?:\s+is)?[^\n\pL\d]{{0,8}})?"
        r"(?:(?i:minus|negative|plus)\s+)?(?:\\[dtc]?frac\{?|\\boxed\{)?\d[^\n]*",
        "first",
        first_number,
    ),
    Rule(rf"{_HASHES}[^\n#]*", "first", lambda found: bare(found.lstrip("# \t")) or None),
)


def _taking(rules: tuple[Rule, ...], take: str) -> tuple[Rule, ...]:
    return tuple(Rule(r.pattern, r.take if r.take == "all" else take, r.whole) for r in rules)


_CHOICE = (
    Rule(choices.STATEMENT, "last", choices.stated_letters),
    Rule(choices.ALONE, "last", choices.stated_letters),
    Rule(choices.CORRECT, "all", choices.one_choice),
    Rule(choices.LINE, "all", choices.one_choice),
    Rule(choices.MENTION, "all", choices.one_choice),
)

PRESETS: dict[str, Preset] = {
    "boxed": Preset(
        (Rule(_BOXES, "last", _boxed),),
        "math",
        r"what stands in the last \boxed{...} or \fbox{...}, braces up to 6 deep; boxes joined by "
        "a comma, and, or are one answer",
        (
            (r"First \boxed{41}, no: \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
            (r"\fbox{42}", "42"),
            (r"$x = \boxed{3}$ or $x = \boxed{5}$", "3, 5"),
            (r"\boxed 42 .", None),
            (r"\boxed{41}, or rather \boxed{4", None),
        ),
    ),
    "gsm8k": Preset(
        _GSM8K,
        "number",
        "the number behind the first ####, whatever unit or sentence follows it; without a number, "
        "the text",
        (
            ("#### 72 clips in total.", "72"),
            ("#### **$1,080.50**", "1,080.50"),
            ("#### -$72", "-72"),
            ("#### 48 + 24 = 72", "72"),
            ("#### 50%", "50"),
            ("#### 2 hours 30 minutes", "2 hours 30 minutes"),
            ("#### 72\n\nQuestion: and 5 - 2?\n#### 3", "72"),
            ("#### Paris", "Paris"),
            ("72", None),
        ),
    ),
    "last-number": Preset(
        (Rule(CANDIDATE, "last", whole_number),),
        "number",
        "the last number, with its sign, groups of thousands, power, magnitude word and per cent "
        "sign; a formula, range, time or word that it is part of is kept whole, as text",
        (
            ("First 3, then -4.5e3.", "-4.5e3"),
            ("It costs **$1,200**!", "1,200"),
            ("There are 118 000 of them", "118 000"),
            ("about 1.5 \u00d7 10^8 km", "1.5 \u00d7 10^8"),
            ("between 10 and 12", "10 and 12"),
            ("at 10:30", "10:30"),
            ("2x + 5", "2x + 5"),
            ("5 apples", "5"),
            ("50%", "50%"),
            ("none", None),
        ),
    ),
    "choice": Preset(
        _CHOICE,
        "exact",
        "a letter A to J where one is stated, by itself, or begins the only line of its kind; "
        "several letters are one answer",
        (
            ("The answer I get is C.", "C"),
            ("(C) is the choice I made.", "C"),
            ("The correct answer is B. Option C is a common distractor.", "B"),
            ("B. Paris", "B"),
            ("\u7b54\u6848\uff1aB", "B"),
            (r"\boxed{\text{B}}", "B"),
            ("The answer is (A) and (C).", "A,C"),
            ("A. Paris\nB. Rome\nC. Oslo", None),
            ("Answer: I am not sure", None),
        ),
    ),
    "answer": Preset(
        (Rule(statements.STATEMENT, "last", statements.stated),),
        "number",
        'what follows the last "the answer is", "Answer:" or stands in <answer>...</answer>, to the '
        "end of the sentence",
        (
            ("So the answer is **St. Louis**. I am sure.", "St. Louis"),
            ("**Final Answer:**\n\n42", "42"),
            ("<answer>\n3 cm\n</answer>", "3 cm"),
            ("The answer to the question is 3.5.", "3.5"),
            ("answer = (today - 3).strftime(fmt)", None),
            ("answer = date.strftime(fmt)", None),
            ("I give up.", None),
        ),
    ),
}
"""Presets that are patterns; "first-" and "last-" before a name choose which one counts."""

for _name, _preset in list(PRESETS.items()):
    _stem = _name.removeprefix("last-")
    for _which in ("first", "last"):
        PRESETS.setdefault(
            f"{_which}-{_stem}",
            Preset(
                _taking(_preset.rules, _which),
                _preset.canonical,
                f"{_preset.meaning} ({_which})",
                (),
            ),
        )
