"""Two-step arithmetic word problems, each asked in eight ways: classes and contexts of a small game.

A problem is (a op b) op c with operands 2..12, its intermediate and final value in 0..63; the
correct trace of 7, 3, 4 with + and * is "7 + 3 = 10 ; 10 * 4 = 40 # 40".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from ...errors import DagameError

LARGEST = 63
"""Every number of a prompt or a trace is in 0..LARGEST, and a token of its own."""

SPLITS = {"pretrain": 1500, "finetune": 500, "selection": 200, "test": 200}
"""Numbers of problems; the splits are disjoint and do not depend on any argument."""

_SPLIT_SEED = 20260427
_OPERANDS = range(2, 13)

Step = tuple[int, str, int]


def value(x: int, operator: str, y: int) -> int:
    """x + y, x - y or x * y, as `operator` says."""
    return x + y if operator == "+" else x - y if operator == "-" else x * y


def valid(steps: Sequence[Step]) -> bool:
    """Whether all numbers of the steps are tokens."""
    return all(0 <= n <= LARGEST for x, op, y in steps for n in (x, y, value(x, op, y)))


def trace(steps: Sequence[Step]) -> str:
    """The steps as a completion; the last value is the answer."""
    lines = [f"{x} {op} {y} = {value(x, op, y)}" for x, op, y in steps]
    return f"{' ; '.join(lines)} # {value(*steps[-1])}"


@dataclass(frozen=True)
class Problem:
    """(a op b) op c; `class_id` numbers it among all problems of all splits."""

    class_id: int
    operands: tuple[int, int, int]
    operators: tuple[str, str]

    @property
    def steps(self) -> tuple[Step, Step]:
        """The two correct steps."""
        (a, b, c), (first, second) = self.operands, self.operators
        return (a, first, b), (value(a, first, b), second, c)

    @property
    def answer(self) -> int:
        """The correct answer, in 0..63."""
        return value(*self.steps[-1])


def problems(split: str) -> list[Problem]:
    """The problems of the split "pretrain", "finetune", "selection" or "test".

    Raises:
        DagameError: the split is unknown.
    """
    if split not in SPLITS:
        raise DagameError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}.")
    names = list(SPLITS)
    start = sum(SPLITS[name] for name in names[: names.index(split)])
    return list(_all_problems()[start : start + SPLITS[split]])


@cache
def _all_problems() -> tuple[Problem, ...]:
    found = [
        p
        for a, b, c in itertools.product(_OPERANDS, repeat=3)
        for first, second in itertools.product("+-*", repeat=2)
        if valid((p := Problem(0, (a, b, c), (first, second))).steps)
    ]
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(found))[: sum(SPLITS.values())]
    return tuple(replace(found[i], class_id=k) for k, i in enumerate(order))


# -- the eight phrasings --------------------------------------------------------------------------

_Words = dict[str, str]
_SYMBOL: _Words = {"+": "+ {}", "-": "- {}", "*": "* {}"}
_ORDER: _Words = {"+": "add {}", "-": "subtract {}", "*": "multiply by {}"}
_COINS: _Words = {"+": "finds {} more", "-": "loses {}", "*": "gets {} times as many"}
_SPOKEN: _Words = {"+": "plus {}", "-": "minus {}", "*": "times {}"}
_PENS: _Words = {"+": "{} are put in", "-": "{} are taken out", "*": "it is filled {} fold"}
_CODE: _Words = {"+": "n += {}", "-": "n -= {}", "*": "n *= {}"}
_BUS: _Words = {"+": "{} get on", "-": "{} get off", "*": "their number grows {} fold"}
_INNER: _Words = {"+": "{} more than", "-": "{} less than", "*": "{} times"}
_OUTER: _Words = {"+": "add {} to", "-": "take {} from", "*": "multiply by {}"}

_PHRASINGS: tuple[tuple[str, _Words, _Words], ...] = (
    ("what is ( {a} {first} ) {second} ?", _SYMBOL, _SYMBOL),
    ("start with {a} ; {first} ; {second} ; what comes out ?", _ORDER, _ORDER),
    ("tom has {a} coins . he {first} . then he {second} . how many coins ?", _COINS, _COINS),
    ("compute {a} {first} , then {second} .", _SPOKEN, _SPOKEN),
    ("a box holds {a} pens . {first} . then {second} . how many pens ?", _PENS, _PENS),
    ("n = {a} ; {first} ; {second} ; print n", _CODE, _CODE),
    ("{a} people ride a bus . {first} . then {second} . how many people ?", _BUS, _BUS),
    ("{second} the number that is {first} {a} .", _INNER, _OUTER),
)

PHRASINGS = len(_PHRASINGS)


def prompts(problem: Problem) -> list[str]:
    """The eight phrasings of a problem, tokens separated by blanks."""
    (a, b, c), (first, second) = problem.operands, problem.operators
    return [
        text.format(a=a, first=one[first].format(b), second=two[second].format(c))
        for text, one, two in _PHRASINGS
    ]


def extract(text: str) -> str | None:
    """The answer of a completion, the number after its last "#", in canonical form; None: none."""
    found = re.findall(r"#\s*(\d+)", text)
    return str(int(found[-1])) if found else None


def rows(split: str, limit: int | None = None) -> list[dict[str, Any]]:
    """One row per problem and phrasing: class_id, member_id (0..7), prompt and answer.

    `limit` keeps the first problems of the split.
    """
    return [
        {"class_id": p.class_id, "member_id": t, "prompt": prompt, "answer": str(p.answer)}
        for p in problems(split)[:limit]
        for t, prompt in enumerate(prompts(p))
    ]


@cache
def vocabulary() -> tuple[str, ...]:
    """Every token of prompts and traces: the numbers 0..63, then words and signs, sorted."""
    shown = [Problem(0, (4, 2, 2), (op, other)) for op in "+-*" for other in "+-*"]
    texts = [text for p in shown for text in (*prompts(p), trace(p.steps))]
    words = {word for text in texts for word in text.split() if not word.isdigit()}
    return (*map(str, range(LARGEST + 1)), *sorted(words))
