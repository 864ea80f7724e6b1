"""What solved samples amount to: one sentence, its uncertainty, other strengths, classes that stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DagameError
from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.exact import exact_mean
from ..provenance import provenance
from ..show.tables import Shown
from ..solvers import Path, path
from .bootstrap import bootstrap_tables
from .facts import Facts
from .held_out import FOLDS, HeldOut, held_out
from .how_read import Caution, HowRead
from .lazy import pl
from .metrics import accuracy, agreement

if TYPE_CHECKING:
    from ..games.solution import Solution
    from .partition import Bucket

FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""The curve over strengths: times the strength that was solved."""

CELLS = 200_000
"""Classes x contexts x answers above which no other strength is solved."""

_CLEAR = 0.005
_CLASSES = 20_000


class Found(Shown):
    """Solved samples, in memory or in parts; their tables and solutions where there are few cells."""

    samples: Any
    facts: Facts
    summary: dict[str, Any]
    classes: pl.DataFrame
    buckets: list[Bucket]
    solutions: list[Solution]

    def _read(self) -> HowRead:
        """How the answers were read."""
        raise NotImplementedError

    @cached_property
    def reading(self) -> HowRead:
        """How the answers were read, with the warnings of the solved game added."""
        read = self._read()
        return replace(read, warnings=(*read.warnings, *game_cautions(self)))

    @cached_property
    def verdict(self) -> str:
        """What it amounts to, in one sentence."""
        return verdict(self)

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95% bootstrap intervals over classes of the means in these samples, and of their gains.

        Of other questions; that other samples of these would agree less is in `held_out`. None above
        20,000 classes.
        """
        return intervals(self)

    @cached_property
    def held_out(self) -> HeldOut:
        """The same measures on samples left out of the fit, with intervals; none of many cells."""
        return judged_held_out(self)

    def provenance(self) -> dict[str, Any]:
        """Command, date, versions, file, and how answers were read and compared."""
        read = self._read()
        told = {"extract": read.extract, "canonical": read.canonical}
        return provenance() | {"source": self.samples.source} | told


class Point(NamedTuple):
    """Means over classes at `factor` times the strength; None where it is not known."""

    factor: float
    agreement: float | None
    accuracy: float | None
    no_answer: float | None


# -- one sentence ---------------------------------------------------------------------------------


class _Change(NamedTuple):
    """A measure before and after, the interval of the latter, and whether it surely changes."""

    name: str
    before: float
    after: float
    ends: tuple[float, float] | None = None
    sure: bool = True


def verdict(found: Found) -> str:
    """What the equilibrium would change, and whether a majority vote does better.

    Judged on samples that were left out of the fit where that can be done, with 95% intervals; else on the
    samples themselves, with the reason.
    """
    used = found.facts.feasible
    if not used:
        return "No class is feasible: no answer is possible in every context."
    if sum(found.facts.still.values()) == used:
        return f"Nothing would change: {_reasons(found)}."
    told = [change for name in ("agreement", "accuracy") if (change := _change(found, name))]
    moved = f"{100 * (found.facts.mean('moved') or 0):.1f}% of the answers' mass would move"
    said = " and ".join(_changes(told)) or moved
    parts = [said[:1].upper() + said[1:] + _judged_on(found, told)]
    if found.summary["accuracy_reference"] is None:
        parts.append("whether it is right is not known without labels")
    elif found.summary["majority_accuracy"] is not None:
        parts.append(_majority(found, found.summary["majority_accuracy"]))
    none = _change(found, "no_answer", "the share without an answer")
    if none is not None and none.sure and none.after > none.before + _CLEAR:
        parts.append(*_changes([none]))
    return "; ".join(parts) + "."


def _change(found: Found, measure: str, name: str = "") -> _Change | None:
    """The change of a measure on samples left out if they tell it, else on the samples themselves."""
    held, s = getattr(found.held_out, measure), found.summary
    if held is not None:
        return _Change(name or measure, held.before, held.after, held.interval, held.clear)
    before, after = s[f"{measure}_reference"], s[f"{measure}_equilibrium"]
    return None if before is None or after is None else _Change(name or measure, before, after)


def _changes(told: Sequence[_Change]) -> Iterator[str]:
    """Parts such as "agreement would rise from 0.22 to 0.38 (0.35 to 0.41)", "accuracy might fall ..."."""
    last = ""
    for name, before, after, ends, sure in told:
        if f"{before:.2f}" == f"{after:.2f}":
            verb, values = "would stay at", f"{after:.2f}"
        else:
            would = "would" if sure else "might"
            verb = f"{would} {'rise' if after > before else 'fall'} from"
            values = f"{before:.2f} to {after:.2f}"
        interval = "" if ends is None else f" ({ends[0]:.2f} to {ends[1]:.2f})"
        yield f"{name} {verb.split()[-1] if verb == last else verb} {values}{interval}"
        last = verb


def _judged_on(found: Found, told: Sequence[_Change]) -> str:
    """Which samples the changes are about; of those left out also what the others say of themselves."""
    if not told:
        return ""
    if found.held_out.reason:
        return f" in these very samples ({found.held_out.reason})"
    own = [found.summary[f"{change.name}_equilibrium"] for change in told if change.ends]
    said = " and ".join(f"{value:.2f}" for value in own)
    return f" on samples left out of the fit, to {said} on those fitted" if own else ""


def _majority(found: Found, vote: float) -> str:
    """With the advice of a higher strength where that closes half of the distance to the vote.

    Or, where the samples are too few to bear out most of the gain, of more of them.
    """
    said = f"a majority vote over all samples is right in {vote:.2f}"
    now, held = found.summary["accuracy_equilibrium"], found.held_out.accuracy
    joined = ": "
    if held is not None and held.gain < (now - held.before) / 2 and now > held.before + 0.02:
        joined = "; or "
        said += ": draw more samples of each context, these bear out less than half of the gain"
    if vote <= now + _CLEAR:
        return said
    stronger = at_strength(found, 10.0)
    if stronger is None or stronger.accuracy is None or stronger.accuracy < (now + vote) / 2:
        return said
    if held is not None:
        more = held_out(found.buckets, found.solutions, factor=10.0).accuracy
        if more is None or more.after < held.after:
            return said
    return f"{said}{joined}raise the strength (10 times gives {stronger.accuracy:.2f})"


# -- other strengths ------------------------------------------------------------------------------


def at_strength(found: Found, factor: float) -> Point | None:
    """The means at `factor` times the strength; None where it is not solved, or the file is too large."""
    points = curve(found, (factor,))
    return points[0] if points else None


def curve(found: Found, factors: Sequence[float] = FACTORS) -> list[Point]:
    """The means at each of these times the strength (`dagame.path`), those left out that cannot be had.

    Above `CELLS` classes x contexts x answers only the strength that was solved is shown.
    """
    s = found.summary
    names = ("agreement_equilibrium", "accuracy_equilibrium", "no_answer_equilibrium")
    points = {1.0: Point(1.0, *(s[name] for name in names))}
    others = [f for f in factors if f != 1.0]
    if found.facts.cells <= CELLS:
        others = [f for f in others if all(_provable(sol.game, f) for sol in found.solutions)]
        points |= {point.factor: point for point in _points(found, others)}
    return [points[f] for f in factors if f in points]


def _provable(game: AlignmentGame, factor: float) -> bool:
    return game.with_objective(game.objective, game.beta / factor).provable


def _points(found: Found, factors: Sequence[float]) -> list[Point]:
    """Those of the factors at which every feasible class is solved."""
    if not factors:
        return []
    try:
        paths = [path(s.game, factors, tol=1e-8, throw=False) for s in found.solutions]
    except DagameError:
        return [p for f in factors if len(factors) > 1 for p in _points(found, [f])]
    points = []
    for k, factor in enumerate(factors):
        statuses = [status for each in paths for status in each[k].statuses]
        if all(status in (Status.SOLVED, Status.INFEASIBLE) for status in statuses):
            pairs = zip(found.buckets, paths, strict=True)
            columns = zip(*(_measured(bucket, each, k) for bucket, each in pairs), strict=True)
            points.append(Point(factor, *(_mean(np.concatenate(parts)) for parts in columns)))
    return points


def _measured(bucket: Bucket, along: Path, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Agreement, accuracy and the share without an answer of feasible classes at a strength of a path."""
    feasible = np.array([status is not Status.INFEASIBLE for status in along[k].statuses])
    nu, empty = along.marginals[k][feasible], bucket.no_answer[feasible][:, None, :]
    right = None if bucket.correct is None else bucket.correct[feasible]
    return agreement(nu), accuracy(nu, right), (nu * empty).sum(-1).mean(-1)


def judged_held_out(found: Found) -> HeldOut:
    """The measures on samples left out; with the reason where there are too many cells."""
    if found.facts.cells > CELLS:
        large = f"more than {CELLS:,} classes x contexts x answers"
        return HeldOut(0, found.facts.feasible, FOLDS, 0, reason=large)
    return held_out(found.buckets, found.solutions)


def held_out_curve(found: Found, points: Sequence[Point]) -> list[HeldOut]:
    """The measures on samples left out at the factors of these points; [] where they are not known."""
    if found.held_out.reason or len(points) < 2:
        return []
    return [
        found.held_out
        if point.factor == 1
        else held_out(found.buckets, found.solutions, factor=point.factor)
        for point in points
    ]


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
    names = ("accuracy", "agreement")
    pairs = [
        table.select(f"{name}_reference", f"{name}_equilibrium").drop_nulls().to_numpy()
        for name in names
    ]
    columns = [np.column_stack([p, p[:, 1:] - p[:, :1]]) if len(p) else p for p in pairs]
    for name, ends in zip(names, bootstrap_tables(columns, seed=seed), strict=True):
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
