"""What a method of `dagame finetune` is, and what it makes of a run: a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .data import Row
from .sections import FinetuneConfig


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


@dataclass(frozen=True)
class Method:
    """A way to train by `dagame finetune`, a row of `methods.METHODS`.

    name: in the file of a run.
    job: (configuration, folder) -> its job, once data are read and settings are known to hold together.
    trl: the name of TRL's trainer, whose configuration the section `training` has.
    own: settings that not every method reads.
    rows: what data.samples holds, "completions" or "pairs"; "" where it plays the game on prompts.
    loss: of weighted rows, in the words of the model's card.
    """

    name: str
    job: Callable[[FinetuneConfig, Path], Job]
    trl: str
    own: tuple[str, ...]
    rows: str = ""
    loss: Callable[[FinetuneConfig], str] = lambda config: "likelihood"

    @property
    def plays(self) -> bool:
        """Whether it samples its own completions, as a policy of the game."""
        return not self.rows

    def config_class(self) -> Any:
        """The class of the trainer's configuration."""
        module = import_module(f"trl.trainer.{self.trl}_config")
        return getattr(module, f"{self.trl.upper()}Config")


def run_settings(config: FinetuneConfig, folder: Path, save_steps: int) -> dict[str, Any]:
    """Fields of the trainer's configuration: defaults of a run, the file's, and the fixed ones."""
    defaults = {
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "disable_tqdm": True,
    }
    fixed = {"output_dir": str(folder / "checkpoints"), "seed": config.seed, "save_total_limit": 3}
    return defaults | config.training | fixed
