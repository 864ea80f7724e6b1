"""`path`: the equilibria of one game along a curve of strengths, each from its neighbour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DagameError, InvalidGame
from ..games.game import AlignmentGame, Evaluation
from ..games.solution import Solution, Status
from ..numerics.arrays import Array, float64, namespace, to_numpy
from ..objectives.pairing import pairing
from ..show.tables import Exported, Shown, indexed
from .anderson import Anderson
from .base import Solver, State
from .chunks import piece_size
from .newton import Newton, takes_newton
from .solve import solve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NEAR = 60
"""Rounds from a neighbour's equilibrium, beyond which the game is solved from its reference."""


@dataclass(frozen=True, eq=False, repr=False)
class Path(Shown, Exported):
    """Equilibria of `game` with its objective times each of `strengths` (S,), in the order given.

    `path[k]` is the `Solution` at `strengths[k]`, with its certificate; `solutions` are all of them.
    Phi(nu*) and KL(pi*||pi0) never fall as the strength grows (docs/theory/game.md#along-the-strengths).
    """

    game: AlignmentGame
    strengths: np.ndarray
    solutions: tuple[Solution, ...]

    def __len__(self) -> int:
        return len(self.solutions)

    def __getitem__(self, index: int) -> Solution:
        return self.solutions[index]

    def __iter__(self) -> Iterator[Solution]:
        return iter(self.solutions)

    @cached_property
    def values(self) -> np.ndarray:
        """J (S, *batch)."""
        return np.stack([to_numpy(float64(s.value)) for s in self.solutions])

    @cached_property
    def gaps(self) -> np.ndarray:
        """The certified gap of each (S, *batch)."""
        return np.stack([to_numpy(float64(s.gap)) for s in self.solutions])

    @cached_property
    def marginals(self) -> np.ndarray:
        """nu* (S, *batch, m, n)."""
        return np.stack([to_numpy(float64(s.marginals)) for s in self.solutions])

    @cached_property
    def objectives(self) -> np.ndarray:
        """Phi(nu*) at strength 1 (S, *batch), which does not fall as the strength grows."""
        game = self.game
        phi = [game.objective.value_log(s.log_marginals, game.weights) for s in self.solutions]
        return np.stack([to_numpy(float64(p)) for p in phi])

    @cached_property
    def kl(self) -> np.ndarray:
        """sum_x w_x KL(pi*_x || pi0_x) (S, *batch), in nats."""
        game = self.game
        each = [
            pairing(s.log_policy - game.log_reference, s.log_policy, game.weights)
            for s in self.solutions
        ]
        return np.stack([to_numpy(float64(k)) for k in each])

    def plot(
        self,
        answers: Sequence[str] | None = None,
        contexts: Sequence[str] | None = None,
        game: int = 0,
        *,
        ax: Any = None,
        title: str = "",
        legend: bool = True,
    ) -> Figure:
        """The answers' probabilities, means over contexts, and the agreement of contexts, by strength.

        `answers` are names, by default those of the game; `game` counts along a flattened batch; `ax` are
        axes to draw on; returns the figure drawn on.
        """
        from ..show.path import along

        count = int(np.prod(self.game.batch_shape))
        if not 0 <= game < count:
            raise InvalidGame(f"game {game} is not among the {count} of the batch; count from 0.")
        tables = self.marginals.reshape(len(self), count, *self.marginals.shape[-2:])[:, game]
        names = self.game.answer_names if answers is None else answers
        return along(self.strengths, tables, names, ax=ax, title=title, legend=legend)

    def _rows(self) -> list[tuple[str, str]]:
        low, high = self.strengths.min(), self.strengths.max()
        statuses = np.concatenate([np.ravel(s.statuses) for s in self.solutions])
        counts = [(s, int((statuses == s).sum())) for s in Status]
        rows = [
            ("game", repr(self.game)),
            ("strengths", f"{len(self)}, {low:g} to {high:g} times the objective"),
            ("solutions", "; ".join(f"{c} {s.name.lower()}" for s, c in counts if c)),
            ("gap", f"largest {np.max(self.gaps, initial=0):.3g}"),
        ]
        if np.isfinite(self.objectives).all() and (np.abs(self.objectives) < 1e20).all():
            ends = self.objectives[[np.argmin(self.strengths), np.argmax(self.strengths)]]
            first, last = (float(np.mean(e)) for e in ends)
            rows.append(("Φ", f"{first:.4g} at the least strength, {last:.4g} at the largest"))
        return rows

    def _columns(self) -> dict[str, np.ndarray]:
        """A row per strength, game, context and answer."""
        game, shape = self.game, self.marginals.shape
        nu0 = to_numpy(float64(namespace(game.log_reference).exp(game.log_reference_answers)))
        names = {"context": game.context_names, "answer": game.answer_names}
        index = indexed(shape[1:], ["context", "answer"], names)
        per_game = {
            "strength": np.reshape(self.strengths, (-1,) + (1,) * len(game.batch_shape)),
            "value": self.values,
            "objective": self.objectives,
            "kl": self.kl,
            "gap": self.gaps,
        }
        wide = {k: np.broadcast_to(v[..., None, None], shape).ravel() for k, v in per_game.items()}
        return {
            "strength": wide.pop("strength"),
            **{name: np.tile(column, len(self)) for name, column in index.items()},
            "reference": np.broadcast_to(nu0, shape).ravel(),
            "equilibrium": self.marginals.ravel(),
            **wide,
        }


def path(
    game: AlignmentGame,
    strengths: Sequence[float] | np.ndarray,
    method: str | Solver = "auto",
    *,
    tol: float = 1e-10,
    throw: bool = True,
) -> Path:
    """The equilibria of max Phi * strength - beta KL for several strengths, each with its certificate.

    A strength multiplies the game's objective, so that for `Coherence()` it is the strength itself; dividing
    beta by it gives the same equilibria. They are solved from the least strength to the largest. Where
    `solve` would play rounds they start at the neighbour's equilibrium, which is then 2 to 6 rounds away and
    saves Newton its ladder of strengths; explicit methods (closed form, consensus, dual) need no start. A
    strength is one number for all games of a batch, so that the strengths are not a batch of their own; a
    batch of games is solved at once at each of them.

    Args:
        game: any batch shape.
        strengths: (S,), finite and not negative, in any order; 0 is the reference.
        method, tol, throw: as in `solve`.

    Raises:
        InvalidGame: no strengths, or one that is negative or not finite.
        NotConcave, NotConverged: as `solve`, the strength named.
    """
    wanted = np.ravel(np.asarray(strengths, dtype=float))
    if not wanted.size or not (np.isfinite(wanted) & (wanted >= 0)).all():
        raise InvalidGame(
            f"strengths are {strengths!r}; give one or more finite numbers >= 0, such as "
            "numpy.geomspace(0.1, 100, 13)."
        )
    found: dict[float, Solution] = {}
    near: Solution | None = None
    for strength in np.unique(wanted):
        scaled = game.with_objective(float(strength) * game.objective)
        try:
            near = _from(near, scaled, method, tol, throw)
        except DagameError as error:
            raise type(error)(f"at strength {strength:g}: {error}") from None
        found[float(strength)] = near
    return Path(game, wanted, tuple(found[float(s)] for s in wanted))


# -- from a neighbour -----------------------------------------------------------------------------


class _Start(NamedTuple):
    """A policy that is proposed first."""

    log_policy: Array


class _From(Solver):
    """The rounds of another solver, which begin at `start` (B, m, traces) and not at the reference."""

    name = "from a neighbour"

    def __init__(self, solver: Solver, start: Array) -> None:
        self.solver, self.start = solver, start

    def init(self, game: AlignmentGame, start: Evaluation) -> State:
        """The start is yet to be looked at."""
        return _Start(game.masked(self.start))

    def step(self, game: AlignmentGame, now: Evaluation, state: State) -> tuple[Array, State]:
        """The start, then the solver's own steps from there."""
        if isinstance(state, _Start):
            return state.log_policy, ()
        return self.solver.step(game, now, state if state != () else self.solver.init(game, now))


_ROUNDS = ("anderson", "newton", "anderson+newton")
"""Methods of `solve` that play rounds."""


def _from(
    near: Solution | None, game: AlignmentGame, method: str | Solver, tol: float, throw: bool
) -> Solution:
    """The equilibrium, from that of a neighbour where rounds are played and they get there."""
    start = _start(near, game) if method == "auto" and near is not None else None
    if start is not None:
        solver = Newton() if takes_newton(game.on_answers()) else Anderson()
        found = solve(game, _From(solver, start), tol=tol, max_steps=_NEAR, throw=False)
        if all(s in (Status.SOLVED, Status.INFEASIBLE) for s in np.ravel(found.statuses)):
            return replace(found, method=solver.name)
    return solve(game, method, tol=tol, throw=throw)


def _start(near: Solution, game: AlignmentGame) -> Array | None:
    """The neighbour's policy as the solver holds policies, or None where it takes none."""
    reference: Any = game.log_reference
    if (
        near.method not in _ROUNDS
        or not game.provable
        or not game.answer_map.deterministic
        or game.forbidden is not None
        or getattr(reference, "requires_grad", False)
    ):
        return None
    inner = game.on_answers().flat()
    if piece_size(inner, None) < inner.log_reference.shape[0]:
        return None
    return namespace(reference).reshape(near.log_marginals, inner.log_reference.shape)
