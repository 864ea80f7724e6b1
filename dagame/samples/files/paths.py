"""Dotted paths into rows: `model_a.solution`, `choices.message.content`, `outputs.0.text`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..chats import Each

ABSENT = object()
"""What a path finds where there is nothing, not even null."""


def at(value: Any, path: str) -> Any:
    """The value at a path, `ABSENT` if there is none; a key with dots in it may be a step.

    A number is the place in a list, from 0; another step into a list is one into each of its
    elements, and gives `Each` of what they hold.
    """
    if isinstance(value, Mapping):
        return _in_object(value, path)
    if isinstance(value, list | tuple):
        return _in_list(value, path)
    return ABSENT


def _in_object(value: Mapping[str, Any], path: str) -> Any:
    if path in value:
        return value[path]
    for head, rest in _splits(path):
        if head in value:
            found = at(value[head], rest)
            if found is not ABSENT:
                return found
    return ABSENT


def _in_list(value: Sequence[Any], path: str) -> Any:
    step, _, rest = path.partition(".")
    if step.lstrip("-").isdecimal() and len(step) < 10:
        k = int(step)
        if not -len(value) <= k < len(value):
            return ABSENT
        return at(value[k], rest) if rest else value[k]
    found = Each(at(v, path) for v in value)
    if all(v is ABSENT for v in found):
        return ABSENT if found else found
    return Each(None if v is ABSENT else v for v in found)


def _splits(path: str) -> Iterator[tuple[str, str]]:
    """Every first step and the rest, the longest step first."""
    end = path.rfind(".")
    while end > 0:
        yield path[:end], path[end + 1 :]
        end = path.rfind(".", 0, end)


def known_paths(row: Mapping[str, Any], deepest: int = 4, most: int = 60) -> list[str]:
    """Paths of the plain values and lists in a row, for messages."""
    found: list[str] = []

    def visit(value: Any, path: str, depth: int) -> None:
        if len(found) >= most:
            return
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, Mapping) and inner and depth < deepest:
            for key in list(inner)[:most]:
                visit(inner[key], f"{path}.{key}" if path else str(key), depth + 1)
        elif path:
            found.append(path)

    visit(row, "", 0)
    return found
