"""What the equilibrium makes of each sample, beside its row, and the file that these rows are written to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..games.solution import Solution
from ..numerics.arrays import to_numpy
from .lazy import pl
from .partition import Bucket, Partition


def worth(
    partition: Partition, buckets: Sequence[Bucket], solutions: Sequence[Solution]
) -> dict[str, np.ndarray]:
    """Reward, weight and normalised weight of each row of a partition; NaN where it left the counts."""
    ratios = [to_numpy(s.weights_on_traces()) for s in solutions]
    normalised = [_normalised(b.counts, r) for b, r in zip(buckets, ratios, strict=True)]
    return {
        "reward": partition.lookup([to_numpy(s.rewards) for s in solutions]),
        "weight": partition.lookup(ratios),
        "weight_normalised": partition.lookup(normalised),
    }


def _normalised(counts: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """The ratio over its mean in the context: mean 1 over the samples of each context."""
    worths = np.where(counts > 0, counts * np.where(counts > 0, ratio, 0.0), 0.0)
    mean = worths.sum(-1, keepdims=True) / counts.sum(-1, keepdims=True)
    return np.divide(ratio, mean, out=np.zeros_like(ratio), where=mean > 0)


def finite(table: pl.DataFrame) -> pl.DataFrame:
    """Null where a number is none."""
    number = pl.col(pl.Float64)
    return table.with_columns(pl.when(number.is_finite()).then(number).otherwise(None).name.keep())


_KEY = "dagame"


def said_of_rows(class_by: Sequence[str], context_by: Sequence[str]) -> dict[str, str]:
    """Metadata of a Parquet file of solved samples: which columns name their classes and contexts."""
    named = {"class_by": list(class_by), "context_by": [name for name in context_by if name]}
    return {_KEY: json.dumps(named)}


def solved_by(path: str | Path) -> dict[str, list[str]]:
    """What `said_of_rows` put into a file; {} of any other."""
    try:
        return json.loads(pl.read_parquet_metadata(path)[_KEY])
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError):
        return {}


def solved_column(columns: Sequence[str], name: str) -> str:
    """The name of a column of solved samples, which makes way for one of the file's own."""
    return f"dagame_{name}" if f"dagame_{name}" in columns else name


def beside(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """The input rows with more columns, named so that none is hidden."""
    taken = {c: f"dagame_{c}" for c in table.columns if c in frame.columns}
    return pl.concat([frame, table.rename(taken)], how="horizontal")
