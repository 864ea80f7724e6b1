"""Prompts that several completions share, read once: their cache, copied for each completion.

Rows are padded on the left, as the library's own `generate` pads them, so that all end together. Of
the interface of the library's cache only this module knows; where a model has none that can be copied
(recurrent states, static buffers), callers read each row by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...errors import GenerationError
from .scoring import check_room, evaluating, forward, log_softmax, token_log_probs

CACHES = ("cache", "past_key_values")
"""What the library calls the cache, of outputs as of arguments: since transformers 5.24, and before.

The newest stands first: a version that has it knows the older as well, and warns of it."""


def left_padded(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (B, L) and attention (B, L) of rows padded on the left to the longest, L tokens."""
    width = max(map(len, rows))
    ids = [[pad] * (width - len(row)) + list(row) for row in rows]
    seen = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(seen, device=device)


def read_once(
    model: Any, rows: Sequence[Sequence[int]], ids: torch.Tensor, attention: torch.Tensor
) -> dict[str, Any]:
    """The cache of all tokens of `rows` but the last, (B, L - 1), by its name as an argument.

    Empty where it saves nothing (all rows differ, or have one token) or the model's cache cannot be
    copied row by row. `ids`, `attention`: of `left_padded`.
    """
    places: dict[tuple[int, ...], int] = {}
    owner = [places.setdefault(tuple(row), len(places)) for row in rows]
    if len(places) == len(rows) or min(map(len, rows)) < 2:
        return {}
    first = torch.tensor([owner.index(k) for k in range(len(places))], device=ids.device)
    seen = attention[first, :-1]
    read = forward(
        model,
        {"input_ids": ids[first, :-1], "attention_mask": seen},
        {"use_cache": True, "position_ids": positions(seen), "logits_to_keep": 1},
    )
    name = next((n for n in CACHES if getattr(read, n, None) is not None), None)
    cache: Any = getattr(read, name) if name else None
    if not _copies(cache):
        return {}
    cache.batch_select_indices(torch.tensor(owner, device=ids.device))
    return {str(name): cache}


def token_log_probs_shared(
    model: Any,
    prompt_ids: Sequence[Sequence[int]],
    tokens: np.ndarray,
    mask: np.ndarray,
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """`token_log_probs` (N, T), float64, of completions that share prompts: each is read once a pass.

    Equal completions of one prompt are scored once. Equal to `token_log_probs` up to the rounding of the
    model's precision, which pads and batches otherwise. Rows with one prompt should stand together, as
    those of one pass share it. Where nothing can be shared it is `token_log_probs` itself. Arguments and
    errors: as there. The number of passes depends on the rows, so that it must not be called where
    processes hold parts of one model's weights (`check_config` refuses kl="reward" there).
    """
    lengths = mask.sum(-1).tolist()
    check_room(model, prompt_ids, lengths)
    places: dict[tuple[tuple[int, ...], ...], int] = {}
    own = [
        places.setdefault((tuple(prompt), tuple(row[:n].tolist())), len(places))
        for prompt, row, n in zip(prompt_ids, tokens, lengths, strict=True)
    ]
    if len(places) < len(own):
        _, first = np.unique(own, return_index=True)
        prompts = [prompt_ids[k] for k in first]
        given = (model, prompts, tokens[first], mask[first])
        return token_log_probs_shared(*given, batch_size=batch_size)[own]
    out = np.zeros(tokens.shape)
    with evaluating(model):
        for start in range(0, len(out), batch_size):
            part = slice(start, start + batch_size)
            width = max(1, int(mask[part].sum(-1).max(initial=0)))
            kept = mask[part, :width]
            given = (model, prompt_ids[part], tokens[part, :width], kept)
            found = _pass(*given)
            if found is None:
                found = token_log_probs(*given, batch_size=batch_size)
            out[part, :width] = np.where(kept, found, 0.0)
    return out


def _pass(
    model: Any, rows: Sequence[Sequence[int]], tokens: np.ndarray, mask: np.ndarray
) -> np.ndarray | None:
    """log pi of each token (B, T), what stands off the mask is free; None where nothing is shared."""
    ids, seen = left_padded(rows, 0, model.device)
    cache = read_once(model, rows, ids, seen)
    if not cache:
        return None
    own = torch.as_tensor(np.where(mask, tokens, 0)).to(ids.device)
    new = torch.cat([ids[:, -1:], own[:, :-1]], -1)
    kept = torch.as_tensor(mask[:, :-1]).to(seen)
    attention = torch.cat([seen, kept], -1)
    places = positions(attention)[:, -new.shape[1] :]
    needed = {"input_ids": new, "attention_mask": attention} | cache
    logits = forward(model, needed, {"use_cache": True, "position_ids": places}).logits
    if logits.shape[:2] != new.shape:
        raise GenerationError(
            f"{type(model).__name__} gave logits of shape {tuple(logits.shape)} for {new.shape[1]} tokens "
            f"of {len(new)} sequences after a cache; a causal language model gives one row for each token."
        )
    if bool(logits.isnan().any()):
        return None  # of padding perhaps; without it the sequences themselves are judged
    columns = (
        log_softmax(logits[:, t]).gather(-1, own[:, t, None])[:, 0] for t in range(new.shape[1])
    )
    return torch.stack(list(columns), -1).cpu().numpy()


def positions(attention: torch.Tensor) -> torch.Tensor:
    """The place of each token in its row, padding not counted."""
    return (attention.cumsum(-1) - 1).clamp(min=0)


def _copies(cache: Any) -> bool:
    """Whether the cache holds keys and values alone, which its own method copies for each row."""
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers = getattr(cache, "layers", None)
    return bool(layers) and all(
        type(x) in (DynamicLayer, DynamicSlidingWindowLayer) for x in layers
    )
