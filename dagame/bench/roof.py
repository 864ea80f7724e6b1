"""How near solves come to one copy of their reference.

Every objective of the catalogue at strength 1 (0.5 where it is not concave), beta 1, on Dirichlet(1)
references: processor time of a solve over that of one copy of the reference in memory, both in one run, and
cvxpy's (CLARABEL) over ours where it states the game, on single games of at most 4 x 1,000, stopped at its
limit. Medians of warm repeats, with the compiled kernels where the extra `fast` is installed; gaps are the
certificate's, relative to max(beta, |J|).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DagameError
from ..games.certificate import certify
from ..games.game import AlignmentGame
from ..numerics.fast import kernels_from_the_first_game
from ..objectives.catalogue import CATALOGUE, Kind
from ..solvers import solve
from .common import Result, Watch, explain_below, group, label, panels, plain_ticks, timed
from .peers import NotStated, cvxpy
from .tables import Row, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Case = tuple[int, int, int]

CASES: tuple[Case, ...] = ((1, 4, 10), (1, 4, 1_000), (1, 4, 100_000), (2_000, 4, 64))
"""Games, contexts, answers; single games by size."""

QUICK: tuple[Case, ...] = ((1, 4, 10), (1, 4, 200), (50, 4, 16))
QUICK_KINDS = ("shannon", "coherence", "geometric", "hard-cap")

LEGEND = {
    "games": "in one batch",
    "m x n": "contexts x answers",
    "method": "what solved it, or why it was left out",
    "us a game": "microseconds of processor time, median of warm solves",
    "copies": "that over one copy of the reference in memory",
    "cvxpy": "time of cvxpy with CLARABEL, with the construction of the program, over ours",
    "gap": "largest certified gap, relative to max(beta, |J|)",
    "gap of cvxpy": "of the marginals that it returned",
}

REFEREED = 4_000
"""Numbers of a single game that is also given to cvxpy."""


REPEATS, REPEATS_OF_SMALL = 9, 99
"""Of a solve; of a small one, nine of which are over within a disturbance of the machine."""


def processor_seconds(call: Callable[[], Any], repeats: int, at_most: float = np.inf) -> float:
    """Median processor time of the process, of `repeats` calls, fewer after `at_most` seconds."""
    times: list[float] = []
    while len(times) < repeats and (not times or sum(times) < at_most):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return float(np.median(times))


def copied(table: np.ndarray, repeats: int = 5) -> float:
    """Processor seconds of one copy into memory that is there already, as often as a timer needs."""
    target, times = np.empty_like(table), max(1, 10_000_000 // table.size)

    def copy() -> None:
        for _ in range(times):
            np.copyto(target, table)

    return processor_seconds(copy, repeats) / times


@timed
def run(quick: bool, seed: int = 0, *, watch: Watch) -> Result:
    """Every objective at every size."""
    limit = 1.0 if quick else 2.0
    referee = limit / 2 if find_spec("cvxpy") else None
    kinds = [CATALOGUE[name] for name in (QUICK_KINDS if quick else CATALOGUE)]
    if referee:
        _refereed(_game(kinds[0], (1, 2, 3), seed), referee)  # loads cvxpy
    rows: list[Row] = []
    with kernels_from_the_first_game():
        for kind in watch.over(kinds, lambda k: k.name):
            rows += _sizes(kind, QUICK if quick else CASES, seed, limit, referee)
    notes = [] if referee else ["cvxpy is not installed: its column is empty"]
    settings = {"beta": 1.0, "seconds at most": limit, "cvxpy's seconds at most": referee}
    section = Section("rows", "Solves in copies of their reference", rows, LEGEND, names=3)
    return Result("roof", quick, seed, settings, [section], {"notes": notes})


def _sizes(
    kind: Kind, cases: tuple[Case, ...], seed: int, limit: float, referee: float | None
) -> list[Row]:
    """The rows of an objective; sizes that would take longer than the limit by the last one are left out."""
    rows, pace = [], 0.0
    for case in cases:
        games, m, n = case
        row: Row = {"objective": kind.name, "games": games, "m x n": f"{m} x {n:,}"}
        nothing = dict.fromkeys(("us a game", "copies", "cvxpy", "gap", "gap of cvxpy"))
        if pace * games * m * n > limit:
            rows.append({**row, "method": f"over {limit:g} s", **nothing})
            continue
        try:
            found, seconds = _measured(_game(kind, case, seed), limit, referee)
        except MemoryError:  # parity of many answers has a row for each and each pair of contexts
            rows.append({**row, "method": "over the memory", **nothing})
            continue
        rows.append({**row, **found})
        if m * n >= REFEREED:  # below, a solve costs its calls
            pace = max(pace, seconds / (games * m * n))
    return rows


def _game(kind: Kind, case: Case, seed: int) -> AlignmentGame:
    games, m, n = case
    rng = np.random.default_rng([seed, games, m, n])
    table = rng.dirichlet(np.ones(n), (games, m) if games > 1 else m)
    return AlignmentGame(table, kind.make(1.0 if kind.concave else 0.5, rng, m, n), beta=1.0)


def _measured(game: AlignmentGame, limit: float, referee: float | None) -> tuple[Row, float]:
    """The columns of a game, and the seconds of a solve."""
    games = max(1, int(np.prod(game.batch_shape)))
    found = solve(game, throw=False)  # warm
    small = games == 1 and game.contexts * game.n <= REFEREED
    repeats = REPEATS_OF_SMALL if small else REPEATS
    seconds = processor_seconds(lambda: solve(game, throw=False), repeats, limit / 4)
    theirs, their_gap = None, None
    if referee is not None and small and game.objective.concave:
        theirs, their_gap = _refereed(game, referee)
    row: Row = {
        "method": found.method,
        "us a game": 1e6 * seconds / games,
        "copies": seconds / copied(np.asarray(game.reference)),
        "cvxpy": None if theirs is None else theirs / seconds,
        "gap": float(np.max(found.certificate.relative_gap)),
        "gap of cvxpy": their_gap,
    }
    return row, seconds


def _refereed(game: AlignmentGame, limit: float) -> tuple[float | None, float | None]:
    """cvxpy's seconds and gap, None where it has no form or no answer within the limit."""
    peer, answers = cvxpy("CLARABEL", time_limit=limit), []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seconds = processor_seconds(lambda: answers.append(peer(game)), 3, limit / 8)
            return seconds, float(certify(game, answers[-1]).relative_gap)
    except (NotStated, DagameError, ArithmeticError, ValueError):
        return None, None


def draw(result: Result) -> Figure:
    """Copies of the reference of each objective, a mark for each size; cvxpy's time over ours."""
    from ..show.plots import CYCLE

    sizes = group(result["rows"], "m x n")
    names = list(group(result["rows"], "objective"))
    figure, (left, right) = panels(2, width=4.8, height=1.6 + 0.2 * len(names))
    for k, (size, rows) in enumerate(sizes.items()):
        games = rows[0]["games"]
        told: Any = {"color": CYCLE[k], "ms": 5, "alpha": 0.85, "lw": 0, "marker": "osD^"[k % 4]}
        told["label"] = size if games == 1 else f"{games:,} games of {size}"
        for axes, column in ((left, "copies"), (right, "cvxpy")):
            known = [r for r in rows if r[column] is not None]
            if known:
                at = [names.index(r["objective"]) for r in known]
                axes.plot([r[column] for r in known], at, **told)
    for axes, x in ((left, "copies of the reference"), (right, "cvxpy's time over ours")):
        axes.set_xscale("log")
        axes.set_yticks(range(len(names)), names if axes is left else [""] * len(names))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.minorticks_off()
        plain_ticks(axes.xaxis)
        axes.grid(axis="x", alpha=0.3, lw=0.6)
        label(axes, x, "")
    explain_below(figure, left, 4)
    return figure
