"""An embedded language model for experiments without downloads: `dagame.lm.tiny`.

Two-step arithmetic word problems, each in eight phrasings (the contexts of a class), and a real
transformers model of about 100,000 parameters that was pre-trained on traces in which each phrasing
is misread in its own way. The shipped weights were made by

    python -m dagame.lm.tiny --seed 0 --out dagame/lm/tiny/weights
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .problems import PHRASINGS, SPLITS, Problem, extract, problems, prompts, rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "PHRASINGS",
    "SPLITS",
    "Problem",
    "extract",
    "load",
    "pretrain",
    "problems",
    "prompts",
    "rows",
    "save",
]


def load(folder: str | Path | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a folder, by default the shipped ones; see `llama.load`."""
    from .llama import load as read

    return read(folder)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> Path:
    """Write model and tokenizer for `from_pretrained`; see `llama.save`."""
    from .llama import save as write

    return write(model, tokenizer, folder)


def pretrain(
    seed: int,
    *,
    steps: int = 1300,
    corpus: str = "scattered",
    progress: Callable[[int, float], None] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model pre-trained from scratch, "scattered" or "wrong_majority"; see `_pretrain.pretrain`."""
    from ._pretrain import pretrain as run

    return run(seed, steps=steps, corpus=corpus, progress=progress)
