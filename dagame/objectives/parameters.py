"""Parameters of objectives: their checks, and tables that follow a batch of games axis by axis.

A table is declared with its axes, `tables = {"r": "m n", "rewards": "k n", "cost": "n n"}`: "m" are the
contexts, "n" the answers, other letters are the objective's own. Axes before these are the batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from ..errors import InvalidGame, InvalidObjective
from ..numerics.arrays import Array, as_floating, is_array, like, namespace, to_numpy

_SHOWN = 8


class Parametric:
    """Something whose array fields `tables` belong to one game each, or to all games of a batch."""

    tables: ClassVar[Mapping[str, str] | tuple[str, ...]] = {}
    """Axes of the array fields by name; names alone are tables of "m n", (n,) or (m, n)."""

    def check(self, shape: tuple[int, ...], weights: Array) -> None:
        """Raise `InvalidGame` where tables do not fit marginals of `shape` (*batch, m, n)."""
        for name, axes in axes_of(self):
            have = tuple(getattr(self, name).shape)
            if not _fits(have, axes, shape):
                raise InvalidGame(
                    f"{type(self).__name__}.{name} has shape {have}, which does not fit "
                    f"marginals of shape {tuple(shape)} (*batch, contexts, answers)."
                )

    def columns(self, keep: np.ndarray) -> Self:
        """The same on the answers where `keep` (n,), bool."""
        return taken(self, "n", np.flatnonzero(keep))

    def map_tables(self, change: Callable[[Array, list[str]], Array]) -> Self:
        """A copy with `change(table, axes)` for every table."""
        if not self.tables:
            return self
        changed = copy.copy(self)
        for name, axes in axes_of(self):
            object.__setattr__(changed, name, change(getattr(self, name), axes))
        return changed


P = TypeVar("P", bound=Parametric)


def bound_to(owner: P, reference: Array) -> P:
    """A copy whose tables have the namespace, dtype and device of `reference`."""
    return owner.map_tables(lambda table, axes: like(table, reference))


def of_games(owner: P, index: Array) -> P:
    """The same for the games `index` of a flat batch."""

    def pick(table: Array, axes: list[str]) -> Array:
        batched = table.ndim > len(axes) and table.shape[0] > 1
        return namespace(table).take(table, index, axis=0) if batched else table

    return owner.map_tables(pick)


def of_game(owner: P, index: int) -> P:
    """The same for one game of a flat batch, its tables without the batch dimension."""

    def pick(table: Array, axes: list[str]) -> Array:
        if table.ndim <= len(axes):
            return table
        return table[index] if table.shape[0] > 1 else table[0]

    return owner.map_tables(pick)


def taken(owner: P, axis: str, index: np.ndarray) -> P:
    """The same on the contexts ("m") or answers ("n") `index`: all axes of that letter are cut."""

    def pick(table: Array, axes: list[str]) -> Array:
        for place, letter in enumerate(reversed(axes), 1):
            one_for_all = letter == "m" and table.ndim >= place and table.shape[-place] == 1
            if letter == axis and table.ndim >= place and not one_for_all:
                table = namespace(table).take(table, index, axis=table.ndim - place)
        return table

    return owner.map_tables(pick)


def flattened(owner: P, lead: tuple[int, ...]) -> P:
    """The same with its leading batch dimensions `lead` folded into one."""

    def fold(table: Array, axes: list[str]) -> Array:
        if table.ndim <= len(axes) or len(lead) == 1:
            return table
        xp, own = namespace(table), tuple(table.shape[table.ndim - len(axes) :])
        return xp.reshape(xp.broadcast_to(table, (*lead, *own)), (math.prod(lead), *own))

    return owner.map_tables(fold)


def axes_of(owner: Parametric) -> list[tuple[str, list[str]]]:
    """The tables that it has, by name, each with its axes."""
    named = owner.tables
    axes = named if isinstance(named, Mapping) else dict.fromkeys(named, "m n")
    return [(name, a.split()) for name, a in axes.items() if getattr(owner, name) is not None]


def _fits(have: tuple[int, ...], axes: list[str], shape: tuple[int, ...]) -> bool:
    """Whether the last axes are those of a game, and the others broadcast to its batch."""
    sizes, batch = {"m": shape[-2], "n": shape[-1]}, shape[:-2]
    left = max(0, len(have) - len(axes))
    for size, letter in zip(have[left:][::-1], axes[::-1], strict=False):
        if size != sizes.get(letter, size) and not (letter == "m" and size == 1):
            return False
    optional = len(axes) - (axes[0] == "m")
    room = zip(have[:left][::-1], batch[::-1], strict=False)
    return len(have) >= optional and left <= len(batch) and all(a in (1, b) for a, b in room)


def told(value: Any) -> str:
    """A parameter as a repr shows it: a short table by its numbers, a longer one by its shape."""
    table = to_numpy(value) if is_array(value) else np.asarray(value, dtype=object)
    if table.ndim == 0 or isinstance(value, str):
        return repr(value) if not is_array(value) else f"{table.item():g}"
    if table.size > _SHOWN:
        return f"{' x '.join(map(str, table.shape))} numbers"
    return str(_rounded(table.tolist())).replace("'", "")


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return f"{value + 0.0:g}" if isinstance(value, Real) and not isinstance(value, bool) else value


def check_strength(name: str, strength: float) -> None:
    """Raise `InvalidObjective` unless 0 <= strength < inf."""
    if not (isinstance(strength, Real) and 0 <= strength < math.inf):
        raise InvalidObjective(f"{name}: strength is {strength!r}; give a finite number >= 0.")


def as_table(values: Any, name: str) -> Array:
    """A parameter table (n,), (m, n) or (*batch, m, n) of finite floating numbers."""
    table = as_floating(values, name)
    xp = namespace(table)
    if table.ndim == 0 or math.prod(table.shape) == 0 or not bool(xp.all(xp.isfinite(table))):
        raise InvalidObjective(
            f"{name} must be an array (n,), (m, n) or (*batch, m, n) of finite numbers, without NaN."
        )
    return table


def largest(table: Array) -> float:
    """max |table|."""
    xp = namespace(table)
    return float(xp.max(xp.abs(table)))
