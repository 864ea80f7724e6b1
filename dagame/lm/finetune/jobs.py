"""What each method of `dagame finetune` trains on and with, once its settings are known to hold together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..schedules import schedule
from ..trainers.trl.settings import grpo_config
from .config import FinetuneConfig
from .data import Row, read_rows


@dataclass(frozen=True)
class Job:
    """A method's run before a model is loaded.

    prompts: rows with the prompts; room: tokens that a completion may take when it is sampled, None
    where none is; make: the trainer from a model's folder, tokenizer=, peft_config= and callbacks=;
    told: the data in one sentence; longest: tokens of the longest completion of a trainer's data.
    """

    prompts: list[Row]
    room: int | None
    make: Callable[..., Any]
    told: str
    longest: Callable[[Any], int | None] = lambda trainer: None


def read_job(config: FinetuneConfig, folder: Path) -> Job:
    """The job of a configuration whose data are read and whose settings are checked.

    Raises:
        DagameError: in one sentence, what to change.
    """
    return (_grpo if config.method == "grpo" else _weighted)(config, folder)


def _grpo(config: FinetuneConfig, folder: Path) -> Job:
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
        **_settings(config, folder, 50 * int(config.training.get("num_iterations", 1))),
    )

    def make(model: str, **options: Any) -> Any:
        from ..trainers.trl.reward import GroupReward
        from ..trainers.trl.trainer import game_trainer

        reference = model if spec.kl == "reward" and config.lora is None else None
        reward = GroupReward(spec.objective, reference=reference, **spec.keywords())
        return game_trainer(model, data, reward, made, **options)

    return Job(rows, int(made.max_completion_length or 0), make, f"{len(rows):,} prompts")


def _weighted(config: FinetuneConfig, folder: Path) -> Job:
    from ..trainers.weighted import settings as checked
    from ..trainers.weighted.tokens import longest_completion
    from .weighted import read_weighted

    data = read_weighted(config.data, config.method)
    own = _settings(config, folder, 50) | {"num_train_epochs": config.batch.epochs}
    own |= {} if config.batch.steps is None else {"max_steps": config.batch.steps}
    own |= {"beta": config.beta} if config.method == "dpo" else {}
    (checked.sft_config if config.method == "sft" else checked.dpo_config)(**own)

    def make(model: str, **options: Any) -> Any:
        from ..trainers.weighted.train import weighted_dpo, weighted_sft

        train: Any = weighted_sft if config.method == "sft" else weighted_dpo
        return train(model, data.rows, **options, **own)

    return Job(data.rows, None, make, data.told(), lambda t: longest_completion(t.train_dataset))


def _settings(config: FinetuneConfig, folder: Path, save_steps: int) -> dict[str, Any]:
    """Fields of the trainer's configuration: defaults of a run, the file's, and the fixed ones."""
    defaults = {
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "disable_tqdm": True,
    }
    fixed = {"output_dir": str(folder / "checkpoints"), "seed": config.seed, "save_total_limit": 3}
    return defaults | config.training | fixed
