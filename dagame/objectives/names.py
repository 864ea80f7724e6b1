"""Objectives by the names of the command line, from the catalogue."""

from __future__ import annotations

from typing import Any

from ..errors import InvalidObjective, nearest
from .catalogue import CATALOGUE, Kind
from .objective import Objective, instead

_KINDS: dict[str, Kind] = {kind.command: kind for kind in CATALOGUE.values() if kind.command}

LABEL_FREE = tuple(name for name, kind in _KINDS.items() if not kind.labels)
"""Objectives that need nothing but a strength."""

LABELLED = tuple(name for name, kind in _KINDS.items() if kind.labels)
"""Objectives that need the correctness (*batch, 1, n) of each answer."""

NAMES = (*LABEL_FREE, *LABELLED)


def check_name(name: str) -> str:
    """`name` if it is an objective's, else `InvalidObjective` with the nearest one."""
    if name not in NAMES:
        raise InvalidObjective(f"objective {name!r} is unknown; {nearest(name, NAMES)}")
    return name


def by_name(name: str, strength: float = 1.0, correct: Any = None) -> Objective:
    """The objective called `name`; `correct` is the reward table of the labelled ones."""
    kind = _KINDS[check_name(name)]
    if not kind.labels:
        return kind.build(strength)
    if correct is None:
        raise InvalidObjective(f"objective {name!r} needs labels: name the column with --correct.")
    return kind.build(strength, correct)


def no_objective(given: object) -> str:
    """Says of something that is no objective what it is and what to give instead."""
    kinds = CATALOGUE.values()
    if isinstance(given, str):
        meant = [k.public for k in kinds if given.lower() in (k.command, k.name, k.public.lower())]
        near = nearest(given, sorted({k.public for k in kinds}))
        hint = f"write dagame.{meant[0]}(...)." if meant else near
        return f"the text {given!r}, not a dagame Objective; {hint}"
    return instead(given)
