"""Convex sets of answer distributions: caps, floors, quotas, moments, parity, polytopes."""

from __future__ import annotations

import functools
import math
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import InvalidGame, InvalidObjective
from ..numerics.arrays import to_numpy
from .parameters import told
from .set_rows import Groups, Rows, opposed, stacked

__all__ = ["Cap", "Floor", "Moment", "Parity", "Polytope", "Quota"]
"""The sets: what `dagame` exports."""


class ConstraintSet:
    """A polytope of marginals (m, n); `&` intersects. Sets act on every context unless they say across."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Let a subclass keep the `__repr__` that it inherits; a dataclass would make its own."""
        super().__init_subclass__(**options)
        cls.__repr__ = cls.__repr__

    def __repr__(self) -> str:
        mine: Any = self
        if not is_dataclass(mine):
            return type(self).__name__
        shown = [told(getattr(self, f.name)) for f in fields(mine) if f.default is MISSING]
        others = [f for f in fields(mine) if f.default is not MISSING]
        named = [(f, getattr(self, f.name)) for f in others]
        shown += [f"{f.name}={told(v)}" for f, v in named if v is not f.default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def table(self, m: int, n: int) -> Rows:
        """The linear rows for m contexts and n answers, for any weights of the contexts."""
        raise NotImplementedError

    def rows(self, m: int, n: int, weights: np.ndarray) -> Rows:
        """The linear rows at context weights (m,)."""
        return compiled_rows(self, m, n).at(weights)

    def groups(self, n: int) -> Groups | None:
        """The set as bounds on disjoint groups in every context, where it is that."""
        return None

    def parts(self) -> tuple[ConstraintSet, ...]:
        """What it is the intersection of."""
        return (self,)

    def __and__(self, other: ConstraintSet) -> ConstraintSet:
        return Intersection((*self.parts(), *other.parts()))

    def _no_arithmetic(self, other: object) -> Any:
        """Refuse sums and multiples: a set is no objective."""
        name = type(self).__name__
        raise InvalidObjective(
            f"{name} is a set, which neither adds nor scales; join sets by &, and make an objective of "
            f"one by HardConstraint({name}(...)) or SoftConstraint({name}(...), strength)."
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _no_arithmetic


@functools.lru_cache(maxsize=256)
def compiled_rows(chosen: ConstraintSet, m: int, n: int) -> Rows:
    """`chosen.table(m, n)`, made once and kept."""
    return chosen.table(m, n)


@functools.lru_cache(maxsize=256)
def compiled_groups(chosen: ConstraintSet, n: int) -> Groups | None:
    """`chosen.groups(n)`, made once and kept."""
    return chosen.groups(n)


def _indicator(answers: Any, n: int, name: str) -> np.ndarray:
    chosen = np.asarray(to_numpy(answers) if hasattr(answers, "dtype") else answers)
    out = np.zeros(n)
    if chosen.dtype == bool:
        if chosen.shape != (n,):
            raise InvalidGame(f"{name}: the mask has shape {chosen.shape}, the game {n} answers.")
        return chosen.astype(float)
    chosen = np.atleast_1d(chosen)
    if chosen.dtype.kind not in "iu" or chosen.size == 0:
        raise InvalidObjective(f"{name}: answers are indices or a boolean mask, not {answers!r}.")
    if chosen.min() < 0 or chosen.max() >= n:
        raise InvalidGame(f"{name}: answers {chosen.tolist()} are outside 0..{n - 1}.")
    out[chosen] = 1
    return out


def _each_context(
    table: np.ndarray,
    bound: float,
    equal: bool,
    m: int,
    across: bool,
    name: str,
) -> Rows:
    """One row for every context, or one for their weighted mean; table (n,) or (m, n)."""
    table = np.broadcast_to(table, (m, table.shape[-1]))
    if across:
        matrix, names = table[None], (f"{name} across contexts",)
    else:
        matrix = np.eye(m)[:, :, None] * table
        names = tuple(f"{name} in context {x}" for x in range(m))
    r = len(names)
    return Rows(matrix, np.full(r, float(bound)), np.full(r, equal), names, np.full(r, across))


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise InvalidObjective(f"{name} is {share!r}; give a probability in [0, 1].")


@dataclass(frozen=True, eq=False)
class _OneBound(ConstraintSet):
    """The mass of one set of answers on one side of a limit."""

    answers: Any
    limit: float
    across: bool = False

    below: ClassVar[bool]
    """Whether the limit is the most that the set may have, or the least."""

    def __post_init__(self) -> None:
        _check_share(f"{type(self).__name__}: limit", self.limit)

    def table(self, m: int, n: int) -> Rows:
        """The indicator of S, minus it for a least mass."""
        name, sign = type(self).__name__, 1.0 if self.below else -1.0
        row, told_as = sign * _indicator(self.answers, n, name), f"{name.lower()} {self.limit:g}"
        return _each_context(row, sign * self.limit, False, m, self.across, told_as)

    def groups(self, n: int) -> Groups | None:
        """One group."""
        if self.across:
            return None
        member = _indicator(self.answers, n, type(self).__name__)[None] > 0
        low, high = (0.0, float(self.limit)) if self.below else (float(self.limit), 1.0)
        return Groups(member, np.array([low]), np.array([high]))


class Cap(_OneBound):
    """nu_x(S) <= limit (safety): `answers` S as indices or a mask; across: of the weighted mean.

    Args:
        answers: one set of answers, by indices or a mask (n,).
        limit: the most that the set may have, in [0, 1].
        across: bound the weighted mean of the contexts instead of each of them.
    """

    below = True


class Floor(_OneBound):
    """nu_x(S) >= limit: `answers` S as indices or a mask; across: of the weighted mean.

    Args:
        answers: one set of answers, by indices or a mask (n,).
        limit: the least that the set must have, in [0, 1].
        across: bound the weighted mean of the contexts instead of each of them.
    """

    below = False


@dataclass(frozen=True, eq=False)
class Quota(ConstraintSet):
    """nu_x(S_k) = share_k for disjoint S_k: `answers` one set or a list of sets, `shares` likewise.

    Args:
        answers: one set of answers, or a list of disjoint sets.
        shares: the mass of each.
        across: bound the weighted mean of the contexts instead of each of them.
    """

    answers: Any
    shares: Any
    across: bool = False

    def _pairs(self) -> list[tuple[Any, float]]:
        if np.ndim(self.shares) == 0:
            return [(self.answers, float(self.shares))]
        if len(self.answers) != len(self.shares):
            raise InvalidObjective(
                f"Quota: {len(self.answers)} sets but {len(self.shares)} shares; give one for each."
            )
        return [(s, float(t)) for s, t in zip(self.answers, self.shares, strict=True)]

    def __post_init__(self) -> None:
        for _, share in self._pairs():
            _check_share("Quota: share", share)

    def table(self, m: int, n: int) -> Rows:
        """Indicators as equalities."""
        return stacked(
            [
                _each_context(_indicator(s, n, "Quota"), t, True, m, self.across, f"quota {t:g}")
                for s, t in self._pairs()
            ]
        )

    def groups(self, n: int) -> Groups | None:
        """One group for each quota."""
        if self.across:
            return None
        member = np.stack([_indicator(s, n, "Quota") > 0 for s, _ in self._pairs()])
        shares = np.array([t for _, t in self._pairs()])
        return Groups(member, shares, shares)


@dataclass(frozen=True, eq=False)
class Moment(ConstraintSet):
    """E_{nu_x}[f(z)] <= bound: `values` f (n,) or (m, n); across: of the weighted mean.

    Args:
        values: f, (n,) or (m, n).
        bound: the largest mean of f.
        across: bound the weighted mean of the contexts instead of each of them.
    """

    values: Any
    bound: float
    across: bool = False

    def table(self, m: int, n: int) -> Rows:
        """The values."""
        f = np.asarray(
            to_numpy(self.values) if hasattr(self.values, "dtype") else self.values, float
        )
        if f.shape not in ((n,), (m, n)) or not np.isfinite(f).all():
            raise InvalidGame(
                f"Moment: values have shape {f.shape}; give {n} (or {m} x {n}) finite numbers."
            )
        return _each_context(f, self.bound, False, m, self.across, f"moment {self.bound:g}")


@dataclass(frozen=True, eq=False)
class Parity(ConstraintSet):
    """|nu_x(z) - nu_x'(z)| <= delta for all contexts x, x' (fairness: contexts are groups).

    `answers` restricts z; `together=True` bounds the mass of that whole set instead of each answer.

    Args:
        delta: the largest difference of two contexts, >= 0.
        answers: the answers that are compared, by indices or a mask; None for all.
        together: compare the mass of the whole set instead of each answer.
    """

    delta: float
    answers: Any = None
    together: bool = False

    def __post_init__(self) -> None:
        _check_share("Parity: delta", self.delta)

    def table(self, m: int, n: int) -> Rows:
        """Differences of pairs of contexts, both ways; for delta = 0 equalities of neighbours."""
        if m == 1:
            name = ("parity of one context",)
            no = np.zeros(1, bool)
            return Rows(np.zeros((1, m, n)), np.array([self.delta]), no, name, no)
        chosen = np.ones(n) if self.answers is None else _indicator(self.answers, n, "Parity")
        tables = chosen[None] if self.together else np.eye(n)[chosen > 0]
        exact = self.delta == 0
        if exact and not self.together and self.answers is None:
            tables = tables[:-1]
        pairs = (
            [(x, x + 1) for x in range(m - 1)]
            if exact
            else [(x, y) for x in range(m) for y in range(m) if x != y]
        )
        matrix = np.zeros((len(pairs), len(tables), m, n))
        for k, (x, y) in enumerate(pairs):
            matrix[k, :, x] += tables
            matrix[k, :, y] -= tables
        r = len(pairs) * len(tables)
        names = tuple(
            f"parity {self.delta:g} of contexts {x} and {y}" for x, y in pairs for _ in tables
        )
        matrix, no = matrix.reshape(r, m, n), np.zeros(r, bool)
        return Rows(matrix, np.full(r, self.delta), np.full(r, exact), names, no)


@dataclass(frozen=True, eq=False)
class Polytope(ConstraintSet):
    """G nu <= h: `matrix` (r, n) for every context, or (r, m, n) across them; `equal` (r,) marks =.

    Args:
        matrix: G, (r, n) for every context, or (r, m, n) across them.
        bound: h, (r,).
        equal: (r,), true where a row is an equality.
    """

    matrix: Any
    bound: Any
    equal: Any = False

    def table(self, m: int, n: int) -> Rows:
        """The rows as they are given."""
        g, h = np.asarray(self.matrix, float), np.atleast_1d(np.asarray(self.bound, float))
        if g.ndim not in (2, 3) or g.shape[-1] != n or (g.ndim == 3 and g.shape[1] != m):
            raise InvalidGame(
                f"Polytope: matrix has shape {g.shape}; give (r, {n}) or (r, {m}, {n})."
            )
        if h.shape != g.shape[:1] or not (np.isfinite(g).all() and np.isfinite(h).all()):
            raise InvalidGame(f"Polytope: bound has shape {h.shape}; give {len(g)} finite numbers.")
        equal = np.broadcast_to(np.asarray(self.equal, bool), h.shape)
        if g.ndim == 3:
            names = tuple(f"row {i}" for i in range(len(g)))
            return Rows(g, h, equal, names, np.zeros(len(g), bool))
        made = [
            _each_context(g[i], h[i], bool(equal[i]), m, False, f"row {i}") for i in range(len(g))
        ]
        return stacked(made)


@dataclass(frozen=True, eq=False)
class Intersection(ConstraintSet):
    """All of several sets."""

    sets: tuple[ConstraintSet, ...]

    def parts(self) -> tuple[ConstraintSet, ...]:
        """The sets."""
        return self.sets

    def table(self, m: int, n: int) -> Rows:
        """All rows; a row and its opposite (a cap and a floor at one limit) are equalities.

        As inequalities they would leave the set no interior, and their multipliers no bound.
        """
        found = stacked([s.table(m, n) for s in self.sets])
        if not np.isin(found.bound, -found.bound).any():
            return found
        return found._replace(equal=found.equal | opposed(found))

    def groups(self, n: int) -> Groups | None:
        """The groups of all, if they are disjoint or the same."""
        found = [s.groups(n) for s in self.sets]
        known = [g for g in found if g is not None]
        if len(known) < len(found):
            return None
        merged: dict[bytes, list[Any]] = {}
        for g in known:
            for member, low, high in zip(*g, strict=True):
                old = merged.setdefault(member.tobytes(), [member, 0.0, math.inf])
                merged[member.tobytes()] = [member, max(old[1], low), min(old[2], high)]
        member = np.stack([v[0] for v in merged.values()])
        if (member.sum(axis=0) > 1).any():
            return None
        low, high = (np.array([v[k] for v in merged.values()]) for k in (1, 2))
        return Groups(member, low, np.minimum(high, 1.0)) if (low <= high).all() else None


@dataclass(frozen=True, eq=False)
class Restricted(ConstraintSet):
    """A set on the answers where `keep` (n,), the others having no mass."""

    set: ConstraintSet
    keep: np.ndarray

    def table(self, m: int, n: int) -> Rows:
        """The columns kept."""
        full = compiled_rows(self.set, m, len(self.keep))
        return full._replace(matrix=full.matrix[..., self.keep])
