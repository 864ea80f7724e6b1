"""transformers in this process: exact log-probabilities, self-check at the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import GenerationError
from ..models.generation import (
    check_numbers,
    check_room,
    complete,
    end_tokens,
    prompt_ids,
    tokenise,
)
from ..models.loading import pretrained
from ..models.selfcheck import require_self_check
from .base import Drawn
from .revision import revision_of


class TransformersEngine:
    """A model of a folder, a GGUF file or the hub, sampled from its whole softmax at temperature 1.

    Token t of completion k of a prompt inverts the cumulative softmax at a number that depends on the
    prompt's seed, k and t alone, so that batches change nothing beyond rounding.
    """

    def __init__(self, model: str, max_new_tokens: int, chat: bool, batch_size: int) -> None:
        """Load it; `GenerationError` says in one sentence why not."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from ...scale import resolve_device

        self.tokenizer: Any = pretrained(AutoTokenizer, model)
        if chat and not getattr(self.tokenizer, "chat_template", None):
            raise GenerationError(f"--chat, but the tokenizer of {model} has no chat template.")
        self.network: Any = pretrained(AutoModelForCausalLM, model).to(resolve_device("auto"))
        self.model, self.revision = model, revision_of(model)
        self.max_new_tokens, self.chat, self.batch_size = max_new_tokens, chat, batch_size
        self.facts: dict[str, object] = {"engine": "transformers"}
        self.notes: list[str] = []

    def check(self, prompts: Sequence[str]) -> None:
        """All prompts fit into the model's context, and sampler, scorer and tokenizer agree."""
        ids, texts = self._ids(prompts), self._asked(prompts)
        check_numbers(1, self.max_new_tokens, self.batch_size, False)
        end_tokens(self.network, self.tokenizer)
        check_room(self.network, ids, [self.max_new_tokens] * len(ids))
        own = {"prompt_ids": ids} if self.chat else {}
        require_self_check(
            self.network, self.tokenizer, texts, max_new_tokens=self.max_new_tokens, **own
        )

    def at_once(self, samples: int) -> int:
        """As many prompts as a batch has room for."""
        return max(1, self.batch_size // samples)

    def complete(
        self, prompts: Sequence[str], samples: int, seeds: Sequence[int]
    ) -> list[list[Drawn]]:
        """See `Engine`."""
        how: Any = {"max_new_tokens": self.max_new_tokens, "batch_size": self.batch_size}
        ids = self._ids(prompts)
        found = complete(self.network, self.tokenizer, ids, samples, seed=list(seeds), **how)
        columns = zip(
            found.texts,
            found.log_prob.tolist(),
            found.mask.sum(-1).tolist(),
            np.where(found.truncated, "length", "stop").tolist(),
            strict=True,
        )
        return [[Drawn(*one) for one in zip(*own, strict=True)] for own in columns]

    def _asked(self, prompts: Sequence[str]) -> list[Any]:
        return [[{"role": "user", "content": p}] if self.chat else p for p in prompts]

    def _ids(self, prompts: Sequence[str]) -> list[list[int]]:
        if self.chat:
            return prompt_ids(self.tokenizer, self._asked(prompts), {})
        return tokenise(self.tokenizer, prompts)
