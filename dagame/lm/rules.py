"""Rules for the settings of a trainer: each has the value to set, and what happens otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SettingsError


@dataclass(frozen=True)
class Rule:
    """`field` must satisfy `ok`; `fix` is the value to set, `why` what happens otherwise."""

    field: str
    ok: Callable[[Any], bool]
    fix: str
    why: str

    def fault(self, value: Any) -> str:
        """What is wrong with a value, in words."""
        return f"{self.field}={value!r}: set {self.fix}; {self.why}"


def one_of(*values: Any) -> Callable[[Any], bool]:
    """Whether a value is one of these."""
    return lambda value: any(value is v or value == v for v in values)


def broken(rules: Iterable[Rule], read: Callable[[str], Any]) -> Iterator[str]:
    """The fault of each rule that the value of its field breaks; `read` gives a field's value."""
    for rule in rules:
        value = read(rule.field)
        if not rule.ok(value):
            yield rule.fault(value)


def refuse(faults: Sequence[str]) -> None:
    """Raise one `SettingsError` with all faults, where there are any."""
    if faults:
        raise SettingsError("settings that break the game: " + ". ".join(faults) + ".")
