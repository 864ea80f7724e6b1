"""A solver is a frozen dataclass of hyper-parameters with `init` and `step`; the loop is elsewhere."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from ..arrays import Array, namespace
from ..errors import InvalidObjective
from ..game import AlignmentGame, Evaluation


class Solver(Protocol):
    """One fixed-point method on log-policies of a flat batch (B, m, traces).

    Each round the loop evaluates the proposal (value, rewards, best response, gap) and asks for the
    next one. State is a tuple of arrays with leading dimension B, so that the loop can drop
    finished games.
    """

    name: ClassVar[str]

    def init(self, game: AlignmentGame, start: Evaluation) -> tuple[Array, ...]:
        """The state before the first step."""
        ...

    def step(
        self, game: AlignmentGame, now: Evaluation, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        """The next log-policy to evaluate, and the state."""
        ...


def column(values: Array) -> Array:
    """(B,) as (B, 1, 1), to scale tables of games."""
    return values[:, None, None]


def pick(condition: Array, yes: Any, no: Any) -> Array:
    """Where per game: condition (B,), tables (B, ...)."""
    xp = namespace(yes, no)
    shape = (condition.shape[0],) + (1,) * (max(yes.ndim, no.ndim) - 1)
    return xp.where(xp.reshape(condition, shape), yes, no)


def require_gradient(game: AlignmentGame) -> None:
    """Raise `InvalidObjective` for kinks and hard sets, whose target moves multipliers."""
    if game.objective.has_multipliers:
        raise InvalidObjective(
            f"{game.objective!r} has no gradient to follow; use method='auto' or 'convex'."
        )
