"""Pre-training of the embedded model on the corpus of misread problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from .corpus import batches
from .llama import new_model, new_tokenizer
from .problems import problems

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

STEPS, BATCH, RATE, WARM_UP = 1300, 64, 8e-3, 60
PROMPT_WEIGHT = 0.3
"""Share of the loss that a prompt token has beside a completion token."""


def pretrain(
    seed: int,
    *,
    steps: int = STEPS,
    corpus: str = "scattered",
    progress: Callable[[int, float], None] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A new model after `steps` of AdamW on batches of 64 traces of the "pretrain" problems.

    Minimises the cross-entropy of the corpus (nats per token, prompt tokens at weight 0.3), with a
    linear warm-up to 8e-3 and a cosine decay to 0. The same seed and number of threads give the
    same weights; no global random state is used.

    Args:
        seed: of the initial weights and of the batches.
        steps: number of updates.
        corpus: "scattered" or "wrong_majority".
        progress: told the steps done and the last loss.

    Raises:
        DagameError: the corpus is unknown.
    """
    model, tokenizer = new_model(seed), new_tokenizer()
    fit(model, tokenizer, batches(problems("pretrain"), BATCH, steps, seed, corpus), progress)
    return model, tokenizer


def fit(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Sequence[tuple[str, str]]],
    progress: Callable[[int, float], None] | None = None,
) -> None:
    """Train a model in place on batches of (prompt, completion), as `pretrain` says; one update each."""
    steps = len(pairs)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    model.train()
    for step, batch in enumerate(pairs, 1):
        loss = _loss(model, tokenizer, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(step, loss.item())
    model.eval()


def _rate(step: int, steps: int) -> float:
    warm_up = min(WARM_UP, steps)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _loss(
    model: Any, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]]
) -> torch.Tensor:
    prompts: Any = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
    traces: Any = tokenizer([trace for _, trace in pairs])["input_ids"]
    rows = [[*p, *t, tokenizer.eos_token_id] for p, t in zip(prompts, traces, strict=True)]
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    place = torch.arange(1, ids.shape[1])
    start = torch.tensor([[len(p)] for p in prompts])
    end = torch.tensor([[len(row)] for row in rows])
    weight = torch.where(place < start, PROMPT_WEIGHT, 1.0) * (place < end)
    logits = model(input_ids=ids).logits[:, :-1]
    losses = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return (losses * weight).sum() / weight.sum()
