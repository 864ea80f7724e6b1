"""Seeded random games: references with zeros and tiny masses, and a random objective of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import InvalidGame, InvalidObjective, nearest
from ..objectives import Coherence, Objective, Reward, ShannonDiversity, WorstCase
from ..objectives.catalogue import CATALOGUE, Kind, log_uniform
from .answer_map import AnswerMap
from .game import AlignmentGame


def random_reference(
    rng: np.random.Generator,
    shape: Sequence[int],
    *,
    zeros: float = 0.0,
    floor: float = 0.0,
    concentration: float = 0.5,
) -> np.ndarray:
    """Random rows of probabilities of `shape` (..., n): Dirichlet, with zero and tiny masses.

    Each entry but the first of a row is 0 with probability `zeros`, and of those left one in five is
    set to `floor` (if > 0) before the row is divided by its sum. Entry 0 is never removed, so that
    rows share a support.
    """
    p = rng.dirichlet(np.full(shape[-1], concentration), tuple(shape[:-1])) + 1e-15
    if floor > 0:
        p[..., 1:] = np.where(rng.random(p[..., 1:].shape) < 0.2, floor, p[..., 1:])
    p[..., 1:] *= rng.random(p[..., 1:].shape) >= zeros
    p[..., 0] = np.maximum(p[..., 0], 1e-3)
    return p / p.sum(axis=-1, keepdims=True)


def random_game(
    rng: np.random.Generator,
    *,
    batch: tuple[int, ...] = (),
    contexts: int = 3,
    answers: int = 5,
    traces: int | None = None,
    channel: bool = False,
    zeros: float = 0.1,
    floor: float = 1e-12,
    objective: Objective | None = None,
    beta: float = 1.0,
) -> AlignmentGame:
    """Random games of shape `batch`, with random weights per game.

    Args:
        rng: the source of randomness.
        batch: leading shape; every game is drawn on its own.
        contexts: m.
        answers: n.
        traces: number of traces, at least n; each answer gets at least one. None: traces are answers.
        channel: each trace shows a random mixture of answers instead of one.
        zeros: probability that a reference entry is 0.
        floor: mass of the tiny entries, 0 for none.
        objective: default `Coherence(1.0)`.
        beta: the KL coefficient.
    """
    width = answers if traces is None else traces
    if width < answers:
        raise InvalidGame(
            f"traces is {width}, less than the {answers} answers; give at least one each."
        )
    shown: Any = None
    if channel:
        shown = AnswerMap.channel(rng.dirichlet(np.full(answers, 0.5), width))
    elif traces is not None:
        extra = rng.integers(0, answers, width - answers)
        shown = np.concatenate([[0], rng.permutation(np.r_[1:answers, extra])])
    reference = random_reference(rng, (*batch, contexts, width), zeros=zeros, floor=floor)
    weights = rng.dirichlet(np.full(contexts, 3.0), batch) * 0.9 + 0.1 / contexts
    return AlignmentGame(
        reference, objective or Coherence(1.0), beta=beta, weights=weights, answers=shown
    )


# -- one random objective of every kind -----------------------------------------------------------

ObjectiveMaker = Callable[[np.random.Generator, int, int], Objective]


def _kinds(chosen: Callable[[Kind], bool]) -> dict[str, ObjectiveMaker]:
    return {name: kind.random for name, kind in CATALOGUE.items() if chosen(kind)}


def _smooth(kind: Kind) -> bool:
    return not (kind.multipliers or kind.kinked or kind.on_traces)


OBJECTIVES: dict[str, ObjectiveMaker] = {
    **_kinds(lambda kind: _smooth(kind) and kind.concave),
    "sum": lambda rng, m, n: (
        Reward(rng.normal(size=(m, n)))
        + 0.5 * ShannonDiversity()
        + 2.0 * Coherence(log_uniform(rng, 0.1, 10.0))
    ),
    "difference": lambda rng, m, n: (
        Coherence(log_uniform(rng, 0.1, 10.0)) - float(rng.uniform(0.1, 0.8)) * ShannonDiversity()
    ),
    **_kinds(lambda kind: _smooth(kind) and not kind.concave),
}
"""A random differentiable objective of each kind for m contexts and n answers; beta = 1 fits T6."""

COMMON_SUPPORT = tuple(name for name, kind in CATALOGUE.items() if kind.support != "any")
"""Kinds that are -infinity where the supports of contexts differ."""

KINKED: dict[str, ObjectiveMaker] = {
    **_kinds(lambda kind: kind.multipliers),
    "worst-case-sum": lambda rng, m, n: (
        WorstCase(rng.normal(size=(2, n)), log_uniform(rng, 0.1, 10.0)) + 0.5 * ShannonDiversity()
    ),
}
"""A random objective of each kind whose target moves multipliers."""


def random_game_of(
    kind: str, rng: np.random.Generator, m: int, n: int, **options: Any
) -> AlignmentGame:
    """`random_game` with a random objective of the `kind`, without zeros where it needs that.

    Raises:
        InvalidObjective: the kind is neither in `OBJECTIVES` nor in `KINKED`.
    """
    makers = OBJECTIVES | KINKED
    if kind not in makers:
        raise InvalidObjective(f"kind {kind!r} is unknown; {nearest(kind, makers, 'kinds')}")
    objective = makers[kind](rng, m, n)
    if kind in COMMON_SUPPORT:
        options["zeros"] = 0.0
    return random_game(rng, contexts=m, answers=n, objective=objective, **options)
