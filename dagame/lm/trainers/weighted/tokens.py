"""Texts as the tokens of sampling: a completion is tokenised by itself and appended to its prompt's tokens.

TRL tokenises prompt + completion in one piece. Where tokens then merge across the border it trains on
another prompt than was sampled from, and it ends every completion, also one that was cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....errors import SamplesError, SettingsError
from ...models.loading import pretrained
from .rows import TRUNCATED, WEIGHT, is_text

if TYPE_CHECKING:
    from datasets import Dataset

IGNORED = -100
"""The label of a token that is not in the loss."""


def tokenizer_of(model: Any, tokenizer: Any, trust_remote_code: bool = False) -> Any:
    """The tokenizer given, or that of the model's folder."""
    from transformers import AutoTokenizer

    if tokenizer is not None:
        return tokenizer
    name = model if isinstance(model, str) else model.config.name_or_path
    if not name:
        raise SettingsError("the model was made in memory; give its tokenizer.")
    return pretrained(AutoTokenizer, name, trust_remote_code=trust_remote_code)


def sft_tokens(data: Dataset, tokenizer: Any) -> Dataset:
    """input_ids, labels and weight of rows of text; rows of messages as they are."""
    if not is_text(data["prompt"]):
        return data
    before = _prompts(tokenizer, data["prompt"])
    after = _completions(tokenizer, data, "completion")
    columns = {
        "input_ids": [p + c for p, c in zip(before, after, strict=True)],
        "labels": [[IGNORED] * len(p) + c for p, c in zip(before, after, strict=True)],
    }
    return _dataset(columns, data)


def dpo_tokens(data: Dataset, tokenizer: Any) -> Dataset | None:
    """prompt_ids, chosen_ids, rejected_ids and weight of rows of text; None for rows of messages."""
    if not is_text(data["prompt"]):
        return None
    columns = {"prompt_ids": _prompts(tokenizer, data["prompt"])}
    columns |= {
        f"{name}_ids": _completions(tokenizer, data, name) for name in ("chosen", "rejected")
    }
    return _dataset(columns, data)


def check_room(model: Any, lengths: Sequence[int], max_length: int | None) -> None:
    """Raise `SettingsError` where a row of so many tokens passes the model's positions."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    longest = max(range(len(lengths)), key=lengths.__getitem__)
    if limit is not None and min(lengths[longest], max_length or lengths[longest]) > limit:
        raise SettingsError(
            f"row {longest} has {lengths[longest]} tokens, more than the model's {limit} positions; "
            f"leave it out, or cut rows with max_length={limit}."
        )


def longest_completion(data: Any) -> int:
    """Tokens of the longest completion of a dataset as its trainer reads it, the end token among them."""
    if "labels" in data.column_names:
        return max(sum(label != IGNORED for label in row) for row in data["labels"])
    return max(len(row) for name in ("chosen_ids", "rejected_ids") for row in data[name])


def _prompts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    ids = [list(row) for row in tokenizer(text=list(texts))["input_ids"]]
    for row, tokens in enumerate(ids):
        if not tokens:
            raise SamplesError(f"row {row}: the prompt {texts[row]!r} has no tokens; leave it out.")
    return ids


def _completions(tokenizer: Any, data: Dataset, column: str) -> list[list[int]]:
    """Tokens of the completions, each with its end unless it was cut off."""
    texts: list[str] = list(data[column])
    end, cut = tokenizer.eos_token_id, [False] * len(texts)
    if end is None:
        raise SettingsError("the tokenizer has no end-of-sequence token; set tokenizer.eos_token.")
    if TRUNCATED in data.column_names:
        cut = list(data[TRUNCATED])
    ids = [list(row) for row in tokenizer(text=texts, add_special_tokens=False)["input_ids"]]
    ended = [r if c or r[-1:] == [end] else [*r, end] for r, c in zip(ids, cut, strict=True)]
    for row, tokens in enumerate(ended):
        if not tokens:
            raise SamplesError(
                f"row {row}: the {column} {texts[row]!r} has no tokens; leave it out."
            )
    return ended


def _dataset(columns: Mapping[str, list[Any]], like: Dataset) -> Dataset:
    from datasets import Dataset

    return Dataset.from_dict({**columns, WEIGHT: like[WEIGHT]})
