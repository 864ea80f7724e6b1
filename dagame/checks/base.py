"""What checks share: a row of the report, the registry, random policies, divergences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .._display import Column, Exported, table_html
from ..game import AlignmentGame
from ..library import random_game
from ..simplex import kl


@dataclass(frozen=True)
class Check:
    """One row: the worst violation over all cases, the limit, and where the worst one was."""

    theorem: str
    statement: str
    worst: float
    tolerance: float
    cases: int
    where: str

    @property
    def passed(self) -> bool:
        """Whether the worst violation is within the limit (NaN is not)."""
        return bool(self.worst <= self.tolerance)


@dataclass(frozen=True, repr=False)
class VerificationReport(Exported):
    """The rows of `verify`, and whether all passed."""

    checks: tuple[Check, ...]
    seed: int
    games: int

    @property
    def passed(self) -> bool:
        """Whether every theorem held."""
        return all(c.passed for c in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [asdict(c) | {"passed": c.passed} for c in self.checks]
        return {"seed": self.seed, "games": self.games, "passed": self.passed, "checks": rows}

    def __str__(self) -> str:
        return "\n".join(
            f"{c.theorem:<10} {'holds' if c.passed else 'VIOLATED':<9} worst {c.worst:.1e} "
            f"(limit {c.tolerance:.0e}, {c.cases} cases)  {c.statement}"
            for c in self.checks
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        columns = [Column(name, text=True) for name in ("theorem", "statement", "")]
        columns += [Column(name) for name in ("worst", "limit", "cases")]
        rows = []
        for c in self.checks:
            numbers = f"{c.worst:.1e}", f"{c.tolerance:.0e}", f"{c.cases:,}"
            rows.append((c.theorem, c.statement, "holds" if c.passed else "VIOLATED", *numbers))
        return table_html(columns, rows)

    def _columns(self) -> dict[str, np.ndarray]:
        rows = self.as_dict()["checks"]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


Violations = Any
Theorem = Callable[[AlignmentGame, np.random.Generator], Violations]
CHECKS: list[tuple[str, str, float, Theorem]] = []


def check(theorem: str, statement: str, tolerance: float) -> Callable[[Theorem], Theorem]:
    """Register a function of a batch of games that returns violations, None where not applicable."""

    def register(function: Theorem) -> Theorem:
        CHECKS.append((theorem, statement, tolerance, function))
        return function

    return register


def a_policy(game: AlignmentGame, rng: np.random.Generator, like: np.ndarray | None = None) -> Any:
    """A random policy on the reference's support, half-way to `like` if given."""
    p = rng.dirichlet(np.ones(game.traces), (*game.batch_shape, game.contexts))
    p = np.where(game.support, p, 0) + 1e-3 * game.reference
    p = p / p.sum(-1, keepdims=True)
    p = p if like is None else 0.5 * p + 0.5 * like
    if not game.objective.has_multipliers or game.answer_map.kind != "identity":
        return p
    inside = np.exp(
        game.objective.project(np.where(p > 0, np.log(p + (p == 0)), -1e30), game.weights)
    )
    return inside / inside.sum(-1, keepdims=True)


def with_traces(game: AlignmentGame, rng: np.random.Generator, channel: bool) -> AlignmentGame:
    """A game of the same objective whose answers are shown by twice as many traces."""
    return random_game(
        rng,
        batch=game.batch_shape,
        contexts=game.contexts,
        answers=game.n,
        traces=2 * game.n + 1,
        channel=channel,
        zeros=0.0,
        objective=game.objective,
        beta=game.beta,
    )


def relative(difference: Any, *scales: Any) -> Any:
    """The difference over max(1, the largest scale)."""
    return difference / np.maximum(1, np.max(np.abs(np.stack(scales)), axis=0))


def mean_kl(game: AlignmentGame, p: Any, q: Any) -> Any:
    """sum_x w_x KL(p_x || q_x)."""
    return (kl(p, q) * game.weights).sum(-1)


def bregman(game: AlignmentGame, p: Any, q: Any) -> Any:
    """B(p, q) of -Phi by its definition."""
    phi, w = game.objective, game.weights
    slope = np.where(game.answer_support, phi.reward(q, w), 0)
    linear = ((slope * (p - q)).sum(-1) * w).sum(-1)
    return phi.value(q, w) + linear - phi.value(p, w)


def random_pairs(game: AlignmentGame, rng: np.random.Generator) -> tuple[Any, Any]:
    """Two random policies, the second half-way to the first."""
    first = a_policy(game, rng)
    return first, a_policy(game, rng, first)
