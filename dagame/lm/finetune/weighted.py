"""`method: sft` and `method: dpo`: completions or pairs with weights, from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConfigError, nearest
from ...samples.chats import is_truncated
from ...samples.files.formats import FINISH
from ...samples.files.reading import read_frame
from ...samples.worth import solved_column
from ..trainers.weighted.rows import TRUNCATED, WEIGHT, check_weights
from .data import Row, read_prompt
from .method import Job, Method, run_settings
from .sections import DataSection, FinetuneConfig

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class WeightedRows:
    """Rows with prompt, weight, truncated, and completion (sft) or chosen and rejected (dpo).

    column: of the weights; notes: sentences on the rows that were left out.
    """

    rows: list[Row]
    column: str
    notes: tuple[str, ...]

    def told(self) -> str:
        """How many rows there are, and of how many equal weights the weights are worth."""
        w = np.array([row[WEIGHT] for row in self.rows])
        worth = w.sum() ** 2 / (w**2).sum()
        told = f"{len(w):,} rows, weights in {self.column!r} worth {worth:,.0f} equal ones"
        return ". ".join([told, *self.notes])


def read_weighted(section: DataSection, kind: str) -> WeightedRows:
    """The rows of data.samples that have a weight: "completions", or "pairs" of them.

    In a file of `dagame solve`, rows that left the counts have none; they are left out, and so are
    completions of chats that were cut off, as a chat template ends every message. Elsewhere a missing
    weight is refused.

    Raises:
        ConfigError: a missing column, a prompt or completion that is none.
        SamplesError: a file that cannot be read, a weight that is none (see `check_weights`).
    """
    texts = {"completion": section.completion_column}
    if kind == "pairs":
        texts = {"chosen": section.chosen_column, "rejected": section.rejected_column}
    frame, _ = read_frame(str(section.samples), text=[section.prompt_column, *texts.values()])
    column = section.weight_column or solved_column(frame.columns, WEIGHT)
    _require(frame.columns, {"prompt": section.prompt_column, **texts, "weight": column})
    notes, cut = [], _cut_off(frame)
    kept = np.ones(len(frame), dtype=bool)
    if f"{column}_normalised" in frame.columns:
        kept = frame[column].is_not_null().to_numpy()
        notes += _note(kept, "left the counts of the solved file and were left out")
    if section.chat and kind == "completions":
        whole = ~kept | ~cut
        notes += _note(whole, "were cut off and were left out")
        kept &= whole
    ends = kind == "completions" and not section.chat
    rows = []
    for number in np.flatnonzero(kept).tolist():
        raw = frame.row(number, named=True)
        row = {"prompt": read_prompt(raw[section.prompt_column], section, number + 1)}
        row |= {role: _reply(raw[name], section.chat) for role, name in texts.items()}
        rows.append({**row, WEIGHT: raw[column]} | ({TRUNCATED: bool(cut[number])} if ends else {}))
    check_weights([row[WEIGHT] for row in rows], column)
    return WeightedRows(rows, column, tuple(notes))


def _require(known: Sequence[str], columns: dict[str, str]) -> None:
    for role, name in columns.items():
        if name not in known:
            hint = nearest(name, known, "columns")
            raise ConfigError(f"there is no column {name!r} (data.{role}_column); {hint}")


def _cut_off(frame: pl.DataFrame) -> np.ndarray:
    """Which completions were cut off (rows,), by the columns that say how they ended."""
    found = np.zeros(len(frame), dtype=bool)
    for name in FINISH:
        if name in frame.columns:
            found |= np.array([is_truncated(reason) for reason in frame[name]], dtype=bool)
    return found


def _note(kept: np.ndarray, what: str) -> list[str]:
    lost = int((~kept).sum())
    return [f"{lost:,} of {len(kept):,} rows {what}"] if lost else []


def _reply(text: Any, chat: bool) -> Any:
    return [{"role": "assistant", "content": text}] if chat and isinstance(text, str) else text


def _sft(config: FinetuneConfig, folder: Path) -> Job:
    from ..trainers.weighted.settings import sft_config
    from ..trainers.weighted.train import weighted_sft

    return weighted_job(config, "completions", weighted_sft, sft_config, _settings(config, folder))


def _dpo(config: FinetuneConfig, folder: Path) -> Job:
    from ..trainers.weighted.settings import dpo_config
    from ..trainers.weighted.train import weighted_dpo

    own = _settings(config, folder) | {"beta": config.beta}
    return weighted_job(config, "pairs", weighted_dpo, dpo_config, own)


def weighted_job(
    config: FinetuneConfig,
    kind: str,
    train: Callable[..., Any],
    check: Callable[..., Any],
    settings: dict[str, Any],
) -> Job:
    """Train by `train(model, rows, **settings)` on the rows of data.samples, once `check` has settings."""
    from ..trainers.weighted.tokens import longest_completion

    data = read_weighted(config.data, kind)
    check(**settings)

    def make(model: str, **options: Any) -> Any:
        return train(model, data.rows, **options, **settings)

    return Job(data.rows, None, make, data.told(), lambda t: longest_completion(t.train_dataset))


def _settings(config: FinetuneConfig, folder: Path) -> dict[str, Any]:
    own = run_settings(config, folder, 50) | {"num_train_epochs": config.batch.epochs}
    return own if config.batch.steps is None else own | {"max_steps": config.batch.steps}


_FILE = ("data.samples", "data.weight_column")
SFT = Method("sft", _sft, "sft", (*_FILE, "data.completion_column"), "completions")
DPO = Method(
    "dpo",
    _dpo,
    "dpo",
    (*_FILE, "data.chosen_column", "data.rejected_column"),
    "pairs",
    lambda config: f"logistic, beta {config.beta:g}",
)
