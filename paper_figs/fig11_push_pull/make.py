"""Push-pull transport: its curvature against the bound, and where local solutions begin (T6).

    python paper_figs/fig11_push_pull/make.py

(a) 300 random pairs of marginals and cost tables: the Bregman divergence of W over KL, and the bound eps
sinh^2(D/4), which no point passes. (b) One game of ten answers, costs to four safe and three harmful points,
eps 0.2: J of the solution and the certified bound along beta; left of the dotted line, beta = -mu, the
solution is local and the bound that of the chord; right of it the two coincide.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

import dagame as dg
from dagame.numerics.arrays import log
from dagame.numerics.simplex import kl
from dagame.numerics.transport import entropic_transport, largest_curvature, transport_cost

sys.path.insert(0, str(Path(__file__).parents[1]))
from paper import DARK, PAGE, QUIET, Data, figure, letters, look, main


def _ratios() -> tuple[list[float], list[float]]:
    """B(p, q)/KL(p || q) and its bound on random instances, p near q in half of them."""
    found, bounds = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        n, k = int(rng.integers(2, 9)), int(rng.integers(2, 7))
        costs, eps = rng.random((n, k)), float(np.exp(rng.uniform(np.log(0.1), np.log(2))))
        q, p = rng.dirichlet(np.ones(n), 2) * 0.95 + 0.05 / n
        p = p if seed % 2 else 0.98 * q + 0.02 * p
        slope = entropic_transport(log(q), costs, eps)
        rise = transport_cost(log(p), entropic_transport(log(p), costs, eps))
        b = rise - transport_cost(log(q), slope) - slope.first @ (p - q)
        found.append(float(b / kl(p, q)))
        bounds.append(largest_curvature(costs, eps))
    return found, bounds


def compute() -> Data:
    """The ratios, and values and bounds along beta."""
    rng = np.random.default_rng(0)
    reference = rng.dirichlet(np.ones(10), 1)
    phi = dg.PushPull(rng.random((10, 4)), rng.random((10, 3)), epsilon=0.2)
    threshold = -phi.curvature
    betas = np.geomspace(threshold / 8, threshold * 8, 13)
    solved = [dg.solve(dg.AlignmentGame(reference, phi, beta=b), tol=1e-8) for b in betas.tolist()]
    ratios, bounds = _ratios()
    return {
        "ratios": ratios,
        "bounds": bounds,
        "threshold": threshold,
        "betas": betas,
        "statuses": [s.status.name.lower() for s in solved],
        "values": [float(s.certificate.value) for s in solved],
        "upper bounds": [float(s.certificate.upper_bound) for s in solved],
    }


def draw(data: Data) -> Any:
    """Curvature and certificates."""
    made = figure(PAGE, 2.3)
    left, right = made.subplots(1, 2)
    bounds = np.array(data["bounds"])
    left.plot(bounds, np.maximum(data["ratios"], 1e-8), ".", ms=3, color=look(0)["color"])
    ends = np.array([bounds.min(), bounds.max()])
    left.plot(ends, ends, color=DARK, lw=0.8, label="bound")
    left.set(xscale="log", yscale="log", ylim=(1e-6, None))
    left.set_xlabel(r"$\varepsilon\,\sinh^2(D/4)$")
    left.set_ylabel("B(p, q) / KL(p || q)")
    left.legend()
    betas, above = np.array(data["betas"]), np.array(data["upper bounds"])
    local = np.array(data["statuses"]) == "local"
    for part, label in ((local, "certified bound"), (~local, None)):
        right.plot(betas[part], above[part], **look(1), lw=1.2, label=label)
    right.plot(betas, data["values"], **look(0), lw=1.4, label="J of the solution")
    right.axvline(data["threshold"], color=QUIET, lw=0.8, ls=(0, (1, 2)))
    right.set_xscale("log")
    right.set_xlabel("beta")
    right.set_ylabel("value")
    right.legend()
    letters((left, right), ("curvature of entropic transport", "local left of the line"))
    return made


if __name__ == "__main__":
    main(__file__, compute, draw)
