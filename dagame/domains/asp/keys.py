"""Semantic keys of answer-set programs: two programs are one answer iff they do the same on the instances."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...errors import ProgramError
from .screening import LONGEST, refusal
from .worker import solver

SECONDS, MODELS = 5.0, 10_000
OUTCOMES = {
    "answered": "it has a key",
    "syntax": "it does not parse",
    "refused": "it holds a directive, script, include, external function or theory that is not allowed",
    "unsafe": "it does not ground: unsafe variables or the like",
    "time": "it was not grounded and solved in time",
    "memory": "it needs more memory than it may have",
    "too many": "it has more answer sets than are compared",
    "died": "it ended the process that solves it, twice",
}
"""What can become of a program; all but the first have no key."""

_SIGNATURE = re.compile(r"-?_*[a-z][A-Za-z0-9_']*/\d{1,3}")
_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
_REMEMBERED = 100_000


class AnswerSet(NamedTuple):
    """Shown atoms, sorted, and (level, cost) of every level of optimisation whose cost is not 0."""

    atoms: tuple[str, ...]
    cost: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Reading:
    """What became of a program: one of `OUTCOMES`, why, the key, and a digest for each instance."""

    outcome: str
    why: str = ""
    key: str | None = None
    digests: tuple[str, ...] = ()

    def share_equal(self, other: Reading) -> float:
        """The share of instances on which both have the same answer sets; 0 where one has none.

        Both must be readings by the same facts, shown predicates and limits.
        """
        if not self.digests or not other.digests:
            return 0.0
        pairs = list(zip(self.digests, other.digests, strict=True))
        return sum(a == b for a, b in pairs) / len(pairs)


class SemanticKey:
    """Programs -> keys, for `extract=` of `Samples.read`, the trainers and `evaluate`.

    The key of a program P on instances F_1..F_n is a digest of A(P, F_1), .., A(P, F_n), where A(P, F)
    is the set of (shown atoms, cost) over all answer sets of P and F together; of a program that
    optimises, over all optimal ones, with the costs of its levels, zeros left out. Hence two programs
    have equal keys iff A is equal on every instance (up to a collision of SHA-256). Not compared: atoms
    of other predicates, how many answer sets agree on the shown ones, what `#show` says, and
    instances that are not given: equal keys prove nothing about those. No answer set at all is a
    meaning like any other and has a key.

    Programs run in a confined process (docs/howto/answer-set-programs.md#what-the-confinement-holds).
    A program that it cannot read whole has no key, and `read` names the reason.

    Args:
        facts: the instances, each a text of facts or a sequence of such texts.
        show: what is compared, such as ["pick/1", "-pick/1"].
        seconds: for the grounding and solving of one program on all instances, by the clock.
        models: answer sets of one instance that are compared at most.

    Raises:
        DagameError: clingo is not installed.
        ProgramError: no instances, no signatures, a limit that is none, or instances that are not facts.
    """

    def __init__(
        self,
        facts: Sequence[str | Sequence[str]],
        show: Sequence[str],
        *,
        seconds: float = SECONDS,
        models: int = MODELS,
    ) -> None:
        """See the class."""
        self.facts, self.show = _instances(facts), _signatures(show)
        self.seconds, self.models = _limits(seconds, models)
        self._known: dict[str, Reading] = {}
        asked = json.dumps([self.facts, self.show])
        self._asked = hashlib.sha256(asked.encode()).hexdigest()
        solver(self.seconds)

    def __call__(self, text: str) -> str | None:
        """The key of the program in a completion; None: it has none.

        A text with code fences is read if it holds exactly one block, and that block is the program;
        of several, none is known to be the whole program. A text without is a program.
        """
        blocks = _FENCE.findall(text)
        if not blocks and "```" not in text:
            return self.read(text).key
        if len(blocks) != 1 or "```" in _FENCE.sub("", text):
            return None
        return self.read(blocks[0]).key

    def read(self, program: str) -> Reading:
        """What becomes of a program; remembered."""
        return self.read_all([program])[0]

    def read_all(self, programs: Sequence[str]) -> list[Reading]:
        """What becomes of each program; quicker than one by one, as the process does not wait."""
        new = [p for p in dict.fromkeys(programs) if p not in self._known]
        if len(self._known) + len(new) > _REMEMBERED:
            self._known, new = {}, list(dict.fromkeys(programs))
        self._known |= {p: self._reading(r) for p, r in zip(new, self._ask(new), strict=True)}
        return [self._known[p] for p in programs]

    def answer_sets(self, program: str) -> list[list[AnswerSet]]:
        """For each instance the answer sets, sorted, each once.

        Raises:
            ProgramError: the program has no key, and why.
        """
        [reply] = self._ask([program], whole=True)
        if reply["outcome"] != "answered":
            raise ProgramError(f"no answer sets ({reply['outcome']}): {reply['why']}.")
        return [
            [AnswerSet(tuple(atoms), tuple((p, c) for p, c in cost)) for atoms, cost in found]
            for found in reply["sets"]
        ]

    def _reading(self, reply: dict[str, Any]) -> Reading:
        if reply["outcome"] != "answered":
            return Reading(reply["outcome"], reply["why"])
        digests = tuple(reply["digests"])
        key = hashlib.sha256(json.dumps([self._asked, digests]).encode()).hexdigest()[:32]
        return Reading("answered", "", f"asp:{key}", digests)

    def _ask(self, programs: Sequence[str], whole: bool = False) -> list[dict[str, Any]]:
        asked = {"facts": self.facts, "show": self.show, "models": self.models, "whole": whole}
        refused = [refusal(program) for program in programs]
        clean = [p for p, why in zip(programs, refused, strict=True) if not why]
        solved = iter(solver(self.seconds).ask([asked | {"program": p} for p in clean]))
        replies = [{"outcome": "refused", "why": why} if why else next(solved) for why in refused]
        for reply in replies:
            if reply["outcome"] == "facts":
                raise ProgramError(f"the instances are not facts alone: {reply['why']}.")
        return replies


def read(
    program: str,
    facts: Sequence[str | Sequence[str]],
    show: Sequence[str],
    *,
    seconds: float = SECONDS,
    models: int = MODELS,
) -> Reading:
    """What becomes of one program; see `SemanticKey`, which remembers, for many.

    Raises:
        DagameError: clingo is not installed.
        ProgramError: see `SemanticKey`.
    """
    return SemanticKey(facts, show, seconds=seconds, models=models).read(program)


def key(
    program: str,
    facts: Sequence[str | Sequence[str]],
    show: Sequence[str],
    *,
    seconds: float = SECONDS,
    models: int = MODELS,
) -> str | None:
    """The semantic key of one program, None where it has none; see `SemanticKey`.

    Raises:
        DagameError: clingo is not installed.
        ProgramError: see `SemanticKey`.
    """
    return read(program, facts, show, seconds=seconds, models=models).key


def _instances(facts: Sequence[str | Sequence[str]]) -> list[str]:
    if isinstance(facts, str) or not len(facts):
        raise ProgramError("facts is no list of instances; give one text of facts for each.")
    texts = [one if isinstance(one, str) else "\n".join(one) for one in facts]
    for k, text in enumerate(texts):
        if len(text) <= LONGEST and (why := refusal(text)):
            raise ProgramError(f"instance {k} of facts cannot be used: {why}.")
    return texts


def _signatures(show: Sequence[str]) -> list[str]:
    if isinstance(show, str) or not len(show):
        raise ProgramError("show is no list of signatures; give what is compared, as ['pick/1'].")
    for one in show:
        if not _SIGNATURE.fullmatch(one):
            raise ProgramError(f"show holds {one!r}; a signature is a name and an arity, 'pick/1'.")
    return sorted(set(show))


def _limits(seconds: float, models: int) -> tuple[float, int]:
    if not (isinstance(seconds, int | float) and 0 < seconds < math.inf):
        raise ProgramError(f"seconds is {seconds!r}; give a positive, finite number.")
    if not (isinstance(models, int) and models >= 1):
        raise ProgramError(f"models is {models!r}; give a whole number of at least 1.")
    return float(seconds), models
