"""What is said of solved classes together, as parts that add up: whatever the parts, the same whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from ..games.solution import Solution, Status
from ..numerics.exact import ExactSum
from ..objectives import Objective
from .lazy import pl
from .partition import Bucket, Partition, name_text

MEANS = (
    "no_answer_reference", "no_answer_equilibrium", "value", "accuracy_reference",
    "accuracy_equilibrium", "majority_accuracy", "agreement_reference", "agreement_equilibrium",
    "moved",
)  # fmt: skip
"""Columns of the table of classes whose means over feasible classes are told."""

REASONS = ("single", "unanimous", "alone", "even")
"""Why the equilibrium of a class is its reference, the first that applies."""

_STILL = 1e-9
_NAMES = 1_000_000
"""Distinct names of contexts that are kept; with more of them none are common to the classes."""


@dataclass(frozen=True, eq=False)
class Facts:
    """Numbers of a set of solved classes.

    rows, no_answer_rows: samples, and those without an answer, of all classes; samples: of the
    counts. sums: of `MEANS` over feasible classes of a known value. contexts_of: classes by their
    number of contexts; context_names: the distinct names, None if there are too many. infeasible:
    (number, name) of classes; lost: classes without any answer. conditions: by the shape of the
    tables, in their order. still: feasible classes by `REASONS`. cells: of all padded tables.
    """

    classes: int
    contexts: int
    answers: int
    samples: int
    rows: int
    no_answer_rows: int
    solved: int
    unsolved: int
    max_gap: float | None
    sums: dict[str, ExactSum]
    contexts_of: Counter[int]
    context_names: pl.DataFrame | None
    infeasible: tuple[tuple[int, str], ...]
    lost: tuple[tuple, ...]
    conditions: dict[tuple[int, int], tuple[str, ...]]
    methods: frozenset[str]
    still: Counter[str]
    cells: int
    objective: str

    @property
    def feasible(self) -> int:
        """Classes that a policy can satisfy."""
        return self.classes - len(self.infeasible)

    def mean(self, column: str) -> float | None:
        """The mean of one of `MEANS` over feasible classes where it is known."""
        return self.sums[column].mean()

    @classmethod
    def of(
        cls,
        partition: Partition,
        buckets: Sequence[Bucket],
        solutions: Sequence[Solution],
        table: pl.DataFrame,
    ) -> Facts:
        """Of the classes of a partition; `table` has one row for each."""
        return cls(
            **_of_partition(partition),
            **_of_table(table, partition),
            conditions=_by_shape(
                (bucket.counts.shape[1:], tuple(map(str, solution.game.conditions)))
                for bucket, solution in zip(buckets, solutions, strict=True)
            ),
            methods=frozenset(s.method for s in solutions),
            still=_still(buckets, table),
            cells=sum(bucket.counts.size for bucket in buckets),
            objective=described(solutions[0].game.objective) if solutions else "",
        )

    @classmethod
    def merged(cls, parts: Sequence[Facts], numbers: Sequence[np.ndarray]) -> Facts:
        """Of disjoint sets of classes; `numbers` say which number each class of a part has in all."""
        frames = [part.context_names for part in parts if part.context_names is not None]
        gaps = [part.max_gap for part in parts if part.max_gap is not None]
        pairs = zip(parts, numbers, strict=True)
        infeasible = ((int(at[k]), name) for part, at in pairs for k, name in part.infeasible)
        return cls(
            **{name: _total([getattr(part, name) for part in parts]) for name in _ADDED},
            max_gap=max(gaps, default=None),
            sums={name: ExactSum.merged(part.sums[name] for part in parts) for name in MEANS},
            context_names=pl.concat(frames).unique() if len(frames) == len(parts) else None,
            infeasible=tuple(sorted(infeasible)),
            lost=tuple(sorted(chain.from_iterable(part.lost for part in parts))),
            conditions=_by_shape(pair for part in parts for pair in part.conditions.items()),
            methods=frozenset().union(*(part.methods for part in parts)),
            objective=next((part.objective for part in parts if part.objective), ""),
        )


_ADDED = (
    "classes", "contexts", "answers", "samples", "rows", "no_answer_rows", "solved", "unsolved",
    "contexts_of", "still", "cells",
)  # fmt: skip
"""Of disjoint sets of classes these add up."""


def _total(values: Sequence[Any]) -> Any:
    return sum(values[1:], start=values[0])


def _of_partition(partition: Partition) -> dict[str, Any]:
    """What the rows say by themselves."""
    empty = partition.row_answer < 0
    if partition.counted.all():
        empty = partition.row_answer == partition.no_answer_index[partition.row_class]
    many = partition.multiplicity
    names = partition.contexts.drop("#class", "#context").unique()
    return {
        "classes": len(partition),
        "contexts": int(partition.contexts_per_class.sum()),
        "answers": int(partition.answers_per_class.sum()),
        "samples": partition.samples,
        "rows": len(empty) if many is None else int(many.sum()),
        "no_answer_rows": int(empty.sum() if many is None else many[empty].sum()),
        "contexts_of": Counter(partition.contexts_per_class.tolist()),
        "context_names": names if len(names) <= _NAMES else None,
        "lost": partition.lost_classes,
    }


def _of_table(table: pl.DataFrame, partition: Partition) -> dict[str, Any]:
    """What became of the classes; means are over feasible ones."""
    infeasible = table["status"] == Status.INFEASIBLE.name.lower()
    used = table.filter(~infeasible)
    solved = int((used["status"] == Status.SOLVED.name.lower()).sum())
    gap: Any = used["gap"].max()
    names = partition.classes.drop("#class")
    return {
        "solved": solved,
        "unsolved": len(used) - solved,
        "max_gap": None if gap is None else float(gap),
        "sums": {name: ExactSum.of(used[name].drop_nulls().to_numpy()) for name in MEANS},
        "infeasible": tuple((k, name_text(names.row(k))) for k in infeasible.arg_true().to_list()),
    }


class Source(Protocol):
    """Samples that were read, in memory or in parts."""

    @property
    def skipped_lines(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def timed_out(self) -> int: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102


def summary_of(facts: Facts, samples: Source, beta: float, seconds: float) -> dict[str, Any]:
    """One dictionary of all that is known of solved classes."""
    conditions = chain.from_iterable(facts.conditions.values())
    sizes = {name: getattr(facts, name) for name in ("classes", "contexts", "samples", "answers")}
    return {
        **sizes,
        **_means(facts),
        **_outcome(facts),
        "skipped_lines": len(samples.skipped_lines),
        "timed_out_rows": samples.timed_out,
        "notes": list(samples.notes),
        "objective": facts.objective,
        "beta": beta,
        "conditions": list(dict.fromkeys(conditions)),
        "method": sorted(facts.methods),
        "seconds": seconds,
    }


def _outcome(facts: Facts) -> dict[str, Any]:
    return {
        "solved": facts.solved,
        "infeasible": [name for _, name in facts.infeasible],
        "unsolved": facts.unsolved,
        "lost_classes": [name_text(name) for name in facts.lost],
        "rows": facts.rows,
        "no_answer_rows": facts.no_answer_rows,
    }


def _means(facts: Facts) -> dict[str, float | None]:
    means = {name: facts.mean(name) for name in MEANS if name != "moved"}
    value = {"mean_value": means.pop("value"), "max_gap": facts.max_gap}
    empty = {name: mean for name, mean in means.items() if name.startswith("no_answer")}
    return {"no_answer": means["no_answer_reference"], **empty, **value, **means}


def _by_shape(
    pairs: Iterable[tuple[tuple[int, int], tuple[str, ...]]],
) -> dict[tuple[int, int], tuple[str, ...]]:
    """All conditions of the tables of a shape, each once."""
    found: dict[tuple[int, int], dict[str, None]] = {}
    for shape, conditions in pairs:
        found.setdefault(shape, {}).update(dict.fromkeys(conditions))
    return {shape: tuple(found[shape]) for shape in sorted(found)}


def described(objective: Objective) -> str:
    """The objective's text, tables of classes left out."""
    parts = [(f, type(o).__name__ if o.tables else repr(o)) for f, o in objective.terms()]
    return " + ".join(name if f == 1 else f"{f:g} * {name}" for f, name in parts)


def _still(buckets: Sequence[Bucket], table: pl.DataFrame) -> Counter[str]:
    """Feasible classes whose equilibrium is the reference, by the first reason that applies."""
    moved, status = table["moved"].to_numpy(), table["status"].to_numpy()
    counts: Counter[str] = Counter()
    for bucket in buckets:
        still = (moved[bucket.classes] <= _STILL) & (status[bucket.classes] != "infeasible")
        single = (bucket.counts.sum(-1) == 1).all(-1)
        unanimous = ((bucket.counts > 0).sum(-1) == 1).all(-1)
        alone = np.full(len(still), bucket.counts.shape[1] == 1)
        for kind, applies in zip(REASONS, (single, unanimous, alone, still), strict=True):
            counts[kind] += int((still & applies).sum())
            still = still & ~applies
    return counts
