"""`classify`: what a per-sample reward optimises, and whether the theorems cover it.

Proofs: docs/theory/classifier.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from ..games.game import AlignmentGame
from ..games.solution import Solution
from ..numerics.arrays import like, namespace
from ..objectives import Objective
from ..solvers import solve
from .paid import PaidByAnswer, PaidBySuccess, Payment
from .reward_formula import Formula, formula
from .reward_probe import Shape, probe

_MARGIN = 2e-3


@dataclass(frozen=True, eq=False)
class Classification:
    """What paying g(p) optimises.

    `objective` is F(p) with F' = g as text (None: integrated numerically); `concave` whether g does not
    increase on (0, 1), `known` how that is known: "proved", from the formula, or "on the points tried",
    and then every certificate of its games is conditional on it. `increasing`: the intervals where g rises;
    `jumps`: where it jumps, up or down. `curvature` mu and `smoothness` L at strength 1 (T6: the equilibrium
    exists and is certified for beta > strength * -mu); `exact` whether they are, else about 0.2% outward.
    """

    reward: str
    of: str
    objective: str | None
    concave: bool
    known: str
    increasing: tuple[tuple[float, float], ...]
    jumps: tuple[float, ...]
    curvature: float
    smoothness: float | None
    exact: bool
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
        sums = {"answer": "Σ_z F(ν(z))", "success": "F(p)"}[self.of]
        first = f"paid g(p) = {self.reward}, p the probability of the {self.of}\n  Φ = {sums}"
        if self.objective is not None:
            first += f", F(p) = {self.objective}"
        if self.concave and self.known == "proved":
            return f"{first}\n  g does not increase, so Φ is concave and every theorem applies."
        if self.concave:
            return (
                f"{first}\n  g does not increase on the points tried, which proves nothing: certificates "
                "hold if Φ is concave."
            )
        return f"{first}\n  g increases {self._where()}, so Φ is not concave; {self._certified()}"

    def _where(self) -> str:
        spans = [f"on {_interval(a, b)}" for a, b in self.increasing]
        spans += [f"by a jump at {x:.3g}" for x in self.jumps_up]
        return ", ".join(spans[:6]) + (f" and {len(spans) - 6} more" if len(spans) > 6 else "")

    def _certified(self) -> str:
        if not np.isfinite(self.curvature):
            return "μ = −∞: no strength is certified."
        about = "" if self.exact else "about "
        most = f" / {about}{-self.curvature:.4g}" if self.curvature != -1 or about else ""
        return f"certified (T6) while strength < beta{most}."

    @property
    def jumps_up(self) -> tuple[float, ...]:
        """The jumps at which g increases."""
        g = self.payment.paid
        return tuple(x for x in self.jumps if _at(g, x * (1 + 1e-11)) > _at(g, x * (1 - 1e-11)))


def _at(function: Callable[[Any], Any], p: float) -> float:
    return float(np.asarray(function(np.array([p])))[0])


def _interval(a: float, b: float) -> str:
    return f"({a:.3g}, {b:.3g})"


def classify(reward_function: Any, *, of: str = "answer") -> Classification:
    """Classify a per-sample reward g(p), paid with a stop-gradient.

    Args:
        reward_function: a sympy expression in one symbol, or a function of an array of probabilities.
        of: "answer": a sample is paid g(nu(z)) of its own answer's probability, Phi = sum_z F(nu(z));
            "success": a successful sample is paid g(p) of the probability of success, Phi = F(p).

    The expected update is the gradient of Phi with F' = g, and Phi is concave if g does not increase. A
    rise or a jump up is found on values at 20,000 points of (1e-9, 1 - 1e-9) and, wherever their
    differences do not fit together, between them; of a formula also round the points where its functions
    may be steep. That g does *not* increase is proved from the formula (Sturm's theorem and the signs
    of its parts), or holds on the points tried only: always so for a function. mu and L are the extremes of
    -p g'(p) (of -p (1 - p) g'(p) for success): exact for rational functions of a root of p, else those of
    the points tried, moved outward by 0.2%, and infinite where they still grow at an end.

    Raises:
        InvalidObjective: not a real function of one probability, or not finite on (0, 1).
    """
    if of not in ("answer", "success"):
        raise InvalidObjective(f'of is {of!r}; choose "answer" or "success".')
    made = _read(reward_function)
    shape = probe(made.name, made.paid, _FACTORS[of], made.slope, made.special)
    exact = made.bend.get(of) if not (shape.up or shape.down) else None
    low, high = exact or _outward(shape)
    if shape.falls_only:
        low, high = max(low, 0.0), max(high, 0.0)
    jumps, falls = (*shape.up, *shape.down), shape.falls_only
    text, integral = made.integral or (None, _integrated(made.paid, jumps))
    known = "proved" if made.proved or not falls else "on the points tried"
    payment = Payment(made.name, integral, made.paid, made.slope, low, high, falls, known)
    return Classification(
        made.name,
        of,
        text,
        concave=falls,
        known=known,
        increasing=shape.rises,
        jumps=tuple(sorted(jumps)),
        curvature=low,
        smoothness=high if np.isfinite(high) else None,
        exact=exact is not None,
        payment=payment,
    )


_FACTORS: dict[str, Callable[[Any], Any]] = {
    "answer": lambda p: p,
    "success": lambda p: p * (1 - p),
}


def _outward(shape: Shape) -> tuple[float, float]:
    low, high = shape.low, shape.high
    low = low - _MARGIN * abs(low)
    if shape.falls_only and low < 1e-3:
        low = 0.0
    return low, max(high + _MARGIN * abs(high), low)


def _read(reward: Any) -> Formula:
    if hasattr(reward, "free_symbols"):
        return formula(reward)
    if not callable(reward):
        raise InvalidObjective(
            f"{reward!r} is no reward; give a sympy expression or a function of a probability."
        )

    def paid(p: Any) -> Any:
        return reward(p) + 0 * p

    return Formula(getattr(reward, "__name__", "g"), paid, None, None, (), False, {})


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_PANELS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 160.0, 360.0, 700.0)


def _integrated(paid: Callable[[Any], Any], jumps: tuple[float, ...]) -> Callable[[Any], Any]:
    """F(p) = -integral of g from p to 1: Gauss-Legendre in t = -log p on panels cut at the jumps.

    Panels are halved until halves and whole agree to 1e-11 of all; the whole ones are summed once.
    """
    edges, totals = _summed(paid, sorted({*_PANELS, *(-np.log(x) for x in jumps)}))

    def antiderivative(p: Any) -> Any:
        xp = namespace(p)
        depth = -xp.log(xp.clip(p, 1e-300, 1.0))
        start, total = like(edges, depth), like(totals, depth)
        k = xp.sum(xp.astype(depth[..., None] >= start[1:-1], xp.int64), axis=-1)
        first, length = start[k], depth - start[k]
        found = 0 * depth
        for node, weight in zip(_NODES.tolist(), _WEIGHTS.tolist(), strict=True):
            t = xp.exp(-(first + length * (1 + node) / 2))
            found = found + weight * length / 2 * t * paid(xp.clip(t, 1e-300, 1 - 1e-15))
        return -(total[k] + found)

    return antiderivative


def _summed(paid: Callable[[Any], Any], cuts: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The ends of panels that need no halving, in order, and the integral from 0 to each."""
    pieces = [_panel(paid, a, b) for a, b in pairwise(cuts)]
    size = sum(abs(value) for value in pieces) + 1e-300
    edges, totals = [0.0], [0.0]
    waiting = list(zip(cuts, cuts[1:], pieces, strict=False))[::-1]
    while waiting:
        a, b, value = waiting.pop()
        middle = (a + b) / 2
        halves = _panel(paid, a, middle), _panel(paid, middle, b)
        if abs(sum(halves) - value) > 1e-11 * size and b - a > 1e-9 * b and len(edges) < 5000:
            waiting += [(middle, b, halves[1]), (a, middle, halves[0])]
        else:
            edges.append(b)
            totals.append(totals[-1] + value)
    return np.array(edges), np.array(totals)


def _panel(paid: Callable[[Any], Any], a: float, b: float) -> float:
    """The integral of e^-t g(e^-t) from a to b."""
    t = np.exp(-(a + (b - a) * (1 + _NODES) / 2))
    with np.errstate(all="ignore"):
        values = t * np.asarray(paid(np.clip(t, 1e-300, 1 - 1e-15)), float)
    return float((values * _WEIGHTS).sum() * (b - a) / 2) if np.isfinite(values).all() else np.nan
