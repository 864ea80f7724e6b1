"""For the tests of people who own an objective: random games and policies, and `check_objective`.

`games`, `policies` and `objectives` are strategies of hypothesis, which loads when one is made:

    @given(dg.testing.games(objective=MyObjective()), st.data())
    def test_my_objective(game, data):
        policy = data.draw(dg.testing.policies(game))
        assert dg.certify(game, policy).gap >= 0
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DagameError, InvalidObjective
from .games.game import AlignmentGame
from .games.library import KINKED, OBJECTIVES, random_game, random_game_of
from .objectives import Objective
from .provenance import not_installed
from .theory.checks import VerificationReport
from .theory.verify import verify

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["a_policy", "check_objective", "games", "objectives", "policies"]


def __dir__() -> list[str]:
    """The public names."""
    return __all__


def check_objective(objective: Any, games: int = 200, seed: int = 0) -> VerificationReport:
    """Everything that can be asked of an objective of your own, on `games` random games of three sizes.

    Shapes, batches, weights, zeros, masses of 1e-12, single precision and torch tensors, the gradient by
    differences, stated facts on chords, and every theorem that applies. The report says what was
    skipped and why.

    Args:
        objective: an `Objective`, its class, or a function without arguments that makes one.
        games: number of random games.
        seed: of the random games.

    Raises:
        InvalidObjective: something does not hold; the message is that row of the report.
    """
    report = verify(seed, games, objective=objective)
    for row in report.checks:
        if row.passed:
            continue
        if row.theorem == "objective":
            raise InvalidObjective(row.where)
        raise InvalidObjective(
            f"{report.objective}: {row.theorem} is violated by {row.worst:.2g} (allowed "
            f"{row.tolerance:.0e}), {row.statement}; worst at {row.where}."
        )
    return report


def games(
    kinds: Collection[str] = tuple(OBJECTIVES),
    *,
    objective: Objective | Callable[[], Objective] | None = None,
    traces: bool = False,
    channel: bool = False,
    batch: tuple[int, ...] = (),
    zeros: float = 0.15,
    contexts: tuple[int, int] = (1, 4),
    answers: tuple[int, int] = (2, 7),
) -> SearchStrategy[AlignmentGame]:
    """One random game, or a batch, with uneven weights, zeros and masses of 1e-12.

    Args:
        kinds: names of `dagame.games.library.OBJECTIVES` and `KINKED` to draw the objective from.
        objective: yours instead (beta is 1).
        traces: several traces show each answer.
        channel: traces show mixtures of answers.
        batch: leading shape.
        zeros: probability that an entry of the reference is 0.
        contexts: least and largest number of contexts.
        answers: least and largest number of answers.
    """
    st = _strategies()

    @st.composite
    def drawn(draw: Any) -> AlignmentGame:
        rng = np.random.default_rng(draw(_seeds(st)))
        m, n = draw(st.integers(*contexts)), draw(st.integers(*answers))
        several = traces or channel
        options: dict[str, Any] = {
            "batch": batch,
            "traces": n + draw(st.integers(1, 6)) if several else None,
            "channel": channel,
            "zeros": 0.0 if several else zeros,
        }
        if objective is None:
            return random_game_of(draw(st.sampled_from(sorted(kinds))), rng, m, n, **options)
        phi = objective if isinstance(objective, Objective) else objective()
        return random_game(rng, contexts=m, answers=n, objective=phi, **options)

    return drawn()


def policies(game: AlignmentGame, *, zeros: float = 0.0) -> SearchStrategy[np.ndarray]:
    """Random policies (*batch, m, traces), 0 off the game's support; `zeros`: share of further zeros."""
    st = _strategies()
    return _seeds(st).map(lambda seed: a_policy(game, np.random.default_rng(seed), zeros))


def objectives(
    kinds: Collection[str] = tuple(OBJECTIVES), contexts: int = 3, answers: int = 5
) -> SearchStrategy[Objective]:
    """A random objective of the package, of one of the `kinds`, for games of this size."""
    st, makers = _strategies(), OBJECTIVES | KINKED

    def make(kind: str, seed: int) -> Objective:
        return makers[kind](np.random.default_rng(seed), contexts, answers)

    return st.builds(make, st.sampled_from(sorted(kinds)), _seeds(st))


def a_policy(game: AlignmentGame, rng: np.random.Generator, zeros: float = 0.0) -> np.ndarray:
    """One random policy, at least 1e-9 on the reference's support but for a share of `zeros`."""
    support = np.asarray(game.support)
    p = rng.dirichlet(np.full(game.traces, 0.7), (*game.batch_shape, game.contexts))
    kept = rng.random(p.shape) >= zeros
    kept |= ~(kept & support).any(-1, keepdims=True)
    p = np.where(support & kept, p + 1e-9, 0)
    return p / p.sum(-1, keepdims=True)


def _strategies() -> Any:
    try:
        from hypothesis import strategies
    except ImportError:
        told = not_installed("hypothesis", "dev", "a strategy of dagame.testing")
        raise DagameError(f"{told}, or: pip install hypothesis") from None
    return strategies


def _seeds(st: Any) -> Any:
    return st.integers(0, 2**32 - 1)
