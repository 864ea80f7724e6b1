"""Games played by language models: rewards, the TRL adapter, certificates, the embedded model.

Every name loads its module when it is used, so that importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "GroupReward": "trainers.trl.reward",
    "GameSpec": "spec",
    "coherence_grpo": "trainers.trl.trainer",
    "grpo_config": "trainers.trl.settings",
    "schedule": "schedules",
    "run_finetune": "finetune.run",
    "group_rewards": "rewards",
    "certificate": "certificates.estimate",
    "certificate_from_samples": "certificates.from_samples",
    "GapEstimate": "certificates.from_samples",
    "equilibrium_weights": "reweight",
    "best_of_n": "reweight",
    "rejection_sample": "reweight",
    "weighted_sft_rows": "reweight",
    "EngineGame": "trainers.whole_classes",
    "EngineRow": "trainers.whole_classes",
    "Payment": "trainers.whole_classes",
    "embed": "models.embedding",
    "cosine_cost": "models.embedding",
    "push_pull": "row_weights",
    "weighted_sft": "trainers.weighted.train",
    "weighted_dpo": "trainers.weighted.train",
    "resample": "trainers.weighted.rows",
    "preference_rows": "preferences",
    "evaluate": "evaluation",
    "generate": "models.sample",
    "log_probability": "models.generation",
    "enumerate_traces": "models.enumerate",
    "score_answers": "models.answers",
    "answer_game": "models.answers",
    "trace_game": "models.enumerate",
    "self_check": "models.selfcheck",
    "tiny": "tiny",
}
"""The module of each public name, in the order of the reference page."""

__all__ = list(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """The public name, from its module."""
    if name not in _WHERE:
        raise AttributeError(f"module 'dagame.lm' has no attribute {name!r}")
    module = import_module(f".{_WHERE[name]}", __name__)
    return module if name == "tiny" else getattr(module, name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*globals(), *_WHERE])
