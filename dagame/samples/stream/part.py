"""The counts of a group of classes -> its equilibria, as parts that add up: the third pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...errors import SamplesError
from ...games.solution import Solution
from ..disagreements import Disagreements
from ..equilibria import class_table
from ..facts import Facts
from ..games import ObjectiveOf, solve_partition
from ..partition import Bucket, Labels, Partition
from ..verdict import CELLS
from ..worth import finite, worth
from .count import ANSWER, COUNT, SAME, Settings

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Game:
    """What is solved."""

    objective: ObjectiveOf
    beta: float
    method: str = "auto"
    tol: float = 1e-12
    device: str | None = None


class Solved(NamedTuple):
    """A group of classes.

    worths: class, context and answer of the rows of the counts with what a sample of them is worth.
    names: of its classes in order, under the columns of the counts; table: one row for each class.
    facts: None where every class was lost; lost, lost_rows: classes without an answer, their samples.
    buckets, solutions: kept where there are few cells.
    """

    worths: pl.DataFrame
    names: pl.DataFrame | None
    table: pl.DataFrame | None
    facts: Facts | None
    disagreements: Disagreements | None
    lost: tuple[tuple, ...]
    lost_rows: int
    buckets: list[Bucket]
    solutions: list[Solution]


def solve_part(groups: pl.DataFrame, settings: Settings, game: Game) -> Solved:
    """Every class of a group, from its counts (rows of one class, context and answer add up)."""
    import polars as pl

    groups = _added_up(groups, settings)
    names = dict(zip(settings.class_columns, settings.roles.class_by, strict=True))
    classes = groups.select(settings.class_columns).rename(names)
    contexts = None
    if settings.roles.context_by is not None:
        own = dict(zip(settings.context_columns, settings.roles.context_by, strict=True))
        contexts = groups.select(settings.context_columns).rename(own)
    many = groups[COUNT].to_numpy()
    grouped = None
    if settings.labelled:
        grouped = Labels(*(groups[name].to_numpy() for name in Labels._fields))
    partition = Partition.build(
        classes,
        contexts,
        groups[ANSWER],
        no_answer=settings.no_answer,
        multiplicity=many,
        grouped=grouped,
    )
    by = [*settings.class_columns, *settings.context_columns, ANSWER]
    if not len(partition):
        nothing = [pl.lit(None, dtype=pl.Float64).alias(name) for name in WORTHS]
        worths = groups.select(*by, *nothing)
        lost_rows = int(many.sum())
        return Solved(worths, None, None, None, None, partition.lost_classes, lost_rows, [], [])
    buckets, solutions = solve_partition(
        partition, game.objective, game.beta, game.method, game.tol, None, game.device
    )
    table = class_table(partition, buckets, solutions)
    facts = Facts.of(partition, buckets, solutions, table)
    worths = finite(pl.DataFrame(worth(partition, buckets, solutions)))
    few = facts.cells <= CELLS
    names_table = partition.classes.drop("#class")
    names_table.columns = settings.class_columns
    return Solved(
        pl.concat([groups.select(by), worths], how="horizontal"),
        names_table,
        table,
        facts,
        Disagreements.of(partition),
        (),
        0,
        buckets if few else [],
        solutions if few else [],
    )


WORTHS = ("reward", "weight", "weight_normalised")


def _added_up(groups: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """One row for each class, context and answer."""
    import polars as pl

    by = [*settings.class_columns, *settings.context_columns, ANSWER]
    if settings.same is not None:
        _check_same(groups, settings)
    sums = [COUNT, *(Labels._fields if settings.labelled else ())]
    return groups.group_by(by).agg(pl.col(sums).sum())


def _check_same(groups: pl.DataFrame, settings: Settings) -> None:
    import polars as pl

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
    import polars as pl

    if not names:
        return []
    sizes = [len(frame) for frame in names]
    every = pl.concat(names, how="vertical_relaxed").with_row_index("#row")
    order = every.sort(list(columns), nulls_last=True)["#row"].to_numpy()
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return np.split(number, np.cumsum(sizes)[:-1])
