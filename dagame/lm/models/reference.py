"""The frozen reference pi0 and the log-probabilities of token sequences under it and the policy."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .loading import pretrained
from .prefix import token_log_probs_shared
from .scoring import padded

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def frozen_copy(model: Any) -> PreTrainedModel:
    """A model of the same class, weights, dtype and device that no trainer changes.

    It is built anew from the configuration, so that it shares nothing with the original, not even
    forward methods that a trainer replaced on it.
    """
    new = type(model)(copy.deepcopy(model.config))
    new.to(device=model.device, dtype=model.dtype)
    new.load_state_dict(model.state_dict())
    new.generation_config = copy.deepcopy(model.generation_config)
    return _frozen(new)


def load_reference(name: str, like: Any) -> PreTrainedModel:
    """The model of a folder or hub name, frozen, with the dtype and device of `like`.

    Code that the folder brings is run only where `like` was loaded from there with its own code.

    Raises:
        GenerationError: it cannot be loaded.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils.hub import TRANSFORMERS_DYNAMIC_MODULE_NAME

    own_code = type(like).__module__.split(".")[0] == TRANSFORMERS_DYNAMIC_MODULE_NAME
    trusted = own_code and like.config.name_or_path == name
    found = pretrained(AutoModelForCausalLM, name, trust_remote_code=trusted, dtype=like.dtype)
    return _frozen(found.to(like.device))


def _frozen(model: Any) -> Any:
    model.eval()
    model.requires_grad_(False)
    return model


def sequence_log_probability(
    model: Any,
    prompt_ids: Sequence[Sequence[int]],
    completion_ids: Sequence[Sequence[int]],
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """log pi(completion | prompt) (N,), float64, of token sequences without padding.

    A prompt is read once for all its completions of a pass, which should stand together.
    """
    given = (model, prompt_ids, *padded(completion_ids))
    return token_log_probs_shared(*given, batch_size=batch_size).sum(-1)
