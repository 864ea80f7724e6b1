"""Whether sampler, scorer and tokenizer agree, on a few short completions, before a run trusts them.

Everything here is recomputed in the plainest way: one sequence at a time, no padding, no cache, all
logits. An argument that a library version renamed, a lost cache, or a setting that changes the sampling
shows as a difference, and a run that finds one ends with `SelfCheckFailed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...errors import DagameError, SelfCheckFailed, one_line
from ...provenance import installed
from . import generation, prefix, scoring
from .selfcheck_texts import Check, begins_once, end_fault, prompts_are_read_whole, text_fault

PROMPTS, SAMPLES, TOKENS = 2, 4, 8
"""How much is looked at: completions of so many prompts, so many of each, of so many tokens."""

VERSIONS = ("transformers", "torch", "trl", "peft", "verl")

_ROUNDING = {
    torch.float64: (2e-4, 1e-3),
    torch.float32: (2e-4, 1e-3),
    torch.float16: (0.02, 0.2),
    torch.bfloat16: (0.1, 1.0),
}
"""Differences of a token's log-probability, in nats, that rounding explains: their mean, the largest."""


def require_agreement(
    models: Sequence[Any], tokenizer: Any, prompts: Sequence[str], max_new_tokens: int
) -> None:
    """`require_self_check` of each model, None and repetitions apart, all of one vocabulary."""
    different: list[Any] = []
    for model in models:
        if model is not None and all(model is not other for other in different):
            different.append(model)
    for model in different:
        require_self_check(model, tokenizer, prompts, max_new_tokens=max_new_tokens)
    sizes = {getattr(model.config, "vocab_size", None) for model in different}
    if len(sizes) > 1:
        found = "the policy and the reference have vocabularies of different sizes"
        require([Check("vocabulary", False, f"{found} ({', '.join(map(str, sizes))})")])


def require_probabilities(model: Any, log_prob: np.ndarray) -> None:
    """`SelfCheckFailed` unless the probabilities of all completions (P, N) sum to 1."""
    sums, slack = np.exp(log_prob).sum(-1), 10 * rounding(model)[0]
    worst = float(sums[np.argmax(np.abs(sums - 1))])
    found = f"the probabilities of all completions of a prompt sum to {worst:.6g}"
    require([Check("probabilities", abs(worst - 1) <= slack, found)])


def require_self_check(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Any],
    *,
    prompt_ids: Sequence[Sequence[int]] | None = None,
    max_new_tokens: int = TOKENS,
) -> None:
    """`SelfCheckFailed` unless all of `self_check` holds."""
    require(
        self_check(model, tokenizer, prompts, prompt_ids=prompt_ids, max_new_tokens=max_new_tokens)
    )


def require(checks: Sequence[Check]) -> None:
    """Raise `SelfCheckFailed` with the first check that failed and the versions in use."""
    failed = next((check for check in checks if not check.ok), None)
    if failed is not None:
        raise SelfCheckFailed(
            f"self-check ({failed.name}): {failed.detail}; found with {versions()}, so use versions "
            "that this package was tested with, or correct what changes the model or its tokenizer."
        )


def versions() -> str:
    """Names and versions of the libraries that sampling and scoring rest on."""
    return ", ".join(f"{name} {found}" for name in VERSIONS if (found := installed(name)))


def self_check(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Any],
    *,
    prompt_ids: Sequence[Sequence[int]] | None = None,
    max_new_tokens: int = TOKENS,
    seed: int = 0,
) -> list[Check]:
    """Completions of two short prompts, sampled, scored and recomputed in the plainest way.

    Checked are: prompts are read whole and alike alone and in a batch; two passes over the same
    tokens agree (no dropout); the sampler's log-probabilities are those of the model, and its tokens
    what the seed's uniform numbers choose from the model's distribution; the scorer's are the
    sampler's, so that the KL of the model to itself is 0; greedy completions are the library's own;
    completions end at an end token or at the limit, with nothing behind it.

    Args:
        model: a causal language model.
        tokenizer: its tokenizer.
        prompts: texts, of which two are used, of different lengths where there are such; or chats.
        prompt_ids: their token ids where `prompts` are chats.
        max_new_tokens: of the run; no more than 8 are sampled.
        seed: of the samples.
    """
    if not len(prompts):
        return [Check("prompts", False, "there are no prompts")]
    try:
        checks = [] if prompt_ids is not None else [prompts_are_read_whole(tokenizer, prompts)]
        ids = generation.tokenise(tokenizer, list(prompts)) if prompt_ids is None else prompt_ids
        checks.append(begins_once(tokenizer, ids))
        few = [list(ids[k]) for k in _two(ids)]
        steps = max(1, min(TOKENS, max_new_tokens))
        with scoring.evaluating(model):
            return checks + _on_completions(model, tokenizer, few, steps, seed)
    except (DagameError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a library that changed raises anything
        reason = f"{type(error).__name__}: {one_line(error)}"
        return [Check("interface", False, f"sampling or scoring raised {reason}")]


def _two(ids: Sequence[Sequence[int]]) -> list[int]:
    """The shortest prompt and the next longer one, so that padding is looked at and time is short."""
    order = sorted(range(len(ids)), key=lambda k: (len(ids[k]), k))
    longer = [k for k in order if len(ids[k]) > len(ids[order[0]])]
    return [order[0], *longer[:1]] if longer else order[:PROMPTS]


# -- completions ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Sample:
    """A completion beside the model's log-probabilities (t, vocabulary) in a plain pass."""

    prompt: int
    tokens: list[int]
    log_p: np.ndarray
    uniform: np.ndarray

    def own(self) -> np.ndarray:
        """log pi of its tokens (t,)."""
        return self.log_p[np.arange(len(self.tokens)), self.tokens]


@dataclass(frozen=True, eq=False)
class _Run:
    """Completions of a few prompts, drawn by the sampler, and what rounding explains of differences."""

    model: Any
    tokenizer: Any
    ids: list[list[int]]
    steps: int
    seed: int
    drawn: generation.Generations
    samples: list[_Sample]
    bound: tuple[float, float]

    def again(self, count: int, **changed: Any) -> generation.Generations:
        """So many other completions of the same prompts."""
        how = {"max_new_tokens": self.steps, "seed": self.seed, **changed}
        return generation.complete(self.model, self.tokenizer, self.ids, count, **how)

    def apart(self, log_probs: np.ndarray) -> str | None:
        """By how much log pi of the samples differs from that of the plain passes, per token."""
        count = np.array([len(s.tokens) for s in self.samples])
        plain = np.array([s.own().sum() for s in self.samples])
        return apart(log_probs / count, plain / count, self.bound)


def _on_completions(
    model: Any, tokenizer: Any, ids: list[list[int]], steps: int, seed: int
) -> list[Check]:
    drawn = generation.complete(model, tokenizer, ids, SAMPLES, max_new_tokens=steps, seed=seed)
    uniform = generation.uniforms(seed, len(ids) * SAMPLES, steps)
    samples = []
    for row, (p, k) in enumerate(np.ndindex(len(ids), SAMPLES)):
        tokens = drawn.token_ids[p, k][drawn.mask[p, k]].tolist()
        samples.append(_Sample(p, tokens, plain_pass(model, ids[p], tokens), uniform[row]))
    run = _Run(model, tokenizer, ids, steps, seed, drawn, samples, rounding(model))
    checks = (_repeats, _adapter, _sampler, _choices, _scorer, _greedy, _ends, _texts)
    return [check(run) for check in checks]


def plain_pass(model: Any, prompt: Sequence[int], tokens: Sequence[int]) -> np.ndarray:
    """log pi(. | what is before) of each token (t, vocabulary), from one sequence without padding."""
    ids = torch.tensor([[*prompt, *tokens]], device=model.device)
    out = model(input_ids=ids, attention_mask=torch.ones_like(ids))
    logits = out.logits[0, -len(tokens) - 1 : -1]
    return scoring.log_softmax(logits).cpu().numpy()


def rounding(model: Any) -> tuple[float, float]:
    """Mean and largest difference of a token's log-probability that the model's precision explains."""
    dtypes = {p.dtype for p in model.parameters()} or {torch.float32}
    kind = model.device.type
    if torch.is_autocast_enabled(kind):
        dtypes.add(torch.get_autocast_dtype(kind))
    if kind == "cuda" and torch.get_float32_matmul_precision() != "highest":
        dtypes.add(torch.float16)  # tf32 has as many digits
    return max(_ROUNDING.get(dtype, _ROUNDING[torch.bfloat16]) for dtype in dtypes)


def apart(one: np.ndarray, other: np.ndarray, bound: tuple[float, float]) -> str | None:
    """By how much log-probabilities differ, as words, if rounding does not explain it."""
    with np.errstate(invalid="ignore"):
        difference = np.where(one == other, 0.0, np.abs(one - other))
    if np.isfinite(difference).all():
        mean, most = float(difference.mean()), float(difference.max())
        if mean <= bound[0] and most <= bound[1]:
            return None
        return f"{mean:.2g} nats a token on average and {most:.2g} at most"
    return "infinitely much"


def _repeats(run: _Run) -> Check:
    for sample in run.samples[::SAMPLES]:
        again = plain_pass(run.model, run.ids[sample.prompt], sample.tokens)
        if apart(again, sample.log_p, (run.bound[0] / 10, run.bound[1] / 10)):
            why = "two passes over the same tokens differ: dropout or another chance is left on"
            return Check("repeats", False, why)
    return Check("repeats", True, "two passes over the same tokens agree")


def _adapter(run: _Run) -> Check:
    """Switching the adapters off, as the reference does, leaves the policy as it was."""
    if not hasattr(run.model, "disable_adapter"):
        return Check("adapter", True, "the model has no adapter to switch off")
    first = run.samples[0]
    with run.model.disable_adapter():
        plain_pass(run.model, run.ids[0], first.tokens)
    if apart(plain_pass(run.model, run.ids[0], first.tokens), first.log_p, run.bound):
        why = "the policy is another after its adapters were switched off and on again"
        return Check("adapter", False, why)
    return Check("adapter", True, "adapters come back after they were switched off")


def _sampler(run: _Run) -> Check:
    if found := run.apart(run.drawn.log_prob.ravel()):
        why = (
            f"the sampler's log-probabilities differ from those of the model by {found}: the cache"
        )
        return Check("sampler", False, f"{why}, the padding or the sampling settings change them")
    count = len(run.samples)
    return Check("sampler", True, f"log-probabilities of {count} samples are the model's")


def _choices(run: _Run) -> Check:
    """Each token is the one at which the cumulative probability passes its uniform number."""
    slack = max(1e-6, run.bound[1])
    if not all(_is_chosen(sample, slack) for sample in run.samples):
        return Check("choices", False, "tokens are not drawn from the model's own distribution")
    scores = np.random.default_rng(0).normal(scale=2.0, size=(256, 16)).astype(np.float32)
    number = generation.uniforms(1, len(scores), 1)
    p = np.exp(scores.astype(float))
    p /= p.sum(-1, keepdims=True)
    wanted = (p.cumsum(-1) <= number).sum(-1)
    chosen = generation.Choice(number, 0).choose(torch.as_tensor(scores), 0).numpy()
    if (chosen != wanted).any():
        why = "the sampler does not draw from the softmax at temperature 1"
        return Check("choices", False, why)
    return Check("choices", True, "tokens are drawn from the model's own distribution")


def _is_chosen(sample: _Sample, slack: float) -> bool:
    upper = np.exp(sample.log_p).cumsum(-1)
    at = np.arange(len(sample.tokens)), sample.tokens
    high = upper[at] / upper[:, -1]
    low = high - np.exp(sample.own()) / upper[:, -1]
    number = sample.uniform[: len(sample.tokens)]
    return not ((number < low - slack) | (number > high + slack)).any()


def _scorer(run: _Run) -> Check:
    rows, drawn = [run.ids[s.prompt] for s in run.samples], run.drawn
    width = drawn.mask.shape[-1]
    completions = drawn.token_ids.reshape(-1, width), drawn.mask.reshape(-1, width)
    scored = scoring.score(run.model, rows, *completions)
    shared = prefix.token_log_probs_shared(run.model, rows, *completions).sum(-1)
    whose = {"the scorer's": scored, "with prompts read once, the scorer's": shared}
    for who, scores in whose.items():
        if found := run.apart(scores):
            why = f"{who} log-probabilities differ from those of the model by {found}"
            return Check("scorer", False, why)
    kl = abs(float((drawn.log_prob.ravel() - scored).mean()))
    length = float(np.mean([len(s.tokens) for s in run.samples]))
    if not kl <= 2 * run.bound[0] * length:
        return Check("scorer", False, f"the KL of the model to itself is {kl:.2g} nats, not 0")
    return Check("scorer", True, f"the KL of the model to itself is {kl:.1g} nats")


def _greedy(run: _Run) -> Check:
    own = hasattr(run.model, "generate")
    drawn = run.again(1, seed=0, greedy=True)
    for p, prompt in enumerate(run.ids):
        found = drawn.token_ids[p, 0][drawn.mask[p, 0]].tolist()
        log_p = plain_pass(run.model, prompt, found)
        best = log_p.max(-1) - log_p[np.arange(len(found)), found]
        if not best.max() <= run.bound[1]:
            why = "greedy completions are not those of the likeliest tokens"
            return Check("greedy", False, why)
        if own and not _same_but_ties(found, _library_greedy(run, prompt), log_p, run.bound[1]):
            why = "greedy completions differ from those of the library's own generate"
            return Check("greedy", False, why)
    those = "those of the library's own generate"
    said = those if own else "the likeliest (the model has no generate)"
    return Check("greedy", True, f"greedy completions are {said}")


def _same_but_ties(one: list[int], other: list[int], log_p: np.ndarray, slack: float) -> bool:
    """Whether completions are alike, or part at a token where both are as likely."""
    at = next((t for t, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None:
        return len(one) == len(other)
    return bool(abs(log_p[at, one[at]] - log_p[at, other[at]]) <= slack)


def _library_greedy(run: _Run, prompt: list[int]) -> list[int]:
    from transformers import GenerationConfig

    model, tokenizer = run.model, run.tokenizer
    eos = generation.end_tokens(model, tokenizer)
    pad = eos[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    settings = GenerationConfig(
        max_new_tokens=run.steps, do_sample=False, eos_token_id=eos, pad_token_id=pad
    )
    ids = torch.tensor([prompt], device=model.device)
    with generation.settings_replaced(model, settings):
        found = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )
    return found[0, len(prompt) :].tolist()


def _ends(run: _Run) -> Check:
    """The same samples, with a token that occurs in them as one more end: cut there and not elsewhere."""
    eos = generation.end_tokens(run.model, run.tokenizer)
    usual = run.samples[0].tokens
    ends = [*eos, usual[min(len(usual) // 2, len(usual) - 1)]]
    shorter = run.again(SAMPLES, ends=ends)
    for found, stops in ((run.drawn, eos), (shorter, ends)):
        for k, sample in enumerate(run.samples):
            at = divmod(k, SAMPLES)
            tokens = found.token_ids[at][found.mask[at]].tolist()
            fault = end_fault(tokens, stops, run.steps)
            fault = fault or _cut_fault(sample.tokens, tokens, stops, found.truncated[at])
            if fault:
                return Check("ends", False, fault)
    return Check("ends", True, "completions end at an end token or at the limit")


def _cut_fault(
    whole: list[int], tokens: list[int], stops: Sequence[int], truncated: bool
) -> str | None:
    length = next((t + 1 for t, token in enumerate(whole) if token in stops), len(whole))
    if tokens != whole[:length]:
        return "completions are not cut at their first end token"
    if truncated != (tokens[-1] not in stops):
        return "a completion with an end token is called cut, or the other way round"
    return None


def _texts(run: _Run) -> Check:
    """The text that is read is that of the tokens: none of their characters is lost."""
    texts = [text for of_prompt in run.drawn.texts for text in of_prompt]
    for sample, text in zip(run.samples, texts, strict=True):
        if fault := text_fault(run.tokenizer, sample.tokens, text):
            return Check("texts", False, fault)
    return Check("texts", True, "the texts that are read are those of the tokens")
