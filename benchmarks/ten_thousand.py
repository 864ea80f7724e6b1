"""Ten thousand random games of every kind solved, and the worst certificates recomputed in 50 digits.

    python benchmarks/ten_thousand.py                    # several minutes on one core
    python benchmarks/ten_thousand.py --games 50 --worst 50 --json out.json

Every kind of `dagame.games.random_games`, and sets of two rows, most with one of bound 0, 25 games a batch;
each batch has its own size, beta (1e-3 to 1e3), ratio of the objective to beta (times 1e-3 to 1e3; to
1 where the objective is not concave) and reference
(Dirichlet(1/2) with zeros and masses down to 1e-300). Seed = batch number. The worst by relative gap, by
ratio and by smallest mass are recomputed with mpmath from the definitions (`referee.py`). A certificate
is below the true gap where it misses D - J of the definitions by more than its documented rounding,
1e-14 of the size of its terms (taken as 2e-14 (1 + |J| + beta + rewards)).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
from rich.console import Console
from rich.progress import track

import dagame as dg
from dagame.bench.common import environment
from dagame.games.random_games import (
    KINKED,
    OBJECTIVES,
    ObjectiveMaker,
    random_game,
    random_game_of,
)
from dagame.objectives.parameters import of_game

sys.path.insert(0, str(Path(__file__).parent))

from referee import value_and_bound

SETS: dict[str, ObjectiveMaker] = {
    "hard-cap-0-and-cap": lambda rng, m, n: dg.HardConstraint(_closed() & _cap(rng, n)),
    "hard-moment-0-and-cap": lambda rng, m, n: dg.HardConstraint(
        dg.Moment(np.eye(n)[1], 0.0) & _cap(rng, n)
    ),
    "hard-cap-0-and-moment": lambda rng, m, n: dg.HardConstraint(_closed() & _moment(rng, n)),
    "hard-parity-and-cap": lambda rng, m, n: dg.HardConstraint(
        dg.Parity(float(rng.uniform(0.01, 0.3)), answers=[0]) & _cap(rng, n)
    ),
    "soft-cap-0-and-cap": lambda rng, m, n: dg.SoftConstraint(_closed() & _cap(rng, n)),
    "soft-cap-0-and-moment": lambda rng, m, n: dg.SoftConstraint(_closed() & _moment(rng, n)),
}
"""Sets of two rows, one of which has no slope once the answer that it shuts is out of the reference."""


def _closed() -> dg.Cap:
    return dg.Cap([1], 0.0)


def _cap(rng: np.random.Generator, n: int) -> dg.Cap:
    return dg.Cap([n - 1 if n > 2 else 0], float(rng.uniform(0.05, 0.4)) if n > 2 else 1.0)


def _moment(rng: np.random.Generator, n: int) -> dg.Moment:
    return dg.Moment(np.arange(n), float(rng.uniform(0.2, n / 2)))


KINDS = tuple(OBJECTIVES | KINKED | SETS)
BATCH = 25
NOT_CONCAVE = [
    kind
    for kind, make in (OBJECTIVES | KINKED).items()
    if not make(np.random.default_rng(0), 2, 3).concave
]
RESULT = Path(__file__).parent / "results" / "ten_thousand.json"


class Case(NamedTuple):
    """One solved game, and what makes it bad."""

    kind: str
    seed: int
    index: int
    solution: dg.Solution
    relative_gap: float
    ratio: float
    smallest: float


def batch(seed: int, size: int) -> tuple[str, float, dg.AlignmentGame]:
    """The games of a batch, their kind and the ratio of the objective to beta."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    m, n = int(rng.choice([1, 2, 3, 5, 8])), int(rng.choice([2, 3, 5, 10, 30, 100]))
    if kind.startswith("hard-parity"):
        n = min(n, 30)
    beta = float(10 ** rng.uniform(-3, 3))
    ratio = float(10 ** rng.uniform(-3, 0 if kind in NOT_CONCAVE else 3))
    floor = float(rng.choice([0, 1e-12, 1e-100, 1e-300]))
    zeros = float(rng.choice([0, 0.1, 0.3]))
    options = {"batch": (size,), "floor": floor, "zeros": zeros}
    if kind in SETS:
        made = SETS[kind](rng, m, n)
        game = random_game(rng, contexts=m, answers=n, objective=made, **options)
    else:
        game = random_game_of(kind, rng, m, n, **options)
    return kind, ratio, game.with_objective(ratio * beta * game.objective, beta)


def solved(games: int) -> tuple[list[Case], list[dict[str, Any]]]:
    """Every game as a case, and those that are neither solved nor infeasible in words."""
    cases, missed = [], []
    batches = range(-(-games // BATCH))
    for seed in track(batches, "solving", console=Console(stderr=True)):
        kind, ratio, game = batch(seed, min(BATCH, games - seed * BATCH))
        solution = dg.solve(game, throw=False)
        gaps = solution.certificate.relative_gap
        for k, status in enumerate(solution.statuses):
            reference = game.reference[k]
            cases.append(
                Case(kind, seed, k, solution, float(gaps[k]), ratio, reference[reference > 0].min())
            )
            if status not in (dg.Status.SOLVED, dg.Status.INFEASIBLE):
                what = {"kind": kind, "seed": seed, "index": k, "status": status.name}
                missed.append({**what, "ratio": ratio, "relative gap": float(gaps[k])})
    return cases, missed


def worst(cases: list[Case], count: int) -> list[Case]:
    """The solved games that lead by relative gap, ratio or smallest mass, taken in turn."""
    alive = [c for c in cases if c.solution.statuses[c.index] is dg.Status.SOLVED]
    orders = (
        sorted(alive, key=lambda c: -c.relative_gap),
        sorted(alive, key=lambda c: -c.ratio),
        sorted(alive, key=lambda c: c.smallest),
    )
    chosen: dict[tuple[int, int], Case] = {}
    for case in itertools.chain.from_iterable(zip(*orders, strict=True)):
        if len(chosen) == count:
            break
        chosen[case.seed, case.index] = case
    return list(chosen.values())


def recomputed(case: Case) -> dict[str, Any]:
    """The certificate of a case beside J and D - J in 50 digits."""
    solution, k = case.solution, case.index
    game, proof = solution.game, solution.certificate
    multipliers = solution.multipliers
    if multipliers is None:
        multipliers = game.multipliers(solution.log_marginals)
    objective = of_game(game.objective, k)
    value, bound = value_and_bound(
        game.reference[k],
        np.broadcast_to(game.weights, (len(solution.statuses), game.contexts))[k],
        objective,
        game.beta,
        solution.log_policy[k],
        None if multipliers is None else multipliers[k],
    )
    size = 1 + abs(float(proof.value[k])) + game.beta + objective.magnitude
    shortfall = float(bound - value - mp.mpf(float(proof.gap[k])))
    apart = abs(float(value - mp.mpf(float(proof.value[k]))))
    return {
        "kind": case.kind,
        "seed": case.seed,
        "index": k,
        "ratio": case.ratio,
        "smallest mass": case.smallest,
        "value": float(proof.value[k]),
        "gap": float(proof.gap[k]),
        "true gap": float(bound - value),
        "value apart": apart,
        "value apart, relative": apart / size,
        "shortfall": shortfall,
        "below": shortfall > 1e-6 * float(proof.gap[k]) + 2e-14 * size,
    }


def main(argv: list[str] | None = None) -> None:
    """Solve, recompute, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--games", type=int, default=10_000)
    parser.add_argument("--worst", type=int, default=200)
    parser.add_argument("--json", type=Path, default=RESULT)
    options = parser.parse_args(argv)
    started = time.perf_counter()
    cases, missed = solved(options.games)
    seconds = time.perf_counter() - started
    statuses = [c.solution.statuses[c.index] for c in cases]
    with mp.workdps(50):
        chosen = worst(cases, options.worst)
        rows = [recomputed(c) for c in track(chosen, "recomputing", console=Console(stderr=True))]
    found = {
        "machine": environment(),
        "kinds": len({c.kind for c in cases}),
        "games": len(cases),
        "solved": sum(s is dg.Status.SOLVED for s in statuses),
        "infeasible": sum(s is dg.Status.INFEASIBLE for s in statuses),
        "missed": missed,
        "seconds to solve and certify": seconds,
        "largest relative gap": max(
            c.relative_gap for c, s in zip(cases, statuses, strict=True) if s is dg.Status.SOLVED
        ),
        "worst checked": len(rows),
        "largest difference of values": max(r["value apart"] for r in rows),
        "largest difference of values, relative": max(r["value apart, relative"] for r in rows),
        "largest shortfall of a gap": max(r["shortfall"] for r in rows),
        "certificates below the true gap": sum(r["below"] for r in rows),
        "rows": rows,
    }
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    for name, value in found.items():
        if name not in ("machine", "rows", "missed"):
            print(f"{name}: {value}")
    for what in missed:
        print("missed:", what)


if __name__ == "__main__":
    main()
