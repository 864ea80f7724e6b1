"""Whether a trainer's own completions are samples of its model: the self-check of its first batch.

The trainer samples by itself, so nothing can be recomputed from a seed. Its tokens are tested
against the model instead: for a distribution q of the next token, prod q(token)/p(token) has mean 1
if tokens are drawn from p, so that it passes a million with probability at most one in a million
(Ville's inequality), whatever q is and however long completions are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from . import scoring
from .generation import end_tokens, prompt_ids
from .selfcheck import TOKENS, apart, plain_pass, require, rounding, self_check
from .selfcheck_texts import Check, end_fault, text_fault

FALSE_ALARM = 1e-6
"""Largest probability with which samples of the model itself are refused."""

TEMPERATURES = (0.3, 0.6, 0.8, 0.9, 1.1, 1.25, 1.6, 3.0)
NUCLEI = (0.8, 0.9, 0.95)
TOP = (1, 2, 5, 10, 20, 50, 100)
FLOORS = (0.02, 0.05, 0.1)

_LOGITS = 2**27
"""Numbers in memory at once; `_ROWS` completions are looked at, or fewer where they are long."""
_ROWS = 512


def require_batch(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    *,
    template: dict[str, Any],
    limit: int | None,
    ends: bool,
) -> None:
    """`SelfCheckFailed` unless `self_check` and `batch_check` hold of a trainer's first batch.

    `prompts` and `completions` are texts or chats; `template` holds arguments of the chat template;
    `ends` says whether completions must end at an end token or at the limit. Completions of several
    turns are left out: what a tool says in them is no sample of the model.
    """
    ids, texts = prompt_ids(tokenizer, prompts, template), isinstance(prompts[0], str)
    steps = TOKENS if limit is None else limit
    require(
        self_check(
            model,
            tokenizer,
            prompts,
            prompt_ids=None if texts else ids,
            max_new_tokens=steps,
        )
    )
    own = [k for k, c in enumerate(completions) if isinstance(c, str) or len(c) == 1]
    if own:
        rows = [ids[k] for k in own], [completion_ids[k] for k in own]
        read = [str(completions[k]) for k in own] if texts else None
        require(batch_check(model, tokenizer, *rows, read, limit=limit if ends else None))


def require_no_kl(
    policy: Any, reference: Any, log_ratio: np.ndarray, completion_ids: Sequence[Sequence[int]]
) -> None:
    """`SelfCheckFailed` if models of the same weights differ in log pi of completions (N,)."""
    pairs = zip(policy.parameters(), reference.parameters(), strict=False)
    if not all(a.shape == b.shape and bool(torch.equal(a, b)) for a, b in pairs):
        return
    per_token = log_ratio / np.array([max(1, len(row)) for row in completion_ids])
    found = apart(per_token, 0 * per_token, rounding(policy))
    if found:
        why = f"policy and reference have the same weights, but their log-probabilities differ by {found}"
        require([Check("reference", False, why)])


def batch_check(
    model: Any,
    tokenizer: Any,
    ids: Sequence[Sequence[int]],
    completion_ids: Sequence[Sequence[int]],
    texts: Sequence[str] | None,
    *,
    limit: int | None,
) -> list[Check]:
    """Completions of a trainer: their ends, their texts, and whether the model would draw them.

    Args:
        model: the policy, in the mode in which it is trained.
        tokenizer: its tokenizer.
        ids, completion_ids: N token sequences without padding.
        texts: what is read of the completions; None for chats.
        limit: where completions are cut; None to accept any end.
    """
    eos = end_tokens(model, tokenizer)
    checks = [_repeats_in_training(model, ids[0], completion_ids[0])]
    if limit is not None:
        faults = (end_fault(tokens, eos, limit) for tokens in completion_ids)
        fault = next((f for f in faults if f), None)
        fix = "; set truncated='read' if they end otherwise, such as at stop strings"
        checks.append(Check("ends", fault is None, f"{fault}{fix}" if fault else "all end"))
    if texts is not None:
        pairs = zip(completion_ids, texts, strict=True)
        fault = next((f for f in (text_fault(tokenizer, *pair) for pair in pairs) if f), None)
        checks.append(Check("texts", fault is None, fault or "texts are those of the tokens"))
    return [*checks, _drawn(model, ids, completion_ids)]


def _repeats_in_training(model: Any, prompt: Sequence[int], tokens: Sequence[int]) -> Check:
    with torch.no_grad():
        one, other = (plain_pass(model, prompt, tokens[:32]) for _ in range(2))
    bound = rounding(model)
    if apart(one, other, (bound[0] / 10, bound[1] / 10)):
        why = "dropout is on in training, so that samples and updates are of other policies"
        return Check("repeats", False, f"{why}; set disable_dropout=True")
    return Check("repeats", True, "the model in training has no dropout")


def _drawn(
    model: Any, ids: Sequence[Sequence[int]], completion_ids: Sequence[Sequence[int]]
) -> Check:
    rows = np.unique(np.linspace(0, len(completion_ids) - 1, _ROWS).astype(int)).tolist()
    longest = max(len(completion_ids[k]) + len(ids[k]) for k in rows)
    size = max(1, _LOGITS // (longest * model.config.get_text_config().vocab_size))
    total = np.zeros(len(_alternatives()))
    with scoring.evaluating(model):
        for start in range(0, min(len(rows), 8 * size), size):
            part = rows[start : start + size]
            total += log_likelihood_ratios(
                model, [ids[k] for k in part], [completion_ids[k] for k in part]
            )
    worst = int(np.argmax(total))
    evidence = float(np.logaddexp.reduce(total) - math.log(len(total)))
    if not evidence < -math.log(FALSE_ALARM):
        return Check(
            "samples",
            False,
            "the trainer's completions are not samples of its model at temperature 1; they are "
            f"exp({evidence:.0f}) times likelier under another distribution ({_alternatives()[worst]})",
        )
    return Check("samples", True, "completions are what the model would draw")


def log_likelihood_ratios(
    model: Any, ids: Sequence[Sequence[int]], completion_ids: Sequence[Sequence[int]]
) -> np.ndarray:
    """log prod q(token)/p(token) over all tokens, one for each alternative q; inf where p is 0."""
    tokens, mask = scoring.padded(completion_ids)
    total = np.zeros(len(_alternatives()))
    for t, log_p in enumerate(scoring.next_token_log_probs(model, ids, tokens, mask)):
        running = torch.as_tensor(mask[:, t], device=log_p.device)
        at = torch.as_tensor(tokens[:, t], device=log_p.device)[:, None]
        total += _ratios(log_p[running], at[running]).sum(-1).cpu().numpy()
    return np.where(np.isnan(total), np.inf, total)


def _alternatives() -> list[str]:
    """Names of the distributions that samples are compared with."""
    heat = [f"temperature {t}" for t in TEMPERATURES]
    nuclei = [f"top_p {share}" for share in NUCLEI]
    floors = [f"min_p {share}" for share in FLOORS]
    return [*heat, *nuclei, *floors, *(f"top_k {k}" for k in TOP), "any token alike"]


def _ratios(log_p: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    """log q/p (alternatives, B) of tokens (B, 1) under log p (B, V)."""
    own, size = log_p.gather(-1, at), log_p.shape[-1]
    found = [own / t - (log_p / t).logsumexp(-1, keepdim=True) - own for t in TEMPERATURES]
    order = log_p.argsort(-1, descending=True)
    cumulative = log_p.gather(-1, order).exp().cumsum(-1)
    place = (order == at).to(torch.int64).argmax(-1, keepdim=True)
    before = cumulative.gather(-1, place) - own.exp()
    for share in NUCLEI:
        kept = cumulative.gather(-1, (cumulative < share).sum(-1, keepdim=True).clamp(max=size - 1))
        found.append(torch.where(before < share - 1e-9, -kept.log(), -torch.inf))
    for share in FLOORS:
        kept = log_p >= log_p.amax(-1, keepdim=True) + math.log(share)
        mass = torch.where(kept, log_p, -torch.inf).logsumexp(-1, keepdim=True)
        found.append(torch.where(kept.gather(-1, at), -mass, -torch.inf))
    for k in TOP:
        kept = cumulative[:, min(k, size) - 1 : min(k, size)]
        found.append(torch.where(place < k, -kept.log(), -torch.inf))
    found.append(-math.log(size) - own)
    return torch.cat(found, dim=-1).T
