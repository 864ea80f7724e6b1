"""Games played by language models: rewards, the TRL adapter, certificates, the embedded model.

Every name loads its module when it is used, so that importing this package loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_WHERE = {
    "GameSpec": "spec",
    "GapEstimate": "sample_certificate",
    "GroupReward": "trl",
    "best_of_n": "reweight",
    "certificate": "_certificate",
    "certificate_from_samples": "sample_certificate",
    "coherence_grpo": "grpo",
    "equilibrium_weights": "reweight",
    "evaluate": "_evaluate",
    "enumerate_traces": "enumerate",
    "generate": "generation",
    "group_rewards": "rewards",
    "grpo_config": "settings",
    "log_probability": "generation",
    "rejection_sample": "reweight",
    "run_finetune": "finetune",
    "schedule": "_schedule",
    "self_check": "selfcheck",
    "tiny": "tiny",
    "trace_game": "enumerate",
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
