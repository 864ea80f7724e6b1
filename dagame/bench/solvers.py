"""Time and certified gap of every solver on the same games, as performance profiles.

Games: two of each concave, differentiable random objective of `dagame.games.random_games` at 3 x 10 and
4 x 40 contexts x answers, beta = 1, strengths log-uniform in [0.1, 10] (quick: three objectives, 3 x 10).
Times count the construction of the program. Each is the median of runs until 0.2 s or three
are through, after a warm-up on a game of each size; iterative peers are stopped at the limit.
The gap is the package's certificate of the marginals that a solver returns, relative to max(1, |J|).

A profile gives, for a factor tau, the fraction of games that a solver brought below the tolerance in at
most tau times the time of the fastest that did. Failures, time-outs and misses stay in
the denominator; games that a peer cannot state do not (`games` counts the others).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DagameError
from ..games.certificate import certify
from ..games.game import AlignmentGame
from ..games.random_games import OBJECTIVES, random_game
from .common import Result, Watch, explain_below, group, label, panels, timed
from .peers import NotStated, OutOfTime, Peer, peers
from .tables import Row, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = tuple(
    kind
    for kind in OBJECTIVES
    if kind not in ("difference", "sharpening", "self-consistency", "agreement")
)
QUICK_KINDS = ("shannon", "coherence", "geometric")
SIZES = ((3, 10), (4, 40))
TOLERANCES = (1e-4, 1e-8)
FACTORS = np.geomspace(1, 1e5, 101)
SOLVES = {
    "m x n": "contexts x answers",
    "seconds": "median of runs, with the construction of the program",
    "gap": "certified from the marginals that the solver returned, relative to max(1, |J|)",
    "status": "done, not stated (the solver has no form for the game), out of time, or how it failed",
}
LEGEND = {
    "games": "games that the solver can be given; the shares are of these",
    "share to 0.0001": "share brought to a certified gap of 1e-4 of max(1, |J|) within the limit",
    "share to 1e-08": "share brought to 1e-8",
    "failed": "games that ended in an error, or without a finite gap",
    "out of time": "games stopped at the limit of the title",
    "median, ms": "milliseconds of the games solved to 1e-4, with the construction of the program",
    "times dagame's": "median ratio of the times of the same games",
    "median gap": "of every game that ended, relative to max(1, |J|)",
    "largest gap": "of the same",
}


@timed
def run(quick: bool, seed: int = 0, *, watch: Watch) -> Result:
    """Every peer on every game, and the profiles at both tolerances."""
    limit, sizes = (0.5, SIZES[:1]) if quick else (4.0, SIZES)
    games = _games(QUICK_KINDS if quick else KINDS, sizes, seed)
    warm = [_warm_up(m, n, seed) for m, n in sizes]
    found: dict[str, Peer | str] = peers(limit)
    missing = {name: why for name, why in found.items() if isinstance(why, str)}
    rows = [
        row
        for name, peer in found.items()
        if not isinstance(peer, str)
        for row in _solves(name, peer, warm, games, watch)
    ]
    title = f"{len(games)} games, peers stopped after {limit:g} s a game"
    each = Section("games", "Every solve", rows, SOLVES, names=3, printed=False)
    settings = {"beta": 1.0, "seconds at most": limit, "games": len(games)}
    sections = [each, Section("rows", title, _summary(rows), LEGEND)]
    return Result("solvers", quick, seed, settings, sections, _facts(rows, missing))


def _facts(rows: list[Row], missing: dict[str, str]) -> Row:
    return {
        "profiles": {f"{tol:g}": profiles(rows, tol, FACTORS) for tol in TOLERANCES},
        "factors": [float(f"{f:.4g}") for f in FACTORS],
        "skipped": missing,
        "notes": [f"{name}: skipped, {why}" for name, why in missing.items()],
    }


def _solves(
    name: str,
    peer: Peer,
    warm: list[AlignmentGame],
    games: list[tuple[str, AlignmentGame]],
    watch: Watch,
) -> Iterator[Row]:
    """The rows of a peer, once it has run on a game of each size."""
    for game in warm:
        _solved(peer, game)
    for kind, game in watch.over(games, lambda g: f"{name}: {g[0]}"):
        size = f"{game.contexts} x {game.n}"
        yield {"solver": name, "objective": kind, "m x n": size, **_solved(peer, game)}


def _games(
    kinds: tuple[str, ...], sizes: tuple[tuple[int, int], ...], seed: int
) -> list[tuple[str, AlignmentGame]]:
    made = []
    for at, kind in enumerate(kinds):
        for m, n in sizes:
            rng = np.random.default_rng([seed, at, m, n])
            for _ in range(2):
                objective = OBJECTIVES[kind](rng, m, n)
                options: Row = {"contexts": m, "answers": n, "zeros": 0.0, "floor": 0.0}
                made.append((kind, random_game(rng, objective=objective, **options)))
    return made


def _warm_up(m: int, n: int, seed: int) -> AlignmentGame:
    return random_game(np.random.default_rng(seed), contexts=m, answers=n, zeros=0.0)


def _solved(peer: Peer, game: AlignmentGame) -> Row:
    """Seconds, relative gap and how it went."""
    times: list[float] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while len(times) < 3 and sum(times) < 0.2:
                started = time.perf_counter()
                nu = peer(game)
                times.append(time.perf_counter() - started)
        gap = float(certify(game, nu).relative_gap)
    except NotStated:
        return {"seconds": None, "gap": None, "status": "not stated"}
    except OutOfTime:
        return {"seconds": None, "gap": None, "status": "out of time"}
    except (DagameError, ArithmeticError, ValueError) as error:
        return {"seconds": None, "gap": None, "status": f"failed: {str(error)[:80]}"}
    status = "done" if np.isfinite(gap) else "failed: no finite gap"
    return {"seconds": float(np.median(times)), "gap": gap, "status": status}


def profiles(rows: list[Row], tolerance: float, factors: Any) -> dict[str, list[float]]:
    """Per solver the share of its stated games solved within each factor of the fastest."""
    names = list(dict.fromkeys(r["solver"] for r in rows))
    mine = [[r for r in rows if r["solver"] == name] for name in names]
    seconds = np.array([[_time(r, tolerance) for r in some] for some in mine])
    stated = np.array([[r["status"] != "not stated" for r in some] for some in mine])
    best = seconds.min(axis=0)
    with np.errstate(invalid="ignore"):
        ratio = np.where(np.isfinite(seconds), seconds / best, np.inf)
    return {
        name: [float((ratio[k][stated[k]] <= f).sum() / max(stated[k].sum(), 1)) for f in factors]
        for k, name in enumerate(names)
    }


def _time(row: Mapping[str, Any], tolerance: float) -> float:
    solved = row["gap"] is not None and row["gap"] <= tolerance
    return row["seconds"] if solved else np.inf


def _summary(rows: list[Row]) -> list[Row]:
    """One line per solver: what it solved, how fast, how well."""
    by_solver = group(rows, "solver")
    ours = by_solver["dagame"]
    return [{"solver": name, **_summed(mine, ours)} for name, mine in by_solver.items()]


def _summed(mine: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]) -> Row:
    stated = [r for r in mine if r["status"] != "not stated"]
    gaps = [r["gap"] for r in stated if r["gap"] is not None]
    good = [(r, o) for r, o in zip(mine, ours, strict=True) if np.isfinite(_time(r, 1e-4))]
    return {
        "games": len(stated),
        **{f"share to {tol:g}": _share(stated, tol) for tol in TOLERANCES},
        "failed": sum(r["status"].startswith("failed") for r in stated),
        "out of time": sum(r["status"] == "out of time" for r in stated),
        "median, ms": _median([1e3 * r["seconds"] for r, _ in good]),
        "times dagame's": _median([r["seconds"] / o["seconds"] for r, o in good]),
        "median gap": _median(gaps),
        "largest gap": max(gaps, default=None),
    }


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def _share(stated: Sequence[Mapping[str, Any]], tolerance: float) -> float | None:
    if not stated:
        return None
    return sum(bool(np.isfinite(_time(r, tolerance))) for r in stated) / len(stated)


def draw(result: Result) -> Figure:
    """Performance profiles at both tolerances."""
    from ..show.plots import CYCLE

    figure, both = panels(2, width=4.8)
    styles = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 1)))
    for axes, (tolerance, curves) in zip(both, result.facts["profiles"].items(), strict=True):
        for k, (name, curve) in enumerate(curves.items()):
            look: Any = {"color": CYCLE[k], "ls": styles[k], "lw": 1.8, "label": name}
            axes.step(result.facts["factors"], curve, where="post", **look)
        axes.set_xscale("log")
        axes.set_ylim(-0.02, 1.03)
        title = f"certified relative gap ≤ {tolerance}"
        label(axes, "time / time of the fastest", "share of games solved", title)
    explain_below(figure, both[0], 3)
    return figure
