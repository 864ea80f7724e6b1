"""The optimal tables: least sup-bias (a linear program) and least bias at a bounded noise (cone programs)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import InvalidObjective, NotConverged
from .binomial import binomial, grid
from .cache import cached
from .exact import u_statistic
from .method import Derivative, Method

MINIMAX_LIMIT, BIAS_FACTOR_LIMIT, VARIANCE_OPTIMAL_LIMIT = 32, 64, 256

_SLACK, _FLOOR = 1e-3, 1e-7


def minimax(slope: Derivative, k: int) -> np.ndarray:
    """The table of least sup_p |p E g(N) - p f'(p)|, about 0.325 / K^2 for Shannon.

    Why that error is the measure: docs/theory/samples.md#how-much-bias-is-left.
    """
    if k > MINIMAX_LIMIT:
        raise InvalidObjective(
            f"the minimax table for K = {k} has entries beyond 1e6, useless in float64 and in variance; "
            f"it is offered up to K = {MINIMAX_LIMIT}; take method='variance_optimal'."
        )
    return _from_chebyshev(_best_polynomial(slope, k)[0], k)


def least_sup_bias(slope: Derivative, k: int) -> float:
    """The least sup-bias that any table of K samples has; the table itself may be useless."""
    return _best_polynomial(slope, k)[1]


def _best_polynomial(slope: Derivative, k: int) -> tuple[np.ndarray, float]:
    """Chebyshev coefficients (K+1,) of the best p E g(N), degree K and zero at 0, and its error."""
    from scipy.optimize import linprog

    p = grid(k, 24 if k <= 64 else 8)
    basis = np.cos(np.arange(k + 1) * np.arccos(np.clip(2 * p - 1, -1, 1))[:, None])
    aim = p * np.asarray(slope(p), float)
    size = np.ones((len(p), 1))
    found = linprog(
        np.r_[np.zeros(k + 1), 1.0],
        A_ub=np.block([[basis, -size], [-basis, -size]]),
        b_ub=np.r_[aim, -aim],
        A_eq=[[*(-1.0) ** np.arange(k + 1), 0.0]],
        b_eq=[0.0],
        bounds=[(None, None)] * (k + 1) + [(0, None)],
    )
    if not found.success:
        raise NotConverged(f"the minimax program for K = {k} ended with: {found.message}")
    return found.x[:-1], float(found.x[-1])


def _from_chebyshev(coefficients: np.ndarray, k: int) -> np.ndarray:
    """Bernstein entries of P(p)/p for P = sum c_j T_j(2p - 1), in 100-digit arithmetic."""
    import mpmath

    with mpmath.workdps(100):
        before, now = [mpmath.mpf(1)], [mpmath.mpf(-1), mpmath.mpf(2)]
        total = [mpmath.mpf(0)] * (k + 1)
        for j in range(k + 1):
            for i, a in enumerate(before if j == 0 else now):
                total[i] += mpmath.mpf(float(coefficients[j])) * a
            if j >= 1:
                before, now = now, _next_chebyshev(before, now)
        monomials = total[1:]
        entries = [
            sum(
                mpmath.mpf(math.comb(j, i)) / math.comb(k - 1, i) * monomials[i]
                for i in range(j + 1)
            )
            for j in range(k)
        ]
        return np.array([float(e) for e in entries])


def _next_chebyshev(before: list[Any], now: list[Any]) -> list[Any]:
    """T_{j+1}(2p - 1) = 2 (2p - 1) T_j - T_{j-1}, coefficients of the powers of p."""
    after = [-2 * a for a in now] + [0 * now[0]]
    for i, a in enumerate(now):
        after[i + 1] += 4 * a
    for i, a in enumerate(before):
        after[i] -= a
    return after


def variance_optimal(
    slope: Derivative,
    k: int,
    rmse_factor: float | None,
    bias_factor: float | None,
) -> np.ndarray:
    """A table on the bias-variance frontier, by second-order cone programs.

    The problem is stated in docs/theory/samples.md#how-much-bias-is-left.
    With `rmse_factor`: least sup-bias where p rmse(p) <= factor * the plug-in's worst. With
    `bias_factor`: least worst p rmse(p) where sup-bias <= factor * the least of all tables. The
    bounds are generated where they bind: both are enforced on a few points, the worst others join, and
    in the end neither is exceeded by more than 0.1%, or 1e-7 of max |p f'(p)|. A table without bias
    that keeps to the bound is taken as it is.
    """
    if k > VARIANCE_OPTIMAL_LIMIT:
        raise InvalidObjective(
            f"the cone program is offered up to K = {VARIANCE_OPTIMAL_LIMIT}, not for {k}; take "
            "method='jackknife', whose bias falls like 1/K with 0.3 times the plug-in's constant."
        )
    _check_factor("rmse_factor", rmse_factor, 1.0, ">= 1")
    _check_factor("bias_factor", bias_factor, math.nextafter(1, 2), "> 1")
    if bias_factor is not None and k > BIAS_FACTOR_LIMIT:
        raise InvalidObjective(
            f"bias_factor needs tables near the least bias, whose entries explode for K = {k}; it is "
            f"offered up to K = {BIAS_FACTOR_LIMIT}; give rmse_factor."
        )
    program, exact = _Program(slope, k), u_statistic(slope, k)
    limit = (1.1 if rmse_factor is None else rmse_factor) * program.plug_in_rmse
    if exact is not None and (bias_factor is not None or program.rmse(exact).max() <= limit):
        return exact
    if bias_factor is None:
        return program.least_bias(limit)
    return program.least_rmse(bias_factor * least_sup_bias(slope, k))


def _check_factor(name: str, factor: Any, least: float, said: str) -> None:
    if factor is None:
        return
    if not isinstance(factor, float | int | np.number) or not least <= factor < math.inf:
        raise InvalidObjective(f"{name} is {factor!r}; give a number {said}.")


class _Program:
    """Both cone programs of one f' and K, on one grid."""

    def __init__(self, slope: Derivative, k: int) -> None:
        self.k = k
        self.p = grid(k, 12 if k <= 64 else 4)
        self.chance = binomial(self.p, k)
        self.aim = np.asarray(slope(self.p), float) + 0 * self.p
        plug_in = np.asarray(slope((np.arange(k) + 1) / k), float)
        self.plug_in_rmse = float(self.rmse(plug_in).max())
        self.floor = _FLOOR * float(np.abs(self.p * self.aim).max())
        self.start = np.arange(0, len(self.p), 6)

    def rmse(self, g: np.ndarray) -> np.ndarray:
        return self.p * np.sqrt((self.chance * (g - self.aim[:, None]) ** 2).sum(-1))

    def least_bias(self, limit: float) -> np.ndarray:
        import cvxpy as cp

        bias = cp.Variable()
        return self._exchange(bias, bias, limit, lambda: limit)

    def least_rmse(self, bias: float) -> np.ndarray:
        import cvxpy as cp

        limit = cp.Variable()
        return self._exchange(limit, bias, limit, lambda: _number(limit))

    def _exchange(self, aim: Any, bias: Any, limit: Any, allowed: Callable[[], float]) -> Any:
        """Minimise `aim` with cones at the points so far; add those that the solution breaks most."""
        import cvxpy as cp

        rows, cones = self.start, self.start[:: max(1, len(self.start) // 24)]
        for _ in range(60):
            g = cp.Variable(self.k)
            error = cp.multiply(self.p[rows], self.chance[rows] @ g - self.aim[rows])
            bounds = [cp.abs(error) <= bias, *(self._noise(g, i) <= limit for i in cones)]
            problem = cp.Problem(cp.Minimize(aim), bounds)
            problem.solve(solver="CLARABEL")
            if g.value is None:
                break
            entries = np.asarray(g.value)
            off = np.abs(self.p * (self.chance @ entries - self.aim))
            most = max(_number(bias), self.floor), max(allowed(), self.floor)
            over = off / most[0] - 1, self.rmse(entries) / most[1] - 1
            if max(v.max() for v in over) <= _SLACK:
                return entries
            rows, cones = (_joined(have, v) for have, v in zip((rows, cones), over, strict=True))
        raise NotConverged(
            f"the cone program for K = {self.k} ended with status {problem.status}; change the factor."
        )

    def _noise(self, g: Any, i: int) -> Any:
        """p rmse(p) at point i, over the counts that occur there with more than 1e-24."""
        import cvxpy as cp

        live = self.chance[i] > 1e-24
        root = self.p[i] * np.sqrt(self.chance[i][live])
        return cp.norm(cp.multiply(root, g[np.flatnonzero(live)] - self.aim[i]))


def _number(value: Any) -> float:
    """A number, or the value of a solved variable."""
    return float(getattr(value, "value", value))


def _joined(points: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """The points and the local maxima of the excess that are too large."""
    padded = np.concatenate([[-np.inf], excess, [-np.inf]])
    peak = (excess > _SLACK) & (excess >= padded[:-2]) & (excess >= padded[2:])
    return np.union1d(points, np.flatnonzero(peak))


def _kept(slope: Derivative, k: int, **factors: float | None) -> np.ndarray:
    """The table of least bias or noise, from the disk where it is there."""
    if k == 1:
        return np.array([float(slope(1.0))])
    return cached(slope, k, "variance_optimal", factors, variance_optimal)


MINIMAX = Method("minimax", table=lambda slope, k: cached(slope, k, "minimax", {}, minimax))
VARIANCE_OPTIMAL = Method("variance_optimal", table=_kept, factors=True)
