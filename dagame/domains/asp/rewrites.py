"""Rewrites of any program that leave its answer sets as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np

_VARIABLE = re.compile(r"\b[A-Z]\w*\b")
_RULE_END = re.compile(r"(?<=[.\]])\s+(?=[^\s])")
_OUTPUT = re.compile(r"^\s*(\w+\([A-Z](?:,[A-Z])?\)) :- ")


def rules(program: str) -> list[str]:
    """The statements of a program of this generator, in order."""
    return [rule for rule in _RULE_END.split(program.strip()) if rule]


def renamed(program: str, rng: np.random.Generator) -> str:
    """Other names for the variables, different ones in every statement."""

    def one(rule: str) -> str:
        names = sorted(set(_VARIABLE.findall(rule)))
        fresh = rng.permutation([f"V{k}" for k in range(len(names))])
        new = dict(zip(names, map(str, fresh), strict=True))
        return _VARIABLE.sub(lambda found: new[found[0]], rule)

    return " ".join(one(rule) for rule in rules(program))


def rules_reordered(program: str, rng: np.random.Generator) -> str:
    """The statements in another order."""
    every = rules(program)
    return " ".join(every[k] for k in rng.permutation(len(every)))


def literals_reordered(program: str, rng: np.random.Generator) -> str:
    """The literals of every body in another order."""

    def one(rule: str) -> str:
        head, arrow, body = rule.rstrip(".").partition(":- ")
        if not arrow or rule.endswith("]"):
            return rule
        literals = list(_at_top_level(body))
        return f"{head}{arrow}{', '.join(literals[k] for k in rng.permutation(len(literals)))}."

    return " ".join(one(rule) for rule in rules(program))


def rules_repeated(program: str, rng: np.random.Generator) -> str:
    """Rules once more, and for an atom that is derived the rule that it follows from itself."""
    every = rules(program)
    atoms = [found[1] for rule in every if (found := _OUTPUT.match(rule))]
    again = [r for r in every if not r.startswith("#") and not r.endswith("]")]
    extra = [again[rng.integers(len(again))]] if again else []
    extra += [f"{atom} :- {atom}." for atom in atoms[:1]]
    return " ".join([*every, *extra])


def layout(program: str, rng: np.random.Generator) -> str:
    """Other blanks, comments, and a `#show` that hides everything else."""
    told = program.replace(", ", " ,\n  ").replace(" :- ", ":-")
    return f"% {rng.integers(100)} (\n{told} %* a note. *%\n#show nothing/0."


REWRITES: dict[str, Callable[[str, np.random.Generator], str]] = {
    "variables renamed": renamed,
    "statements reordered": rules_reordered,
    "literals reordered": literals_reordered,
    "redundant rules": rules_repeated,
    "layout": layout,
}


def _at_top_level(body: str) -> Iterator[str]:
    """The literals of a body: its parts between commas that no bracket encloses."""
    depth, start = 0, 0
    for k, sign in enumerate(body):
        depth += (sign in "({[") - (sign in ")}]")
        if sign == "," and depth == 0:
            yield body[start:k].strip()
            start = k + 1
    yield body[start:].strip()
