"""A server that speaks the OpenAI protocol, through the `openai` package."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ...errors import GenerationError, one_line
from .base import Drawn

CONCURRENT = 8
"""Requests under way at once."""


class EndpointEngine:
    """One request for each completion, with a seed of its own: servers differ in whether they know `n`."""

    def __init__(
        self, name: str, url: str, max_new_tokens: int, temperature: float, chat: bool
    ) -> None:
        """Load or reach it; `GenerationError` says in one sentence why not."""
        try:
            import openai
        except ImportError:
            raise GenerationError(
                "openai is not installed: install dagame[endpoint] to sample through --endpoint."
            ) from None
        self.identity = f"{url} {name} {'chat' if chat else 'plain'}"
        self.name, self.chat = name, chat
        self.options: dict[str, Any] = {"max_tokens": max_new_tokens, "temperature": temperature}
        self.failures = openai.OpenAIError
        key = os.environ.get("OPENAI_API_KEY") or "none"
        self.client = openai.OpenAI(base_url=url, api_key=key, max_retries=5)

    def check(self, prompts: list[str]) -> None:
        """Nothing is asked of the server before the first prompt."""

    def complete(self, prompt: str, samples: int, seed: int) -> list[Drawn]:
        """See `Engine`; the log-probability is None."""
        seeds = np.random.default_rng(seed).integers(2**31, size=samples).tolist()
        try:
            with ThreadPoolExecutor(min(CONCURRENT, samples)) as pool:
                return list(pool.map(lambda s: self._one(prompt, s), seeds))
        except self.failures as error:
            raise GenerationError(f"the server gave no completion: {one_line(error)}.") from error

    def _one(self, prompt: str, seed: int) -> Drawn:
        create: Any = (
            self.client.chat.completions.create if self.chat else self.client.completions.create
        )
        asked: dict[str, Any] = {"prompt": prompt}
        if self.chat:
            asked = {"messages": [{"role": "user", "content": prompt}]}
        answer = create(model=self.name, seed=seed, **asked, **self.options)
        if not answer.choices:
            raise GenerationError("the server answered without a completion; look at its log.")
        first = answer.choices[0]
        text = first.message.content if self.chat else first.text
        tokens = answer.usage.completion_tokens if answer.usage else None
        return Drawn(text or "", None, tokens, str(first.finish_reason))
