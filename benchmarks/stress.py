"""Every concave objective over conditionings, strengths and sizes: rounds, time, relative gap, cvxpy's time.

    python benchmarks/stress.py            # all, about three minutes on two cores
    python benchmarks/stress.py --quick    # n = 20 only

References: Dirichlet(1/2) rows; "tiny" has a fifth of the entries at 1e-12; "zeros" removes a tenth of
the entries besides (where the row allows zeros). Eight games for each cell, solved as one batch; seed =
cell number. cvxpy + CLARABEL is timed on one game of the cells with n = 20 (its failures are kept as
such), `ratio` is its time over ours per game. `solved` counts games with a certified relative gap
<= 1e-10; whatever is less than 8 of 8 is a failure and stays here.
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from common import keep

import dagame as dg
from dagame.bench.common import watching
from dagame.games.library import random_reference
from dagame.objectives.catalogue import CATALOGUE, Draw, Kind


def _success(rng: np.random.Generator, m: int, n: int) -> tuple[np.ndarray]:
    c = rng.random(n) * (rng.random(n) < 0.3)
    c[0] = 0.5
    return (c,)


def _cap(rng: np.random.Generator, m: int, n: int) -> tuple[dg.Cap]:
    return (dg.Cap([0, 1], 0.2),)


def _moment(rng: np.random.Generator, m: int, n: int) -> tuple[dg.Moment]:
    return (dg.Moment(np.arange(n) / n, 0.3, across=True),)


DRAWS: dict[str, Draw] = {
    "log-success": _success,
    "pass-at-k": lambda rng, m, n: (*_success(rng, m, n), 4),
    "worst-case": lambda rng, m, n: (rng.normal(size=(4, n)),),
    "bregman": lambda rng, m, n: (1.5,),
    "soft-cap": _cap,
    "soft-moment": _moment,
    "hard-cap": _cap,
    "hard-moment": _moment,
}
"""Parameters that are not those of the catalogue."""

ROWS: dict[str, Kind] = {
    name: replace(kind, parameters=DRAWS.get(name, kind.parameters))
    for name, kind in (CATALOGUE | {"soft-moment": CATALOGUE["soft-cap"]}).items()
    if kind.concave and not kind.on_traces
}
SIZES = ((3, 20), (8, 200), (8, 2000))
STRENGTHS = (1e-2, 1.0, 1e3)
GAMES = 8


def _reference(kind: str, rng: np.random.Generator, m: int, n: int) -> np.ndarray:
    options = {"plain": {}, "tiny": {"floor": 1e-12}, "zeros": {"floor": 1e-12, "zeros": 0.1}}[kind]
    return random_reference(rng, (GAMES, m, n), **options)


def _cvxpy(objective: dg.Objective, reference: np.ndarray) -> tuple[float | str, float | str]:
    game = dg.AlignmentGame(reference[:1], objective, beta=1.0)
    started = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = dg.solve(game, "convex", throw=False)
            gap = float(found.certificate.relative_gap[0])
    except dg.DagameError as error:
        return ("no form" if "no cvxpy" in str(error) else "failed"), "-"
    return 1e3 * (time.perf_counter() - started), gap


class Cell(NamedTuple):
    """One objective, kind of reference, size and strength; `number` is its seed."""

    number: int
    objective: str
    reference: str
    m: int
    n: int
    strength: float


def cells(sizes: Sequence[tuple[int, int]]) -> list[Cell]:
    """All cells; references with zeros where the objective allows them."""
    found = itertools.product(ROWS, ("plain", "tiny", "zeros"), sizes, STRENGTHS)
    kept = [c for c in found if c[1] != "zeros" or ROWS[c[0]].support != "full"]
    return [
        Cell(number, name, kind, m, n, strength)
        for number, (name, kind, (m, n), strength) in enumerate(kept, 1)
    ]


def solved(cell: Cell) -> dict[str, Any]:
    """The row of a cell."""
    rng = np.random.default_rng(cell.number)
    reference = _reference(cell.reference, rng, cell.m, cell.n)
    objective = ROWS[cell.objective].make(cell.strength, rng, cell.m, cell.n)
    started = time.perf_counter()
    solution = dg.solve(dg.AlignmentGame(reference, objective, beta=1.0), throw=False)
    milliseconds = 1e3 * (time.perf_counter() - started) / GAMES
    relative = solution.certificate.relative_gap
    infeasible = solution.statuses == dg.Status.INFEASIBLE
    cvx = _cvxpy(objective, reference) if cell.n == 20 else ("-", "-")
    return {
        "objective": cell.objective,
        "reference": cell.reference,
        "m x n": f"{cell.m} x {cell.n}",
        "strength": cell.strength,
        "method": solution.method,
        "rounds": int(solution.steps.max()),
        "ms per game": milliseconds,
        "solved": f"{int((relative <= 1e-10).sum())} of {GAMES}",
        "infeasible": int(infeasible.sum()),
        "worst relative gap": float(relative[~infeasible].max(initial=0)),
        "cvxpy ms": cvx[0],
        "ratio": "-" if isinstance(cvx[0], str) else cvx[0] / milliseconds,
        "cvxpy gap": cvx[1],
    }


def main() -> None:
    """Fill the table, failures included."""
    todo = cells(SIZES[:1] if "--quick" in sys.argv else SIZES)
    with watching() as watch:
        rows = [
            solved(cell)
            for cell in watch.over(todo, lambda c: f"{c.number} of {len(todo)}: {c.objective}")
        ]
    keep("stress", rows, seed="cell number", beta=1.0, games_per_cell=GAMES)
    failed = [r for r in rows if int(r["solved"].split()[0]) + r["infeasible"] < GAMES]
    print(f"\n{len(rows)} cells, {len(failed)} with a game that missed a relative gap of 1e-10.")
    for r in failed:
        print("missed:", r["objective"], r["reference"], r["m x n"], r["strength"], r["solved"])


if __name__ == "__main__":
    main()
