"""Names of answers and contexts as they are shown: one for each, and numbers where there are none."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import InvalidGame


def names_of(given: Iterable[object] | None, count: int, what: str) -> tuple[str, ...] | None:
    """`given` as text, one name for each of `count` answers or contexts; None stays.

    Raises:
        InvalidGame: there are more names or fewer.
    """
    if given is None:
        return None
    names = tuple(map(str, given))
    if len(names) != count:
        shown = "1 name" if len(names) == 1 else f"{len(names)} names"
        raise InvalidGame(f"{shown} for {count} {what}; give one for each.")
    return names


def numbered(given: Iterable[object] | None, count: int, kind: str, what: str) -> tuple[str, ...]:
    """The names, or "answer 0", "answer 1", ... of a kind."""
    names = names_of(given, count, what)
    return tuple(f"{kind}{k}" for k in range(count)) if names is None else names
