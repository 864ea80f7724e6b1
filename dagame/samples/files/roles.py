"""Which columns of a file say what, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import SamplesError, nearest
from ..lazy import pl


@dataclass(frozen=True)
class Roles:
    """Which columns, or dotted paths, say what.

    text: of the completions, or of the answers if `answers`; correct, gold, finish: none, one, or
    one for each of `text`; where: (path, value) that rows must have; skip_null: a row without a
    completion is no sample; no_answer: an answer that means none.
    """

    text: tuple[str, ...]
    answers: bool = False
    class_by: tuple[str, ...] = ()
    context_by: tuple[str, ...] | None = None
    correct: tuple[str, ...] = ()
    gold: tuple[str, ...] = ()
    finish: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    skip_null: bool = False
    no_answer: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All paths but those of the completions."""
        contexts = self.context_by or ()
        return (*self.class_by, *contexts, *self.correct, *self.gold, *self.finish)


@dataclass(frozen=True, eq=False)
class Flat:
    """One row per completion; `roles` names plain columns of the frame, the text's first.

    gold: what the file says is right, a value or a list of aliases per row; truncated: completions
    that were cut off; empty_rows: rows of the file that hold no completion. nested: whether rows were
    spread; alongside: the columns whose lists went along with the completions.
    """

    frame: pl.DataFrame
    roles: Roles
    gold: list[Any] | None = None
    truncated: pl.Series | None = None
    empty_rows: int = 0
    nested: bool = False
    alongside: frozenset[str] = frozenset()


def missing(name: str, role: str, columns: Sequence[str]) -> SamplesError:
    """The error of a column that is not there."""
    return SamplesError(
        f"there is no column {name[:60]!r} for the {role}; {nearest(name, columns, 'columns')}"
    )


def role_of(name: str, roles: Roles) -> str:
    """What a column was named for, in words."""
    for role, names in (
        ("answer" if roles.answers else "completion", roles.text),
        ("class", roles.class_by),
        ("context", roles.context_by or ()),
        ("correctness", roles.correct),
        ("gold answer", roles.gold),
        ("finish reason", roles.finish),
    ):
        if name in names:
            return role
    return "rows that --where selects"


class NoRow(SamplesError):
    """Rows that hold no sample, `empty_rows` of them without a completion; more of the file may."""

    empty_rows = 0


def no_row(name: str, path: str, value: str, found: Sequence[Any]) -> NoRow:
    """The error of a selection of nothing."""
    values = ", ".join(str(v)[:40] for v in found[:8])
    return NoRow(f"{name}: no row has {path}={value[:60]}; it is {values}.")


def no_completion(name: str, texts: Sequence[str], empty_rows: int) -> NoRow:
    """The error of rows without a completion."""
    error = NoRow(f"{name} holds no completion in {', '.join(texts)}.")
    error.empty_rows = empty_rows
    return error
