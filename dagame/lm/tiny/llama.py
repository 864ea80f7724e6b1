"""The embedded model: a Llama of about 100,000 parameters with a word-level tokenizer of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as FastTokenizer
from transformers.utils import logging

from ...errors import DagameError
from ...files.output import check_folder
from ..models.loading import pretrained
from .problems import vocabulary as arithmetic

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WEIGHTS = Path(__file__).parent / "weights"
PAD, EOS, UNKNOWN = SPECIAL = ("<pad>", "<eos>", "<unk>")
MAX_LENGTH = 64
"""Positions of the model: the longest prompt has 24 tokens, the longest trace 14 with its end."""


def new_tokenizer(vocabulary: Sequence[str] | None = None) -> FastTokenizer:
    """A token for each word; tokens are separated by blanks.

    The words are those of the arithmetic problems (numbers 0..63 and the phrasings), or others.
    """
    words = (*SPECIAL, *(arithmetic() if vocabulary is None else vocabulary))
    numbered = {word: k for k, word in enumerate(words)}
    core = Tokenizer(models.WordLevel(numbered, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    return FastTokenizer(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        padding_side="left",
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )


def new_model(seed: int, vocabulary: Sequence[str] | None = None) -> LlamaForCausalLM:
    """Random weights by seed: hidden size 64, 2 layers, 4 heads, tied embeddings, float32.

    `vocabulary` as for `new_tokenizer`.
    """
    words = arithmetic() if vocabulary is None else vocabulary
    config = LlamaConfig(
        vocab_size=len(SPECIAL) + len(words),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=None,
        pad_token_id=SPECIAL.index(PAD),
        eos_token_id=SPECIAL.index(EOS),
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def load(folder: str | Path | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (evaluation mode, CPU) and tokenizer of a folder; None: the pre-trained ones shipped.

    Only safetensors are read, and no code of the folder is run.

    Raises:
        DagameError: the folder holds no model, or one that cannot be read.
    """
    path = WEIGHTS if folder is None else Path(folder)
    if not (path / "config.json").is_file():
        raise DagameError(
            f"{path} holds no config.json; give a folder that tiny.save or a trainer wrote."
        )
    with _without_bars():
        model = pretrained(AutoModelForCausalLM, path, local_files_only=True, use_safetensors=True)
        return model.eval(), pretrained(AutoTokenizer, path, local_files_only=True)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> Path:
    """Write safetensors, configuration and tokenizer; readable by `from_pretrained`.

    Raises:
        OutputError: the folder cannot be written to.
    """
    path = check_folder(folder)
    with _without_bars():
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return path


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars of transformers for half a megabyte."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
