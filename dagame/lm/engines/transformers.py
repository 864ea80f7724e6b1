"""transformers in this process: exact log-probabilities, self-check at the start."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ...errors import GenerationError
from ..models.generation import check_numbers, check_room, complete, tokenise
from ..models.loading import pretrained
from ..models.selfcheck import require_self_check
from .base import Drawn


class TransformersEngine:
    """A model of a folder or the hub, sampled from its whole softmax at temperature 1."""

    def __init__(self, name: str, max_new_tokens: int, temperature: float) -> None:
        """Load or reach it; `GenerationError` says in one sentence why not."""
        if temperature != 1:
            raise GenerationError(
                f"--temperature is {temperature:g}, but in process the model itself is sampled, which is "
                "temperature 1; leave it out, or sample through --endpoint."
            )
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.identity = _identity(name)
        self.tokenizer: Any = pretrained(AutoTokenizer, name)
        self.model: Any = pretrained(AutoModelForCausalLM, name)
        if torch.cuda.is_available():
            self.model = self.model.to("cuda")
        self.max_new_tokens = max_new_tokens

    def check(self, prompts: list[str]) -> None:
        """All prompts fit into the model's context, and sampler, scorer and tokenizer agree."""
        ids = tokenise(self.tokenizer, prompts)
        check_numbers(1, self.max_new_tokens, 1, False)
        check_room(self.model, ids, [self.max_new_tokens] * len(ids))
        require_self_check(self.model, self.tokenizer, prompts, max_new_tokens=self.max_new_tokens)

    def complete(self, prompt: str, samples: int, seed: int) -> list[Drawn]:
        """See `Engine`."""
        found = complete(
            self.model,
            self.tokenizer,
            tokenise(self.tokenizer, [prompt]),
            samples,
            max_new_tokens=self.max_new_tokens,
            seed=seed,
        )
        return [
            Drawn(
                found.texts[0][k],
                float(found.log_prob[0, k]),
                int(found.mask[0, k].sum()),
                "length" if found.truncated[0, k] else "stop",
            )
            for k in range(samples)
        ]


def _identity(name: str) -> str:
    """The name, or of a folder the digest of its files, so that other weights are another model."""
    folder = Path(name)
    if not folder.is_dir():
        return name
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        with path.open("rb") as stream:
            digest.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
