"""Reward tables from K samples: what to pay an answer that N of the other K - 1 samples gave (theory, 7).

A table g(0..K-1) pays sample i the entry g(N), N ~ Binomial(K-1, nu(z)) independent of y_i. Without a
baseline the expected update is the gradient of Phi iff E g(N) = f'(p) + constant, f' the derivative of
the per-answer objective. Sup-bias is sup_p p |E g(N) - f'(p)|, rmse(p) the root of E (g(N) - f'(p))^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np

from .errors import InvalidObjective, NotConverged
from .objectives import Objective

METHODS = (
    "plug_in",
    "leave_one_out",
    "krichevsky_trofimov",
    "laplace",
    "jackknife",
    "u_statistic",
    "minimax",
    "variance_optimal",
)
BASELINES = (None, "leave_one_out", "leave_two_out")
MINIMAX_LIMIT = 32

Derivative = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class RewardTable:
    """Entries g(0..K-1), and what they do: bias and root mean square error as functions of p."""

    entries: np.ndarray
    derivative: Derivative
    method: str
    baseline: str | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.entries, dtype=dtype)

    def expected(self, p: Any) -> np.ndarray:
        """E g(N) at probabilities p (...,)."""
        return _binomial(np.asarray(p, float), len(self)) @ self.entries

    def bias(self, p: Any) -> np.ndarray:
        """p (E g(N) - f'(p))."""
        p = np.asarray(p, float)
        return p * (self.expected(p) - self.derivative(p))

    def rmse(self, p: Any) -> np.ndarray:
        """p times the root mean square of g(N) - f'(p)."""
        p = np.asarray(p, float)
        apart = (self.entries - np.asarray(self.derivative(p))[..., None]) ** 2
        return p * np.sqrt((_binomial(p, len(self)) * apart).sum(-1))

    @cached_property
    def sup_bias(self) -> float:
        """sup_p |bias(p)| on a grid that is dense where binomials change."""
        return float(np.abs(self.bias(_grid(len(self), 40))).max())

    @cached_property
    def worst_rmse(self) -> float:
        """sup_p rmse(p)."""
        return float(self.rmse(_grid(len(self), 40)).max())


def rewards(answers: Any, table: RewardTable) -> np.ndarray:
    """g(N_i) for each sample: answers (groups, K) integers -> (groups, K)."""
    answers = _groups(answers, len(table))
    same = answers[:, :, None] == answers[:, None, :]
    return table.entries[same.sum(-1) - 1]


def leave_two_out(answers: Any, smaller: RewardTable) -> np.ndarray:
    """b_i = mean over j != i of the reward of sample j counted without i, an exactly unbiased baseline.

    `smaller` is the table of group size K - 1; answers (groups, K) -> (groups, K). b_i does not depend
    on y_i, so that subtracting it leaves the expected update as it is (theory, section 7).
    """
    answers = _groups(answers, len(smaller) + 1)
    same = answers[:, :, None] == answers[:, None, :]
    others = (same.sum(-1) - 1)[:, None, :] - same
    own = np.eye(answers.shape[1], dtype=bool)
    paid = np.where(own, 0.0, smaller.entries[np.where(own, 0, others)])
    return paid.sum(-1) / (answers.shape[1] - 1)


def _groups(answers: Any, k: int) -> np.ndarray:
    answers = np.asarray(answers)
    if answers.ndim != 2 or answers.shape[1] != k:
        raise InvalidObjective(f"answers have shape {answers.shape}; give (groups, {k}).")
    return answers


def reward_table(
    objective: Objective,
    group_size: int,
    method: str = "variance_optimal",
    baseline: str | None = None,
    *,
    rmse_factor: float = 1.1,
) -> RewardTable:
    """The table g(0..K-1) for a separable objective; `np.asarray` of it has shape (K,).

    Args:
        objective: separable and the same for every answer (Shannon, Gini, Tsallis and their sums).
        group_size: K >= 2, samples of a group.
        method: "plug_in" f'((N+1)/K); "leave_one_out" f'(max(N, 1/2)/(K-1)); "krichevsky_trofimov" and
            "laplace" f'((N+c)/(K-1+2c)), c = 1/2, 1; "jackknife" of the plug-in; "u_statistic", exact
            for polynomial f' of degree <= K-1; "minimax", the least sup-bias (K <= 32: its entries
            explode); "variance_optimal", the least sup-bias at `rmse_factor` times the plug-in's worst
            rmse.
        baseline: None: updates without a baseline, or with "leave_two_out" (each other sample's reward
            counted without i), which needs no correction; "leave_one_out": the U-statistic corrected
            for the mean of the other samples' rewards, degree <= K-2.

    Raises:
        NotSeparable: the objective has no reward table.
        InvalidObjective: unknown method or baseline, K too small or too large, f' not polynomial.
    """
    if not isinstance(group_size, int | np.integer) or group_size < 2:
        raise InvalidObjective(f"group_size is {group_size!r}; give an integer >= 2.")
    if method not in METHODS:
        near = get_close_matches(method, METHODS, 1, 0.3) or [METHODS[0]]
        raise InvalidObjective(f"method {method!r} is unknown; did you mean {near[0]!r}?")
    if baseline not in BASELINES:
        raise InvalidObjective(f"baseline is {baseline!r}; choose one of {BASELINES}.")
    if baseline == "leave_one_out" and method != "u_statistic":
        raise InvalidObjective(
            f"method {method!r} has no exact correction for a leave-one-out baseline; take "
            "method='u_statistic', or baseline='leave_two_out', which needs none."
        )
    slope, k = objective.separable_derivative(), int(group_size)
    if method == "u_statistic":
        entries = _u_statistic(slope, k, baseline == "leave_one_out")
    elif method == "minimax":
        entries = _minimax(slope, k)
    elif method == "variance_optimal":
        entries = _variance_optimal(slope, k, rmse_factor)
    else:
        entries = _direct(slope, k, method)
    return RewardTable(np.asarray(entries, float), slope, method, baseline)


def _direct(slope: Derivative, k: int, method: str) -> np.ndarray:
    n = np.arange(k)
    if method == "plug_in":
        return np.asarray(slope((n + 1) / k))
    if method == "leave_one_out":
        return np.asarray(slope(np.maximum(n, 0.5) / (k - 1)))
    if method == "jackknife":
        without_equal = np.asarray(slope(np.maximum(n, 1) / (k - 1)))
        without_other = np.asarray(slope(np.minimum(n + 1, k - 1) / (k - 1)))
        mean = (n * without_equal + (k - 1 - n) * without_other) / (k - 1)
        return k * np.asarray(slope((n + 1) / k)) - (k - 1) * mean
    c = {"krichevsky_trofimov": 0.5, "laplace": 1.0}[method]
    return np.asarray(slope((n + c) / (k - 1 + 2 * c)))


def _binomial(p: np.ndarray, k: int) -> np.ndarray:
    """Bin(j; K-1, p): (..., K)."""
    from scipy.stats import binom

    return binom.pmf(np.arange(k), k - 1, p[..., None])


def _grid(k: int, per_sample: int) -> np.ndarray:
    """Points of (0, 1], dense near both ends (Chebyshev), and log-spaced down to 1e-4 / K."""
    angles = (np.arange(per_sample * k) + 0.5) * math.pi / (per_sample * k)
    return np.unique(
        np.concatenate([(1 - np.cos(angles)) / 2, np.geomspace(1e-4 / k, 1 / k, 60), [1.0]])
    )


def polynomial(slope: Derivative, degree: int) -> np.ndarray | None:
    """Coefficients of f' in p of the lowest degree <= `degree`, or None if it is no such polynomial."""
    for d in range(min(degree, 12) + 1):
        nodes = (1 - np.cos((2 * np.arange(d + 1) + 1) * math.pi / (2 * d + 2))) / 2
        fitted = np.linalg.solve(np.vander(nodes, d + 1, increasing=True), slope(nodes))
        probe = np.linspace(0.01, 0.99, 37)
        exact = np.asarray(slope(probe), float)
        if np.allclose(np.polyval(fitted[::-1], probe), exact, rtol=1e-10, atol=1e-10):
            return fitted
    return None


def _u_statistic(slope: Derivative, k: int, corrected: bool) -> np.ndarray:
    """p^j <- C(N, j) / C(K-1, j), times (K-1)/(K-1-j) under a leave-one-out baseline."""
    highest = k - 2 if corrected else k - 1
    coefficients = polynomial(slope, highest)
    if coefficients is None:
        raise InvalidObjective(
            f"f' is no polynomial of degree <= {highest}, so no table is exact for K = {k}; take "
            "method='variance_optimal'."
        )
    n = np.arange(k)
    entries = np.zeros(k)
    for j, a in enumerate(coefficients):
        factor = (k - 1) / (k - 1 - j) if corrected else 1.0
        entries += a * factor * np.array([math.comb(int(c), j) for c in n]) / math.comb(k - 1, j)
    return entries


def _minimax(slope: Derivative, k: int) -> np.ndarray:
    """Least sup_p |p E g(N) - p f'(p)|: a linear program in the Chebyshev basis, exact conversion."""
    if k > MINIMAX_LIMIT:
        raise InvalidObjective(
            f"the minimax table for K = {k} has entries beyond 1e6, useless in float64 and in variance; "
            f"it is offered up to K = {MINIMAX_LIMIT}; take method='variance_optimal'."
        )
    from scipy.optimize import linprog

    p = _grid(k, 24)
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
    return _from_chebyshev(found.x[:-1], k)


def _from_chebyshev(coefficients: np.ndarray, k: int) -> np.ndarray:
    """Bernstein entries of P(p)/p for P = sum c_j T_j(2p - 1), in 100-digit arithmetic."""
    import mpmath

    with mpmath.workdps(100):
        before, now = [mpmath.mpf(1)], [mpmath.mpf(-1), mpmath.mpf(2)]
        total = [mpmath.mpf(0)] * (k + 1)
        for j in range(k + 1):
            term = before if j == 0 else now
            for i, a in enumerate(term):
                total[i] += mpmath.mpf(float(coefficients[j])) * a
            if j >= 1:
                double = [mpmath.mpf(0)] * (len(now) + 1)
                for i, a in enumerate(now):
                    double[i] -= 2 * a
                    double[i + 1] += 4 * a
                for i, a in enumerate(before):
                    double[i] -= a
                before, now = now, double
        monomials = total[1:]
        entries = [
            sum(
                mpmath.mpf(math.comb(j, i)) / math.comb(k - 1, i) * monomials[i]
                for i in range(j + 1)
            )
            for j in range(k)
        ]
        return np.array([float(e) for e in entries])


def _variance_optimal(slope: Derivative, k: int, rmse_factor: float) -> np.ndarray:
    """Least sup-bias with p rmse(p) <= rmse_factor * the plug-in's worst, a second-order cone program."""
    import cvxpy as cp

    if not (math.isfinite(rmse_factor) and rmse_factor >= 1):
        raise InvalidObjective(f"rmse_factor is {rmse_factor!r}; give a number >= 1.")
    plug_in = RewardTable(_direct(slope, k, "plug_in"), slope, "plug_in")
    limit = rmse_factor * plug_in.worst_rmse
    p = _grid(k, 6 if k <= 64 else 2 if k <= 128 else 1)
    chance, aim = _binomial(p, k), np.asarray(slope(p), float)
    g, bias = cp.Variable(k), cp.Variable()
    root = p[:, None] * np.sqrt(chance)
    spread = cp.multiply(root, cp.reshape(g, (1, k), order="C") - aim[:, None])
    problem = cp.Problem(
        cp.Minimize(bias),
        [cp.abs(cp.multiply(p, chance @ g - aim)) <= bias, cp.norm(spread, axis=1) <= limit],
    )
    problem.solve(solver="CLARABEL")
    if g.value is None:
        raise NotConverged(f"the cone program for K = {k} ended with status {problem.status}.")
    return np.asarray(g.value)
