"""A solver is a frozen dataclass of hyper-parameters with `init` and `step`; the loop is elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from ..errors import InvalidObjective
from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import Array, logsumexp, namespace
from ..objectives.pairing import pairing, weighted

State = Any
"""What a solver remembers between rounds: a NamedTuple of arrays with leading dimension B, or None."""


class Solver:
    """One fixed-point method on log-policies of a flat batch (B, m, traces).

    Each round the loop evaluates the proposal (value, rewards, best response, gap) and asks for the
    next one. The state's arrays have leading dimension B, so that the loop can drop finished games.
    """

    name: ClassVar[str]

    plays_kinks: ClassVar[bool] = False
    """Whether it follows supergradients, so that `run` plays it on games of worst cases."""

    def init(self, game: AlignmentGame, start: Evaluation) -> State:
        """The state before the first step; by default none."""
        return None

    def step(self, game: AlignmentGame, now: Evaluation, state: State) -> tuple[Array, State]:
        """The next log-policy to evaluate, and the state."""
        raise NotImplementedError

    def report(
        self, game: AlignmentGame, now: Evaluation, state: State
    ) -> tuple[Array, Array, Array]:
        """Value, certified gap and log-marginals that a run records: those of the iterate."""
        return now.value, now.gap, now.log_marginals

    def in_units(self, beta: float) -> Self:
        """The solver that takes the same steps on the game divided by beta."""
        return self


@dataclass(frozen=True)
class Stepping(Solver):
    """A solver with a step eta, whose unit is one over that of beta; None for its own choice."""

    step_size: float | None = None

    def __post_init__(self) -> None:
        """Check the step."""
        if self.step_size is not None and not self.step_size > 0:
            raise InvalidObjective(f"step_size is {self.step_size!r}; give a number > 0, or None.")

    def in_units(self, beta: float) -> Self:
        """With the step eta beta."""
        return self if self.step_size is None else replace(self, step_size=beta * self.step_size)


def accepted(game: AlignmentGame, now: Evaluation, least: Array) -> Array:
    """Whether J is at least `least` (B,), but for its rounding error.

    That is taken as 64 eps of beta + |J| + <|u|, nu>: J is a difference of sums of up to thousands of
    terms, whose size the rewards show where J itself is small. A tighter one rejects steps near the end
    on noise, with which Newton halves its step for ever at masses of e^-200, which J does not show; a
    wrong step let through costs a round, as the loop keeps the iterate of the least gap.
    """
    xp, rose = namespace(now.value), now.value >= least
    if bool(xp.all(rose)):
        return rose
    size = (
        game.beta + xp.abs(now.value) + pairing(xp.abs(now.rewards), now.log_policy, game.weights)
    )
    return now.value >= least - 64 * xp.finfo(now.value.dtype).eps * size


def column(values: Array) -> Array:
    """(B,) as (B, 1, 1), to scale tables of games."""
    return values[:, None, None]


def pick(condition: Array, yes: Any, no: Any) -> Array:
    """Where per game: condition (B,), tables (B, ...)."""
    xp = namespace(yes, no)
    shape = (condition.shape[0],) + (1,) * (max(yes.ndim, no.ndim) - 1)
    return xp.where(xp.reshape(condition, shape), yes, no)


def index_like(like_: Array, rows: np.ndarray) -> Array:
    """Row numbers as an integer array of the namespace and device of `like_`."""
    return namespace(like_).asarray(rows, device=like_.device)


def take(state: State, index: Array) -> State:
    """The rows `index` of every array of a tuple of arrays or tuples, of the same type; None stays."""
    if state is None:
        return None
    if not isinstance(state, tuple):
        return namespace(state).take(state, index, axis=0)
    parts = [take(part, index) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def answered(game: AlignmentGame, log_q: Array) -> tuple[Array, Array]:
    """The target's move at q: its constant (B,) and its rewards of traces (B, m, traces)."""
    constant, u = game.linearise(log_q, None)
    return constant, game.answer_map.pull_back(u)


def averaged_bound(game: AlignmentGame, constants: Array, rewards: Array, count: Array) -> Array:
    """What no policy exceeds, by the mean of `count` moves of the target, given their sums (B,).

    mean_t c_t + beta sum_x w_x log sum_y pi0_x e^{ubar_x/beta}, as Phi(nu) <= c_t + <u_t, nu> for each.
    """
    mean = rewards / column(count)
    log_sum = logsumexp(game.masked(game.log_reference + mean / game.beta))
    return constants / count + game.beta * weighted(log_sum, game.weights)


def require_gradient(game: AlignmentGame) -> None:
    """Raise `InvalidObjective` for kinks and hard sets, whose target moves multipliers."""
    if game.objective.has_multipliers:
        raise InvalidObjective(
            f"{game.objective!r} has no gradient to follow; leave the method out, or give method='dual' "
            "or 'convex'."
        )
