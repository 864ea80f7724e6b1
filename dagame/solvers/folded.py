"""Sums of one term and others of exponential form: those go into the reference and beta."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..games.game import AlignmentGame
from ..numerics.arrays import LOG_ZERO, Array, like, namespace
from ..objectives.objective import Objective


class Folded(NamedTuple):
    """The one term and its factor, the rewards and the entropy of the others."""

    factor: float
    term: Objective
    reward: Array | float
    entropy: float

    def logits(self, game: AlignmentGame) -> Array:
        """(beta log pi0 + reward) / (beta + entropy), not normalised; the reference itself without others."""
        if isinstance(self.reward, float) and self.entropy == 0:
            return game.log_reference
        reward = self.reward
        if not isinstance(reward, float):
            reward = game.answer_map.pull_back(like(reward, game.log_reference))
        logits = (game.beta * game.log_reference + reward) / (game.beta + self.entropy)
        return namespace(logits).where(game.support, logits, LOG_ZERO)


def folded(game: AlignmentGame, special: Callable[[Objective], bool]) -> Folded | None:
    """None unless one term is special, the others have exponential forms, and beta + entropy is positive."""
    found: list[tuple[float, Objective]] = []
    reward, entropy = 0.0, 0.0
    for factor, part in game.objective.terms():
        if special(part):
            found.append((factor, part))
            continue
        form = part.exponential_form()
        if form is None or form.coupling is not None:
            return None
        reward, entropy = reward + factor * form.reward, entropy + factor * form.entropy
    if len(found) != 1 or not game.beta + entropy > 0:
        return None
    return Folded(*found[0], reward, entropy)
