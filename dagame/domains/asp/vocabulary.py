"""The words that problems are made of, and fact instances over them that tell programs apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise, permutations
from typing import TypeVar

import numpy as np

from ...errors import ProgramError

KINDS = ("guest", "room", "book", "team", "city", "task", "tool", "boat")
RELATIONS = ("likes", "knows", "feeds", "blocks", "links", "owns", "helps", "calls")
NUMBERS = ("size", "price", "age", "speed", "weight")
ATTRIBUTES = {"colour": ("red", "blue", "green"), "mood": ("calm", "angry", "shy")}
UNARY = ("pick", "keep", "mark", "flag")
BINARY = ("gets", "pair", "meet", "reach")
SHOW = (*(f"{name}/1" for name in UNARY), *(f"{name}/2" for name in BINARY))
"""What is compared: every predicate that a problem may ask for."""

CONSTANTS = tuple("abcdef")
INSTANCES = 4

T = TypeVar("T")
Rows = set[tuple[str, ...]]
"""The facts of one predicate."""
Table = dict[str, list[Rows]]
Members = dict[str, list[set[str]]]
"""By name, of every instance."""


@cache
def instances(seed: int = 0, count: int = INSTANCES) -> tuple[str, ...]:
    """`count` instances (at least 4) with facts of every input predicate, for any problem of the generator.

    Each predicate is drawn anew until its facts in all instances together have what a difference
    needs to be seen. Kinds overlap and differ. Every relation relates two things of each kind, one
    way alone, in both orders of their names; it is acyclic in every other instance, so that closures
    do not fill up. Of each kind something has a value of an attribute, something another value and
    not that one, something none; and every relation leads somewhere only by way of something with
    the value.
    Numbers are 1..6, each once in every other instance; of each kind the two least are equal
    somewhere, and the end of any two steps has every number of 2..5.
    """
    if count < INSTANCES:
        raise ProgramError(f"count is {count}; the instances need at least {INSTANCES}.")
    rng = np.random.default_rng(seed)
    every = range(count)
    kinds = _until(lambda: {k: [_kind(rng) for _ in every] for k in KINDS}, _apart)
    drawn: Table = {k: [{(x,) for x in m} for m in kinds[k]] for k in KINDS}
    for r in RELATIONS:
        drawn[r] = _until(
            lambda: [_relation(rng, acyclic=k % 2 == 0) for k in every],
            lambda rows: all(_related(rows, m) for m in kinds.values()),
        )
    ends = [
        [_ends(a, b) for a, b in zip(drawn[r], drawn[s], strict=True)]
        for r, s in permutations(RELATIONS, 2)
    ]
    for n in NUMBERS:
        drawn[n] = _until(
            lambda: [_numbers(rng, distinct=k % 2 == 0) for k in every],
            lambda rows: (
                all(_tied(rows, m) for m in kinds.values()) and all(_reached(rows, e) for e in ends)
            ),
        )
    for a, values in ATTRIBUTES.items():
        drawn[a] = _until(
            lambda values=values: [_attribute(rng, values) for _ in every],
            lambda rows, values=values: (
                all(_split(rows, m, values) for m in kinds.values())
                and all(_between(rows, drawn[r], v) for r in RELATIONS for v in values)
            ),
        )
    return tuple(_text({name: drawn[name][k] for name in drawn}) for k in every)


def scattered(seed: int, count: int = 1, constants: int = 60) -> tuple[str, ...]:
    """Instances drawn without any care: few facts over many constants, as in the published setting."""
    rng = np.random.default_rng(seed)
    names = [f"c{k}" for k in range(constants)]
    out = []
    for _ in range(count):
        rows: dict[str, Rows] = {
            k: {(str(x),) for x in rng.choice(names, 3, replace=False)} for k in KINDS
        }
        for r in RELATIONS:
            rows[r] = {(str(x), str(y)) for x, y in rng.choice(names, (3, 2))}
        for n in NUMBERS:
            rows[n] = {(str(x), str(rng.integers(1, 10))) for x in rng.choice(names, 3)}
        for a, values in ATTRIBUTES.items():
            rows[a] = {(str(x), str(rng.choice(values))) for x in rng.choice(names, 3)}
        out.append(_text(rows))
    return tuple(out)


def _until(draw: Callable[[], T], telling: Callable[[T], bool]) -> T:
    while not telling(found := draw()):
        pass
    return found


def _kind(rng: np.random.Generator) -> set[str]:
    size = int(rng.integers(2, 4))
    return {str(x) for x in rng.choice(CONSTANTS, size, replace=False)}


def _apart(kinds: Members) -> bool:
    """Whether of any two kinds each has something alone, and both have something."""
    pairs = [(m, o) for k, m in kinds.items() for j, o in kinds.items() if j != k]
    return all(
        any(a & b for a, b in zip(m, o, strict=True))
        and any(a - b for a, b in zip(m, o, strict=True))
        for m, o in pairs
    )


def _relation(rng: np.random.Generator, acyclic: bool) -> Rows:
    """A path through four constants and more edges, nine in all, none a loop."""
    order = [str(x) for x in rng.permutation(CONSTANTS)]
    found: Rows = set(pairwise(order[:4]))
    while len(found) < 9:
        i, j = (int(k) for k in rng.choice(len(order), 2, replace=False))
        found.add((order[min(i, j)], order[max(i, j)]) if acyclic else (order[i], order[j]))
    return found


def _related(rows: list[Rows], members: list[set[str]]) -> bool:
    inside = [
        x < y
        for r, m in zip(rows, members, strict=True)
        for x, y in r
        if x in m and y in m and (y, x) not in r
    ]
    return {True, False} <= set(inside)


def _numbers(rng: np.random.Generator, distinct: bool) -> Rows:
    values = np.arange(1, len(CONSTANTS) + 1)
    values = rng.permutation(values) if distinct else rng.choice(values, len(values))
    return {(x, str(v)) for x, v in zip(CONSTANTS, values, strict=True)}


def _tied(rows: list[Rows], members: list[set[str]]) -> bool:
    """Whether the two least of the kind are equal in some instance."""
    least = [sorted(n for x, n in r if x in m)[:2] for r, m in zip(rows, members, strict=True)]
    return any(one == other for one, other in least)


def _reached(rows: list[Rows], ends: list[set[str]]) -> bool:
    """Whether every number but the outer ones is that of an end, in some instance."""
    met = {int(n) for r, e in zip(rows, ends, strict=True) for x, n in r if x in e}
    return set(range(2, len(CONSTANTS))) <= met


def _ends(first: Rows, second: Rows) -> set[str]:
    """Where two steps can end."""
    return {z for _, y in first for w, z in second if w == y}


def _attribute(rng: np.random.Generator, values: Sequence[str]) -> Rows:
    """Each constant has none, one or two of the values."""
    return {
        (x, str(v))
        for x in CONSTANTS
        for v in rng.choice(values, rng.choice(3, p=(0.3, 0.5, 0.2)), replace=False)
    }


def _split(rows: list[Rows], members: list[set[str]], values: Sequence[str]) -> bool:
    held = [{v for y, v in r if y == x} for r, m in zip(rows, members, strict=True) for x in m]
    return set() in held and all(
        any(v in h for h in held)
        and all(any(w in h and v not in h for h in held) for w in values if w != v)
        for v in values
    )


def _between(rows: list[Rows], relation: list[Rows], value: str) -> bool:
    """Whether some end without the value is reached only through something with it."""
    for held, steps in zip(rows, relation, strict=True):
        has = {x for x, v in held if v == value}
        clear = {(x, y) for x, y in steps if y not in has}
        if {(x, y) for x, y in _closure(steps) if y not in has} != _closure(clear):
            return True
    return False


def _closure(steps: Rows) -> Rows:
    found = set(steps)
    while more := {(x, z) for x, y in found for w, z in steps if y == w} - found:
        found |= more
    return found


def _text(rows: dict[str, Rows]) -> str:
    return " ".join(f"{name}({','.join(row)})." for name in rows for row in sorted(rows[name]))
