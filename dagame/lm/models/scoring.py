"""log pi(completion | prompt) of token sequences under a causal language model, in one fresh pass.

Sequences are padded on the right and no cache is used: a causal model reads no padding then, and
needs neither positions nor anything else that the library might name otherwise in another version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ...errors import GenerationError


def score(
    model: Any,
    prompt_ids: Sequence[Sequence[int]],
    tokens: np.ndarray,
    mask: np.ndarray,
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """log pi(completion | prompt) (N,), float64, in nats: the sum of `token_log_probs`."""
    return token_log_probs(model, prompt_ids, tokens, mask, batch_size=batch_size).sum(-1)


def token_log_probs(
    model: Any,
    prompt_ids: Sequence[Sequence[int]],
    tokens: np.ndarray,
    mask: np.ndarray,
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """log pi of each token given the prompt and the tokens before it (N, T), float64; 0 off the mask.

    Args:
        model: a causal language model, whose dropout is switched off meanwhile.
        prompt_ids: N prompts without padding.
        tokens: (N, T) completions, right-padded.
        mask: (N, T), True on the completion's own tokens.
        batch_size: rows of a pass, which holds (batch_size, T, vocabulary) logits.

    Raises:
        GenerationError: a prompt without tokens, a sequence longer than the model's context, logits
            that are not finite or not one for each token.
    """
    check_room(model, prompt_ids, mask.sum(-1).tolist())
    out = np.zeros(tokens.shape)
    with evaluating(model):
        for start in range(0, len(out), batch_size):
            part = slice(start, start + batch_size)
            width = int(mask[part].sum(-1).max(initial=0))
            prompts, kept = prompt_ids[part], mask[part, :width]
            new = torch.as_tensor(tokens[part, :width]).to(model.device)
            for t, log_p in enumerate(next_token_log_probs(model, prompts, tokens[part], kept)):
                found = log_p.gather(-1, new[:, t, None])[:, 0].cpu().numpy()
                out[part, t] = np.where(kept[:, t], found, 0.0)
    return out


def next_token_log_probs(
    model: Any, prompt_ids: Sequence[Sequence[int]], tokens: np.ndarray, mask: np.ndarray
) -> Iterator[torch.Tensor]:
    """log pi(. | prompt, tokens before t) (N, vocabulary) for t = 0, 1, ..., from one pass.

    Where a completion has ended the row is that of its last token.
    """
    lengths = mask.sum(-1).tolist()
    rows = [
        [*prompt, *row[:n].tolist()]
        for prompt, row, n in zip(prompt_ids, tokens, lengths, strict=True)
    ]
    first = min(map(len, prompt_ids)) - 1
    logits = logits_from(model, rows, first)
    begins = torch.tensor([len(p) - 1 - first for p in prompt_ids], device=logits.device)
    for t in range(mask.shape[1]):
        at = (begins + t).clamp(max=logits.shape[1] - 1)
        yield log_softmax(logits[torch.arange(len(rows), device=logits.device), at])


def logits_from(model: Any, rows: Sequence[Sequence[int]], first: int) -> torch.Tensor:
    """Logits (N, L - first, vocabulary) of sequences padded on the right to the longest, L tokens."""
    width = max(map(len, rows))
    ids = [[*row, *[0] * (width - len(row))] for row in rows]
    attention = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    needed = {"input_ids": ids, "attention_mask": attention}
    tensors = {k: torch.tensor(v, device=model.device) for k, v in needed.items()}
    savings = {"use_cache": False, "logits_to_keep": width - first}
    logits = forward(model, tensors, savings).logits[:, first - width :]
    if logits.shape[:2] != (len(rows), width - first):
        raise GenerationError(
            f"{type(model).__name__} gave logits of shape {tuple(logits.shape)} for the last "
            f"{width - first} of {width} tokens of {len(rows)} sequences; a causal language model gives "
            "one row for each token."
        )
    return logits


def padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (N, T) of sequences padded on the right with 0, at least one wide, and mask (N, T)."""
    width = max(1, max(map(len, rows)))
    mask = np.arange(width) < np.array([[len(row)] for row in rows])
    tokens = np.zeros(mask.shape, dtype=np.int64)
    tokens[mask] = [token for row in rows for token in row]
    return tokens, mask


def check_room(model: Any, prompt_ids: Sequence[Sequence[int]], room: Sequence[int]) -> None:
    """Raise `GenerationError` unless prompts have tokens and fit, with `room` more, into the context."""
    limit = getattr(model.config, "max_position_embeddings", None)
    for k, (row, more) in enumerate(zip(prompt_ids, room, strict=True)):
        if not len(row):
            raise GenerationError(f"prompt {k} has no tokens.")
        if limit is not None and len(row) + more > limit:
            raise GenerationError(
                f"prompt {k} has {len(row)} tokens, which with {more} new ones passes the model's "
                f"{limit}; shorten the prompt or lower max_new_tokens."
            )


_REFUSED: dict[type, dict[str, str]] = {}
"""For each class of model, the arguments that its `forward` refused, with its error message."""


def forward(model: Any, tensors: dict[str, Any], options: dict[str, Any]) -> Any:
    """One pass, with those of the options that the model accepts.

    They save memory and change no logit that is read, or say what a model without them does not ask.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    refused = _REFUSED.setdefault(type(base), {})
    while True:
        taken = {name: value for name, value in options.items() if name not in refused}
        try:
            return model(**tensors, **taken)
        except TypeError as error:
            said = str(error)
            named = [n for n in taken if f"unexpected keyword argument '{n}'" in said]
            if not named:
                raise
            refused[named[0]] = said


def log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """log pi in float64 (float32 where the device has no other); `GenerationError` if not finite."""
    log_p = logits.to(exact_dtype(logits.device)).log_softmax(-1)
    if bool(log_p.isnan().any()):
        raise GenerationError(
            "the model's logits are not finite; its weights have diverged or its precision is too "
            "low, so load an earlier checkpoint or a wider dtype."
        )
    return log_p


def exact_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 on MPS, which has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """No dropout and no gradients inside; every module's mode as it was afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
