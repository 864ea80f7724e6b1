"""Games played by language models: rewards, the TRL adapter, certificates, the embedded model.

Every name loads its module when it is used, so that importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "GameSpec": "spec",
    "GapEstimate": "certificates.from_samples",
    "GroupReward": "trainers.trl.reward",
    "answer_game": "models.answers",
    "best_of_n": "reweight",
    "certificate": "certificates.estimate",
    "certificate_from_samples": "certificates.from_samples",
    "coherence_grpo": "trainers.trl.trainer",
    "equilibrium_weights": "reweight",
    "evaluate": "evaluation",
    "cosine_cost": "models.embedding",
    "embed": "models.embedding",
    "enumerate_traces": "models.enumerate",
    "generate": "models.sample",
    "group_rewards": "rewards",
    "grpo_config": "trainers.trl.settings",
    "log_probability": "models.generation",
    "preference_rows": "preferences",
    "push_pull": "row_weights",
    "rejection_sample": "reweight",
    "resample": "trainers.weighted.rows",
    "run_finetune": "finetune.run",
    "schedule": "schedules",
    "score_answers": "models.answers",
    "self_check": "models.selfcheck",
    "tiny": "tiny",
    "trace_game": "models.enumerate",
    "weighted_dpo": "trainers.weighted.train",
    "weighted_sft": "trainers.weighted.train",
    "weighted_sft_rows": "reweight",
}

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
