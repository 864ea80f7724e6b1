"""`classify`: what a per-sample reward optimises, and whether the theorems cover it (theory, 7b)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .arrays import namespace
from .errors import InvalidObjective
from .game import AlignmentGame
from .objectives import Objective
from .objectives.paid import PaidByAnswer, PaidBySuccess, Payment
from .solution import Solution
from .solvers import solve

_GRID = np.concatenate([np.geomspace(1e-9, 1e-2, 200), np.linspace(1e-2, 1 - 1e-9, 4001)[1:]])
_FLAT, _MARGIN = 1e-9, 2e-3


@dataclass(frozen=True, eq=False)
class Classification:
    """What paying g(p) optimises.

    `objective` is F(p) with F' = g as text (None: integrated numerically), `concave` whether g does not
    increase on (0, 1), `increasing` the intervals where it does, `curvature` mu and `smoothness` L at
    strength 1 (T6: the equilibrium exists and is certified for beta > strength * -mu).
    """

    reward: str
    of: str
    objective: str | None
    concave: bool
    increasing: tuple[tuple[float, float], ...]
    curvature: float
    smoothness: float | None
    payment: Payment

    def as_objective(self, strength: float = 1.0, success: Any = None) -> Objective:
        """The objective, ready for a game; `success` (n,) in [0, 1] marks what is paid."""
        if self.of == "answer":
            return PaidByAnswer(self.payment, strength, success)
        if success is None:
            raise InvalidObjective("a reward of the success probability needs success=.")
        return PaidBySuccess(self.payment, strength, success)

    def equilibrium(
        self, reference: Any, *, beta: float, strength: float = 1.0, success: Any = None
    ) -> Solution:
        """The equilibrium before any training; `NotConcave` where no theorem gives one."""
        objective = self.as_objective(strength, success)
        return solve(AlignmentGame(reference, objective, beta=beta))

    def __str__(self) -> str:
        sums = {"answer": "sum_z F(nu(z))", "success": "F(p)"}[self.of]
        first = f"paid g(p) = {self.reward}, p the probability of the {self.of}: Phi = {sums}"
        if self.objective is not None:
            first += f", F(p) = {self.objective}"
        if self.concave:
            return f"{first}. g does not increase, so Phi is concave and every theorem applies."
        spans = ", ".join(f"[{a:.3g}, {b:.3g}]" for a, b in self.increasing)
        if np.isfinite(self.curvature):
            way = f"certified (T6) while strength < beta / {-self.curvature:.4g}."
        else:
            way = "mu = -infinity: no strength is certified."
        return f"{first}. g increases on {spans}, so Phi is not concave; {way}"


def classify(reward_function: Any, *, of: str = "answer") -> Classification:
    """Classify a per-sample reward g(p), paid with a stop-gradient.

    Args:
        reward_function: a sympy expression in one symbol, or a function of an array of probabilities.
        of: "answer": a sample is paid g(nu(z)) of its own answer's probability, Phi = sum_z F(nu(z));
            "success": a successful sample is paid g(p) of the probability of success, Phi = F(p).

    The expected update is the gradient of Phi with F' = g, and Phi is concave if g does not increase.
    mu and L are the extremes of -p g'(p) (of -p (1 - p) g'(p) for success) on a grid of 4,200 points
    of (1e-9, 1 - 1e-9), moved outward by 0.2%, and infinite where they still grow by half at an end.

    Raises:
        InvalidObjective: not a function of one probability, or not finite on (0, 1).
    """
    if of not in ("answer", "success"):
        raise InvalidObjective(f'of is {of!r}; choose "answer" or "success".')
    symbolic = hasattr(reward_function, "free_symbols")
    made = _symbolic(reward_function) if symbolic else _numeric(reward_function)
    name, text, antiderivative, paid, slope = made
    with np.errstate(all="ignore"):
        values, slopes = paid(_GRID), _slopes(paid, slope)
    if not (np.isfinite(values).all() and np.isfinite(slopes).all()):
        raise InvalidObjective(f"the reward {name} is not finite on (0, 1).")
    rises = slopes > _FLAT * (1 + np.abs(values))
    factor = _GRID if of == "answer" else _GRID * (1 - _GRID)
    bend = -factor * slopes
    low, high = _extreme(-bend), _extreme(bend)
    concave = not bool(rises.any())
    least = -low * (1 + np.sign(low) * _MARGIN)
    if concave and least < 1e-3:
        least = 0.0
    high = max(high * (1 + np.sign(high) * _MARGIN), least)
    payment = Payment(name, antiderivative, paid, slope, float(least), float(high), concave)
    return Classification(
        name,
        of,
        text,
        concave,
        _spans(rises),
        payment.low,
        float(high) if np.isfinite(high) else None,
        payment,
    )


def _extreme(values: np.ndarray) -> float:
    """The supremum on (0, 1) from the grid; infinite where it still grows at an end."""
    top = float(values.max())
    for near, before in ((values[0], values[40]), (values[-1], values[-40])):
        if near >= top - 1e-12 and near > 1.5 * abs(before) and near > 1:
            return np.inf
    return top


def _slopes(paid: Callable[[Any], Any], slope: Callable[[Any], Any] | None) -> np.ndarray:
    if slope is not None:
        return np.asarray(slope(_GRID))
    h = 1e-6 * np.minimum(_GRID, 1 - _GRID)
    return (paid(_GRID + h) - paid(_GRID - h)) / (2 * h)


def _spans(rises: np.ndarray) -> tuple[tuple[float, float], ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rises, [False]]).astype(int)))
    return tuple(
        (float(_GRID[a]), float(_GRID[b - 1]))
        for a, b in zip(edges[0::2], edges[1::2], strict=True)
    )


def _symbolic(expression: Any) -> tuple[Any, ...]:
    import sympy

    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) > 1:
        raise InvalidObjective(
            f"the reward {expression} has {len(symbols)} symbols; substitute all but the probability."
        )
    given = symbols[0] if symbols else sympy.Symbol("p")
    p = sympy.Symbol("p", positive=True)
    g = sympy.sympify(expression).subs(given, p)
    if g.is_rational_function(p):
        g = sympy.cancel(g)
    slope = _array_function(p, sympy.diff(g, p).doit())
    integral = sympy.integrate(g, p).replace(
        lambda e: isinstance(e, sympy.Piecewise), lambda e: _on_unit_interval(e, p)
    )
    paid = _array_function(p, g)
    if integral.has(sympy.Integral):
        return str(g), None, _integrated(paid), paid, slope
    return str(g), str(integral), _array_function(p, integral), paid, slope


def _on_unit_interval(piecewise: Any, p: Any) -> Any:
    """A Piecewise without the branches that no p in (0, 1) takes."""
    import sympy

    taken: set[int] = set()
    for k in range(1, 100):
        point = sympy.Rational(k, 100)
        holds = [bool(condition.subs(p, point)) for _, condition in piecewise.args]
        taken.add(holds.index(True))
    kept = [branch for i, branch in enumerate(piecewise.args) if i in taken]
    return kept[0][0] if len(kept) == 1 else sympy.Piecewise(*kept)


def _array_function(symbol: Any, expression: Any) -> Callable[[Any], Any]:
    import sympy

    made = {}

    def run(p: Any) -> Any:
        module = "torch" if "torch" in type(p).__module__ else "numpy"
        if module not in made:
            made[module] = sympy.lambdify(symbol, expression, module, cse=True)
        return made[module](p) + 0 * p

    return run


def _numeric(function: Any) -> tuple[Any, ...]:
    if not callable(function):
        raise InvalidObjective(
            f"{function!r} is no reward; give a sympy expression or a function of a probability."
        )

    def paid(p: Any) -> Any:
        return function(p) + 0 * p

    return getattr(function, "__name__", "g"), None, _integrated(paid), paid, None


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_PANELS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 160.0, 360.0, 700.0)


def _integrated(paid: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """F(p) = -integral of g from p to 1, by Gauss-Legendre in log p on fixed panels cut at log p."""

    def antiderivative(p: Any) -> Any:
        xp = namespace(p)
        depth = -xp.log(xp.clip(p, 1e-300, 1.0))
        total = 0 * depth
        for start, stop in pairwise(_PANELS):
            length = xp.clip(depth, start, stop) - start
            for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
                t = xp.exp(-(start + length * (1 + node) / 2))
                total = total + weight * length / 2 * t * paid(xp.clip(t, 1e-300, 1 - 1e-15))
        return -total

    return antiderivative
