"""Rules for the settings of a trainer: each has the value to set, and what happens otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import SettingsError


@dataclass(frozen=True)
class Rule:
    """`field` must have one of the values `allowed`; `why` is what happens otherwise, `fix` what to set."""

    field: str
    allowed: tuple[Any, ...]
    why: str
    fix: str = ""

    def __post_init__(self) -> None:
        """The fix is to set an allowed value, unless one is named."""
        object.__setattr__(self, "fix", self.fix or " or ".join(map(str, self.allowed)))

    def fault(self, value: Any) -> str:
        """What is wrong with a value, in words."""
        return f"{self.field}={value!r}: set {self.fix}; {self.why}"


def broken(rules: Iterable[Rule], read: Callable[[str], Any]) -> Iterator[str]:
    """The fault of each rule that the value of its field breaks; `read` gives a field's value."""
    for rule in rules:
        value = read(rule.field)
        if value not in rule.allowed:
            yield rule.fault(value)


def reader(settings: Any) -> Callable[[str], Any]:
    """A function that gives an attribute at a dotted path, None where there is none."""

    def read(path: str) -> Any:
        found = settings
        for name in path.split("."):
            found = getattr(found, name, None)
        return found

    return read


def refuse(faults: Sequence[str], what: str = "the game") -> None:
    """Raise one `SettingsError` with all faults, where there are any; `what` it is that they break."""
    if faults:
        raise SettingsError(f"settings that break {what}: " + ". ".join(faults) + ".")
