"""Mappings of plain values -> dataclasses, every name and type checked before anything runs."""

from __future__ import annotations

import dataclasses
import enum
import reprlib
import sys
import types
import typing
from typing import Any

from ..errors import ConfigError, nearest
from ..text import visible

_KINDS = {
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "settings",
    list: "a list",
    type(None): "nothing",
}


def section(kind: type, raw: Any, where: str, prefix: str = "") -> Any:
    """A dataclass from a mapping: names known, types right, nothing missing.

    Raises:
        ConfigError: the first field that is unknown, missing or of another type, and what to write.
    """
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{where}: {prefix.rstrip('.')} is {quoted(raw)}; write settings below it."
        )
    hints = typing.get_type_hints(kind)
    unknown = next((k for k in raw if k not in hints), None)
    if unknown is not None:
        raise _unknown(unknown, list(hints), where, prefix)
    values = {}
    for item in dataclasses.fields(kind):
        name = prefix + item.name
        if item.name in raw:
            values[item.name] = _value(hints[item.name], raw[item.name], where, name)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: {name} is missing.")
    return kind(**values)


def check_fields(raw: dict[str, Any], kind: type, where: str, prefix: str) -> None:
    """Raise `ConfigError` unless `raw` holds fields of the dataclass `kind`, of their types."""
    hints = typing.get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind) if f.init]
    for key, value in raw.items():
        if key not in known:
            raise _unknown(key, known, where, prefix)
        if not fits(value, hints[key]):
            raise ConfigError(_misfit(hints[key], value, where, prefix + key))


def quoted(value: Any) -> str:
    """A value in a message, cut where it is long."""
    return reprlib.repr(value)


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of the type; numbers are finite and no booleans, integers 64-bit.

    An enumeration takes the values of its members, also where its union has `str` beside it.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        named = any(_enumeration(option) for option in arguments)
        return any(fits(value, option) for option in arguments if not (named and option is str))
    if origin is typing.Literal:
        return any(type(value) is type(a) and value == a for a in arguments)
    if isinstance(value, bool) or hint is bool:
        return hint is bool and isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and abs(value) < 2**63
    if hint is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    if _enumeration(hint):
        return value in [member.value for member in hint]
    if origin is list:
        return isinstance(value, list) and all(fits(v, arguments[0]) for v in value)
    base = origin or hint
    return isinstance(base, type) and isinstance(value, base)


def _enumeration(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def _value(hint: Any, value: Any, where: str, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return section(typing.cast(type, hint), value, where, name + ".")
    if not fits(value, hint):
        raise ConfigError(_misfit(hint, value, where, name))
    return float(value) if hint is float else value


def _misfit(hint: Any, value: Any, where: str, name: str) -> str:
    return f"{where}: {name} is {quoted(value)}; give {_kind(hint)}."


def _kind(hint: Any) -> str:
    """What to write for a type, in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        named = any(_enumeration(option) for option in arguments)
        kept = [option for option in arguments if not (named and option is str)]
        return " or ".join(dict.fromkeys(map(_kind, kept)))
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if _enumeration(hint):
        return "one of " + ", ".join(str(member.value) for member in hint)
    if origin is list and arguments[0] is str:
        return "a list of texts"
    return _KINDS.get(origin or hint, "settings")


def _unknown(key: Any, known: list[str], where: str, prefix: str) -> ConfigError:
    name = visible(str(key), 80)
    return ConfigError(f"{where}: {prefix}{name} is unknown; {nearest(name, known)}")
