"""The counts of a group of classes -> its equilibria, as parts that add up: the third pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from ...errors import SamplesError
from ...games.solution import Solution
from ..disagreements import Disagreements
from ..equilibria import class_table
from ..facts import Facts
from ..games import Game, solve_partition
from ..lazy import pl
from ..partition import Bucket, Labels, Partition
from ..verdict import CELLS
from ..worth import finite, worth
from .count import ANSWER, COUNT, SAME, Settings
from .shelf import Piece


@dataclass(frozen=True)
class Group:
    """What is said of a group of classes.

    names: of its classes in order, under the columns of the counts; table: where there is one row for
    each. facts: None where every class was lost; lost, lost_rows: classes without an answer, their
    samples. buckets, solutions: kept where there are few cells.
    """

    names: pl.DataFrame | None = None
    table: Piece | None = None
    facts: Facts | None = None
    disagreements: Disagreements | None = None
    lost: tuple[tuple, ...] = ()
    lost_rows: int = 0
    buckets: list[Bucket] = field(default_factory=list)
    solutions: list[Solution] = field(default_factory=list)


class Solved(NamedTuple):
    """A group of classes, and the table of them.

    worths: class, context and answer of the rows of the counts with what a sample of them is worth.
    """

    worths: pl.DataFrame
    table: pl.DataFrame | None
    group: Group


WORTHS = ("reward", "weight", "weight_normalised")


def worth_nothing(counts: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The rows of counts under these columns, where nothing was solved."""
    return counts.select(*by, *(pl.lit(None, dtype=pl.Float64).alias(name) for name in WORTHS))


def solve_part(groups: pl.DataFrame, settings: Settings, game: Game) -> Solved:
    """Every class of a group, from its counts (rows of one class, context and answer add up)."""
    groups = _added_up(groups, settings)
    partition = _partition(groups, settings)
    if not len(partition):
        lost = Group(lost=partition.lost_classes, lost_rows=int(groups[COUNT].sum()))
        return Solved(worth_nothing(groups, settings.named), None, lost)
    buckets, solutions = solve_partition(partition, game)
    table = class_table(partition, buckets, solutions)
    facts = Facts.of(partition, buckets, solutions, table)
    worths = finite(pl.DataFrame(worth(partition, buckets, solutions)))
    names = partition.classes.drop("#class")
    names.columns = settings.class_columns
    group = Group(names=names, facts=facts, disagreements=Disagreements.of(partition))
    if facts.cells <= CELLS:
        group = replace(group, buckets=buckets, solutions=solutions)
    return Solved(
        pl.concat([groups.select(settings.named), worths], how="horizontal"), table, group
    )


def _partition(groups: pl.DataFrame, settings: Settings) -> Partition:
    """Of the rows of counts, under the file's own names of classes and contexts."""

    def own(columns: list[str], names: Sequence[str]) -> pl.DataFrame:
        return groups.select(columns).rename(dict(zip(columns, names, strict=True)))

    contexts, labels = settings.roles.context_by, None
    if settings.labelled:
        labels = Labels(*(groups[name].to_numpy() for name in Labels._fields))
    return Partition.build(
        own(settings.class_columns, settings.roles.class_by),
        None if contexts is None else own(settings.context_columns, contexts),
        groups[ANSWER],
        no_answer=settings.no_answer,
        multiplicity=groups[COUNT].to_numpy(),
        grouped=labels,
    )


def _added_up(groups: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """One row for each class, context and answer."""
    if settings.same is not None:
        _check_same(groups, settings)
    sums = [COUNT, *(Labels._fields if settings.labelled else ())]
    return groups.group_by(settings.named).agg(pl.col(sums).sum())


def _check_same(groups: pl.DataFrame, settings: Settings) -> None:
    found = groups.group_by(settings.class_columns).agg(pl.col(SAME).n_unique())
    wrong = found.filter(pl.col(SAME) > 1)
    if len(wrong):
        (name,) = settings.roles.class_by
        raise SamplesError(
            f"{name} {wrong[settings.class_columns[0]][0]} is the name of {wrong[SAME][0]} documents, "
            f"which {settings.same} tells apart; name the classes by --class {settings.same}."
        )


def in_order(names: Sequence[pl.DataFrame], columns: Sequence[str]) -> list[np.ndarray]:
    """Of each group of classes, which number each of its classes has among all, sorted."""
    if not names:
        return []
    sizes = [len(frame) for frame in names]
    every = pl.concat(names, how="vertical_relaxed").with_row_index("#row")
    order = every.sort(list(columns), nulls_last=True)["#row"].to_numpy()
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return np.split(number, np.cumsum(sizes)[:-1])
