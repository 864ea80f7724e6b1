"""Completions of a causal language model with their exact log-probabilities.

Plain ancestral sampling at temperature 1 from the full softmax, whatever generation settings the
model carries: the empirical answer marginals and KL terms of the game are about pi itself
(docs/theory/lm-certificate.md), and a top-k, a temperature or a repetition penalty would make
it another policy. The library's own `generate` runs the model and its cache; the tokens are chosen
here, in a logits processor, from the caller's seed. A prompt is read once for all its completions
of a batch, whose caches are copies of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import GenerationError
from ...show.progress import Progress, time_left
from .prefix import left_padded, read_once
from .scoring import check_room, evaluating, log_softmax, logits_from, score

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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


def check_numbers(samples: int, max_new_tokens: int, batch_size: int, greedy: bool) -> None:
    """Raise `GenerationError` for numbers that no sampling can have."""
    if greedy and samples != 1:
        raise GenerationError(f"greedy completions are all alike, but samples={samples}; give 1.")
    if samples < 1 or max_new_tokens < 1 or batch_size < 1:
        raise GenerationError("samples, max_new_tokens and batch_size must be at least 1.")


def complete(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[list[int]],
    samples: int,
    *,
    max_new_tokens: int,
    seed: int | Sequence[int],
    greedy: bool = False,
    ends: Sequence[int] | None = None,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Generations:
    """Completions of P prompts of token ids, to tokens `ends` or (None) `end_tokens`, unchecked.

    `seed`: of all, or one of each prompt, whose completions then depend on no other prompt.
    """
    check_numbers(samples, max_new_tokens, batch_size, greedy)
    check_room(model, ids, [max_new_tokens] * len(ids))
    rows = [p for p in ids for _ in range(samples)]
    uniform = None if greedy else _uniforms(seed, len(ids), samples, max_new_tokens)
    eos = end_tokens(model, tokenizer) if ends is None else list(ends)
    pad: Any = eos[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    tokens = np.full((len(rows), max_new_tokens), pad, dtype=np.int64)
    log_probs, lengths = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    with evaluating(model):
        for part in _parts(len(rows), batch_size, progress):
            noise = None if uniform is None else uniform[part]
            given = (model, rows[part], noise, max_new_tokens, eos, pad)
            found, log_probs[part], lengths[part] = _batch(*given)
            tokens[part, : found.shape[1]] = found
    mask = np.arange(max_new_tokens) < lengths[:, None]
    tokens[~mask] = pad
    ended = np.isin(tokens[np.arange(len(rows)), lengths - 1], eos)
    texts = _decoded(tokenizer, tokens, lengths, samples)
    shape = (len(ids), samples)
    ids_of, mask_of = (table.reshape(*shape, -1) for table in (tokens, mask))
    return Generations(ids_of, mask_of, log_probs.reshape(shape), texts, ~ended.reshape(shape))


def _parts(count: int, size: int, progress: Progress | None) -> Iterator[slice]:
    """Batches one after the other; how many completions are done is told after each."""
    began = time.perf_counter()
    for start in range(0, count, size):
        yield slice(start, start + size)
        if progress is not None:
            done = min(start + size, count)
            left = time_left(done, count, began)
            progress(f"generated {done:,} of {count:,} completions{left}")


def _decoded(
    tokenizer: Any, tokens: np.ndarray, lengths: np.ndarray, samples: int
) -> list[list[str]]:
    rows = [row[:n].tolist() for row, n in zip(tokens, lengths, strict=True)]
    texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
    return [texts[i : i + samples] for i in range(0, len(rows), samples)]


def uniforms(seed: int, rows: int, steps: int) -> np.ndarray:
    """The numbers in [0, 1) at which rows of completions invert their cumulative softmax."""
    return np.random.default_rng(seed).random((rows, steps))


def _uniforms(seed: int | Sequence[int], prompts: int, samples: int, steps: int) -> np.ndarray:
    if isinstance(seed, int):
        return uniforms(seed, prompts * samples, steps)
    return np.concatenate([uniforms(own, samples, steps) for own in seed])


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
        GenerationError: prompts and generations differ in number, or see `dagame.lm.models.scoring`.
    """
    p, k, width = generations.token_ids.shape
    if len(prompts) != p:
        raise GenerationError(f"{len(prompts)} prompts for the generations of {p} prompts.")
    ids = tokenise(tokenizer, prompts)
    check_room(model, ids, generations.mask.sum(-1).max(-1).tolist())
    rows = [q for q in ids for _ in range(k)]
    tokens, mask = (a.reshape(p * k, width) for a in (generations.token_ids, generations.mask))
    return score(model, rows, tokens, mask, batch_size=batch_size).reshape(p, k)


def _batch(
    model: Any,
    rows: Sequence[list[int]],
    uniform: np.ndarray | None,
    steps: int,
    eos: list[int],
    pad: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tokens (B, t), log-probabilities (B,) and lengths (B,) of one batch, t <= steps."""
    run = _by_the_library if hasattr(model, "generate") else _by_whole_sequences
    choice = Choice(uniform, max(map(len, rows)))
    tokens = run(model, rows, choice, steps, eos, pad)
    ended = np.isin(tokens, eos)
    length = np.where(ended.any(-1), ended.argmax(-1) + 1, tokens.shape[1])
    kept = np.arange(tokens.shape[1]) < length[:, None]
    chosen = torch.stack(choice.tokens[: tokens.shape[1]], dim=1).cpu().numpy()
    if (kept & (chosen != tokens)).any():
        raise GenerationError(
            f"{type(model).__name__}.generate returned other tokens than its logits processor chose; "
            "a generate of one's own must apply the logits processors that it is given."
        )
    log_p = torch.stack(choice.log_probs[: tokens.shape[1]], dim=1).cpu().numpy()
    return tokens, np.where(kept, log_p, 0.0).sum(-1), length


class Choice:
    """A logits processor that chooses each row's next token and leaves no other one possible."""

    def __init__(self, uniform: np.ndarray | None, width: int) -> None:
        """Row i inverts the cumulative softmax at uniform[i, t], or takes the likeliest token (None)."""
        self.uniform, self.width = uniform, width
        self.tokens: list[torch.Tensor] = []
        self.log_probs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores that are finite for the chosen token alone; the length so far gives the step t."""
        token = self.choose(scores, input_ids.shape[1] - self.width)
        forced = torch.full_like(scores, -torch.inf)
        return forced.scatter_(-1, token[:, None], 0.0)

    def choose(self, scores: torch.Tensor, t: int) -> torch.Tensor:
        """Token (B,) of step t, kept with its log-probability."""
        log_p = log_softmax(scores)
        if self.uniform is None:
            token = scores.argmax(-1)
        else:
            at = min(t, self.uniform.shape[1] - 1)  # the library may look one step too far
            number = torch.as_tensor(self.uniform[:, at]).to(scores.device, log_p.dtype)
            token = _inverse_cdf(log_p.exp(), number)
        del self.tokens[t:], self.log_probs[t:]
        self.tokens.append(token)
        self.log_probs.append(log_p.gather(-1, token[:, None])[:, 0])
        return token


def _by_the_library(
    model: Any, rows: Sequence[list[int]], choice: Choice, steps: int, eos: list[int], pad: int
) -> np.ndarray:
    from transformers import GenerationConfig, LogitsProcessorList

    ids, attention = left_padded(rows, pad, model.device)
    settings = GenerationConfig(
        max_new_tokens=steps, do_sample=False, use_cache=True, eos_token_id=eos, pad_token_id=pad
    )
    with settings_replaced(model, settings):
        found = model.generate(
            input_ids=ids,
            attention_mask=attention,
            generation_config=settings,
            logits_processor=LogitsProcessorList([choice]),
            **read_once(model, rows, ids, attention),
        )
    return found[:, ids.shape[1] :].cpu().numpy()


def _by_whole_sequences(
    model: Any, rows: Sequence[list[int]], choice: Choice, steps: int, eos: list[int], pad: int
) -> np.ndarray:
    whole = [list(row) for row in rows]
    running, found = np.ones(len(rows), dtype=bool), []
    while running.any() and len(found) < steps:
        logits = logits_from(model, whole, min(map(len, whole)) - 1)
        last = torch.tensor([len(row) for row in whole], device=logits.device) - min(
            map(len, whole)
        )
        scores = logits[torch.arange(len(whole), device=logits.device), last]
        token = choice.choose(scores, len(found)).cpu().numpy()
        token = np.where(running, token, pad)
        for row, new in zip(whole, token.tolist(), strict=True):
            row.append(new)
        found.append(token)
        running = running & ~np.isin(token, eos)
    return np.stack(found, axis=1)


@contextmanager
def settings_replaced(model: Any, settings: Any) -> Iterator[None]:
    """`generate` falls back on no generation settings of the model, nor on those of what it wraps."""
    held = [m for m in model.modules() if "generation_config" in vars(m)]
    before = [m.generation_config for m in held]
    try:
        for module in held:
            module.generation_config = settings
        yield
    finally:
        for module, own in zip(held, before, strict=True):
            module.generation_config = own


def _inverse_cdf(p: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The first token whose cumulative probability exceeds the uniform number in [0, 1)."""
    cumulative = p.cumsum(-1)
    level = uniform[:, None] * cumulative[:, -1:]
    token = torch.searchsorted(cumulative, level, right=True)[:, 0]
    return token.clamp(max=p.shape[-1] - 1)


def tokenise(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[list[int]]:
    """The token ids of prompts, without padding, as the tokenizer makes them."""
    if not len(prompts):
        raise GenerationError("there are no prompts.")
    found: Any = tokenizer(list(prompts), padding=False, truncation=False)["input_ids"]
    return found


def prompt_ids(tokenizer: Any, prompts: Sequence[Any], template: dict[str, Any]) -> list[list[int]]:
    """Token ids of prompts, strings or chats, as the trainer makes them."""
    if isinstance(prompts[0], str):
        return tokenizer(text=list(prompts))["input_ids"]
    return tokenizer.apply_chat_template(
        conversation=list(prompts),
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        **template,
    )["input_ids"]


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
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
