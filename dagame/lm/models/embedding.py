"""Texts as points: the last token's hidden state of a frozen model, and the cosine cost between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import GenerationError, InvalidGame
from .generation import tokenise
from .scoring import check_room, evaluating

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def embed(
    model: Any, rows: Sequence[Any], tokenizer: PreTrainedTokenizerBase, *, batch_size: int = 64
) -> np.ndarray:
    """The last layer's hidden state at each row's last token (N, d), float64.

    Rows are padded on the right, which a causal model does not read, so that neither the other rows nor the
    batch size change an embedding beyond float error. Dropout is switched off meanwhile.

    Args:
        model: a causal language model of transformers, on any device.
        rows: N texts, or mappings (such as the rows of a frame, `frame.iter_rows(named=True)`) with a
            `prompt` and a `completion`, tokenised one by one and joined, as sampling joins them.
        tokenizer: of the model.
        batch_size: rows of a pass.

    Raises:
        GenerationError: no rows, a row that is neither, without tokens or too long, states not finite.
    """
    ids = _token_ids(rows, tokenizer)
    check_room(model, ids, [0] * len(ids))
    parts = []
    with evaluating(model):
        for start in range(0, len(ids), batch_size):
            parts.append(_last_states(model, ids[start : start + batch_size]))
    found = np.concatenate(parts)
    if not np.isfinite(found).all():
        bad = int(np.argwhere(~np.isfinite(found))[0, 0])
        raise GenerationError(
            f"the hidden state of row {bad} is not finite; load the model in a wider dtype."
        )
    return found


def cosine_cost(embeddings: np.ndarray, points: np.ndarray) -> np.ndarray:
    """1 - cos of the angle between each embedding (n, d) and each point (k, d): costs (n, k) in [0, 2].

    Raises:
        InvalidGame: tables that are not of one width, or a row of zeros, which has no direction.
    """
    unit = []
    for name, table in (("embeddings", embeddings), ("points", points)):
        rows = np.asarray(table, dtype=np.float64)
        size = np.linalg.norm(rows, axis=-1, keepdims=True) if rows.ndim == 2 else np.zeros(1)
        if not (size > 0).all() or rows.shape[-1] != np.shape(embeddings)[-1]:
            raise InvalidGame(
                f"{name} have shape {rows.shape}; give tables (n, d) and (k, d) of one width d without rows "
                "of zeros."
            )
        unit.append(rows / size)
    return np.clip(1 - unit[0] @ unit[1].T, 0.0, 2.0)


def _token_ids(rows: Sequence[Any], tokenizer: Any) -> list[list[int]]:
    if not len(rows):
        raise GenerationError("there are no rows to embed.")
    if all(isinstance(row, str) for row in rows):
        return tokenise(tokenizer, list(rows))
    for k, row in enumerate(rows):
        if not (isinstance(row, Mapping) and {"prompt", "completion"} <= row.keys()):
            raise GenerationError(
                f"row {k} is a {type(row).__name__}; give texts only, or mappings with `prompt` and "
                "`completion` only."
            )
    prompts = tokenise(tokenizer, [row["prompt"] for row in rows])
    texts = [row["completion"] for row in rows]
    completions = tokenizer(texts, padding=False, truncation=False, add_special_tokens=False)
    return [p + c for p, c in zip(prompts, completions["input_ids"], strict=True)]


def _last_states(model: Any, rows: list[list[int]]) -> np.ndarray:
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
    mask = torch.tensor(
        [[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device
    )
    states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[-1]
    last = torch.tensor([len(row) - 1 for row in rows], device=model.device)
    found = states[torch.arange(len(rows), device=model.device), last]
    return found.to(torch.float32).cpu().numpy().astype(np.float64)
