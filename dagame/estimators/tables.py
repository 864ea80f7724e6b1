"""Reward tables: a sample is paid g(N), N the number of the other K - 1 samples that agree with it.

For a sum of one function f of each answer's probability, N counts the same answer and N ~
Binomial(K-1, nu(z)) whatever y_i is; for an objective of the probability of success, N counts the
other successes. Without a baseline the expected update is the gradient of Phi iff E g(N) = f'(p) +
constant. Under a baseline made of the other samples' rewards it is not, as their counts hold y_i: then
the *effective* reward is sum_{j<K-1} g(j) Bin(j; K-2, p), times 1 - 1/K under the mean of all K (so
e - p e'/(K-1) and (1-1/K) e - p e'/K, docs/theory/samples.md#with-a-group-baseline).
Hence a table made for K - 1 samples without a baseline is the table for K samples under a centring,
and every method has its corrected form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import InvalidDistribution, InvalidObjective, NotSeparable, nearest
from ..objectives import Objective
from ..objectives.forms import CountedForm
from .binomial import binomial, grid
from .exact import polynomial
from .method import Derivative, Method
from .registry import BY_NAME, METHODS

BASELINES = (None, "leave_two_out", "leave_one_out", "group_mean")
CENTRED = ("leave_one_out", "group_mean")
ANALYSIS_LIMIT = 4096
"""The largest K for which bias and noise of a table are computed."""

TABLE_LIMIT = 1_000_000
"""The largest K for which a table is made."""

_LARGEST = 1e100
"""The largest entry of a table: its square, which the variance needs, must fit float64."""


@dataclass(frozen=True, eq=False)
class RewardTable:
    """Entries g(0..K-1), and what they do under a baseline: bias and noise as functions of p.

    `of`: what N counts, samples with the same "answer" or with "success". Under a baseline in
    `CENTRED` a unanimous group is worth nothing, and the last entry is arbitrary.
    """

    entries: np.ndarray
    derivative: Derivative
    method: str
    baseline: str | None = None
    of: str = "answer"

    def __len__(self) -> int:
        return len(self.entries)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.entries, dtype=dtype)

    @property
    def scale(self) -> float:
        """What the baseline leaves of a reward that depends on its own sample only: 1 or 1 - 1/K."""
        return 1 - 1 / len(self) if self.baseline == "group_mean" else 1.0

    def expected(self, p: Any) -> np.ndarray:
        """E g(N) at probabilities p (...,)."""
        return binomial(self._probabilities(p), len(self)) @ self.entries

    def effective(self, p: Any) -> np.ndarray:
        """What the expected update pays an answer of probability p under the baseline."""
        if self.baseline not in CENTRED:
            return self.expected(p)
        return self.scale * (binomial(self._probabilities(p), len(self) - 1) @ self.entries[:-1])

    def bias(self, p: Any) -> np.ndarray:
        """p (effective reward - f'(p)) at probabilities p > 0."""
        p = self._probabilities(p, positive=True)
        return p * (self.effective(p) - self.derivative(p))

    def rmse(self, p: Any) -> np.ndarray:
        """p times the root mean square of scale g(N) - f'(p), at probabilities p > 0."""
        p = self._probabilities(p, positive=True)
        apart = (self.scale * self.entries - np.asarray(self.derivative(p))[..., None]) ** 2
        return p * np.sqrt((binomial(p, len(self)) * apart).sum(-1))

    def variance(self, p: Any) -> np.ndarray:
        """Var g(N) at probabilities p (...,)."""
        p = self._probabilities(p)
        apart = (self.entries - self.expected(p)[..., None]) ** 2
        return (binomial(p, len(self)) * apart).sum(-1)

    def _probabilities(self, p: Any, *, positive: bool = False) -> np.ndarray:
        if len(self) > ANALYSIS_LIMIT:
            raise InvalidObjective(
                f"bias and noise are computed up to K = {ANALYSIS_LIMIT}, not for {len(self)}; there "
                "N/(K-1) is p but for a few hundredths, so read the entries themselves."
            )
        try:
            p = np.asarray(p, float)
        except (TypeError, ValueError):
            raise InvalidDistribution(f"p is {p!r}; give probabilities.") from None
        if not ((p > 0 if positive else p >= 0) & (p <= 1)).all():
            where = "(0, 1]" if positive else "[0, 1]"
            raise InvalidDistribution(
                f"p must be in {where}; it ranges from {p.min()} to {p.max()}."
            )
        return p

    @cached_property
    def sup_bias(self) -> float:
        """sup_p |bias(p)| on a grid that is dense where binomials change."""
        return float(np.abs(self.bias(grid(len(self), 40))).max())

    @cached_property
    def worst_rmse(self) -> float:
        """sup_p rmse(p)."""
        return float(self.rmse(grid(len(self), 40)).max())


def reward_table(
    objective: Objective,
    group_size: int,
    method: str = "variance_optimal",
    baseline: str | None = None,
    *,
    rmse_factor: float | None = None,
    bias_factor: float | None = None,
) -> RewardTable:
    """The table g(0..K-1) for a group of K samples; `np.asarray` of it has shape (K,).

    Args:
        objective: a sum of one function of each answer's probability (Shannon, Gini, Tsallis and
            sums), whose N counts the same answer; or of the probability of success (`LogSuccess`,
            `PassAtK`), whose N counts successes and which pays failures 0.
        group_size: K >= 2 (3 under a centring), at most 1,000,000; bias and noise to 4096.
        method: "plug_in" f'((N+1)/K); "leave_one_out" f'(max(N, 1/2)/(K-1)); "krichevsky_trofimov" and
            "laplace" f'((N+c)/(K-1+2c)), c = 1/2, 1; "jackknife" of the plug-in; "u_statistic", exact
            for polynomial f' of degree <= K-1 (K-2 under a centring; up to 20, recognised to 1e-11);
            "minimax", the least sup-bias (K <= 32: its entries explode); "variance_optimal", a cone
            program (K <= 256): the least sup-bias at `rmse_factor` (default 1.1) times the plug-in's worst
            rmse, or the least rmse at `bias_factor` times the least sup-bias (K <= 64). The two
            programs' tables are kept on disk (`dagame.estimators.cache`).
        baseline: what the update subtracts. None and "leave_two_out" (the mean of the others' rewards,
            each counted without i) change no expectation. "leave_one_out" (mean of the others' rewards)
            and "group_mean" (of all K, as GRPO engines do) do: the table is then the one of K - 1
            samples, times K/(K-1) under "group_mean", whose effective reward is that of K - 1 samples
            without a baseline.

    Raises:
        NotSeparable: the objective has no reward table.
        InvalidObjective: no objective, unknown method or baseline, K too small or too large, f' not
            polynomial, entries beyond 1e100.
    """
    factors = {"rmse_factor": rmse_factor, "bias_factor": bias_factor}
    chosen = _checked_method(method, group_size, baseline, factors)
    form, k = counted_form(objective), int(group_size) - (baseline in CENTRED)
    if all(factor is None for factor in factors.values()):
        factors = {"rmse_factor": 1.1, "bias_factor": None} if chosen.factors else {}
    with np.errstate(over="ignore", invalid="ignore"):
        entries = chosen.entries(form.slope, k, **factors)
    if not (np.abs(entries) <= _LARGEST).all():
        raise InvalidObjective(
            f"{objective!r} has rewards beyond {_LARGEST:g}, which leave no room for their "
            "squares; divide the objective and beta by the same number."
        )
    if baseline in CENTRED:
        entries = np.append(entries, entries[-1])
    if baseline == "group_mean":
        entries = entries * group_size / (group_size - 1)
    return RewardTable(entries, form.slope, method, baseline, form.of)


def _checked_method(
    method: str, group_size: Any, baseline: str | None, factors: dict[str, float | None]
) -> Method:
    """The method of that name, where it goes with the baseline, the group's size and the factors given."""
    if baseline not in BASELINES:
        raise InvalidObjective(f"baseline is {baseline!r}; choose one of {BASELINES}.")
    if method not in METHODS:
        raise InvalidObjective(f"method {method!r} is unknown; {nearest(method, METHODS)}")
    least = 3 if baseline in CENTRED else 2
    if not isinstance(group_size, int | np.integer) or group_size < least:
        under = f" under baseline {baseline!r}" if least == 3 else ""
        raise InvalidObjective(f"group_size is {group_size!r}; give an integer >= {least}{under}.")
    if group_size > TABLE_LIMIT:
        raise InvalidObjective(f"group_size is {group_size:,}; tables end at K = {TABLE_LIMIT:,}.")
    given = [name for name, factor in factors.items() if factor is not None]
    if given and not BY_NAME[method].factors:
        raise InvalidObjective(f"rmse_factor and bias_factor do not apply to method {method!r}.")
    if len(given) > 1:
        raise InvalidObjective("give rmse_factor or bias_factor, not both.")
    return BY_NAME[method]


def counted_form(objective: Objective) -> CountedForm:
    """The objective's, or `NotSeparable`."""
    if not isinstance(objective, Objective):
        raise InvalidObjective(
            f"objective is a {type(objective).__name__}, not a dagame Objective; try "
            "dagame.ShannonDiversity()."
        )
    form = objective.counted_form()
    if form is None:
        lacking = next((o for _, o in objective.terms() if o.counted_form() is None), objective)
        raise NotSeparable(
            f"{type(lacking).__name__} is not a sum of one function of each answer's probability, so "
            "it has no reward table over counts; use the group rewards instead."
        )
    return form


def automatic_method(objective: Objective, group_size: int, baseline: str | None) -> str:
    """What "auto" is: exact where that is possible, else what trains best (benchmarks/estimator_cells.py).

    "u_statistic" for polynomial f' of a degree that K allows; "plug_in" where f' grows like 1/p, for which
    it follows sum_{k<=K} -(1-p)^k / k and its noise is half of the others'; else "jackknife", whose bias
    is least on average over p. No supremum over p decides: that of p |bias| at 1/p is reached at p -> 0,
    where it is the same for all tables, and a table that is designed for it is far off elsewhere.
    """
    slope = counted_form(objective).slope
    if polynomial(slope, int(group_size) - (2 if baseline in CENTRED else 1)) is not None:
        return "u_statistic"
    near, nearer = (abs(p * float(slope(np.array([p]))[0])) for p in (1e-6, 1e-12))
    return "plug_in" if nearer > near / 2 else "jackknife"


_MEMO: dict[tuple[Any, ...], RewardTable] = {}
_PROBE = grid(16, 4)


def lookup_table(objective: Objective, size: int, method: str, baseline: str | None) -> RewardTable:
    """`reward_table`, remembered by the values of f' on a grid; `method` may be "auto"."""
    form = counted_form(objective)
    values = np.asarray(form.slope(_PROBE), float) + 0 * _PROBE
    key = values.tobytes(), form.of, size, method, baseline
    if key not in _MEMO:
        if len(_MEMO) >= 4096:
            _MEMO.clear()
        chosen = automatic_method(objective, size, baseline) if method == "auto" else method
        _MEMO[key] = reward_table(objective, size, chosen, baseline)
    return _MEMO[key]
