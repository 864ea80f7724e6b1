"""The pre-training corpus: traces of phrasings, each misread in a way of its own at its own rate.

So the phrasings of a problem disagree while their errors seldom coincide, and the answer that most
of them give is right. In the variant "wrong_majority" six phrasings share one misreading at a rate
of 0.8, and the answer that most of them give is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...errors import DagameError
from .problems import Problem, Step, prompts, trace, valid, value

Misreading = Callable[[Problem], Sequence[Step]]


def _steps(a: int, first: str, b: int, second: str, c: int) -> Sequence[Step]:
    return (a, first, b), (value(a, first, b), second, c)


def _flipped(operator: str) -> str:
    return {"+": "-", "-": "+", "*": "+"}[operator]


def _shifted(position: int, shift: int) -> Misreading:
    def read(p: Problem) -> Sequence[Step]:
        a, b, c = (n + shift * (k == position) for k, n in enumerate(p.operands))
        return _steps(a, p.operators[0], b, p.operators[1], c)

    return read


def _as_if(order: Callable[..., tuple[int, str, int, str, int]]) -> Misreading:
    """With other operands and operators: a function of a, b, c and both operators."""
    return lambda p: _steps(*order(*p.operands, *p.operators))


def _first_dropped(p: Problem) -> Sequence[Step]:
    (a, _, c), (_, second) = p.operands, p.operators
    return ((a, second, c),)


def _second_dropped(p: Problem) -> Sequence[Step]:
    return p.steps[:1]


def _other_order(p: Problem) -> Sequence[Step]:
    (a, b, c), (first, second) = p.operands, p.operators
    return (b, second, c), (a, first, value(b, second, c))


_first_sign = _as_if(lambda a, b, c, first, second: (a, _flipped(first), b, second, c))
_second_sign = _as_if(lambda a, b, c, first, second: (a, first, b, _flipped(second), c))
_operands_swapped = _as_if(lambda a, b, c, first, second: (a, first, c, second, b))
_operators_swapped = _as_if(lambda a, b, c, first, second: (a, second, b, first, c))
_first_read_twice = _as_if(lambda a, b, _, first, second: (a, first, b, second, b))

_SCATTERED: tuple[tuple[float, tuple[Misreading, ...]], ...] = (
    (0.10, (_shifted(2, 1), _shifted(2, -1))),
    (0.15, (_second_dropped,)),
    (0.20, (_first_sign, _shifted(0, 2))),
    (0.30, (_other_order, _shifted(1, -1))),
    (0.45, (_operands_swapped, _operators_swapped, _shifted(2, -2))),
    (0.55, (_second_sign, _shifted(0, 1), _shifted(0, -1))),
    (0.60, (_first_dropped, _first_read_twice, _shifted(2, 2))),
    (0.60, (_shifted(1, 1),)),
)

CORPORA: dict[str, tuple[tuple[float, tuple[Misreading, ...]], ...]] = {
    "scattered": _SCATTERED,
    "wrong_majority": (*_SCATTERED[:2], *((0.80, (_second_dropped,)),) * 6),
}
"""For each phrasing the rate of misreading and the ways, one of the possible ones at random."""


def misreadings(problem: Problem, phrasing: int, corpus: str = "scattered") -> list[str]:
    """The traces of the misreadings of a phrasing that are valid and end in a wrong answer."""
    _check(corpus)
    found = [read(problem) for read in CORPORA[corpus][phrasing][1]]
    return [trace(s) for s in found if valid(s) and value(*s[-1]) != problem.answer]


def completion(
    problem: Problem, phrasing: int, rng: np.random.Generator, corpus: str = "scattered"
) -> str:
    """A random trace of the corpus; the right one where no misreading is possible."""
    _check(corpus)
    wrong = misreadings(problem, phrasing, corpus)
    if wrong and rng.random() < CORPORA[corpus][phrasing][0]:
        return wrong[rng.integers(len(wrong))]
    return trace(problem.steps)


def batches(
    problems: Sequence[Problem], size: int, steps: int, seed: int, corpus: str = "scattered"
) -> list[list[tuple[str, str]]]:
    """`steps` batches of `size` pairs (prompt, completion); phrasings take turns within a batch."""
    rng = np.random.default_rng(seed)
    shown = [prompts(p) for p in problems]

    def pair(i: int, k: int) -> tuple[str, str]:
        return shown[i][k], completion(problems[i], k, rng, corpus)

    chosen = (rng.integers(len(problems), size=size) for _ in range(steps))
    return [[pair(i, k % len(shown[i])) for k, i in enumerate(batch)] for batch in chosen]


def _check(corpus: str) -> None:
    if corpus not in CORPORA:
        raise DagameError(f"corpus {corpus!r} is unknown; choose one of {', '.join(CORPORA)}.")
