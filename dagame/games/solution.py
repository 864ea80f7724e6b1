"""What a solve returns: `Solution`, its `Status` (a sentence) and its `History`."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidGame
from ..numerics.arrays import LOG_ZERO, Array, float64, namespace, to_numpy
from ..show.names import numbered
from ..show.tables import Exported, Shown, facts_html, indexed, number, shaded_html, shortest
from ..text import shortened
from .attainable import refute
from .certificate import Certificate, certify_log
from .game import AlignmentGame

_OPPONENT = 6

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Status(enum.Enum):
    """How a solve ended; the value is a sentence that says what to change."""

    SOLVED = "The gap is within the tolerance."
    LOCAL = (
        "Certified subproblem, local solution: no policy gains in the concave game with the convex terms' "
        "tangents, but another may be better in this one; the certificate's bound holds for all. Raise beta."
    )
    MAX_STEPS = "The step limit came first: raise max_steps, loosen tol, or try another method."
    STALLED = (
        "Progress stopped above the tolerance, at rounding error or where the method does not suit: "
        "loosen tol, use float64, or try another method."
    )
    INFEASIBLE = (
        "No policy attains a finite value: supports or constraints clash. Loosen or leave out what the "
        "solution's notes name, smooth the reference, or use a soft objective."
    )
    NOT_FINITE = (
        "The objective returned NaN or an infinity at a policy inside the reference's support: "
        "check its value and reward at small probabilities."
    )

    def __str__(self) -> str:
        return f"{self.name.lower()}: {self.value}"

    @cached_property
    def _boxed(self) -> np.ndarray:
        """In an array (): of a bare member numpy asks what arrays have, which takes longer."""
        box = np.empty((), dtype=object)
        box[()] = self
        return box

    def times(self, count: int) -> np.ndarray:
        """An array (count,) of nothing else."""
        return self._boxed.repeat(count)

    def among(self, statuses: np.ndarray) -> np.ndarray:
        """Where an array of statuses holds this one, bool."""
        return statuses == self._boxed


@dataclass(frozen=True, eq=False, repr=False)
class History(Shown, Exported):
    """The rounds of a run: `values` J and `gaps` of shape (rounds, *batch), float64 on the host.

    `marginals` (rounds, *batch, m, n) holds every iterate where the run was asked to keep them.
    """

    values: np.ndarray
    gaps: np.ndarray
    marginals: np.ndarray | None = None
    dynamic: str = ""
    answer_names: tuple[str, ...] | None = None
    context_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def plot(
        self,
        answers: Sequence[str] | None = None,
        contexts: Sequence[str] | None = None,
        game: int = 0,
        *,
        ax: Any = None,
        title: str | None = None,
        legend: bool = True,
    ) -> Figure:
        """The gap of each round beside the marginals, on a triangle for three answers.

        Args:
            answers, contexts: names, by default those of the game.
            game: which of a batch, counted along a flattened one.
            ax: matplotlib axes to draw on, one that is divided or one for each part; default a new figure.
            title: by default the dynamic and the game of a batch; "" for none.
            legend: whether lines are explained.

        Returns:
            The figure drawn on.

        Raises:
            InvalidGame: there are no rounds, as of a closed form, or `ax` has not as many axes.
        """
        if not len(self):
            raise InvalidGame(
                f"{self.dynamic or 'the method'} played no rounds to draw; dagame.run(game, 'mirror') "
                "plays some."
            )
        from ..show.plots import trajectory

        count = int(np.prod(self.values.shape[1:]))
        one = self._of(_member(game, count), count)
        names = _either(answers, self.answer_names), _either(contexts, self.context_names)
        if title is None:
            title = ", ".join(filter(None, [self.dynamic.replace("_", " "), _named(game, count)]))
        return trajectory(one, one.marginals, *names, title, ax=ax, legend=legend)

    def _of(self, game: int, count: int) -> History:
        """The rounds of one game of a batch of `count`."""
        values, gaps = (t.reshape(len(self), count)[:, game] for t in (self.values, self.gaps))
        marginals = self.marginals
        if marginals is not None:
            marginals = marginals.reshape(len(self), count, *marginals.shape[-2:])[:, game]
        return replace(self, values=values, gaps=gaps, marginals=marginals)

    def _columns(self) -> dict[str, np.ndarray]:
        """A row per round, or, where marginals were kept, per round, context and answer."""
        values, gaps = (np.moveaxis(t, 0, -1) for t in (self.values, self.gaps))
        if self.marginals is None:
            flat = {"value": values.ravel() + 0.0, "gap": gaps.ravel() + 0.0}
            return {**indexed(values.shape, ["round"]), **flat}
        probability = np.moveaxis(self.marginals, 0, -3)
        names = {"context": self.context_names, "answer": self.answer_names}
        index = indexed(probability.shape, ["round", "context", "answer"], names)
        each = {"value": values, "gap": gaps}
        flat = {
            k: np.broadcast_to(v[..., None, None], probability.shape).ravel() + 0.0
            for k, v in each.items()
        }
        return {**index, "probability": probability.ravel(), **flat}

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("dynamic", self.dynamic or "run"), ("rounds", str(len(self)))]
        if len(self):
            first, last = shortest(self.gaps[0]), shortest(self.gaps[-1])
            rows += [("gap", f"{first} at first, {last} at last")]
        return rows

    def __str__(self) -> str:
        if not len(self):
            return "no rounds"
        first, last = (number(gaps.max()) for gaps in (self.gaps[0], self.gaps[-1]))
        return f"{self.dynamic or 'run'}: {len(self)} rounds, largest gap {first} -> {last}"

    __repr__ = __str__


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Shown, Exported):
    """An equilibrium with its certificate.

    `policy` (*batch, m, traces), `marginals` and `rewards` (*batch, m, n), `target` the
    point q (*batch, m, n), `value` J and `gap` (*batch,). `statuses` holds one `Status` per game; `method`
    the solver; `steps` its iterations per game; `multipliers` those of kinks and hard sets. It pickles, game
    and names with it.
    """

    game: AlignmentGame
    log_policy: Array
    statuses: np.ndarray
    method: str
    steps: np.ndarray
    history: History
    multipliers: Array | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def certificate(self) -> Certificate:
        """T4 at the policy and its marginals, computed afresh, and compared with J of every round."""
        proof = certify_log(self.game, self.log_policy, multipliers=self.multipliers)
        if len(self.history):
            values = self.history.values
            refute(
                self.game, proof.upper_bound, np.where(np.isfinite(values), values, -np.inf).max(0)
            )
        return proof

    @cached_property
    def log_marginals(self) -> Array:
        """log nu(pi) (*batch, m, n)."""
        return self.game.answer_map.log_push_forward(self.log_policy)

    @property
    def policy(self) -> Array:
        """pi* (*batch, m, traces)."""
        return namespace(self.log_policy).exp(self.log_policy)

    @property
    def marginals(self) -> Array:
        """nu(pi*) (*batch, m, n)."""
        return namespace(self.log_policy).exp(self.log_marginals)

    @property
    def target(self) -> Array:
        """The target's move q = nu(pi*) (*batch, m, n), its best reply to the policy (T1)."""
        return self.marginals

    @property
    def opponent(self) -> Array | None:
        """The target's mixed strategy (*batch, k) over the k graders of a `WorstCase`; else None.

        Of a matrix game it is the other player's. For smooth objectives the target plays the point
        `target`, for constraints the prices `multipliers`.
        """
        return self._prices if self.game.objective.mixture else None

    @cached_property
    def _prices(self) -> Array | None:
        """The multipliers, fitted where the method gave none."""
        if self.multipliers is not None:
            return self.multipliers
        return self.game.multipliers(self.log_marginals)

    @property
    def consensus(self) -> Array:
        """The consensus that belongs to the target, (*batch, n)."""
        log_q = self.game.objective.reply.consensus_log(self.log_marginals, self.game.weights)
        return namespace(log_q).exp(log_q)

    @cached_property
    def rewards(self) -> Array:
        """u (*batch, m, n), what an answer is paid at the equilibrium; 0 where nu0 is 0."""
        return self.game.rewards_at(self.log_marginals, self._prices)

    @property
    def value(self) -> Array:
        """J(pi*) (*batch,); -inf where infeasible."""
        return self.certificate.value

    @property
    def gap(self) -> Array:
        """The duality gap (*batch,)."""
        return self.certificate.gap

    @property
    def status(self) -> Any:
        """The `Status`; for a batch an object array of them."""
        return self.statuses.item() if self.statuses.ndim == 0 else self.statuses

    @property
    def solved(self) -> np.ndarray:
        """Whether each game reached the tolerance (*batch,)."""
        return np.asarray(Status.SOLVED.among(self.statuses))

    def weights_on_traces(self) -> Array:
        """pi*(y) / pi0(y) of each trace (*batch, m, traces): nu*(a(y)) / nu0(a(y)) by T3.

        What a reference sample is worth in weighted fine-tuning or rejection sampling; 0 where the
        reference is 0. Their mean under the reference is 1.
        """
        xp = namespace(self.log_policy)
        reference = self.game.log_reference
        ratio = xp.exp(xp.where(reference > LOG_ZERO / 2, self.log_policy - reference, LOG_ZERO))
        return ratio

    def _rows(self) -> list[tuple[str, str]]:
        game, certificate = self.game, self.certificate
        value, gap = to_numpy(float64(certificate.value)), to_numpy(certificate.gap)
        counts = [(s, int((self.statuses == s).sum())) for s in Status]
        status = "; ".join(f"{c} {s.name.lower()}" for s, c in counts if c)
        if not self.statuses.ndim:
            status = " ".join([str(self.status), *(n.split(": ", 1)[-1] for n in self.notes)])
            size = number(value, 10), number(gap)
            opponent = self._opponent_row()
        else:
            finite = value[np.isfinite(value)]
            mean = finite.mean() if finite.size else -np.inf
            size = f"mean {number(mean, 10)}", f"largest {number(gap.max(initial=0))}"
            opponent = []
        return [
            ("game", repr(game)),
            ("method", f"{self.method}, {int(np.max(self.steps, initial=0))} steps"),
            ("value", size[0]),
            ("gap", size[1]),
            *opponent,
            ("status", status),
        ]

    def _opponent_row(self) -> list[tuple[str, str]]:
        """The target's mixed strategy by name, its largest probabilities."""
        if self.opponent is None:
            return []
        mixed = to_numpy(float64(self.opponent))
        worst: Any = next(part for _, part in self.game.objective.terms() if part.mixture)
        names = numbered(worst.names, len(mixed), "grader ", "graders")
        largest = np.argsort(-mixed, kind="stable")[:_OPPONENT]
        parts = [f"{shortened(names[k], 24)} {number(mixed[k])}" for k in largest]
        return [("opponent", ", ".join(parts) + (", ..." if len(mixed) > _OPPONENT else ""))]

    def _repr_html_(self) -> str:
        tables = ""
        if not self.game.batch_shape:
            names = self.game.answer_names, self.game.context_names
            table = to_numpy(float64(self.marginals))
            tables = shaded_html("answer marginals at equilibrium", table, *names)
        return facts_html(self._rows()) + tables

    def plot(
        self,
        answers: Sequence[str] | None = None,
        contexts: Sequence[str] | None = None,
        game: int = 0,
        *,
        ax: Any = None,
        title: str | None = None,
        legend: bool = True,
    ) -> Figure:
        """Answer marginals of the reference and at equilibrium: see `dagame.show.plots.equilibrium`.

        Args:
            answers, contexts: names, by default those of the game.
            game: which of a batch, counted along a flattened one.
            ax: matplotlib axes to draw on, one that is divided or one for each part; default a new figure.
            title: by default the game of a batch; "" for none.
            legend: whether colours are explained.

        Returns:
            The figure drawn on.
        """
        from ..show.plots import equilibrium

        count = int(np.prod(self.game.batch_shape))
        shape = (count, self.game.contexts, self.game.n)
        before = np.exp(to_numpy(float64(self.game.log_reference_answers))).reshape(shape)
        after = to_numpy(float64(self.marginals)).reshape(shape)
        k = _member(game, count)
        one = self.game
        names = _either(answers, one.answer_names), _either(contexts, one.context_names)
        title = _named(k, count) if title is None else title
        return equilibrium(before[k], after[k], *names, title, ax=ax, legend=legend)

    def _columns(self) -> dict[str, np.ndarray]:
        """A row per context and answer: reference, equilibrium, target, reward."""
        tables = {
            "reference": namespace(self.log_policy).exp(self.game.log_reference_answers),
            "equilibrium": self.marginals,
            "target": self.target,
            "reward": self.rewards,
        }
        shape = (*self.game.batch_shape, self.game.contexts, self.game.n)
        flat = {k: np.ravel(to_numpy(float64(v))) + 0.0 for k, v in tables.items()}
        names = {"context": self.game.context_names, "answer": self.game.answer_names}
        return {**indexed(shape, ["context", "answer"], names), **flat}


def _either(given: Sequence[str] | None, known: Sequence[str] | None) -> Sequence[str] | None:
    """The names that are given, else those that are known."""
    return known if given is None else given


def _member(game: int, count: int) -> int:
    if not 0 <= game < count:
        raise InvalidGame(f"game {game} is not among the {count} of the batch; count from 0.")
    return game


def _named(game: int, count: int) -> str:
    return f"game={game} in a batch of {count}" if count > 1 else ""
