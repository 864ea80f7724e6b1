"""What trying an objective of one's own costs when a game is made, and what the check finds.

    python benchmarks/objective_checks.py

For objectives of users (tests/objective_zoo.py), 4 contexts x 50 answers in numpy: processor time of one
check, the least of several runs, as other work on the machine only adds to it; then how many of the wrong
ones are refused and of the right ones taken over many random games.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dagame as dg
from dagame.objectives.own.checked import forget
from dagame.theory.checks.own import fitting_sizes, probe
from tests.objective_zoo import RIGHT, WRONG

RUNS, GAMES = 30, 60


def cost(objective: dg.Objective, reference: np.ndarray) -> tuple[float, float]:
    """Milliseconds to make a game with the check and without it."""
    spent = {True: [], False: []}
    for _ in range(RUNS):
        for check in (True, False):
            forget(objective)
            start = time.process_time()
            dg.AlignmentGame(reference, objective, beta=1.0, check=check)
            spent[check].append(1e3 * (time.process_time() - start))
    return min(spent[True]), min(spent[False])


def main() -> None:
    """Print the table."""
    reference = np.random.default_rng(0).dirichlet(np.ones(50), 4)
    costs = {}
    for name, make in RIGHT.items():
        if name in ("a table", "a sum of own ones"):
            continue
        costs[name] = cost(make(), reference)
    checked = np.array([c for c, _ in costs.values()])
    plain = np.array([c for _, c in costs.values()])
    print(
        f"4 x 50: {np.median(checked):.2f} ms of processor time with the check, "
        f"{np.median(plain):.2f} without (medians)"
    )
    worst = max(costs, key=lambda name: costs[name][0])
    print(f"dearest: {worst}, {costs[worst][0]:.2f} ms")
    taken = 0
    for name, make in RIGHT.items():
        objective = make()
        try:
            probe(objective, fitting_sizes(objective), GAMES, seed=1)
            taken += 1
        except dg.DagameError as error:
            print(f"false alarm: {name}: {error}")
    print(f"right: {taken} of {len(RIGHT)} taken in all {GAMES} games")
    refused = 0
    for name, (make, _) in WRONG.items():
        try:
            objective = make()
            probe(objective, fitting_sizes(objective), GAMES, seed=1)
            print(f"missed: {name}")
        except dg.DagameError:
            refused += 1
    print(f"wrong: {refused} of {len(WRONG)} refused")


if __name__ == "__main__":
    main()
