"""`method: resampled`: plain likelihood on completions drawn by their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .method import Job, Method, run_settings
from .sections import FinetuneConfig
from .weighted import SFT, read_weighted


def _job(config: FinetuneConfig, folder: Path) -> Job:
    from ..trainers.weighted.rows import resample
    from ..trainers.weighted.settings import sft_config
    from ..trainers.weighted.train import weighted_sft

    data = read_weighted(config.data, "completions")
    weights = [row["weight"] for row in data.rows]
    rows = [
        row | {"weight": 1.0} for row in resample(data.rows, weights, len(data.rows), config.seed)
    ]
    own = run_settings(config, folder, 50) | {"num_train_epochs": config.batch.epochs}
    sft_config(**own)

    def make(model: str, **options: Any) -> Any:
        return weighted_sft(model, rows, **options, **own)

    return Job(rows, None, make, data.told())


RESAMPLED = Method("resampled", _job, "sft", SFT.own, "completions")
