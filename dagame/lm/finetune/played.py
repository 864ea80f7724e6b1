"""`method: grpo`: the game, played by a policy on its own samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .data import read_rows
from .method import Job, Method, run_settings
from .sections import FinetuneConfig


def _job(config: FinetuneConfig, folder: Path) -> Job:
    from ..schedules import schedule
    from ..trainers.trl.settings import grpo_config

    rows = read_rows(config.data)
    data = schedule(
        rows,
        classes_per_step=config.batch.classes_per_step,
        contexts=config.data.contexts,
        epochs=config.batch.epochs,
        steps=config.batch.steps,
        seed=config.seed,
    )
    spec = config.spec()
    made = grpo_config(
        spec.objective,
        beta=spec.beta,
        kl=spec.kl,
        contexts=int(data[0]["class_size"]),
        group_size=spec.group_size,
        classes_per_step=config.batch.classes_per_step,
        **run_settings(config, folder, 50 * int(config.training.get("num_iterations", 1))),
    )

    def make(model: str, **options: Any) -> Any:
        from ..trainers.trl.reward import GroupReward
        from ..trainers.trl.trainer import game_trainer

        reference = model if spec.kl == "reward" and config.lora is None else None
        reward = GroupReward(spec.objective, reference=reference, **spec.keywords())
        return game_trainer(model, data, reward, made, **options)

    return Job(rows, int(made.max_completion_length or 0), make, f"{len(rows):,} prompts")


GRPO = Method(
    "grpo",
    _job,
    "grpo",
    (
        "kl",
        "estimator",
        "batch.group_size",
        "batch.classes_per_step",
        "data.paraphrases",
        "data.contexts",
        "data.limit",
    ),
)
