"""A server that speaks the OpenAI protocol, through the `openai` package."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ...errors import GenerationError, one_line
from ...provenance import not_installed
from ...text import on_one_line
from .base import Drawn, finish_reason

KEY = "OPENAI_API_KEY"
RETRIES = 5
"""Of each request that is refused for the moment or lost, with growing pauses."""

_URL = re.compile(
    r"https?://([\w.-]+|\[[0-9a-f:.]+\])(:(?P<port>[1-9]\d{0,4}))?(/[^\s\\]*)?", re.IGNORECASE
)

_NEUTRAL = {
    "do_sample": True,
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
}
PLAIN: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "the server was told to leave top_k, min_p and repetition_penalty off",
        {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
    ),
    (
        "the server was told to sample, and to leave top_k and repetition_penalty off",
        {"generation_config": json.dumps(_NEUTRAL)},
    ),
    (
        "the server takes neither top_k nor repetition_penalty: what it sets itself is not known",
        {},
    ),
)
"""How the plain softmax is asked for: as vLLM and llama.cpp call it, as `transformers serve` does, and by
the protocol alone. The first that the server accepts is used, and said.
"""


class EndpointEngine:
    """Requests side by side. All completions of a prompt are one request where the server knows `n` and
    log-probabilities; else each is one, with a seed of its own.
    """

    revision: str | None = None

    def __init__(
        self, model: str, url: str, max_new_tokens: int, chat: bool, concurrent: int
    ) -> None:
        """Nothing is sent yet; `GenerationError` for a URL that is none, or one with a secret in it."""
        try:
            import openai
        except ImportError:
            raise GenerationError(not_installed("openai", "endpoint", "--endpoint")) from None
        check_url(url)
        self.model, self.chat, self.concurrent = model, chat, concurrent
        self.key = os.environ.get(KEY) or None
        self.failures = openai.OpenAIError
        self.client = openai.OpenAI(base_url=url, api_key=self.key or "none", max_retries=RETRIES)
        self.options: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0}
        self.max_new_tokens, self.together, self.log_probs = max_new_tokens, False, False
        self.facts: dict[str, object] = {"engine": "endpoint", "url": url}
        self.notes: list[str] = []

    def check(self, prompts: Sequence[str]) -> None:
        """One token of the first prompt, twice: which settings, `n` and log-probabilities it knows."""
        said, wished, answer = self._first_accepted(prompts[0])
        self.log_probs = wished and all(_log_prob(c, self.chat) is not None for c in answer.choices)
        self.together = self.log_probs and len(answer.choices) == 2
        self.facts |= {"asked": said, "together": self.together, "log_probs": self.log_probs}
        self.notes = [said, "which weights the server holds is not known: revision is empty"]
        if not self.log_probs:
            self.notes.append("the server gives no log-probabilities: log_probability is empty")
        if answer.usage is None and not self.log_probs:
            self.notes.append("the server does not count tokens: tokens is empty")

    def _first_accepted(self, prompt: str) -> tuple[str, bool, Any]:
        """The first way of `PLAIN` that the server accepts, with `n` and log-probabilities or without."""
        for said, extra in PLAIN:
            self.options["extra_body"] = extra
            for number, wish in ((2, self._wish()), (1, {})):
                try:
                    return said, bool(wish), self._sent(prompt, 0, number, 1, wish)
                except GenerationError as error:
                    status = getattr(error.__cause__, "status_code", None)
                    if status not in (400, 422) or (not extra and not wish):
                        raise
        raise AssertionError("the last way either answers or raises")

    def _wish(self) -> dict[str, Any]:
        """The log-probabilities of the tokens drawn, and no others."""
        return {"logprobs": True if self.chat else 0}

    def at_once(self, samples: int) -> int:
        """Enough prompts for all requests that are under way at once."""
        return max(1, -(-self.concurrent // (1 if self.together else samples)))

    def complete(
        self, prompts: Sequence[str], samples: int, seeds: Sequence[int]
    ) -> list[list[Drawn]]:
        """See `Engine`: as far as the server keeps to the seed of a request."""
        own = [np.random.default_rng(s).integers(2**31, size=samples).tolist() for s in seeds]
        calls: list[tuple[str, int, int]] = []
        for prompt, draws in zip(prompts, own, strict=True):
            calls += (
                [(prompt, draws[0], samples)] if self.together else [(prompt, s, 1) for s in draws]
            )
        pool = ThreadPoolExecutor(self.concurrent)
        try:
            found = [d for part in pool.map(lambda c: self._drawn(*c), calls) for d in part]
        finally:
            pool.shutdown(cancel_futures=True)
        return [found[i : i + samples] for i in range(0, len(found), samples)]

    def _drawn(self, prompt: str, seed: int, number: int) -> list[Drawn]:
        more = self._wish() if self.log_probs else {}
        answer = self._sent(prompt, seed, number, self.max_new_tokens, more)
        if len(answer.choices) != number:
            raise GenerationError(
                f"the server gave {len(answer.choices)} completions where {number} were asked for; look "
                "at its log."
            )
        counted = answer.usage.completion_tokens if answer.usage else None
        return [
            _completion(choice, self.chat, counted if number == 1 else None)
            for choice in answer.choices
        ]

    def _sent(self, prompt: str, seed: int, number: int, tokens: int, more: dict[str, Any]) -> Any:
        both: Any = self.client.chat.completions if self.chat else self.client.completions
        asked: dict[str, Any] = {"prompt": prompt}
        if self.chat:
            asked = {"messages": [{"role": "user", "content": prompt}]}
        asked |= {"n": number} if number > 1 else {}
        asked |= {"seed": seed, "max_tokens": tokens, **more, **self.options}
        try:
            answer = both.create(model=self.model, **asked)
        except self.failures as error:
            raise self._failed(error) from error
        if not getattr(answer, "choices", None):
            raise GenerationError("the server answered without a completion; look at its log.")
        return answer

    def _failed(self, error: Exception) -> GenerationError:
        said, answer = one_line(error), getattr(error, "response", None)
        if answer is not None and said.endswith(
            str(answer.status_code)
        ):  # and nothing of its words
            said = f"{said}, {on_one_line(answer.text, 300)}"
        said = said if self.key is None else said.replace(self.key, "***")
        return GenerationError(f"the server gave no completion: {said}.")


def check_url(url: str) -> None:
    """Refuse a URL that is none of http, or that carries a secret; it is not shown then."""
    if set("@?#") & set(url):
        raise GenerationError(
            f"--endpoint has a user, a password or parameters in it; give the key in {KEY}, and the URL "
            "without them."
        )
    found = _URL.fullmatch(url)
    if found is None or int(found["port"] or 80) > 65535:
        raise GenerationError(
            f"--endpoint is {url!r}; give a URL such as http://localhost:8000/v1."
        )


def _completion(choice: Any, chat: bool, counted: int | None) -> Drawn:
    """One choice; its log-probability only where it covers every token that was counted."""
    text = choice.message.content if chat else choice.text
    known = _log_prob(choice, chat)
    tokens = counted if counted is not None else None if known is None else len(known)
    whole = known is not None and len(known) == tokens
    total = float(sum(known)) if known is not None and whole else None
    return Drawn(text or "", total, tokens, finish_reason(choice.finish_reason))


def _log_prob(choice: Any, chat: bool) -> list[float] | None:
    """Of each token, where the server gives that of all."""
    found = getattr(choice, "logprobs", None)
    if found is None:
        return None
    values = [t.logprob for t in found.content or []] if chat else found.token_logprobs
    return list(values) if values and all(isinstance(v, int | float) for v in values) else None
