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

    rows, batch, spec = read_rows(config.data), config.batch, config.spec()
    size = batch.classes_per_step
    data = schedule(
        rows,
        classes_per_step=size,
        contexts=config.data.contexts,
        epochs=batch.epochs,
        steps=batch.steps,
        seed=config.seed,
    )
    saved = run_settings(config, folder, 50 * int(config.training.get("num_iterations", 1)))
    own = {"contexts": int(data[0]["class_size"]), "group_size": spec.group_size, **saved}
    made = grpo_config(spec.objective, beta=spec.beta, kl=spec.kl, classes_per_step=size, **own)

    def make(model: str, **options: Any) -> Any:
        return _trainer(model, config, data, made, **options)

    return Job(rows, int(made.max_completion_length or 0), make, f"{len(rows):,} prompts")


def _trainer(model: str, config: FinetuneConfig, data: Any, made: Any, **options: Any) -> Any:
    from ..trainers.trl.reward import GroupReward
    from ..trainers.trl.trainer import game_trainer

    spec = config.spec()
    reference = model if spec.kl == "reward" and config.lora is None else None
    reward = GroupReward(spec.objective, reference=reference, **spec.keywords())
    return game_trainer(model, data, reward, made, **options)


_OWN = ("kl", "estimator", "batch.group_size", "batch.classes_per_step", "data.paraphrases")
GRPO = Method("grpo", _job, "grpo", (*_OWN, "data.contexts", "data.limit"))
