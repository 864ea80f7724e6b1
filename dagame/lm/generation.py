"""Completions of a causal language model with their exact log-probabilities.

Plain ancestral sampling at temperature 1 from the full softmax, whatever generation settings the
model carries: the empirical answer marginals and KL terms of the game are about pi itself (theory,
section 5), and a top-k, a temperature or a repetition penalty would make it another policy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import GenerationError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Generations:
    """K completions for each of P prompts, of at most T tokens.

    token_ids (P, K, T) int64, right-padded; mask (P, K, T) bool, True on the completion's own
    tokens with its end-of-sequence token; log_prob (P, K) float64, the natural logarithm of
    pi(completion | prompt), summed over the masked tokens; texts [P][K], decoded without special
    tokens; truncated (P, K) bool, no end-of-sequence token within max_new_tokens.
    """

    token_ids: np.ndarray
    mask: np.ndarray
    log_prob: np.ndarray
    texts: list[list[str]]
    truncated: np.ndarray


def generate(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    samples: int,
    *,
    max_new_tokens: int,
    seed: int,
    greedy: bool = False,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Generations:
    """Draw `samples` completions of each prompt from pi(. | prompt), or its greedy completion.

    Token t of row i is the inverse of the cumulative softmax at a uniform number that depends on
    the seed, i and t alone (for given K and T): neither the batch size nor the padding changes a
    sample beyond float error, and no global random state is read or written. A completion ends
    with the tokenizer's or the model's end-of-sequence token, whichever comes first.

    Args:
        model: any causal language model of transformers, also wrapped by peft, on any device.
        tokenizer: its tokenizer; padding is done here, so its padding side is neither used nor set.
        prompts: P texts, tokenised as they are.
        samples: K completions of each prompt; 1 if `greedy`.
        max_new_tokens: T, at which a completion is cut.
        seed: of the uniform numbers.
        greedy: take the likeliest token each time.
        batch_size: completions generated side by side; (batch_size, vocabulary) floats are held.
        progress: told how many completions are done.

    Raises:
        GenerationError: no prompts, a prompt without tokens, no end-of-sequence token, a context
            longer than the model's, or logits that are not finite.
    """
    if greedy and samples != 1:
        raise GenerationError(f"greedy completions are all alike, but samples={samples}; give 1.")
    if samples < 1 or max_new_tokens < 1 or batch_size < 1:
        raise GenerationError("samples, max_new_tokens and batch_size must be at least 1.")
    ids = _tokenise(model, tokenizer, prompts, [max_new_tokens] * len(prompts))
    rows = [p for p in ids for _ in range(samples)]
    uniform = None if greedy else np.random.default_rng(seed).random((len(rows), max_new_tokens))
    eos = _eos_ids(model, tokenizer)
    pad: Any = eos[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    tokens = np.full((len(rows), max_new_tokens), pad, dtype=np.int64)
    log_probs, lengths = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    with _evaluating(model):
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            noise = None if uniform is None else uniform[part]
            found, log_probs[part], lengths[part] = _complete(
                model, rows[part], noise, max_new_tokens, eos
            )
            tokens[part, : found.shape[1]] = found
            if progress is not None:
                done = min(start + batch_size, len(rows))
                progress(f"generated {done:,} of {len(rows):,} completions")
    shape = (len(ids), samples)
    mask = np.arange(max_new_tokens) < lengths[:, None]
    tokens[~mask] = pad
    ended = np.isin(tokens[np.arange(len(rows)), lengths - 1], eos)
    decoded = tokenizer.batch_decode(
        [row[:n].tolist() for row, n in zip(tokens, lengths, strict=True)], skip_special_tokens=True
    )
    return Generations(
        tokens.reshape(*shape, -1),
        mask.reshape(*shape, -1),
        log_probs.reshape(shape),
        [decoded[i : i + samples] for i in range(0, len(rows), samples)],
        ~ended.reshape(shape),
    )


def log_probability(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    generations: Generations,
    *,
    batch_size: int = 256,
) -> np.ndarray:
    """log pi(completion | prompt) under `model` (P, K), float64, in nats.

    One forward pass over prompt and completion; `generations` may come from another model with the
    same tokenizer, so that the difference to its own `log_prob` estimates a KL. A pass holds
    (batch_size, T, vocabulary) logits.

    Raises:
        GenerationError: prompts and generations differ in number, or see `generate`.
    """
    p, k, width = generations.token_ids.shape
    if len(prompts) != p:
        raise GenerationError(f"{len(prompts)} prompts for the generations of {p} prompts.")
    ids = _tokenise(model, tokenizer, prompts, generations.mask.sum(-1).max(-1).tolist())
    rows = [q for q in ids for _ in range(k)]
    tokens = generations.token_ids.reshape(p * k, width)
    mask = generations.mask.reshape(p * k, width)
    out = np.zeros(p * k)
    with _evaluating(model):
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            width = int(mask[part].sum(-1).max())
            out[part] = _score(model, rows[part], tokens[part, :width], mask[part, :width])
    return out.reshape(p, k)


def _complete(
    model: Any, rows: Sequence[list[int]], uniform: np.ndarray | None, steps: int, eos: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens (B, t), log-probabilities (B,) and lengths (B,) of one batch, t <= steps."""
    device = model.device
    ids, attention = _left_padded(rows, device)
    ends = torch.tensor(eos, device=device)
    noise = None if uniform is None else torch.as_tensor(uniform).to(device, _exact(device))
    total = torch.zeros(len(rows), dtype=_exact(device), device=device)
    length = torch.zeros(len(rows), dtype=torch.int64, device=device)
    running = torch.ones(len(rows), dtype=torch.bool, device=device)
    cache, new = None, []
    for t in range(steps):
        out = _forward(model, ids, attention, past_key_values=cache, use_cache=True)
        cache = getattr(out, "past_key_values", None)
        log_p = _log_softmax(out.logits[:, -1])
        token = log_p.argmax(-1) if noise is None else _inverse_cdf(log_p.exp(), noise[:, t])
        total += torch.where(running, log_p.gather(-1, token[:, None])[:, 0], 0.0)
        length += running
        new.append(token)
        running = running & ~torch.isin(token, ends)
        if not running.any():
            break
        ids = torch.cat([ids, token[:, None]], dim=1)
        attention = torch.cat([attention, torch.ones_like(token[:, None])], dim=1)
    tokens = torch.stack(new, dim=1).cpu().numpy()
    return tokens, total.cpu().numpy(), length.cpu().numpy()


def _score(
    model: Any, rows: Sequence[list[int]], tokens: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """Summed log-probabilities (B,) of completions (B, t) after their prompts."""
    device, width = model.device, tokens.shape[1]
    ids, attention = _left_padded(rows, device)
    target, kept = torch.as_tensor(tokens).to(device), torch.as_tensor(mask).to(device)
    ids, attention = torch.cat([ids, target], dim=1), torch.cat([attention, kept.long()], dim=1)
    out = _forward(model, ids, attention, logits_to_keep=width + 1, use_cache=False)
    logits = out.logits[:, -width - 1 : -1]
    total = torch.zeros(len(rows), dtype=_exact(device), device=device)
    for t in range(width):
        log_p = _log_softmax(logits[:, t]).gather(-1, target[:, t, None])[:, 0]
        total += torch.where(kept[:, t], log_p, 0.0)
    return total.cpu().numpy()


def _forward(model: Any, ids: Any, attention: Any, **options: Any) -> Any:
    """One pass; positions count real tokens, and after a cache only the last token is read."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    accepted = inspect.signature(base.forward).parameters
    positions = (attention.cumsum(-1) - 1).clamp(min=0)
    if options.get("past_key_values") is not None:
        ids, positions = ids[:, -1:], positions[:, -1:]
    options = {"logits_to_keep": 1, "position_ids": positions} | options
    options = {name: value for name, value in options.items() if name in accepted}
    return model(input_ids=ids, attention_mask=attention, **options)


def _log_softmax(logits: Any) -> Any:
    log_p = logits.to(_exact(logits.device)).log_softmax(-1)
    if bool(log_p.isnan().any()):
        raise GenerationError(
            "the model's logits are not finite; its weights have diverged or its precision is too "
            "low, so load an earlier checkpoint or a wider dtype."
        )
    return log_p


def _inverse_cdf(p: Any, uniform: Any) -> Any:
    """The first token whose cumulative probability exceeds the uniform number in [0, 1)."""
    cumulative = p.cumsum(-1)
    level = uniform[:, None] * cumulative[:, -1:]
    token = torch.searchsorted(cumulative, level, right=True)[:, 0]
    return token.clamp(max=p.shape[-1] - 1)


def _exact(device: Any) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64


def _left_padded(rows: Sequence[list[int]], device: Any) -> tuple[Any, Any]:
    width = max(map(len, rows))
    ids = [[0] * (width - len(row)) + row for row in rows]
    attention = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(attention, device=device)


def _tokenise(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], room: Sequence[int]
) -> list[list[int]]:
    if not len(prompts):
        raise GenerationError("there are no prompts.")
    ids = tokenizer(list(prompts), padding=False, truncation=False)["input_ids"]
    limit = getattr(model.config, "max_position_embeddings", None)
    for k, row in enumerate(ids):
        if not row:
            raise GenerationError(f"prompt {k} ({prompts[k]!r}) has no tokens.")
        if limit is not None and len(row) + room[k] > limit:
            raise GenerationError(
                f"prompt {k} has {len(row)} tokens, which with {room[k]} new ones passes the model's "
                f"{limit}; shorten the prompt or lower max_new_tokens."
            )
    return ids


def _eos_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a completion: the tokenizer's and those of the model's settings."""
    settings = getattr(model, "generation_config", None)
    found = getattr(settings, "eos_token_id", None)
    own = [] if found is None else [found] if isinstance(found, int) else list(found)
    ids = {i for i in (tokenizer.eos_token_id, *own) if isinstance(i, int)}
    if not ids:
        raise GenerationError(
            "neither tokenizer nor model names an end-of-sequence token; set tokenizer.eos_token."
        )
    return sorted(ids)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """No dropout and no gradients inside; every module's mode as it was afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
