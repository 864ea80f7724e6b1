"""Settings files: YAML that can say nothing but plain values, of bounded size and depth."""

from __future__ import annotations

import re
import stat
import typing
from pathlib import Path
from typing import Any

from ..errors import ConfigError, one_line
from ..text import visible

LARGEST = 300_000
"""Bytes of a file, many times what any run needs."""

_PLAIN = ("str", "null", "bool", "int", "float", "seq", "map")
_SCALARS = (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", "[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)
"""What a scalar without quotes is: tag, pattern, first characters; any other is text."""
_NO_TEXT = re.compile("[\\x00\\ud800-\\udfff]")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping of a YAML file: text, numbers, booleans, lists and mappings.

    Tags of Python objects, anchors with aliases, and keys given twice are refused.

    Raises:
        ConfigError: no regular file, too large, not UTF-8, no YAML, or no mapping.
    """
    text = _text(path)
    try:
        found = _loader()(text).get_single_data()
    except RecursionError:
        raise ConfigError(f"{path} is no YAML that can be read: it is nested too deeply.") from None
    except Exception as error:  # its constructors let out more than YAMLError
        raise ConfigError(f"{path} is no YAML: {one_line(error)}.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no settings; write keys such as model: and data:.")
    return found


def _text(path: Path) -> str:
    name = visible(str(path), 300)
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            what = "folder" if stat.S_ISDIR(kind) else "pipe or device"
            raise ConfigError(f"{name} cannot be read: it is a {what}; name a YAML file.")
        with path.open("rb") as stream:
            raw = stream.read(LARGEST + 1)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:  # ValueError: NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{name} cannot be read: {reason}.") from None
    if len(raw) > LARGEST:
        raise ConfigError(f"{name} has more than {LARGEST:,} bytes; name a file of settings.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{name} is not UTF-8 text.") from None


def _loader() -> Any:
    """A safe loader of plain values as YAML 1.2 reads them, each key once, without aliases."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: typing.ClassVar[dict[Any, Any]] = {}
        yaml_constructors: typing.ClassVar[dict[Any, Any]] = {
            tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (*map(_tag, _PLAIN), None)
        }

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                self.refuse("aliases (*name) are not read, write the value out", self.peek_event())
            return super().compose_node(parent, index)

        def construct_scalar(self, node: Any) -> Any:
            value = super().construct_scalar(node)
            if _NO_TEXT.search(value):
                self.refuse("a text holds NUL or half of a character", node)
            return value

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen: set[Any] = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, str):
                    self.refuse("a key is no text", key_node)
                if key in seen:
                    self.refuse(f"key {visible(key, 80)!r} is given twice", key_node)
                seen.add(key)
            return super().construct_mapping(node, deep)

        def refuse(self, problem: str, place: Any) -> typing.NoReturn:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)

    for name, pattern, first in _SCALARS:
        Loader.add_implicit_resolver(_tag(name), re.compile(f"^(?:{pattern})$"), list(first))
    Loader.add_constructor(_tag("int"), _integer)
    return Loader


def _integer(loader: Any, node: Any) -> int:
    return int(loader.construct_scalar(node))


def _tag(name: str) -> str:
    return f"tag:yaml.org,2002:{name}"
