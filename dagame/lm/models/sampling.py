"""Generation settings that would sample from another distribution than the model's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "do_sample": (None, True),
    "temperature": (None, 1.0),
    "top_k": (None, 0),
    "top_p": (None, 1.0),
    "top_h": (None,),
    "min_p": (None, 0.0),
    "typical_p": (None, 1.0),
    "epsilon_cutoff": (None, 0.0),
    "eta_cutoff": (None, 0.0),
    "repetition_penalty": (None, 1.0),
    "encoder_repetition_penalty": (None, 1.0),
    "no_repeat_ngram_size": (None, 0),
    "encoder_no_repeat_ngram_size": (None, 0),
    "num_beams": (None, 1),
    "min_length": (None, 0),
    "min_new_tokens": (None, 0),
    "max_time": (None,),
    "guidance_scale": (None, 1),
    "penalty_alpha": (None,),
    "bad_words_ids": (None,),
    "sequence_bias": (None,),
    "suppress_tokens": (None,),
    "begin_suppress_tokens": (None,),
    "forced_bos_token_id": (None,),
    "forced_eos_token_id": (None,),
    "exponential_decay_length_penalty": (None,),
    "watermarking_config": (None,),
    "assistant_ensemble_weight": (None,),
    "use_mtp": (None, False),
    "dola_layers": (None,),
    "token_healing": (None, False),
    "constraints": (None,),
    "force_words_ids": (None,),
}
"""Values under which a setting leaves the softmax at temperature 1 alone."""

OVERRIDDEN = ("do_sample", "temperature", "top_k", "top_p", "repetition_penalty")
"""Settings that the trainer always sets itself. For every other one the model's own value applies."""


def shaping(settings: dict[str, Any]) -> Iterator[str]:
    """name=value of the settings that change the distribution."""
    for name, neutral in NEUTRAL.items():
        if name in settings and settings[name] not in neutral:
            yield f"{name}={settings[name]!r}"


def inherited(generation_config: Any, generation_kwargs: dict[str, Any] | None) -> list[str]:
    """What the model's own generation settings change, where `generation_kwargs` does not undo it."""
    own = {
        name: getattr(generation_config, name, None) for name in NEUTRAL if name not in OVERRIDDEN
    }
    given = {k: v for k, v in (generation_kwargs or {}).items() if v is not None}
    return list(shaping(own | given))
