"""Seeded random games: references with zeros and tiny masses, and a random objective of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .answer_map import AnswerMap
from .errors import InvalidGame
from .game import AlignmentGame
from .objectives import (
    Agreement,
    BregmanCoherence,
    Cap,
    Coherence,
    GiniDiversity,
    HardCoherence,
    HardConstraint,
    LogSuccess,
    Moment,
    Objective,
    PairwiseCoherence,
    Parity,
    PassAtK,
    Reward,
    SelfConsistency,
    ShannonDiversity,
    Sharpening,
    SoftConstraint,
    TargetMatching,
    TsallisDiversity,
    WorstCase,
)


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


def _strength(rng: np.random.Generator, low: float = 0.1, high: float = 10.0) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _success(rng: np.random.Generator, n: int) -> np.ndarray:
    c = rng.random(n) * (rng.random(n) < 0.5)
    c[0] = rng.uniform(0.1, 1)
    return c


OBJECTIVES: dict[str, ObjectiveMaker] = {
    "reward": lambda rng, m, n: Reward(rng.normal(size=(m, n))),
    "log-success": lambda rng, m, n: LogSuccess(_success(rng, n), _strength(rng)),
    "pass-at-k": lambda rng, m, n: PassAtK(
        _success(rng, n), int(rng.integers(1, 9)), _strength(rng)
    ),
    "shannon": lambda rng, m, n: ShannonDiversity(_strength(rng)),
    "gini": lambda rng, m, n: GiniDiversity(_strength(rng)),
    "tsallis-half": lambda rng, m, n: TsallisDiversity(_strength(rng), 0.5),
    "tsallis-3": lambda rng, m, n: TsallisDiversity(_strength(rng), 3.0),
    "target": lambda rng, m, n: TargetMatching(rng.dirichlet(np.ones(n)), _strength(rng)),
    "target-forward": lambda rng, m, n: TargetMatching(
        rng.dirichlet(np.ones(n)), _strength(rng), "forward"
    ),
    "coherence": lambda rng, m, n: Coherence(_strength(rng)),
    "geometric": lambda rng, m, n: Coherence(_strength(rng), "geometric"),
    "euclidean": lambda rng, m, n: Coherence(_strength(rng), "euclidean"),
    "pairwise-kl": lambda rng, m, n: PairwiseCoherence(_strength(rng), "kl"),
    "pairwise-jeffreys": lambda rng, m, n: PairwiseCoherence(_strength(rng), "jeffreys"),
    "pairwise-hellinger": lambda rng, m, n: PairwiseCoherence(_strength(rng), "hellinger"),
    "pairwise-jensen-shannon": lambda rng, m, n: PairwiseCoherence(_strength(rng)),
    "pairwise-euclidean": lambda rng, m, n: PairwiseCoherence(_strength(rng), "euclidean"),
    "bregman": lambda rng, m, n: BregmanCoherence(float(rng.uniform(1.05, 1.95)), _strength(rng)),
    "soft-cap": lambda rng, m, n: SoftConstraint(
        Cap([n - 1], rng.uniform(0.05, 0.4)), _strength(rng)
    ),
    "sum": lambda rng, m, n: (
        Reward(rng.normal(size=(m, n))) + 0.5 * ShannonDiversity() + 2.0 * Coherence(_strength(rng))
    ),
    "difference": lambda rng, m, n: (
        Coherence(_strength(rng)) - float(rng.uniform(0.1, 0.8)) * ShannonDiversity()
    ),
    "sharpening": lambda rng, m, n: Sharpening(_strength(rng, 0.1, 0.9)),
    "self-consistency": lambda rng, m, n: SelfConsistency(_strength(rng, 0.1, 0.9)),
    "agreement": lambda rng, m, n: Agreement(_strength(rng, 0.1, 0.9)),
}
"""A random differentiable objective of each kind for m contexts and n answers; beta = 1 fits T6."""

COMMON_SUPPORT = ("target-forward", "pairwise-kl", "pairwise-jeffreys")
"""Kinds that are -infinity where the supports of contexts differ."""

KINKED: dict[str, ObjectiveMaker] = {
    "worst-case": lambda rng, m, n: WorstCase(rng.normal(size=(3, n)), _strength(rng)),
    "hard-coherence": lambda rng, m, n: HardCoherence(),
    "hard-cap": lambda rng, m, n: HardConstraint(Cap([n - 1], rng.uniform(0.05, 0.4))),
    "hard-moment": lambda rng, m, n: HardConstraint(
        Moment(np.arange(n), float(rng.uniform(0.2, n / 2)), across=True)
    ),
    "hard-parity": lambda rng, m, n: HardConstraint(
        Parity(float(rng.uniform(0.01, 0.3)), answers=[0])
    ),
    "worst-case-sum": lambda rng, m, n: (
        WorstCase(rng.normal(size=(2, n)), _strength(rng)) + 0.5 * ShannonDiversity()
    ),
}
"""A random objective of each kind whose target moves multipliers."""


def random_game_of(
    kind: str, rng: np.random.Generator, m: int, n: int, **options: Any
) -> AlignmentGame:
    """`random_game` with a random objective of the `kind`, without zeros where it needs that."""
    objective = (OBJECTIVES | KINKED)[kind](rng, m, n)
    if kind in COMMON_SUPPORT:
        options["zeros"] = 0.0
    return random_game(rng, contexts=m, answers=n, objective=objective, **options)
