"""What checks share: a row of the report, the registry, random policies, divergences."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from ...games.game import AlignmentGame
from ...games.library import random_game
from ...games.solution import Solution
from ...numerics.simplex import kl
from ...objectives import Objective
from ...objectives.own.conditions import Condition
from ...show.tables import Column, Exported, table_html
from ...solvers import solve

PAGES = {
    "T1": "game",
    "T2": "game",
    "T2 cvxpy": "game",
    "T3": "game",
    "T4": "game",
    "T5": "game",
    "T6": "game",
    "weights": "game",
    "mirror": "dynamics",
    "threshold": "dynamics",
    "no-regret": "dynamics",
    "transport": "transport",
    "coverage": "conformal",
    "answer sets": "answer-sets",
}
"""The page of the theory that proves what a row states; all others: objectives."""


@dataclass(frozen=True)
class Check:
    """One row: the worst violation over all cases, the limit, and where the worst one was.

    A violation is the difference of two sides that should be equal, or the excess of one that should
    not be larger, divided by max(1, the size of what is compared).
    """

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

    @property
    def verdict(self) -> str:
        """In a word."""
        return "holds" if self.passed else "VIOLATED"

    @property
    def page(self) -> str:
        """The page of the theory, docs/theory/..., that proves it."""
        return f"theory/{PAGES.get(self.theorem, 'objectives')}"


VIOLATION = "violation: a difference or excess over max(1, the size of what is compared); worst of all cases"


@dataclass(frozen=True, repr=False)
class VerificationReport(Exported):
    """The rows of `verify`, and whether all passed.

    `objective` names the one that was asked for, "" where all built-in ones were tried; `skipped` are
    (theorem, why) of what does not apply to it or was not run. `conditions` say what a certificate of
    its games stands on, as those of `Certificate` do: what is proved, checked, declared.
    """

    checks: tuple[Check, ...]
    seed: int
    games: int
    objective: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every theorem held."""
        return all(c.passed for c in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [asdict(c) | {"page": c.page, "passed": c.passed} for c in self.checks]
        return {
            "seed": self.seed,
            "games": self.games,
            "objective": self.objective or None,
            "passed": self.passed,
            "checks": rows,
            "skipped": [{"theorem": name, "why": why} for name, why in self.skipped],
            "conditions": [{"condition": str(c), "needs": c.needs} for c in self.conditions],
        }

    def __str__(self) -> str:
        lines = [f"{self.objective or 'every objective'}; worst {VIOLATION}"]
        for c in self.checks:
            seen = f"worst {c.worst:.1e}, allowed {c.tolerance:.0e}, {c.cases:,} cases"
            lines.append(f"{c.theorem:<11} {c.verdict:<9} {seen:<44} {c.page}")
            lines.append(c.statement if c.passed else f"{c.statement}; worst at {c.where}")
        lines += [f"{name:<11} skipped: {why}" for name, why in self.skipped]
        lines += [f"{'stands on':<11} {condition}" for condition in self.conditions]
        return "\n".join(
            textwrap.fill(line, 80, subsequent_indent=" " * 12, initial_indent=start)
            for line, start in zip(lines, _indents(lines, len(self.checks)), strict=True)
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        columns = [Column(name, text=True) for name in ("theorem", "what is compared", "")]
        columns += [Column(name) for name in ("worst violation", "allowed", "cases")]
        columns += [Column("proved in", text=True)]
        rows = []
        for c in self.checks:
            numbers = f"{c.worst:.1e}", f"{c.tolerance:.0e}", f"{c.cases:,}"
            rows.append((c.theorem, c.statement, c.verdict, *numbers, c.page))
        rows += [(name, why, "skipped", "", "", "", "") for name, why in self.skipped]
        rows += [("stands on", str(c), "", "", "", "", "") for c in self.conditions]
        return table_html(columns, rows)

    def _columns(self) -> dict[str, np.ndarray]:
        rows = self.as_dict()["checks"]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _indents(lines: list[str], checks: int) -> list[str]:
    """Statements stand below their row, indented."""
    return [" " * 12 if 0 < k <= 2 * checks and k % 2 == 0 else "" for k in range(len(lines))]


Violations = Any
"""An array of violations, one per game; a sentence where the check does not apply, why."""

Theorem = Callable[[AlignmentGame, np.random.Generator], Violations]


class Registered(NamedTuple):
    """A check; `of_objective`: it concerns the game's own objective, others put theirs in its place."""

    theorem: str
    statement: str
    tolerance: float
    function: Theorem
    of_objective: bool


CHECKS: list[Registered] = []


def check(
    theorem: str,
    statement: str,
    tolerance: float,
    *,
    of_objective: bool = False,
    kinks: str | None = None,
) -> Callable[[Theorem], Theorem]:
    """Register a function of a batch of games that returns violations, or why it does not apply.

    `kinks`: why it does not apply to objectives whose target moves multipliers; None: it does.
    """

    def register(function: Theorem) -> Theorem:
        @functools.wraps(function)
        def checked(game: AlignmentGame, rng: np.random.Generator) -> Violations:
            refused = kinks is not None and game.objective.has_multipliers
            return f"a kink or hard set {kinks}" if refused else function(game, rng)

        CHECKS.append(Registered(theorem, statement, tolerance, checked, of_objective))
        return checked

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
        game.objective.domain.project(np.where(p > 0, np.log(p + (p == 0)), -1e30), game.weights)
    )
    return inside / inside.sum(-1, keepdims=True)


def solved(game: AlignmentGame, method: str = "auto", tol: float = 1e-10) -> Solution:
    """The solution, of any status: at most 500 rounds, so that a wrong gradient costs seconds."""
    return solve(game, method, tol=tol, max_steps=500, throw=False)


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


OUTSIDE = "the value is -infinity at random marginals; its own row compares inside the domain"


def outside(phi: Objective, weights: Any, *points: Any) -> bool:
    """Whether an objective of the user's own has a domain that some of the points are outside of."""
    own = any(part.own for _, part in phi.terms())
    return own and not all(np.isfinite(phi.value(p, weights)).all() for p in points)


def random_pairs(game: AlignmentGame, rng: np.random.Generator) -> tuple[Any, Any]:
    """Two random policies, the second half-way to the first."""
    first = a_policy(game, rng)
    return first, a_policy(game, rng, first)
