"""vLLM in this process, by its documented interface."""

from __future__ import annotations

from typing import Any

from ...errors import GenerationError
from .base import Drawn


class VLLMEngine:
    """`vllm.LLM`; a prompt is prefilled once for its completions."""

    def __init__(self, name: str, max_new_tokens: int, temperature: float) -> None:
        """Load or reach it; `GenerationError` says in one sentence why not."""
        try:
            from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise GenerationError(
                "vllm is not installed: install it, or leave out --engine vllm."
            ) from None
        self.identity = f"vllm {name}"
        self.llm: Any = LLM(model=name)
        self.parameters: Any = SamplingParams
        self.options = {
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "logprobs": 0,
            "top_p": 1.0,
            "top_k": -1,
        }

    def check(self, prompts: list[str]) -> None:
        """vLLM refuses prompts that are too long itself."""

    def complete(self, prompt: str, samples: int, seed: int) -> list[Drawn]:
        """See `Engine`."""
        wish = self.parameters(n=samples, seed=seed, **self.options)
        (found,) = self.llm.generate([prompt], wish, use_tqdm=False)
        return [
            Drawn(o.text, o.cumulative_logprob, len(o.token_ids), str(o.finish_reason))
            for o in found.outputs
        ]
