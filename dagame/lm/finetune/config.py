"""The YAML file of a fine-tuning run, checked in full before anything large is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import ConfigError, one_line
from ...files.fields import check_fields, quoted, section
from ...files.yaml import read_yaml
from ...objectives.names import LABELLED, by_name, check_name
from ...samples.equilibria import ObjectiveOf
from ...samples.keys.reader import AnswerReader
from ..answers import TRUNCATED
from ..rewards import NO_ANSWER_RULES
from ..spec import AnswerSection, GameSpec, ObjectiveSection, check_kl


@dataclass(frozen=True)
class DataSection:
    """Where prompts come from: a local file (`path`), or a data set by `name`, `config` and `split`.

    Columns may be nested, "answer.aliases". With `paraphrases` every row is a class (or every value
    of class_column) and every template, with {column} in it, one of its contexts; without, the
    rows of one class_column value are its contexts. `chat` makes each prompt a user's message.
    """

    path: str | None = None
    name: str | None = None
    config: str | None = None
    split: str = "train"
    prompt_column: str = "prompt"
    class_column: str | None = None
    answer_column: str | None = None
    answer_extract: str | None = None
    alias_column: str | None = None
    paraphrases: list[str] | None = None
    contexts: int | None = None
    chat: bool = False
    system: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class BatchSection:
    """Completions per prompt, classes per generation batch, and how long the run is."""

    group_size: int = 8
    classes_per_step: int = 8
    epochs: int = 1
    steps: int | None = None


@dataclass(frozen=True)
class FinetuneConfig:
    """A whole run. `training` has fields of `trl.GRPOConfig`, `lora` fields of `peft.LoraConfig`.

    A model that brings Python code of its own is refused unless `training.trust_remote_code` is
    true: that code can do whatever you can, so read it first.
    """

    model: str
    output: str
    data: DataSection
    objective: ObjectiveSection = field(default_factory=ObjectiveSection)
    answers: AnswerSection = field(default_factory=AnswerSection)
    batch: BatchSection = field(default_factory=BatchSection)
    beta: float = 0.1
    kl: str = "reward"
    estimator: str = "auto"
    seed: int = 0
    training: dict[str, Any] = field(default_factory=dict)
    lora: dict[str, Any] | None = None

    def make_objective(self) -> ObjectiveOf:
        """The objective, or for labelled ones the function of a batch that makes it."""
        return self.objective.make()

    def spec(self) -> GameSpec:
        """The game of the run."""
        own = {"beta": self.beta, "kl": self.kl, "estimator": self.estimator}
        size = self.batch.group_size
        return GameSpec.of_sections(self.objective, self.answers, group_size=size, **own)


PLACED = {
    "beta": "beta",
    "seed": "seed",
    "num_generations": "batch.group_size",
    "output_dir": "output",
    "num_train_epochs": "batch.epochs",
    "max_steps": "batch.steps",
    "generation_batch_size": "batch.classes_per_step",
    "reward_weights": "objective.strength",
    "resume_from_checkpoint": "--resume",
    "save_total_limit": "nothing: all checkpoints but the last three are removed",
}
"""Fields of the trainer that have a place of their own in the file."""


SEEDS = 2**32
"""Seeds are below it: the trainer sets numpy's with them."""

_LEAST = ("batch.epochs", "batch.steps", "batch.group_size", "batch.classes_per_step")
_LEAST += ("data.limit", "data.contexts")
_MOST = 1_000_000
_COUNTS = ("num_iterations", "steps_per_generation", "gradient_accumulation_steps")
_COUNTS += ("per_device_train_batch_size", "max_completion_length")
OWN_FILES = ("run.json", "metrics.jsonl", "README.md", "curves.png", "checkpoints", "model")
"""What a run writes into its folder."""


def read_config(path: str | Path) -> FinetuneConfig:
    """The run of a YAML file. Paths in it are the caller's own, relative to the working directory.

    Raises:
        ConfigError: no such file, no YAML, an unknown or missing or ill-typed key, columns that are
            not named, an objective without the labels that it needs, an output that would overwrite
            the model or the data.
        InvalidObjective, ExtractionError, SettingsError: names and numbers out of range.
    """
    where = str(path)
    config = _at_home(section(FinetuneConfig, read_yaml(Path(path)), where), where)
    _check_values(config, where)
    _check_paths(config, where)
    return config


def _at_home(config: FinetuneConfig, where: str) -> FinetuneConfig:
    """Paths that begin with ~ written out."""

    def written_out(key: str, name: str | None) -> str | None:
        if name is None or not name.startswith("~"):
            return name
        try:
            return str(Path(name).expanduser())
        except RuntimeError:
            raise ConfigError(
                f"{where}: {key} is {quoted(name)}, but no such home folder is known; write the path "
                "out."
            ) from None

    data = replace(config.data, path=written_out("data.path", config.data.path))
    model, output = (str(written_out(k, getattr(config, k))) for k in ("model", "output"))
    return replace(config, model=model, output=output, data=data)


def _check_values(config: FinetuneConfig, where: str) -> None:
    check_name(config.objective.name)
    if config.objective.name in LABELLED and config.data.answer_column is None:
        raise ConfigError(
            f"{where}: objective {config.objective.name!r} needs labels; name the column with "
            "data.answer_column."
        )
    by_name(config.objective.name, config.objective.strength, [0.0, 1.0])
    check_kl(config.beta, config.kl)
    AnswerReader(config.answers.extract, config.answers.canonical)
    if config.data.answer_extract is not None:
        AnswerReader(config.data.answer_extract)
    for name, known in (("no_answer", NO_ANSWER_RULES), ("truncated", TRUNCATED)):
        value = getattr(config.answers, name)
        if value not in known:
            raise ConfigError(
                f"{where}: answers.{name} is {quoted(value)}; choose one of {', '.join(known)}."
            )
    if (config.data.path is None) == (config.data.name is None):
        raise ConfigError(f"{where}: data needs either path (a local file) or name (a data set).")
    if config.data.system is not None and not config.data.chat:
        raise ConfigError(f"{where}: data.system is for chats; set data.chat: true.")
    for name in _LEAST:
        part, _, key = name.partition(".")
        value = getattr(getattr(config, part), key)
        if value is not None and not 1 <= value <= _MOST:
            raise ConfigError(f"{where}: {name} is {value}; give an integer >= 1, to {_MOST:,}.")
    if not 0 <= config.seed < SEEDS:
        raise ConfigError(f"{where}: seed is {config.seed}; give an integer from 0 below 2^32.")
    _check_training(config, where)


def _check_training(config: FinetuneConfig, where: str) -> None:
    from trl.trainer.grpo_config import GRPOConfig

    for key in config.training:
        if key in PLACED:
            raise ConfigError(f"{where}: training.{key} has its own place; set {PLACED[key]}.")
        if key.endswith("_kwargs") and isinstance(config.training[key], str):
            raise ConfigError(f"{where}: training.{key} is a text; write settings below it.")
    check_fields(config.training, GRPOConfig, where, "training.")
    for key in _COUNTS:
        value = config.training.get(key)
        if value is not None and value < 1:
            raise ConfigError(f"{where}: training.{key} is {value}; give an integer >= 1.")
    if config.lora is None:
        return
    from peft import LoraConfig

    check_fields(config.lora, LoraConfig, where, "lora.")
    try:
        LoraConfig(**config.lora)
    except Exception as error:  # its own checks raise anything
        raise ConfigError(f"{where}: lora cannot be used: {one_line(error)}.") from None


def _check_paths(config: FinetuneConfig, where: str) -> None:
    """Names that a file system takes, and an output that overwrites neither model nor data."""
    named = {"model": config.model, "output": config.output, "data.path": config.data.path}
    named["data.name"] = config.data.name
    for key, name in named.items():
        if name is None:
            continue
        if not name.strip():
            raise ConfigError(f"{where}: {key} is empty; name it.")
        if len(name) > 4000 or any(len(part.encode()) > 255 for part in Path(name).parts):
            raise ConfigError(f"{where}: {key} is {quoted(name)}, longer than a file name may be.")
    output = Path(config.output).resolve()
    written = [output, *(output / name for name in OWN_FILES)]
    for key in ("model", "data.path"):
        read = None if named[key] is None else Path(str(named[key])).resolve()
        if read is not None and read.exists() and (read in written or _within(read, written[1:])):
            raise ConfigError(
                f"{where}: output {quoted(config.output)} would overwrite {key} {quoted(named[key])}; "
                "name another folder."
            )


def _within(path: Path, folders: list[Path]) -> bool:
    return any(folder in path.parents for folder in folders)
