"""Coverage and width of the sampled certificate, with and without its rules for rare completions.

    python benchmarks/certificate_coverage.py [--replicates 400]

Classes of three (rare completions: one) contexts whose answers and gains are known. "before": both ends from
the classes' own noise, normal log-ratios assumed (`dagame.lm.certificates.bounds.intervals`); "after": what
`dagame.lm.certificate_from_samples` returns. Regimes: a policy with completions of probability e and
log-ratio d, otherwise the reference; normal log-ratios of a standard deviation; the reference itself and half
way to the equilibrium under coherence. Upper ends at 95%: the share of replicates whose end is at least the
true gain, those refused (with the samples it would take), and the median width above the gain where given.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import polars as pl
from common import keep

import dagame as dg
from dagame.lm import certificate_from_samples
from dagame.lm.certificates.bounds import Parts, estimate, intervals
from dagame.lm.certificates.tables import columns, sample_tables

SHANNON, COHERENCE, BETA = dg.ShannonDiversity(0.5), dg.Coherence(1.0), 1.0
Drawn = tuple[dict[str, Any], dict[str, Any], float]


def rows(rng: Any, nu: np.ndarray, size: int) -> dict[str, Any]:
    """Samples of classes (B, m, n) as columns."""
    b, m, _ = nu.shape
    cumulated = nu.cumsum(-1)[:, :, None, :-1]
    answers = (rng.random((b, m, size, 1)) > cumulated).sum(-1)
    return {
        "class_id": np.repeat(np.arange(b), m * size),
        "member_id": np.tile(np.repeat(np.arange(m), size), b),
        "answer": answers.ravel().astype(str),
    }


def rare(rng: Any, e: float, d: float, classes: int, size: int) -> Drawn:
    """Completions of probability e and log-ratio d; answers as the reference's."""
    nu = np.broadcast_to([0.5, 0.3, 0.2], (classes, 1, 3))
    common = float(np.log((1 - e) / (1 - e * np.exp(-d))))
    ours, theirs = rows(rng, nu, size), rows(rng, nu, size)
    ratio = np.where(rng.random(classes * size) < e, d, common)
    ours |= {"log_policy": ratio - 60, "log_reference": np.full(len(ratio), -60.0)}
    game = dg.AlignmentGame(nu[0], SHANNON, beta=BETA)
    gain = float(dg.solve(game).value - game.value(nu[0]))
    return ours, theirs, gain + BETA * (e * d + (1 - e) * common)


def normal(rng: Any, deviation: float, classes: int, size: int) -> Drawn:
    """Log-ratios N(s^2/2, s^2) under the policy, so that pi0/pi has mean 1; answers as the reference's."""
    nu = np.broadcast_to([0.5, 0.3, 0.2], (classes, 1, 3))
    ours, theirs = rows(rng, nu, size), rows(rng, nu, size)
    ratio = rng.normal(deviation**2 / 2, deviation, classes * size)
    ours |= {"log_policy": ratio - 60, "log_reference": np.full(len(ratio), -60.0)}
    game = dg.AlignmentGame(nu[0], SHANNON, beta=BETA)
    gain = float(dg.solve(game).value - game.value(nu[0]))
    return ours, theirs, gain + BETA * deviation**2 / 2


def coherent(rng: Any, way: float, classes: int, size: int) -> Drawn:
    """A tabular policy `way` between the reference and the equilibrium; three contexts, six answers."""
    nu0 = 0.95 * np.random.default_rng(7).dirichlet(np.ones(6), (classes, 3)) + 0.05 / 6
    game = dg.AlignmentGame(nu0, COHERENCE, beta=0.2)
    best = dg.solve(game)
    nu = (1 - way) * nu0 + way * best.marginals
    ours, theirs = rows(rng, nu, size), rows(rng, nu0, size)
    at = ours["class_id"], ours["member_id"], ours["answer"].astype(int)
    ours |= {"log_policy": np.log(nu[at]), "log_reference": np.log(nu0[at])}
    return ours, theirs, float(np.mean(best.value - game.value(nu)))


REGIMES: list[tuple[str, Any, tuple[Any, ...], dg.Objective, float]] = [
    *((f"rare: e {e:g}, d {d}", rare, (e, d, 1, k), SHANNON, BETA)
      for e, d, k in ((0.02, 40, 16), (0.005, 40, 64), (0.05, 20, 8), (0.05, 20, 16), (0.02, 20, 16),
                      (0.02, 40, 8), (0.02, 40, 256), (0.02, 40, 1024))),
    *((f"rare: e {e:g}, d {d}", rare, (e, d, c, k), SHANNON, BETA)
      for e, d in ((0.02, 40), (0.005, 40), (0.05, 20)) for c, k in ((96, 8), (48, 16))),
    *((f"normal, sd {s}", normal, (s, c, k), SHANNON, BETA)
      for s in (1, 2, 4) for c, k in ((1, 64), (48, 16))),
    *((f"coherence, way {w}", coherent, (w, c, k), COHERENCE, 0.2)
      for w in (0.0, 0.5, 1.0) for c, k in ((32, 8), (32, 16), (1, 64))),
]  # fmt: skip


def before(ours: dict[str, Any], theirs: dict[str, Any], phi: dg.Objective, beta: float) -> float:
    """The upper end without the rules for tails and without the spread between classes."""
    names = {"class_id": "class", "member_id": "context", "answer": "answer"}
    policy = columns(ours, names | {"log_policy": "log_policy", "log_reference": "log_reference"})
    _, made = sample_tables(policy, columns(theirs, names), 0)
    parts = [estimate(tables, phi, beta) for _, tables in made]
    joined = Parts(
        *(np.concatenate([getattr(p, f.name) for p in parts], -1) for f in fields(Parts))
    )
    return float(intervals(joined.mean(), beta, 0.95, False)["upper"][0])


def replicates(draw: Any, how: tuple[Any, ...], count: int) -> Iterator[Drawn]:
    """Independent draws, seeds 0, 1, ..."""
    return (draw(np.random.default_rng(seed), *how) for seed in range(count))


def measure(name: str, draw: Any, how: tuple[Any, ...], phi: Any, beta: float, count: int) -> Any:
    """One row of the table."""
    classes, size = how[-2:]
    old, new, low, refused, needed, gain = [], [], [], 0, 0, 0.0
    for ours, theirs, true in replicates(draw, how, count if classes == 1 else count // 4):
        gain = true
        found = certificate_from_samples(pl.DataFrame(ours), pl.DataFrame(theirs), phi, beta)
        old.append(before(ours, theirs, phi, beta))
        needed = found.samples_needed
        refused += needed > 0
        new.append(found.interval[1])
        low.append(found.interval[0])
    given = np.array(new)[np.isfinite(new)]
    return {
        "regime": name,
        "classes": classes,
        "K": size,
        "gain": gain,
        "before": float(np.mean(np.array(old) >= gain - 1e-9)),
        "width before": float(np.median(old)) - gain,
        "after": float(np.mean(np.array(new) >= gain - 1e-9)),
        "refused": refused / len(new),
        "samples needed": needed,
        "width after": float(np.median(given)) - gain if len(given) else None,
        "lower end <= gain": float(np.mean(np.array(low) <= gain + 1e-9)),
        "median lower end": float(np.median(low)),
    }


def main() -> None:
    """All regimes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    count, started = parser.parse_args().replicates, time.perf_counter()
    found = [measure(*regime, count) for regime in REGIMES]
    keep("certificate_coverage", found, replicates=count, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
