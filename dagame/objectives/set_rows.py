"""The rows of a set of marginals, and bounds on disjoint groups of answers: what a set is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_ROUNDING = 1e-9
_LEAST_ROOM = 1e-15


class Rows(NamedTuple):
    """sum_x <matrix[i, x], nu_x> <= bound[i], or = where `equal`: matrix (r, m, n), names of the rows.

    Where `across` (r,) the entries of context x are still to be multiplied by its weight w_x.
    """

    matrix: np.ndarray
    bound: np.ndarray
    equal: np.ndarray
    names: tuple[str, ...]
    across: np.ndarray

    def at(self, weights: np.ndarray) -> Rows:
        """The rows at context weights (m,), in which no weight is left to be put."""
        if not self.across.any():
            return self
        factor = np.where(self.across[:, None], weights, 1.0)
        return self._replace(
            matrix=self.matrix * factor[..., None], across=np.zeros(len(factor), bool)
        )

    def closed(self) -> np.ndarray:
        """Answers (m, n) in a row of one sign and bound 0: no point of the set gives them any mass."""
        above, below = ((sign * self.matrix >= 0).all(axis=(1, 2)) for sign in (1, -1))
        closed = (above | (self.equal & below)) & (self.bound == 0)
        return (self.matrix[closed] != 0).any(axis=0)


class Groups(NamedTuple):
    """Disjoint groups of answers, member (k, n) bool, with low[k] <= nu_x(group) <= high[k]."""

    member: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def attainable(self) -> bool:
        """Whether some distribution meets all bounds: by sums, as the groups are disjoint."""
        covers = self.member.any(axis=0).all()
        in_order = (self.low <= self.high).all() and self.low.sum() <= 1 + _ROUNDING
        return bool(in_order and (not covers or self.high.sum() >= 1 - _ROUNDING))

    def closed(self) -> np.ndarray:
        """Answers (n,) that no distribution in the set gives any mass: the other floors leave none."""
        spare = 1 - self.low.sum()
        room = np.minimum(self.high, spare + self.low) > _LEAST_ROOM
        free = ~self.member.any(axis=0)
        return (self.member & ~room[:, None]).any(axis=0) | (free & (spare <= _LEAST_ROOM))


def opposed(rows: Rows) -> np.ndarray:
    """Which rows (r,) have an opposite among the others: -g nu <= -h beside g nu <= h."""
    table = np.concatenate([rows.matrix.reshape(len(rows.bound), -1), rows.bound[:, None]], axis=1)
    pairs = list(zip(rows.across.tolist(), table + 0.0, 0.0 - table, strict=True))
    seen = {(across, row.tobytes()) for across, row, _ in pairs}
    return np.array([o.any() and (across, o.tobytes()) in seen for across, _, o in pairs])


def stacked(found: Sequence[Rows]) -> Rows:
    """The rows of several sets, one below the other."""
    return Rows(
        np.concatenate([f.matrix for f in found]),
        np.concatenate([f.bound for f in found]),
        np.concatenate([f.equal for f in found]),
        tuple(name for f in found for name in f.names),
        np.concatenate([f.across for f in found]),
    )


def clashing(rows: Rows, live: np.ndarray) -> list[str]:
    """Rows that no marginals (m, n) on the answers `live` can meet together, [] if some do.

    Those with a positive Farkas multiplier in the least total violation.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    matrix, bound, equal, names, _ = rows
    r, m, n = matrix.shape
    slack = sparse.hstack([-sparse.eye_array(r), sparse.diags_array(equal.astype(float))])
    table: Any = sparse.hstack([sparse.csr_array(matrix.reshape(r, m * n)), slack], format="csr")
    sums = sparse.kron(sparse.eye_array(m), np.ones((1, n)))
    sums = sparse.hstack([sums, sparse.csr_array((m, 2 * r))])
    cost = np.concatenate([np.zeros(m * n), np.ones(2 * r)])
    upper = np.concatenate([np.where(live.ravel(), np.inf, 0.0), np.full(2 * r, np.inf)])
    inequality = table[np.flatnonzero(~equal)]
    found = linprog(
        cost,
        A_ub=inequality if inequality.shape[0] else None,
        b_ub=bound[~equal] if inequality.shape[0] else None,
        A_eq=sparse.vstack([table[np.flatnonzero(equal)], sums], format="csr"),
        b_eq=np.concatenate([bound[equal], np.ones(m)]),
        bounds=np.stack([np.zeros(len(upper)), upper], axis=1),
    )
    if found.fun is None or found.fun <= _ROUNDING:
        return []
    priced = np.zeros(r)
    if inequality.shape[0]:
        priced[~equal] = np.abs(found.ineqlin.marginals)
    priced[equal] = np.abs(found.eqlin.marginals[: int(equal.sum())])
    return [name for name, price in zip(names, priced, strict=True) if price > 1e-9]
