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
    parts = [_pairs(found, b, shown, most) for b in range(len(found.buckets))]
    chosen, rejected, weight, margin = (np.concatenate(c) for c in zip(*parts, strict=True))
    chosen, rejected = chosen.astype(int), rejected.astype(int)
    texts = {"chosen": frame[completion][chosen], "rejected": frame[completion][rejected]}
    numbers = {"weight": weight, "margin": margin}
    rows = pl.DataFrame({"prompt": frame[prompt][chosen], **texts, **numbers})
    if path is not None:
        write_rows(rows, Path(path))
    return rows


Shown = dict[tuple[int, int, int], int]


def _pairs(
    found: SampleEquilibria, b: int, shown: Shown, most: int | None
) -> tuple[np.ndarray, ...]:
    """Rows chosen and rejected, weight and margin of the pairs of a bucket."""
    bucket, solution = found.buckets[b], found.solutions[b]
    mask = (bucket.counts > 0) & np.isfinite(to_numpy(solution.value))[:, None, None]
    u = np.where(mask, to_numpy(solution.rewards), 0.0)
    sure = None
    if found.calibration is not None:
        sure = np.nan_to_num(found.calibration.p_values[b])[:, None]
    pairs = preference_pairs(u, sure, mask=mask, most=most)
    kept = ~bucket.no_answer[pairs.place[:, 0], pairs.chosen]
    place, z, other, margin, weight = (column[kept] for column in pairs)
    where = bucket.classes[place[:, 0]], place[:, 1]
    ends = ([shown[key] for key in zip(*where, end, strict=True)] for end in (z, other))
    return (*map(np.array, ends), weight, margin)


def _shown(found: SampleEquilibria, seed: int) -> Shown:
    """One row for each class, context and answer."""
    partition = found.samples.partition
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(partition.counted))
    of = (partition.row_class, partition.row_context, partition.row_answer)
    return dict(zip(zip(*(c[rows].tolist() for c in of), strict=True), rows.tolist(), strict=True))
