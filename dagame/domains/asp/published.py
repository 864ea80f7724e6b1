"""The published way to score a program, beside the semantic key: one answer set against one answer set.

LLASP (arXiv 2407.18723) asks whether a program grounds with the facts of one instance, and whether the
answer set that the solver meets first equals that of the right program. Written anew from the
description, not from its code. What is wrong with it (docs/theory/answer-sets.md#the-published-metric):
of many answer sets the first one is an accident, so that a right program may differ from itself; facts
that no rule fires on let an empty program pass; and auxiliary predicates count.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ProgramError
from .keys import SECONDS
from .screening import refusal
from .worker import solver


@dataclass(frozen=True)
class Published:
    """Whether a program grounds, and whether its answer set is that of the right program."""

    grounds: bool
    equal: bool


def published(
    program: str, right: str, facts: str, *, threads: int = 4, seconds: float = SECONDS
) -> Published:
    """The published score of one program on one instance.

    Both answer sets are compared with all their atoms. With several threads the result may differ
    from call to call.

    Raises:
        DagameError: clingo is not installed.
        ProgramError: the right program has no answer set to compare with; the facts are none.
    """
    wanted = _first(right, facts, threads, seconds)
    if not isinstance(wanted, list):
        raise ProgramError(f"the right program does not ground ({wanted}).")
    found = _first(program, facts, threads, seconds)
    if not isinstance(found, list):
        return Published(False, False)
    return Published(True, found == wanted)


def _first(program: str, facts: str, threads: int, seconds: float) -> list | str:
    """The one answer set that is met first (none: an empty list), or the outcome that prevented it."""
    if refusal(program):
        return "refused"
    request = {"program": program, "facts": [facts], "show": [], "models": 1, "whole": True}
    [reply] = solver(seconds).ask([request | {"threads": threads}])
    if reply["outcome"] == "facts":
        raise ProgramError(f"the instance is not facts alone: {reply['why']}.")
    return reply["sets"][0] if reply["outcome"] == "answered" else reply["outcome"]
