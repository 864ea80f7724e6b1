"""Entropic transport against POT and differences, its exact limit, and the bound of its curvature.

    python benchmarks/transport.py

1,000 random instances: 2 to 29 answers, 2 to 8 points, costs uniform in [0, 1]. Of the rows

    potential, POT          against `ot.sinkhorn` ("sinkhorn_log", to 1e-12), both of mean 0 under nu, on the
                            first 200; eps from 0.1 to 2, masses of 1e-3 at least
    gradient, differences   the slope along a random direction against central differences of order 4; eps
                            from 0.05 to 2, masses of 1/(2n) at least
    exact limit             (W_eps - W)/(eps log k), W of `ot.emd2`, eps 0.1, 0.01, 0.001, on the first 200:
                            between 0 and 1 by theory
    curvature               B(p, q)/(eps sinh^2(D/4) KL(p || q)), p far from q in half of the instances:
                            between 0 and 1 by theory
    curvature at a point    the largest eigenvalue of W'' relative to KL, over the same bound

"violations" counts what is off by more than 1e-8, or outside [0, 1] by more than 1e-9.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ot
from common import keep

from dagame.numerics.arrays import log
from dagame.numerics.simplex import kl
from dagame.numerics.transport import (
    curvature_factor,
    entropic_transport,
    largest_curvature,
    transport_cost,
)

INSTANCES, OF_POT = 1000, 200


def cost(nu: np.ndarray, costs: np.ndarray, epsilon: float) -> float:
    return float(transport_cost(log(nu), entropic_transport(log(nu), costs, epsilon)))


def instance(seed: int, least: float) -> tuple[np.random.Generator, np.ndarray, np.ndarray, float]:
    """Masses, costs, and an eps from `least` to 2."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(2, 30)), int(rng.integers(2, 9))
    epsilon = float(np.exp(rng.uniform(np.log(least), np.log(2))))
    return rng, rng.dirichlet(np.full(n, 0.7)), rng.random((n, k)), epsilon


def potential(seed: int) -> float:
    """Largest difference from POT's."""
    _, nu, costs, epsilon = instance(seed, 0.1)
    nu, k = (nu + 1e-3) / (nu + 1e-3).sum(), costs.shape[1]
    options: dict[str, Any] = {"stopThr": 1e-12, "numItermax": 20_000, "warn": False}
    _, found = ot.sinkhorn(
        nu, np.full(k, 1 / k), costs, epsilon, method="sinkhorn_log", log=True, **options
    )
    theirs = epsilon * (np.asarray(found["log_u"]) - np.log(nu))
    mine = entropic_transport(np.log(nu), costs, epsilon).first
    return float(np.abs((mine - nu @ mine) - (theirs - nu @ theirs)).max())


def gradient(seed: int) -> float:
    """The stated slope minus that by differences."""
    rng, nu, costs, epsilon = instance(seed, 0.05)
    nu, h = 0.5 * nu + 0.5 / len(nu), 5e-4
    d = rng.normal(size=len(nu))
    d = (d - d.mean()) / len(nu)
    rise = [cost(nu + j * h * d, costs, epsilon) for j in (1, -1, 2, -2)]
    slope = (8 * (rise[0] - rise[1]) - (rise[2] - rise[3])) / (12 * h)
    return abs(slope - float(entropic_transport(log(nu), costs, epsilon).first @ d))


def exact(seed: int) -> list[float]:
    """Where W_eps lies between W and W + eps log k."""
    _, nu, costs, _ = instance(seed, 0.1)
    k = costs.shape[1]
    least = float(ot.emd2(nu, np.full(k, 1 / k), costs))
    return [(cost(nu, costs, e) - least) / (e * np.log(k)) for e in (0.1, 0.01, 0.001)]


def curvature(seed: int) -> tuple[float, float]:
    """B(p, q), and the largest eigenvalue at q, over their bounds."""
    rng, q, costs, epsilon = instance(seed, 0.05)
    q = 0.9 * q + 0.1 / len(q)
    p = rng.dirichlet(np.full(len(q), 0.5))
    p = p if seed % 2 else 0.95 * q + 0.05 * p
    found, most = entropic_transport(log(q), costs, epsilon), largest_curvature(costs, epsilon)
    b = cost(p, costs, epsilon) - transport_cost(log(q), found) - found.first @ (p - q)
    factor = np.sqrt(q)[:, None] * curvature_factor(log(q), found, epsilon)
    at = np.linalg.svd(factor, compute_uv=False)[0] ** 2
    return float(b / (most * kl(p, q))), float(at / most)


def differences(what: str, found: Any) -> dict[str, Any]:
    """A row of differences that should be 0."""
    found = np.asarray(found)
    return _row(what, found, int((np.abs(found) > 1e-8).sum()))


def shares(what: str, found: Any) -> dict[str, Any]:
    """A row of shares of a bound, within [0, 1] by theory."""
    found = np.asarray(found)
    return _row(what, found, int(((found < -1e-9) | (found > 1 + 1e-9)).sum()))


def _row(what: str, found: np.ndarray, violations: int) -> dict[str, Any]:
    return {
        "what": what,
        "instances": len(found),
        "least": float(found.min()),
        "median": float(np.median(found)),
        "most": float(found.max()),
        "violations": violations,
    }


def main() -> None:
    """All rows."""
    bent = np.array([curvature(seed) for seed in range(INSTANCES)])
    limit = np.concatenate([exact(seed) for seed in range(OF_POT)])
    rows = [
        differences("potential, POT", [potential(seed) for seed in range(OF_POT)]),
        differences("gradient, differences", [gradient(seed) for seed in range(INSTANCES)]),
        shares("exact limit", limit),
        shares("curvature", bent[:, 0]),
        shares("curvature at a point", bent[:, 1]),
    ]
    keep("transport", rows)


if __name__ == "__main__":
    main()
