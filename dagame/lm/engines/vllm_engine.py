"""vLLM in this process, by its documented interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import GenerationError, one_line
from ..models.loading import model_folder
from .base import Drawn, finish_reason
from .revision import revision_of

AT_ONCE = 256
"""Completions of a batch; vLLM orders them itself, and reads a prompt once for its own."""


class VLLMEngine:
    """`vllm.LLM` and `SamplingParams`, whose defaults but for the ones set are the plain softmax."""

    def __init__(self, model: str, max_new_tokens: int, chat: bool) -> None:
        """Load it; `GenerationError` says in one sentence why not."""
        try:
            from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise GenerationError(
                f"vllm cannot be used ({one_line(error)}); install it, or leave out --engine vllm."
            ) from None
        self.llm: Any = LLM(model=model_folder(model))
        self.parameters: Any = SamplingParams
        self.model, self.revision = model, revision_of(model)
        self.max_new_tokens, self.chat = max_new_tokens, chat
        self.facts: dict[str, object] = {"engine": "vllm"}
        self.notes: list[str] = []

    def check(self, prompts: Sequence[str]) -> None:
        """vLLM itself refuses prompts that are too long."""

    def at_once(self, samples: int) -> int:
        """Prompts of `AT_ONCE` completions."""
        return max(1, AT_ONCE // samples)

    def complete(
        self, prompts: Sequence[str], samples: int, seeds: Sequence[int]
    ) -> list[list[Drawn]]:
        """See `Engine`; logprobs=0 gives the log-probability of the tokens drawn, and no other."""
        plain = {"temperature": 1.0, "top_p": 1.0, "logprobs": 0}
        wishes = [
            self.parameters(n=samples, seed=seed, max_tokens=self.max_new_tokens, **plain)
            for seed in seeds
        ]
        if self.chat:
            asked = [[{"role": "user", "content": p}] for p in prompts]
            found = self.llm.chat(asked, wishes, use_tqdm=False)
        else:
            found = self.llm.generate(list(prompts), wishes, use_tqdm=False)
        return [[_drawn(one) for one in answer.outputs] for answer in found]


def _drawn(output: Any) -> Drawn:
    reason = finish_reason(output.finish_reason)
    return Drawn(output.text, output.cumulative_logprob, len(output.token_ids), reason)
