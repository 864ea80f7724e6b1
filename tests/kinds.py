"""Objectives for tests: every kind of the catalogue, and the orders, sums and sets that no row of it has.

A maker takes (strength, rng, m, n) and gives an objective for m contexts and n answers. A test names the
facts that it is about (`those`) instead of objectives, so that a new kind of the catalogue is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

import dagame as dg
from dagame.objectives.catalogue import CATALOGUE

Make = Callable[[float, np.random.Generator, int, int], dg.Objective]


def every_other(n):
    """1 for the answers 0, 2, 4, ..., else 0."""
    return (np.arange(n) % 2 == 0) * 1.0


def falling(n):
    """1, ..., -1 over the answers."""
    return np.linspace(1, -1, n)


def _an_order(rng):
    """0.1 to 4, and not near 1."""
    return float(rng.choice([rng.uniform(0.1, 0.95), rng.uniform(1.05, 4)]))


def _labelled(kind):
    return lambda s, rng, m, n: kind.build(s, every_other(n))


LABELLED: dict[str, Make] = {
    f"{name}, labels": _labelled(kind) for name, kind in CATALOGUE.items() if kind.labels
}
"""Kinds that take labels, which are 0 and 1 here."""

BESIDES: dict[str, Make] = {
    "renyi-near-1": lambda s, rng, m, n: dg.RenyiDiversity(s, 0.999),
    "tsallis-1.5": lambda s, rng, m, n: dg.TsallisDiversity(s, 1.5),
    "tsallis, any order": lambda s, rng, m, n: dg.TsallisDiversity(s, _an_order(rng)),
    "bregman-1": lambda s, rng, m, n: dg.BregmanCoherence(1.0, s),
    "pass-at-1": lambda s, rng, m, n: dg.PassAtK(every_other(n), 1, s),
    "pass-at-2": lambda s, rng, m, n: dg.PassAtK(every_other(n), 2, s),
    "pass-at-5": lambda s, rng, m, n: dg.PassAtK(every_other(n), 5, s),
    "target, zeros": lambda s, rng, m, n: dg.TargetMatching(
        every_other(n) / every_other(n).sum(), s
    ),
    "soft-floor": lambda s, rng, m, n: dg.SoftConstraint(dg.Floor([n - 1], 0.3), s),
    "soft-floor, across": lambda s, rng, m, n: dg.SoftConstraint(
        dg.Floor([n - 1], 0.3, across=True), s
    ),
    "soft-parity": lambda s, rng, m, n: dg.SoftConstraint(dg.Parity(0.1), s),
    "hard-quota": lambda s, rng, m, n: dg.HardConstraint(dg.Quota([n - 1], 0.9)),
    "hard-equality, reward": lambda s, rng, m, n: (
        dg.HardConstraint(dg.Polytope([[1.0, 2.0, *[0.0] * (n - 2)]], [0.6], True))
        + dg.Reward(s * np.eye(n)[0])
    ),
    "hard-coherence, reward": lambda s, rng, m, n: dg.HardCoherence() + dg.Reward(s * np.eye(n)[0]),
    "hard-cap, coherence": lambda s, rng, m, n: (
        dg.Coherence(s) + dg.HardConstraint(dg.Cap([0], 0.2))
    ),
    "hard-cap, pairwise": lambda s, rng, m, n: (
        dg.HardConstraint(dg.Cap([0], 0.5)) + dg.PairwiseCoherence(s)
    ),
    "coherence, reward": lambda s, rng, m, n: dg.Coherence(s) + dg.Reward(0.4 * s * falling(n)),
    "coherence, shannon": lambda s, rng, m, n: dg.Coherence(s) + 0.4 * s * dg.ShannonDiversity(),
    "coherence, gini": lambda s, rng, m, n: dg.Coherence(s) + 0.3 * s * dg.GiniDiversity(),
    "coherence, less gini": lambda s, rng, m, n: dg.Coherence(s) - 0.1 * s * dg.GiniDiversity(),
    "coherence, hellinger": lambda s, rng, m, n: (
        dg.Coherence(s) + 0.3 * dg.PairwiseCoherence(s, "hellinger")
    ),
    "euclidean, tsallis": lambda s, rng, m, n: (
        dg.Coherence(s, "euclidean") + s * dg.TsallisDiversity(order=0.3)
    ),
    "euclidean, gini, reward": lambda s, rng, m, n: (
        dg.Reward(s * np.eye(n)[0]) + dg.GiniDiversity(0.5 * s) + dg.Coherence(0.4 * s, "euclidean")
    ),
    "shannon, gini": lambda s, rng, m, n: (
        dg.ShannonDiversity(s) + rng.uniform(0.1, 4) * dg.GiniDiversity(s)
    ),
    "log-success, gini": lambda s, rng, m, n: (
        dg.LogSuccess(np.eye(n)[0], 1.5 * s) + dg.GiniDiversity(0.5 * s)
    ),
}
"""Orders, sums and sets that no row of the catalogue has."""

ROWS: dict[str, Make] = {name: kind.make for name, kind in CATALOGUE.items()}
"""The rows of the catalogue, with parameters at random."""

KINDS: dict[str, Make] = {**ROWS, **LABELLED, **BESIDES}


def made(name: str, strength: float, m: int, n: int, seed: int = 0) -> dg.Objective:
    """One of a kind, for m contexts and n answers."""
    return KINDS[name](strength, np.random.default_rng(seed), m, n)


def those(fact: Callable[[dg.Objective], bool], kinds: Mapping[str, Make] = KINDS) -> list[str]:
    """Names of the kinds whose objective at strength 1/2 has a fact."""
    rng = np.random.default_rng
    return [name for name, make in kinds.items() if fact(make(0.5, rng(0), 2, 3))]


def support(name: str) -> str:
    """Which answers it needs: "full", "common" or "any", as `catalogue.Kind` says."""
    return CATALOGUE[name].support if name in CATALOGUE else "any"


def between_t4_and_t6(phi: dg.Objective) -> bool:
    """Concave, or of negative curvature that beta 1 bounds at this strength."""
    return phi.concave is True or phi.curvature > -1


def of_any_size(name: str) -> bool:
    """Whether a row's parameters are numbers, which fit any number of contexts and answers."""
    parameters = CATALOGUE[name].parameters(np.random.default_rng(0), 2, 3)
    return all(isinstance(p, float | int) for p in parameters)


def everywhere(phi: dg.Objective) -> bool:
    """Finite off a set, and not about traces."""
    return not (phi.hard or phi.on_traces)


# -- parameters at the edge of float64, for games of any size ------------------------------------------


def _success(rng, n):
    c = rng.random(n) * (rng.random(n) < 0.5)
    c[0] = 0.5
    return c


def _closed(n):
    return dg.Cap([0], 0.0 if n > 2 else 1.0)


def _last(rng, n):
    return dg.Cap([n - 1], float(rng.choice([0.05, 0.3])) if n > 2 else 1.0)


def _moment(n):
    return dg.Moment(np.arange(n), 1.2)


def _thin(n):
    """Without interior: a cap and a floor at one limit."""
    return dg.Cap([n - 1], 0.25) & dg.Floor([n - 1], 0.25) if n > 1 else dg.Cap([0], 1.0)


UNJUDGED = ("trace-coherence", "hard-moment", "hard-parity")
"""Kinds that the referee does not state: coherence over traces, rows across contexts."""

HOSTILE: dict[str, Make] = {
    **{name: kind.make for name, kind in CATALOGUE.items() if name not in UNJUDGED},
    "large reward": lambda s, rng, m, n: dg.Reward(rng.uniform(-1, 1, (m, n)) * max(s, 1)),
    "log-success": lambda s, rng, m, n: dg.LogSuccess(_success(rng, n), s),
    "pass-at-k": lambda s, rng, m, n: dg.PassAtK(_success(rng, n), int(rng.choice([1, 2, 8])), s),
    "target, zeros": lambda s, rng, m, n: dg.TargetMatching(np.eye(n)[int(rng.integers(n))], s),
    "soft-cap": lambda s, rng, m, n: dg.SoftConstraint(dg.Cap([n - 1], 0.2 if n > 1 else 1.0), s),
    "hard-cap": lambda s, rng, m, n: dg.HardConstraint(
        dg.Cap([n - 1], float(rng.choice([0.0, 1e-9, 0.2, 1.0])))
    ),
    "hard cap 0, cap": lambda s, rng, m, n: dg.HardConstraint(_closed(n) & _last(rng, n)),
    "hard moment 0, cap": lambda s, rng, m, n: dg.HardConstraint(
        dg.Moment(np.eye(n)[0] * (n > 2), 0.0) & _last(rng, n)
    ),
    "hard cap 0, moment": lambda s, rng, m, n: dg.HardConstraint(_closed(n) & _moment(n)),
    "hard cap and floor": lambda s, rng, m, n: dg.HardConstraint(_thin(n)),
    "soft cap 0, cap": lambda s, rng, m, n: dg.SoftConstraint(_closed(n) & _last(rng, n), s),
    "sum": lambda s, rng, m, n: (
        s * dg.Reward(rng.normal(size=(m, n))) + dg.Coherence(s) + 0.5 * dg.ShannonDiversity()
    ),
    "difference": lambda s, rng, m, n: dg.Coherence(s) - 0.5 * dg.ShannonDiversity(),
    "multiple": lambda s, rng, m, n: s * (2.0 * dg.GiniDiversity(0.5)),
}
"""Every kind of the catalogue that the referee states, with parameters at the edge, and hostile ones."""
