"""Preference pairs for training, ordered by the equilibrium of logged samples: no label is read for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..conformal import preference_pairs
from ..numerics.arrays import to_numpy
from .reweight import require_columns, write_rows

if TYPE_CHECKING:
    import polars as pl

    from ..samples.equilibria import SampleEquilibria


def preference_rows(
    found: SampleEquilibria,
    path: str | Path | None = None,
    *,
    prompt: str = "prompt",
    completion: str = "completion",
    most: int | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Rows prompt, chosen, rejected, weight, margin, for DPO with a weight per pair.

    In each context every two sampled answers whose rewards u_x(z) = grad Phi(nu*) differ are a pair, the
    larger chosen; each is shown by one of its completions. Pairs that would choose "no answer" are
    left out. The weight is the mean of both answers' reliability if `found` is calibrated
    (`SampleEquilibria.calibrate`; 0 for "no answer"), else 1. Classes that no policy can satisfy give no
    pairs.

    Args:
        found: of `Samples.solve`.
        path: write the rows as JSONL or Parquet, by the suffix.
        prompt, completion: columns of the samples.
        most: at most so many pairs of each context, those of the largest margins.
        seed: draws the completion that shows an answer.

    Raises:
        SamplesError: the samples lack one of the columns.
        OutputError: the path has another suffix or cannot be written.
    """
    import polars as pl

    frame = found.samples.frame
    require_columns(frame, (prompt, completion))
    shown = _shown(found, seed)
    parts = []
    for b, (bucket, solution) in enumerate(zip(found.buckets, found.solutions, strict=True)):
        feasible = np.isfinite(to_numpy(solution.value))
        mask = (bucket.counts > 0) & feasible[:, None, None]
        u = np.where(mask, to_numpy(solution.rewards), 0.0)
        sure = None if found.calibration is None else np.nan_to_num(found.calibration.p_values[b])
        pairs = preference_pairs(u, None if sure is None else sure[:, None], mask=mask, most=most)
        kept = ~bucket.no_answer[pairs.place[:, 0], pairs.chosen]
        place, z, other, margin, weight = (column[kept] for column in pairs)
        where = bucket.classes[place[:, 0]], place[:, 1]
        ends = ([shown[key] for key in zip(*where, end, strict=True)] for end in (z, other))
        parts.append((*map(np.array, ends), weight, margin))
    chosen, rejected, weight, margin = (np.concatenate(c) for c in zip(*parts, strict=True))
    chosen, rejected = chosen.astype(int), rejected.astype(int)
    rows = pl.DataFrame(
        {
            "prompt": frame[prompt][chosen],
            "chosen": frame[completion][chosen],
            "rejected": frame[completion][rejected],
            "weight": weight,
            "margin": margin,
        }
    )
    if path is not None:
        write_rows(rows, Path(path))
    return rows


def _shown(found: SampleEquilibria, seed: int) -> dict[tuple[int, int, int], int]:
    """One row for each class, context and answer."""
    partition = found.samples.partition
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(partition.counted))
    of = (partition.row_class, partition.row_context, partition.row_answer)
    return dict(zip(zip(*(c[rows].tolist() for c in of), strict=True), rows.tolist(), strict=True))
