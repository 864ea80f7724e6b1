"""Semantic keys of answer-set programs: docs/theory/answer-sets.md."""

from __future__ import annotations

from functools import cache

import numpy as np

from ...domains.asp.problems import Problem, problems, semantic_key
from ...domains.asp.worker import require_clingo
from ...errors import DagameError
from ...games.game import AlignmentGame
from .base import Violations, check

_SECONDS = 20.0  # a busy machine is no reason for a missing key


@check("answer sets", "a program's key is that of its rewrites, and of no near miss", 0.0)
def _keys(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    try:
        require_clingo()
    except DagameError as error:
        return str(error)
    return np.concatenate([_of_one_problem(rng) for _ in range(game.batch_shape[0])])


def _of_one_problem(rng: np.random.Generator) -> np.ndarray:
    """Whether a rewrite's key differs from that of the right program, whether a near miss's does not."""
    by_family = _problems()
    family = str(rng.choice(sorted(by_family)))
    chosen = by_family[family][int(rng.integers(len(by_family[family])))]
    key = semantic_key(seconds=_SECONDS)
    right, rewrites, misses = key(chosen.right), chosen.rewrites(), chosen.misses()
    same = key(rewrites[str(rng.choice(sorted(rewrites)))])
    other = key(misses[str(rng.choice(sorted(misses)))])
    return np.array([right is None or same != right, other is None or other == right], dtype=float)


@cache
def _problems() -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in problems("test"):
        found.setdefault(problem.family, []).append(problem)
    return found
