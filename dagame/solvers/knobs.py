"""The numbers of an objective that can be turned: strengths, factors and parameters, one at a time."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, NamedTuple

from ..objectives import Combination, ConstraintSet, Intersection, Objective
from ..objectives.structure import Structure

_SPAN = 100.0


class Knob(NamedTuple):
    """A number, its range, and what it belongs to at another value of it.

    scale: "log" for positive numbers, "linear", or "count" for integers.
    """

    name: str
    value: float
    low: float
    high: float
    scale: str
    changed: Callable[[float], Any]


def knobs(objective: Objective) -> list[Knob]:
    """Every number of every term; a term without a strength is turned by its factor, unless it is a set."""
    return [knob._replace(name=name) for _, name, knob in _placed(objective)]


def turned(objective: Objective, values: Mapping[str, float]) -> Objective:
    """The objective with other values of some of its `knobs`, by name."""
    parts = list(objective.terms())
    for place, name, knob in _placed(objective):
        if name in values:
            now = next(k for k in _of_term(*parts[place]) if k.name == knob.name)
            parts[place] = now.changed(values[name])
    (factor, only), *more = parts
    return only if not more and factor == 1 else Combination(tuple(parts))


def _placed(objective: Objective) -> Iterator[tuple[int, str, Knob]]:
    """The knobs of each term with its place in the sum, and their names in the whole."""
    terms = objective.terms()
    kinds = [type(term).__name__ for _, term in terms]
    for place, (factor, term) in enumerate(terms):
        of = "" if len(terms) == 1 else f" of {kinds[place]}"
        if kinds.count(kinds[place]) > 1:
            of += f" {kinds[: place + 1].count(kinds[place])}"
        for knob in _of_term(factor, term):
            yield place, f"{knob.name}{of}", knob


def _of_term(factor: float, term: Objective) -> list[Knob]:
    """Knobs of one term, each with a name of its own, which give (factor, term)."""
    numbers = list(_of_fields(term))
    found = [_renamed(k, k.name, lambda v, c=k.changed: (factor, c(v))) for k in numbers]
    if not term.has_multipliers and not any(knob.name == "strength" for knob in numbers):
        found.insert(0, _positive("factor", factor, lambda value: (value, term)))
    names = [knob.name for knob in found]
    again = [names[: k + 1].count(name) for k, name in enumerate(names)]
    return [
        knob if count == 1 else knob._replace(name=f"{knob.name} {count}")
        for knob, count in zip(found, again, strict=True)
    ]


def _of_fields(owner: Any) -> Iterator[Knob]:
    """Knobs of the numeric fields of an objective or a set, and of the sets inside."""
    if dataclasses.is_dataclass(owner):
        names = [field.name for field in dataclasses.fields(owner) if field.init]
    else:
        names = [name for name in vars(owner) if not name.startswith("_")]
    for name in names:
        value, put = getattr(owner, name), _with(owner, name)
        if isinstance(value, Intersection):
            for k, part in enumerate(value.sets):
                for knob in _of_fields(part):
                    inside = _in_sets(value, k, knob.changed)
                    yield _renamed(knob, knob.name, lambda v, i=inside, p=put: p(i(v)))
        elif isinstance(value, ConstraintSet):
            for knob in _of_fields(value):
                yield _renamed(knob, knob.name, lambda v, c=knob.changed, p=put: p(c(v)))
        elif isinstance(value, Real) and not isinstance(value, bool):
            yield _number(owner, name, value, put)


def _in_sets(
    joined: Intersection, k: int, change: Callable[[float], Any]
) -> Callable[[float], Any]:
    """The intersection in which one set is changed."""
    return lambda v: Intersection((*joined.sets[:k], change(v), *joined.sets[k + 1 :]))


def _with(owner: Any, name: str) -> Callable[[Any], Any]:
    """A copy of an objective or a set with another value of one field, checked as when it is made."""

    def changed(value: Any) -> Any:
        if dataclasses.is_dataclass(owner) and not isinstance(owner, type):
            return dataclasses.replace(owner, **{name: value})
        other = copy.copy(owner)
        setattr(other, name, value)
        return other

    return changed


def _number(owner: Any, name: str, value: Any, changed: Callable[[Any], Any]) -> Knob:
    """A knob whose range fits the number."""
    shown = name if isinstance(owner, Structure) else f"{name} of {type(owner).__name__}"
    if isinstance(value, Integral):
        most = max(8, 4 * int(value))
        return Knob(shown, int(value), min(1, int(value)), most, "count", lambda v: changed(int(v)))
    if isinstance(owner, ConstraintSet) and 0 <= value <= 1:
        return Knob(shown, float(value), 0.0, 1.0, "linear", changed)
    if value > 0:
        return _positive(shown, float(value), changed)
    reach = max(1.0, 2 * abs(float(value)))
    return Knob(shown, float(value), float(value) - reach, float(value) + reach, "linear", changed)


def _positive(name: str, value: float, changed: Callable[[float], Any]) -> Knob:
    """A number that is turned by factors; one that is 0 or less by steps."""
    if value > 0:
        return Knob(name, value, value / _SPAN, value * _SPAN, "log", changed)
    return Knob(name, value, min(value, 0.0) - 1, 1.0, "linear", changed)


def _renamed(knob: Knob, name: str, changed: Callable[[float], Any]) -> Knob:
    return knob._replace(name=name, changed=changed)
