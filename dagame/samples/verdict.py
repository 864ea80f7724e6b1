"""What solved samples amount to: one sentence, its uncertainty, other strengths, classes that stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..errors import DagameError
from ..games.solution import Status
from ..numerics.arrays import to_numpy
from ..numerics.exact import exact_mean
from ..solvers import solve
from .bootstrap import bootstrap_means
from .facts import Facts
from .how_read import Caution
from .metrics import accuracy, agreement

if TYPE_CHECKING:
    import polars as pl

    from ..games.solution import Solution
    from .partition import Bucket

FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""The curve over strengths: times the strength that was solved."""

CELLS = 200_000
"""Classes x contexts x answers above which no other strength is solved."""

_CLEAR = 0.005
_CLASSES = 20_000


class Found(Protocol):
    """Solved samples, in memory or in parts; their tables and solutions where there are few cells."""

    @property
    def facts(self) -> Facts: ...  # noqa: D102
    @property
    def summary(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def classes(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def buckets(self) -> list[Bucket]: ...  # noqa: D102
    @property
    def solutions(self) -> list[Solution]: ...  # noqa: D102


class Point(NamedTuple):
    """Means over classes at `factor` times the strength; None where it is not known."""

    factor: float
    agreement: float | None
    accuracy: float | None
    no_answer: float | None


# -- one sentence ---------------------------------------------------------------------------------


def verdict(found: Found) -> str:
    """What the equilibrium would change, and whether a majority vote does better."""
    s = found.summary
    used = s["classes"] - len(s["infeasible"])
    if not used:
        return "No class is feasible: no answer is possible in every context."
    if sum(found.facts.still.values()) == used:
        return f"Nothing would change: {_reasons(found)}."
    told = [
        (name, s[f"{name}_reference"], s[f"{name}_equilibrium"])
        for name in ("agreement", "accuracy")
        if s[f"{name}_reference"] is not None and s[f"{name}_equilibrium"] is not None
    ]
    said = " and ".join(_changes(told))
    if not told:
        said = f"{100 * (found.facts.mean('moved') or 0):.1f}% of the answers' mass would move"
    parts = [said.capitalize()]
    if s["accuracy_reference"] is None:
        parts.append("whether it is right is not known without labels")
    elif s["majority_accuracy"] is not None:
        parts.append(_majority(found, s["accuracy_equilibrium"], s["majority_accuracy"]))
    if s["no_answer_equilibrium"] > s["no_answer"] + _CLEAR:
        none = ("the share without an answer", s["no_answer"], s["no_answer_equilibrium"])
        parts.append(*_changes([none]))
    return "; ".join(parts) + "."


def _changes(told: Sequence[tuple[str, float, float]]) -> Iterator[str]:
    """Parts such as "agreement would rise from 0.22 to 0.38", "accuracy from 0.57 to 0.69"."""
    last = ""
    for name, before, after in told:
        if f"{before:.2f}" == f"{after:.2f}":
            verb, values = "would stay at", f"{after:.2f}"
        else:
            verb = f"would {'rise' if after > before else 'fall'} from"
            values = f"{before:.2f} to {after:.2f}"
        yield f"{name} {verb.split()[-1] if verb == last else verb} {values}"
        last = verb


def _majority(found: Found, now: float, vote: float) -> str:
    """With the advice of a higher strength where that closes half of the distance to the vote."""
    said = f"a majority vote over all samples is right in {vote:.2f}"
    if vote <= now + _CLEAR:
        return said
    stronger = at_strength(found, 10.0)
    if stronger is None or stronger.accuracy is None or stronger.accuracy < (now + vote) / 2:
        return said
    return f"{said}: raise the strength (10 times gives {stronger.accuracy:.2f})"


# -- other strengths ------------------------------------------------------------------------------


def at_strength(found: Found, factor: float) -> Point | None:
    """The means at `factor` times the strength: the game at beta / factor has the same equilibrium.

    None where the file is too large for it, or that game is not solved.
    """
    if factor == 1:
        s = found.summary
        names = ("agreement_equilibrium", "accuracy_equilibrium", "no_answer_equilibrium")
        return Point(factor, *(s[name] for name in names))
    if found.facts.cells > CELLS:
        return None
    columns: list[list[np.ndarray]] = [[], [], []]
    for bucket, solution in zip(found.buckets, found.solutions, strict=True):
        game = solution.game
        try:
            changed = game.with_objective(game.objective, game.beta / factor)
            other = solve(changed, "auto", tol=1e-8, throw=False)
        except DagameError:
            return None
        feasible = np.array([status is not Status.INFEASIBLE for status in other.statuses])
        if any(s not in (Status.SOLVED, Status.INFEASIBLE) for s in other.statuses):
            return None
        nu = to_numpy(other.marginals)[feasible]
        right = None if bucket.correct is None else bucket.correct[feasible]
        empty = bucket.no_answer[feasible][:, None, :]
        columns[0].append(agreement(nu))
        columns[1].append(accuracy(nu, right))
        columns[2].append((nu * empty).sum(-1).mean(-1))
    return Point(factor, *(_mean(np.concatenate(parts)) for parts in columns))


def curve(found: Found) -> list[Point]:
    """The means at each of `FACTORS`, those left out that cannot be had."""
    points = [at_strength(found, factor) for factor in FACTORS]
    return [point for point in points if point is not None]


def _mean(values: np.ndarray) -> float | None:
    return exact_mean(values[~np.isnan(values)])


# -- uncertainty ----------------------------------------------------------------------------------


def intervals(found: Found, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95% bootstrap intervals of the means over classes, and of their gains, classes resampled.

    They say how far another draw of classes may differ, not another draw of samples: the
    equilibrium is that of these very samples. Empty above 20,000 classes.
    """
    out: dict[str, tuple[float, float]] = {}
    if not 1 < found.facts.feasible <= _CLASSES:
        return out
    table = found.classes.filter(found.classes["status"] != "infeasible")
    for name in ("accuracy", "agreement"):
        pair = table.select(f"{name}_reference", f"{name}_equilibrium").drop_nulls().to_numpy()
        columns = np.column_stack([pair, pair[:, 1:] - pair[:, :1]]) if len(pair) else pair
        ends = bootstrap_means(columns, seed=seed)
        if ends is None:
            continue
        low, high = ends
        for k, what in enumerate(("reference", "equilibrium", "gain")):
            out[f"{name}_{what}"] = float(low[k]), float(high[k])
    return out


# -- classes in which no policy moves -------------------------------------------------------------

_WHY = {  # by the reasons of facts.REASONS
    "single": ("every context has one sample", "draw several samples for each context"),
    "unanimous": (
        "every context always gives one answer",
        "only harder questions or a higher temperature leave something to change",
    ),
    "alone": ("there is one context", "name paraphrases or formats as contexts"),
    "even": (
        "the objective pays every answer alike there",
        "raise the strength, or take another objective",
    ),
}


def _reasons(found: Found) -> str:
    counts = {kind: count for kind in _WHY if (count := found.facts.still[kind])}
    several = len(counts) > 1
    return ", ".join(f"{_WHY[k][0]}{f' (in {c:,})' if several else ''}" for k, c in counts.items())


def game_cautions(found: Found) -> tuple[Caution, ...]:
    """Warnings about the game: classes in which no policy moves, contexts that are missing."""
    said = []
    counts = found.facts.still
    feasible, still = found.facts.feasible, sum(counts.values())
    if still * 2 > feasible:
        first = max(_WHY, key=lambda kind: counts[kind])
        said.append(
            Caution(
                "no policy moves",
                f"in {still:,} of {feasible:,} classes the equilibrium is the reference: "
                f"{_reasons(found)}; {_WHY[first][1]}.",
            )
        )
    missing = _missing(found.facts)
    return (*said, *([] if missing is None else [missing]))


def _missing(facts: Facts) -> Caution | None:
    """Classes with fewer contexts than the others, where the contexts have common names."""
    most, least = max(facts.contexts_of), min(facts.contexts_of)
    fewer, alone = facts.classes - facts.contexts_of[most], facts.still["alone"]
    names = facts.context_names
    if fewer and names is not None and len(names) == most:
        return Caution(
            "contexts missing",
            f"{fewer:,} of {facts.classes:,} classes lack some of the {most} contexts (the fewest have "
            f"{least}), so their agreement is over fewer: add the missing rows, or leave those "
            "classes out.",
        )
    if fewer and alone:
        return Caution(
            "contexts missing",
            f"{alone:,} of {facts.classes:,} classes have one context, where agreement changes "
            "nothing: add paraphrases, or leave those classes out.",
        )
    return None
