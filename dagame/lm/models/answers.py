"""Exact probabilities of answers from a known list: each is scored after each prompt, none is sampled."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import GenerationError, InvalidGame
from ...games.game import AlignmentGame
from ...objectives import Objective
from .generation import tokenise
from .prefix import token_log_probs_shared
from .scoring import padded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def score_answers(
    model: Any,
    prompts: Sequence[Any],
    answers: Sequence[Any],
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    end: str | Sequence[int] | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """log pi(answer a | prompt x) (P, A), float64, in nats: sum_t log pi(a_t | x, a_1 .. a_{t-1}).

    The event is that the completion begins with exactly the tokens of the answer (and an end, if one is
    given). An answer is tokenised by itself, without special tokens, and appended to the prompt's
    tokens, as sampling appends them: write the blank that precedes it (" Paris"). Other tokenizations of
    the same text are other events, whose mass is not counted. The events are disjoint, so that
    exp(.).sum(-1) <= 1 is the share of the model's distribution that the list covers: look at it.

    Args:
        model: a causal language model of transformers; a prompt is read once for the answers of a pass.
        prompts: P texts, or without a tokenizer lists of token ids.
        answers: A texts, or without a tokenizer lists of token ids.
        tokenizer: of the model.
        end: what must follow an answer: a text (such as "."), or token ids of which any will do (such
            as `[tokenizer.eos_token_id]`); None: nothing, the answer is what the completion begins with.
        batch_size: answers of a pass, which holds (batch_size, tokens, vocabulary) logits.

    Raises:
        InvalidGame: no answers, one without tokens, or one that begins with all tokens of another, so
            that the events overlap: give an `end`.
        GenerationError: a prompt without tokens or too long, logits that are not finite.
    """
    if batch_size < 1:
        raise GenerationError("batch_size must be at least 1.")
    if not len(prompts):
        raise GenerationError("there are no prompts.")
    ids = [list(p) for p in prompts] if tokenizer is None else tokenise(tokenizer, prompts)
    rows, owner = _events(answers, tokenizer, end)
    prompt_of = [prompt for prompt in ids for _ in rows]
    completions = (np.tile(table, (len(ids), 1)) for table in padded(rows))
    given = (model, prompt_of, *completions)
    found = token_log_probs_shared(*given, batch_size=batch_size).sum(-1)
    out = np.full((len(ids), len(answers)), -np.inf)
    for mine, scores in zip(out, found.reshape(len(ids), len(rows)), strict=True):
        np.logaddexp.at(mine, owner, scores)
    return out


def answer_game(
    log_prob: np.ndarray, objective: Objective, *, beta: float
) -> tuple[AlignmentGame, np.ndarray]:
    """The exact game of a model whose answers are a known list, and the mass of the list.

    log_prob (*batch, m, A): of `score_answers`, the prompts of a class along the axis m. The reference
    is pi0(a | x) = exp(log_prob) / mass, mass (*batch, m) = sum_a exp(log_prob): the model given that it
    answers from the list. It is the model's own game only as far as mass is 1.

    Raises:
        InvalidGame: log_prob is no table of log-probabilities, or no answer has any mass.
    """
    log_prob = np.asarray(log_prob, float)
    if log_prob.ndim < 2 or np.isnan(log_prob).any():
        raise InvalidGame(
            "log_prob must be (..., prompts, answers) without NaN; see score_answers."
        )
    top = log_prob.max(-1, keepdims=True)
    if not np.isfinite(top).all():
        raise InvalidGame("a prompt gives no answer of the list any mass; give other answers.")
    p = np.exp(log_prob - top)
    total = p.sum(-1, keepdims=True)
    mass = np.exp(top[..., 0] + np.log(total[..., 0]))
    if (mass > 1 + 1e-6).any():
        raise InvalidGame(
            f"the answers have a mass of {mass.max():.6g} > 1; they overlap, or log_prob is not natural."
        )
    return AlignmentGame(p / total, objective, beta=beta), mass


def _events(answers: Sequence[Any], tokenizer: Any, end: Any) -> tuple[list[list[int]], np.ndarray]:
    """Token sequences of which none begins another, and the answer that each belongs to."""
    if not len(answers):
        raise InvalidGame("there are no answers.")
    if tokenizer is None and isinstance(end, str):
        raise InvalidGame("an end that is a text needs a tokenizer; give token ids.")

    def tokens(text: str) -> list[int]:
        assert tokenizer is not None
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    bodies = [list(a) for a in answers] if tokenizer is None else [tokens(a) for a in answers]
    if empty := [a for a, body in zip(answers, bodies, strict=True) if not body]:
        raise InvalidGame(f"answer {empty[0]!r} has no tokens.")
    tails = (
        [[]] if end is None else [tokens(end)] if isinstance(end, str) else [[int(t)] for t in end]
    )
    if not tails or (end is not None and not all(tails)):
        raise InvalidGame("end has no tokens; leave it out, or give a text or token ids.")
    rows = [body + tail for body in bodies for tail in tails]
    owner = np.repeat(np.arange(len(bodies)), len(tails))
    _require_apart(rows, [answers[k] for k in owner.tolist()])
    return rows, owner


def _require_apart(rows: list[list[int]], answers: list[Any]) -> None:
    """Raise `InvalidGame` where the tokens of one row begin those of another."""
    order = sorted(range(len(rows)), key=rows.__getitem__)
    for i, j in pairwise(order):  # a prefix stands right before one that it begins
        if rows[j][: len(rows[i])] == rows[i]:
            first, second = answers[i], answers[j]
            raise InvalidGame(
                f"the tokens of answer {first!r} begin those of {second!r}, so that their events "
                "overlap; give an end= that follows each answer, or leave one out."
            )
