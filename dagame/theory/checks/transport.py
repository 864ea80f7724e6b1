"""Entropic transport: gradient, marginals, curvature, local solutions: docs/theory/transport.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...games.game import AlignmentGame
from ...numerics.arrays import log
from ...numerics.simplex import kl
from ...numerics.transport import entropic_transport, largest_curvature, transport_cost
from ...objectives import PushPull
from .base import Violations, a_policy, check, relative, solved


def _costs(game: AlignmentGame, rng: np.random.Generator) -> Any:
    return rng.random((game.n, int(rng.integers(1, 6))))


def _inside(game: AlignmentGame, rng: np.random.Generator) -> Any:
    shape = (*game.batch_shape, game.contexts)
    return 0.5 / game.n + 0.5 * rng.dirichlet(np.ones(game.n), shape)


def _cost(nu: Any, costs: Any, epsilon: float) -> Any:
    return transport_cost(log(nu), entropic_transport(log(nu), costs, epsilon))


@check("transport", "the plan's marginals are nu and 1/k; f = gradient of W, by differences", 1e-8)
def _gradient(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    costs, epsilon = _costs(game, rng), float(rng.uniform(0.1, 2))
    columns = entropic_transport(log(game.reference), costs, epsilon).rows
    columns = (game.reference[..., None] * columns).sum(-2)
    off = np.abs(columns - 1 / costs.shape[-1]).max(-1)
    nu, h = _inside(game, rng), 5e-4
    d = rng.normal(size=nu.shape)
    d = (d - d.mean(-1, keepdims=True)) / game.n
    rise = [_cost(nu + j * h * d, costs, epsilon) for j in (1, -1, 2, -2)]
    slope = (8 * (rise[0] - rise[1]) - (rise[2] - rise[3])) / (12 * h)
    stated = (entropic_transport(log(nu), costs, epsilon).first * d).sum(-1)
    return np.maximum(off, relative(np.abs(slope - stated), stated)).max(-1)


@check("transport", "convex, of curvature: 0 ≤ B(p, q) ≤ ε sinh²(D/4) KL(p ‖ q)", 1e-10)
def _curvature(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    costs, epsilon = _costs(game, rng), float(rng.uniform(0.1, 2))
    q, p = _inside(game, rng), a_policy(game.with_objective(PushPull(costs, epsilon=1.0)), rng)
    slope = entropic_transport(log(q), costs, epsilon).first
    b = _cost(p, costs, epsilon) - _cost(q, costs, epsilon) - (slope * (p - q)).sum(-1)
    most = largest_curvature(costs, epsilon) * kl(p, q)
    return np.maximum(relative(-b, b), relative(b - most, b)).max(-1)


@check("transport", "a local solution: J never falls, and no policy beats its bound", 1e-9)
def _local(game: AlignmentGame, rng: np.random.Generator) -> Violations:
    if game.contexts != 2:
        return "two contexts are enough"
    safe, harm = _costs(game, rng), _costs(game, rng)
    one = game.with_objective(PushPull(safe, harm, epsilon=0.2, push=3.0), beta=0.05)
    if one.provable:
        return "T6 applies"
    solution = solved(one, tol=1e-7)
    falls = -np.diff(solution.history.values, axis=0).min(axis=0, initial=0.0)
    best = np.max([one.value(a_policy(one, rng)) for _ in range(5)], axis=0)
    beaten = best - solution.certificate.upper_bound
    return relative(np.maximum(falls, beaten), solution.value)
