"""Every completion of a small language model: its exact game, against which samples are checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidGame
from ...games.game import AlignmentGame
from ...objectives import Objective
from ...samples.keys.reader import AnswerReader
from ..answers import cut
from .generation import Generations, end_tokens, log_probability
from .selfcheck import require_agreement, require_probabilities

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRACES = 50_000
"""The largest number of completions that are enumerated."""


def enumerate_traces(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int = 4096,
) -> Generations:
    """All completions of at most T tokens with log pi of each, in place of samples.

    A completion is a sequence of other tokens followed by an end-of-sequence token, or T other
    tokens. With vocabulary V and one end token there are 1 + (V-1) + ... + (V-1)^(T-1) + (V-1)^T of
    them, the same for each prompt and in the same order. log_prob (P, N), token_ids (P, N, T).

    Raises:
        InvalidGame: more than `TRACES` of them.
        SelfCheckFailed: sampler and scorer disagree, or the probabilities of all do not sum to 1.
    """
    eos = end_tokens(model, tokenizer)
    others = [t for t in range(model.config.vocab_size) if t not in eos]
    total = sum(len(others) ** t * len(eos) for t in range(max_new_tokens))
    total += len(others) ** max_new_tokens
    if total > TRACES:
        raise InvalidGame(
            f"{total:,} completions of {max_new_tokens} tokens out of {model.config.vocab_size} are "
            "too many to enumerate; use a smaller vocabulary, fewer tokens, or samples."
        )
    tokens, mask = _all_tokens(others, eos, max_new_tokens)
    texts = tokenizer.batch_decode(
        [t[m].tolist() for t, m in zip(tokens, mask, strict=True)], skip_special_tokens=True
    )
    require_agreement([model], tokenizer, prompts, max_new_tokens)
    p, without_end = len(prompts), ~np.isin(np.where(mask, tokens, -1), eos).any(-1)
    ids, own, cut = (np.tile(x, (p, *[1] * x.ndim)) for x in (tokens, mask, without_end))
    found = Generations(ids, own, np.zeros((p, total)), [list(texts) for _ in prompts], cut)
    log_prob = log_probability(model, tokenizer, prompts, found, batch_size=batch_size)
    require_probabilities(model, log_prob)
    return replace(found, log_prob=log_prob)


def _all_tokens(
    others: list[int], eos: Sequence[int], length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (N, T) and mask of all completions: shorter ones with each end first, then those without."""
    parts: list[np.ndarray] = []
    for size in range(length + 1):
        bodies = np.array([*product(others, repeat=size)], dtype=np.int64)
        bodies = bodies.reshape(len(others) ** size, size)
        ends = [[end] for end in eos] if size < length else [[]]
        for end in ends:
            last = np.tile(np.array(end, dtype=np.int64), (len(bodies), 1))
            row = np.concatenate([bodies, last], axis=1)
            parts.append(np.pad(row, [(0, 0), (0, length - row.shape[1])], constant_values=-1))
    tokens = np.concatenate(parts)
    return np.where(tokens < 0, eos[0], tokens), tokens >= 0


def trace_game(
    traces: Generations,
    objective: Objective,
    *,
    beta: float,
    extract: str | Callable[[str], str | None],
    canonical: str = "auto",
    truncated: str = "no-answer",
) -> tuple[AlignmentGame, list[str | None]]:
    """The exact game of one class: its prompts as contexts, all completions as traces.

    `traces` are those of the reference; `extract` and `canonical` are those of `AnswerReader`, and
    `truncated` says what a trace without an end token is: "no-answer", or "read" like any other.
    Returns the game and the answer keys in the order of its answers (sorted, None for "no answer"
    last), on which tables of the objective are defined.
    """
    reader = AnswerReader(extract, canonical)
    keys = reader(traces.texts[0], cut(traces.truncated[0], truncated))
    answers = sorted(set(keys), key=lambda key: (key is None, key))
    index = {key: i for i, key in enumerate(answers)}
    game = AlignmentGame(
        policy_table(traces), objective, beta=beta, answers=np.array([index[k] for k in keys])
    )
    return game, answers


def policy_table(traces: Generations) -> np.ndarray:
    """pi as a table (prompts, traces), each row divided by its sum, which float error moves off 1."""
    p = np.exp(traces.log_prob - traces.log_prob.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)
