"""Nash = ALFT optimum (T2) on thousands of random games, with cvxpy as the referee.

Per game: the equilibrium by `dagame.solve`, certified (both players' exploitabilities add to the gap),
and the ALFT problem stated to cvxpy and CLARABEL. Every second game has traces: there the referee
optimises the trace policy itself, the answer map being a 0/1 channel (T3). The value of the referee's
policy is J, computed from the definition, so that J(Nash) + gap >= J(referee) must hold, but for what
a hard set broken by the referee's tolerance is worth, multipliers x excess (weak duality): `beaten`
counts the games where it does not, beyond 1e-9. `above 1e-6` counts those where the two values differ
by more than that relative to max(1, |J|), which is cvxpy's accuracy. References hold exact zeros;
every third game has masses of 1e-12 besides. Nothing that fails is left out: `no convex program` counts
games that are none as stated (T6 certifies these), `cvxpy failed` those for which cvxpy gave
no answer, or called infeasible what has a certified equilibrium.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DagameError, InvalidObjective, NotConcave
from ..games.answer_map import AnswerMap
from ..games.certificate import certify_log
from ..games.game import AlignmentGame
from ..games.random_games import KINKED, OBJECTIVES, random_game_of
from ..games.solution import Solution, Status
from ..numerics.arrays import to_numpy
from ..solvers import solve
from ..solvers.convex import convex_solve
from .common import Result, Watch, label, panels, timed
from .tables import Row, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAMES, QUICK_GAMES = 100, 3
TOLERANCE, AGREEMENT, ROUNDING = 1e-9, 1e-6, 1e-9
LEGEND = {
    "solved": "games with a certified relative gap below 1e-9, or without any policy of finite value",
    "largest gap": "the largest certified gap of an equilibrium, relative to max(1, |J|)",
    "solved by cvxpy": "games for which cvxpy, the referee, gave a policy; the differences are of these",
    "median difference": "of |J(equilibrium) - J(cvxpy's policy)| / max(1, |J|)",
    "largest difference": "of the same",
    "differing by over 1e-6": "games where the same is above 1e-6, the accuracy of cvxpy",
    "cvxpy better": "games where cvxpy's policy is worth more than equilibrium and gap allow; 0 if T2 holds",
    "no convex program": "games that cvxpy cannot be given, as their J is none as stated",
    "cvxpy failed": "games for which cvxpy gave no answer, or a wrong one",
}


@dataclass(frozen=True)
class Played:
    """One game: relative gap and difference J(Nash) - J(referee), and how both ended."""

    status: str
    gap: float
    difference: float | None
    beaten: bool
    referee: str


@timed
def run(quick: bool, seed: int = 0, *, watch: Watch) -> Result:
    """Play `GAMES` (quick: 3) random games of each of the package's random objectives."""
    count = QUICK_GAMES if quick else GAMES
    kinds = [*OBJECTIVES, *KINKED]
    rows = []
    for at, kind in enumerate(watch.over(kinds, str)):
        rng = np.random.default_rng([seed, at])
        rows.append(_row(kind, [_play(kind, rng, k) for k in range(count)]))
    passed = all(r["cvxpy better"] == 0 and r["solved"] == r["games"] for r in rows)
    title = f"Equilibrium against answer-level fine-tuning by cvxpy, {count} games an objective"
    settings = {"games per objective": count, "beta": 1.0, "tolerance": TOLERANCE}
    facts = {"games": sum(r["games"] for r in rows), "notes": [verdict(rows)]}
    head = "equivalence", quick, seed, settings | {"referee": "CLARABEL"}
    return Result(*head, [Section("rows", title, rows, LEGEND)], facts, passed=passed)


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """What all rows together say, in a sentence."""
    refereed = [row for row in rows if row["solved by cvxpy"]]
    games, better = (
        sum(row[name] for row in refereed) for name in ("solved by cvxpy", "cvxpy better")
    )
    worst = max((row["largest difference"] for row in refereed), default=0.0)
    return (
        f"On {games:,} random games of {len(refereed)} objectives the equilibrium and cvxpy's optimum of "
        f"answer-level fine-tuning differ by at most {_rounded_up(worst):.1e} of max(1, |J|); cvxpy's is "
        f"better in {better:,}."
    )


def _rounded_up(value: float) -> float:
    """To two digits, never down."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.ceil(value / unit) * unit)


def _play(kind: str, rng: np.random.Generator, k: int) -> Played:
    m, n = int(rng.integers(1, 5)), int(rng.integers(2, 9))
    options: Row = {"floor": 1e-12 if k % 3 == 2 else 0.0}
    if k % 2:
        options["traces"] = 2 * n
    game = random_game_of(kind, rng, m, n, **options)
    solution = solve(game, tol=TOLERANCE, throw=False)
    status, gap = solution.status, float(to_numpy(solution.certificate.relative_gap))
    value, log_nu, how = _referee(game)
    if status is Status.INFEASIBLE:
        return Played("infeasible", gap, None, value is not None, how)
    if value is None or log_nu is None:
        return Played(status.name.lower(), gap, None, False, how)
    ours = float(solution.certificate.value)
    size = max(1.0, abs(ours))
    most = ours + float(solution.certificate.gap) + _worth(solution, log_nu) + ROUNDING * size
    return Played(status.name.lower(), gap, (ours - value) / size, value > most, how)


def _worth(solution: Solution, log_nu: np.ndarray) -> float:
    """What a hard set broken by these marginals is worth: multipliers x excess; 0 without one."""
    game = solution.game
    slack = game.objective.domain.slack(log_nu, game.weights)
    if slack is None or solution.multipliers is None:
        return 0.0
    return float((solution.multipliers * np.maximum(slack, 0)).sum())


def _referee(game: AlignmentGame) -> tuple[float | None, np.ndarray | None, str]:
    """J of cvxpy's policy and its answer marginals, or None and why."""
    stated = _on_traces(game)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            log_pi, feasible = convex_solve(stated.flat())
    except (NotConcave, InvalidObjective):
        return None, None, "no form"
    except (DagameError, ValueError, ArithmeticError):
        return None, None, "failed"
    if not feasible[0]:
        return None, None, "failed"
    value = float(certify_log(stated, log_pi[0]).value)
    if not np.isfinite(value):
        return None, None, "failed"
    return value, np.asarray(stated.answer_map.log_push_forward(log_pi[0])), "solved"


def _on_traces(game: AlignmentGame) -> AlignmentGame:
    """The game with its map as a channel, which cvxpy optimises trace by trace, where Phi allows it."""
    if game.answer_map.kind == "identity":
        return game
    if game.objective.deterministic_only:
        return game.on_answers()
    traces = np.eye(game.traces)
    return game.replaced(answer_map=AnswerMap.channel(game.answer_map.push_forward(traces)))


def _row(kind: str, played: list[Played]) -> Row:
    gaps = np.array([p.gap for p in played if p.status != "infeasible"])
    off = np.array([abs(p.difference) for p in played if p.difference is not None])
    referees = [p.referee for p in played]
    return {
        "objective": kind,
        "games": len(played),
        "solved": sum(p.status in ("solved", "infeasible") for p in played),
        "largest gap": float(gaps.max(initial=0)),
        "solved by cvxpy": len(off),
        "median difference": float(np.median(off)) if off.size else None,
        "largest difference": float(off.max()) if off.size else None,
        "differing by over 1e-6": int((off > AGREEMENT).sum()),
        "cvxpy better": sum(p.beaten for p in played),
        "no convex program": referees.count("no form"),
        "cvxpy failed": referees.count("failed"),
        "gaps": [float(f"{g:.3g}") for g in gaps],
        "differences": [float(f"{d:.3g}") for d in off],
    }


def draw(result: Result) -> Figure:
    """Every game's certified gap and difference of values, one line per objective."""
    from ..show.plots import AFTER, CYCLE

    rows, floor, most = list(result["rows"])[::-1], 1e-18, 1e-18
    figure, (axes,) = panels(1, width=7.2, height=1.2 + 0.24 * len(rows))
    for key, colour, shift, mark, told in (
        ("gaps", AFTER, 0.16, "o", "certified gap at the equilibrium"),
        ("differences", CYCLE[1], -0.16, "D", "|J(equilibrium) - J(cvxpy)|"),
    ):
        for place, row in enumerate(rows):
            shown = np.maximum(row[key], floor)
            at = np.full(len(shown), place + shift)
            axes.plot(shown, at, mark, color=colour, ms=2.6, alpha=0.5)
            most = max([most, *shown])
        axes.plot([], [], mark, color=colour, label=told)
    axes.set_xscale("log")
    axes.set_xlim(floor / 3, 10 ** np.ceil(np.log10(most) + 0.3))
    axes.set_yticks(range(len(rows)), [r["objective"] for r in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    label(axes, "relative to max(1, |J|); 1e-18 or less at the left edge", "")
    return figure
