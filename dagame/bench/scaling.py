"""Cost to a fixed gap as the traces multiply: |Y| = V^T for V = 4 tokens (docs/theory/complexity.md).

The reference is an autoregressive chain (`dagame.bench.chain`) of m = 2 contexts; the answer of a trace
is its last two tokens, n = 16 answers whatever T; Phi = Coherence(2), beta = 1. The gap to reach is a
tenth of that of the reference at T = 4, the same number for every way and size. The ways, and what
is counted of each:

* gradient by enumeration: exact gradient ascent on the trace table (the mirror step, whose rounds do not
  depend on |Y|, T5): every round evaluates all m |Y| traces. Trace evaluations, also to a gap of 1e-9.
* solver on traces: Anderson acceleration of the same on the trace table. Trace evaluations.
* one pass to the answers: one pass over the m |Y| traces that sums nu0. Trace evaluations.
* solver on answers: the game on the 16 answers after that pass, to a gap of 1e-10. No trace is evaluated
  any more: seconds, the pass left out.
* cvxpy on traces: the same program stated on traces to cvxpy and CLARABEL, until a size takes longer than
  the limit. Seconds, with the construction.
* sampled game: Coherence-GRPO on the chain's own logits, K = 32 traces a context and round, judged
  exactly. Traces drawn, median of the replicas (every one is evaluated once under pi and pi0).

`slopes` are least-squares slopes of log cost on log |Y|, `slopes_of` names the cost; wall time of every
way is in the rows. What was not reached is kept with its reason.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DagameError
from ..games.answer_map import AnswerMap
from ..games.certificate import certify_log
from ..games.game import AlignmentGame, Evaluation
from ..numerics.arrays import to_numpy
from ..objectives import Coherence
from ..scale.streaming import answer_masses
from ..solvers import solve
from ..solvers.anderson import Anderson
from ..solvers.base import Solver
from ..solvers.convex import convex_solve
from ..solvers.loop import rounds
from ..solvers.mirror import Mirror
from .chain import ChainGame, answers_of, random_chain, trace_table, train
from .common import Result, Watch, group, label, median_seconds, panels, slope, timed
from .context_costs import CALLS, LEVELS, ORDERS, calls, contexts, levels
from .tables import Row, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOKENS, CONTEXTS, STRENGTH, BETA, SHARE = 4, 2, 2.0, 1.0, 0.1
FINE = 1e-9
GROUP, REPLICAS, RATE, ROUNDS = 32, 9, 0.05, 8_000
TABLES = {"mirror": 14, "anderson": 36}
"""Tables of the size of the policy that a way holds at its peak, to be refused before memory ends."""

COUNTED = {
    "gradient by enumeration": "trace evaluations",
    "cvxpy on traces": "seconds",
    "solver on traces": "trace evaluations",
    "one pass to the answers": "trace evaluations",
    "solver on answers": "seconds",
    "sampled game": "trace evaluations",
}


LEGEND = {
    "|Y|": "number of traces of a context",
    "way": "how the game is solved; the text of dagame/bench/scaling.py says each",
    "trace evaluations": "traces evaluated until the gap of the title, over both contexts",
    "seconds": "wall time of the same, one thread",
    "evaluations to 1e-9": "traces evaluated until a gap of 1e-9",
    "rounds": "rounds until the gap of the title",
    "gap": "the gap where it stopped",
    "note": "range over the replicas, or why there is no number",
}
FITS = {
    "cost": "what is counted: trace evaluations, or wall time where none are needed",
    "slope": "least squares of log cost on log |Y|: 1 grows like the traces, 0 does not depend on them",
}


class CountedGame(AlignmentGame):
    """A game that counts the traces evaluated, over all contexts."""

    evaluated: list[int]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """As `AlignmentGame`; copies share the counter."""
        super().__init__(*arguments, **options)
        vars(self).update(evaluated=[0])

    def evaluate(self, log_policy: Any) -> Evaluation:
        """As `AlignmentGame.evaluate`, counted."""
        self.evaluated[0] += int(np.prod(log_policy.shape))
        return super().evaluate(log_policy)


@timed
def run(quick: bool, seed: int = 0, *, watch: Watch) -> Result:
    """All sizes from 2^8 to 2^24 (quick: 2^16), then the costs in the number of contexts."""
    limit = 3.0 if quick else 60.0
    gap = float(SHARE * _sampled(4, seed).gap(_chain(4, seed)[None])[0])
    rows = _sizes(range(4, 9, 2) if quick else range(4, 13), seed, gap, limit, watch)
    slopes = {
        way: slope([r["|Y|"] for r in mine], [r[COUNTED[way]] for r in mine])
        for way, mine in group(rows, "way").items()
    }
    forms = contexts((8, 16, 32, 64, 128) if quick else (8, 16, 32, 64, 128, 256), seed, watch)
    lengths = (4, 5, 6) if quick else (4, 5, 6, 7, 8, 9)
    level_rows, level_slopes = levels(lengths, TOKENS, CONTEXTS, seed, STRENGTH, watch)
    sections = _sections(_title(gap, limit), rows, level_rows, forms, slopes)
    facts = {"gap": gap, "slopes": slopes, "slopes_of": COUNTED, "slopes_of_levels": level_slopes}
    facts["slopes_of_contexts"] = {r["form"]: r["slope of seconds in m"] for r in forms}
    return Result("scaling", quick, seed, _settings(limit), sections, facts)


def _title(gap: float, limit: float) -> str:
    return f"To a gap of {gap:.3g}: Coherence(2), beta 1, 2 contexts, 16 answers; cvxpy has {limit:g} s"


def _sections(
    title: str, rows: list[Row], of_levels: list[Row], forms: list[Row], slopes: Row
) -> list[Section]:
    fits = [{"way": w, "cost": COUNTED[w], "slope": slopes[w]} for w in slopes]
    in_calls = "Calls for a class of 8 paraphrases, 8 responses each"
    return [
        Section("rows", title, rows, LEGEND, names=2),
        Section("levels", "Coherence of traces and of answers, beta 1", of_levels, LEVELS),
        Section("contexts", "One value and reward of m marginals over 64 answers", forms, ORDERS),
        Section("calls", in_calls, calls(8, 8), CALLS),
        Section("fits", "Log-log slopes in |Y| of the cost to that gap", fits, FITS),
    ]


def _settings(limit: float) -> Row:
    return {
        "tokens": TOKENS, "contexts": CONTEXTS, "answers": TOKENS**2, "strength": STRENGTH,
        "beta": BETA, "share of the first gap": SHARE, "group size": GROUP, "replicas": REPLICAS,
        "learning rate": RATE, "round limit": ROUNDS, "cvxpy's limit, seconds": limit,
    }  # fmt: skip


def _chain(length: int, seed: int) -> np.ndarray:
    return random_chain(np.random.default_rng(seed), CONTEXTS, TOKENS, length)


def _sampled(length: int, seed: int) -> ChainGame:
    return ChainGame(_chain(length, seed), Coherence(STRENGTH), BETA, GROUP, [seed, length])


def _sizes(lengths: Sequence[int], seed: int, gap: float, limit: float, watch: Watch) -> list[Row]:
    import cvxpy  # noqa: F401  # loaded before its first size is timed

    rows: list[Row] = []
    for length in watch.over(lengths, lambda t: f"|Y| = {TOKENS}^{t}"):
        rows += _size(length, seed, gap, limit, rows)
    return rows


def _size(length: int, seed: int, gap: float, limit: float, before: list[Row]) -> list[Row]:
    """The rows of one size, every way."""
    chain, answers = _chain(length, seed), answers_of(length, TOKENS)
    table = np.exp(trace_table(chain))
    found = [
        _on_traces("gradient by enumeration", Mirror(), table, answers, gap),
        _on_traces("solver on traces", Anderson(), table, answers, gap),
        *_on_answers(table, answers),
        _cvxpy(table, answers, gap, limit, [r for r in before if r["way"] == "cvxpy on traces"]),
        _by_samples(length, seed, gap),
    ]
    return [{"|Y|": TOKENS**length, **row} for row in found]


def _row(way: str, seconds: float | None, evaluations: int | None, **more: Any) -> Row:
    row = {"way": way, "trace evaluations": evaluations, "seconds": seconds}
    row |= {"evaluations to 1e-9": None, "rounds": None, "gap": None, "note": ""}
    return row | more


def _on_traces(way: str, solver: Solver, table: np.ndarray, answers: np.ndarray, gap: float) -> Row:
    """A method of the package on the trace table itself, round by round."""
    needed, free = TABLES[solver.name] * table.nbytes, _free_memory()
    if needed > free:
        note = f"not tried: needs about {needed / 2**30:.0f} GiB, {free / 2**30:.0f} are free"
        return _row(way, None, None, note=note)
    found = _ascent(way, solver, table, answers, gap)
    if found["seconds"] is None or found["seconds"] > 0.1:
        return found
    again = [_ascent(way, solver, table, answers, gap)["seconds"] for _ in range(5)]
    return {**found, "seconds": float(np.median(again))}


def _ascent(way: str, solver: Solver, table: np.ndarray, answers: np.ndarray, gap: float) -> Row:
    """One run: until the gap, timed and counted, then on to `FINE`, counted."""
    made = CountedGame(table, Coherence(STRENGTH), beta=BETA, answers=answers)
    counter, started, found = made.evaluated, time.perf_counter(), _row(way, None, None)
    for round_, (_, now, _) in zip(range(ROUNDS + 1), rounds(made.flat(), solver), strict=False):
        reached = float(now.gap[0])
        if found["seconds"] is None and reached <= gap:
            seconds = time.perf_counter() - started
            found = _row(way, seconds, counter[0], rounds=round_, gap=reached)
        if reached <= FINE:
            return {**found, "evaluations to 1e-9": counter[0]}
    return {**found, "note": f"the round limit came before {FINE:g}"}


def _free_memory() -> int:
    """Bytes that can be had without swapping."""
    info = Path("/proc/meminfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable"):
                return 1024 * int(line.split()[1])
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 4 << 30


def _on_answers(table: np.ndarray, answers: np.ndarray) -> list[Row]:
    """The pass over the traces, and the solve on their answers."""
    masses = answer_masses(table, answers, TOKENS**2)
    passed = median_seconds(lambda: answer_masses(table, answers, TOKENS**2), 5)
    reference = masses / masses.sum(-1, keepdims=True)
    game = AlignmentGame(reference, Coherence(STRENGTH), beta=BETA)
    solution = solve(game)
    seconds = median_seconds(lambda: solve(game), 9)
    more = {"rounds": int(solution.steps), "gap": float(solution.gap), "note": "after the pass"}
    return [
        _row("one pass to the answers", passed, table.size, rounds=1),
        _row("solver on answers", seconds, None, **more),
    ]


def _cvxpy(
    table: np.ndarray, answers: np.ndarray, gap: float, limit: float, before: list[Row]
) -> Row:
    """J stated on the trace policy; given up for good once a size took longer than the limit."""
    way, seconds, reached = "cvxpy on traces", None, None
    if before and (before[-1]["seconds"] is None or before[-1]["seconds"] > limit):
        note = f"not tried: a smaller size failed or took more than {limit:g} s"
        return _row(way, None, None, note=note)
    channel = AnswerMap.channel(np.eye(TOKENS**2)[answers])
    game = AlignmentGame(table, Coherence(STRENGTH), beta=BETA, answers=channel)
    started, note = time.perf_counter(), ""
    try:
        with warnings.catch_warnings(action="ignore"):
            log_pi, _ = convex_solve(game.flat(), "CLARABEL", time_limit=limit)
        seconds = time.perf_counter() - started
        reached = float(to_numpy(certify_log(game, log_pi[0]).gap))
    except DagameError as error:
        note = f"failed after {time.perf_counter() - started:.0f} s: {error}"
    if reached is not None and seconds is not None and reached > gap:
        seconds, note = None, f"stopped by the limit after {seconds:.0f} s"
    return _row(way, seconds, None, gap=reached, note=note)


def _by_samples(length: int, seed: int, gap: float) -> Row:
    """Coherence-GRPO on the chain until every replica has reached the gap."""
    started = time.perf_counter()
    done = train(_sampled(length, seed), gap, steps=ROUNDS, learning_rate=RATE, replicas=REPLICAS)
    seconds, drawn = time.perf_counter() - started, float(np.median(done.drawn))
    found = _row("sampled game", seconds, None, gap=float(np.median(done.gaps[-1])))
    if not np.isfinite(drawn):
        return {**found, "note": "the round limit came first"}
    note = f"replicas {done.drawn.min():,.0f} to {done.drawn.max():,.0f}"
    rounds = int(drawn) // (GROUP * CONTEXTS)
    return {**found, "trace evaluations": int(drawn), "rounds": rounds, "note": note}


# -- the picture ----------------------------------------------------------------------------------

STYLES = {
    "gradient by enumeration": (1, "o"),
    "solver on traces": (3, "s"),
    "one pass to the answers": (7, "v"),
    "solver on answers": (0, "D"),
    "cvxpy on traces": (5, "x"),
    "sampled game": (2, "^"),
}
"""Colour and mark of each way."""


def draw(result: Result) -> Figure:
    """Trace evaluations, wall time, and the cost of a value and reward against m."""
    figure, (counts, seconds, forms) = panels(3)
    slopes = result.facts["slopes"]
    for way, rows in group(result["rows"], "way").items():
        _line(counts, way, rows, "trace evaluations", slopes)
        _line(seconds, way, rows, "seconds", slopes)
    for axes, y, title in (
        (counts, "trace evaluations (both contexts)", f"to a gap of {result.facts['gap']:.2g}"),
        (seconds, "seconds", "wall time of the same"),
    ):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        label(axes, "traces |Y| = 4^T", y, title)
        axes.set_ylim(top=axes.get_ylim()[1] * 300)
        axes.legend(fontsize=7, frameon=False, loc="upper left")
    _forms(forms, result)
    return figure


def _line(axes: Axes, way: str, rows: Any, cost: str, slopes: dict[str, float | None]) -> None:
    from ..show.plots import CYCLE

    known = [(r["|Y|"], r[cost]) for r in rows if r[cost]]
    if not known:
        return
    colour, mark = STYLES[way]
    fit = slopes[way] if COUNTED[way] == cost else slope(*zip(*known, strict=True))
    text = way if fit is None else f"{way}, slope {round(fit, 2) + 0:.2f}"
    style: Any = {"marker": mark, "ms": 4, "lw": 1.3, "color": CYCLE[colour]}
    if way == "gradient by enumeration":  # the solver on traces lies on it
        style |= {"ms": 8, "lw": 3, "mfc": "white", "alpha": 0.7}
    axes.plot(*zip(*known, strict=True), label=text, **style)
    fine = [(r["|Y|"], r["evaluations to 1e-9"]) for r in rows if r["evaluations to 1e-9"]]
    if fine and cost == "trace evaluations":
        style |= {"ls": "--", "mfc": "white"}
        axes.plot(*zip(*fine, strict=True), label=f"{way}, to 1e-9", **style)


def _forms(axes: Axes, result: Result) -> None:
    from ..show.plots import CYCLE

    for k, row in enumerate(result["contexts"]):
        text = f"{row['form']}, slope {row['slope of seconds in m']:.2f}"
        x, y = [int(m) for m in row["seconds"]], [1e3 * s for s in row["seconds"].values()]
        axes.loglog(x, y, "osv^Dx"[k] + "-", ms=4, lw=1.3, color=CYCLE[k], label=text)
    label(axes, "contexts m", "milliseconds", "one value and reward, 64 answers")
    axes.legend(fontsize=7, frameon=False)
