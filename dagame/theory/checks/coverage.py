"""Coverage of conformal sets, exactly: docs/theory/conformal.md."""

from __future__ import annotations

import numpy as np

from ...conformal import calibrate, p_value, prediction_sets, scores, true_scores
from ...games.game import AlignmentGame
from .base import Violations, check

_ALPHAS = (0.05, 0.1, 0.2, 0.5)


@check(
    "coverage",
    "of n+1 questions, each in turn tested on the others: 1 − α ≤ share covered (≤ that + 1/(n+1))",
    1e-12,
)
def _coverage(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    questions = int(rng.integers(4, 40))
    answers = rng.integers(game.n, size=questions)
    drawn = rng.dirichlet(np.ones(game.n), (questions, game.contexts))
    table = np.where(rng.random(drawn.shape) < 0.2, 0.0, drawn) + 1e-3 * drawn
    counted = np.round(5 * table / table.sum(-1, keepdims=True))
    counted[..., 0] += counted.sum(-1) == 0
    ties = counted / counted.sum(-1, keepdims=True)
    right = np.arange(game.n) == answers[:, None]
    return np.array(
        [
            _violation(true_scores(scores(nu, kind), right), alpha)
            for nu in (drawn, ties)
            for kind in ("1 - nu", "-log nu")
            for alpha in _ALPHAS
        ]
    )


def _violation(true: np.ndarray, alpha: float) -> float:
    """By how much the average over all choices of the tested question leaves its bounds."""
    covered, agreed = [], []
    for j in range(len(true)):
        rest = np.delete(true, j)
        inside = bool(prediction_sets(true[j], calibrate(rest, alpha)))
        covered.append(inside)
        agreed.append(inside == (p_value(true[j], rest) > alpha + 1e-12))
    share = np.mean(covered)
    low = 1 - alpha - share
    distinct = len(np.unique(true)) == len(true)
    high = share - (1 - alpha) - 1 / len(true) if distinct else 0.0
    return float(max(low, high, 0.0, 1.0 - np.mean(agreed)))
