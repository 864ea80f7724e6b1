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

    Methods sft and dpo train on a file of `samples` instead, such as samples.parquet of `dagame solve
    --out`: prompt_column and completion_column, or chosen_column and rejected_column, and weight_column
    (None: the weight that `dagame solve` wrote).
    """

    path: str | None = None
    samples: str | None = None
    name: str | None = None
    config: str | None = None
    split: str = "train"
    prompt_column: str = "prompt"
    completion_column: str = "completion"
    chosen_column: str = "chosen"
    rejected_column: str = "rejected"
    weight_column: str | None = None
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
    """A whole run. `training` has fields of the trainer's configuration, `lora` of `peft.LoraConfig`.

    method: "grpo" plays the game (`trl.GRPOConfig`); "sft" and "dpo" train on weighted rows of
    data.samples (`trl.SFTConfig`, `trl.DPOConfig`), and objective, answers and, for sft, beta then only
    say in which game `dagame evaluate` and `dagame certify` judge the model.

    A model that brings Python code of its own is refused unless `training.trust_remote_code` is
    true: that code can do whatever you can, so read it first.
    """

    model: str
    output: str
    data: DataSection
    method: str = "grpo"
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


METHODS = ("grpo", "sft", "dpo")

_OF_ONE = {
    ("grpo",): (
        "kl",
        "estimator",
        "batch.group_size",
        "batch.classes_per_step",
        "data.paraphrases",
        "data.contexts",
        "data.limit",
    ),
    ("sft",): ("data.completion_column",),
    ("dpo",): ("data.chosen_column", "data.rejected_column"),
    ("sft", "dpo"): ("data.samples", "data.weight_column"),
}
"""Settings that the other methods would not read."""

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

    files = {name: getattr(config.data, name) for name in ("path", "samples")}
    data = replace(config.data, **{k: written_out(f"data.{k}", v) for k, v in files.items()})
    model, output = (str(written_out(k, getattr(config, k))) for k in ("model", "output"))
    return replace(config, model=model, output=output, data=data)


def _check_values(config: FinetuneConfig, where: str) -> None:
    _check_method(config, where)
    check_name(config.objective.name)
    if (
        config.objective.name in LABELLED
        and config.method == "grpo"
        and config.data.answer_column is None
    ):
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
    if config.method == "grpo" and (config.data.path is None) == (config.data.name is None):
        raise ConfigError(f"{where}: data needs either path (a local file) or name (a data set).")
    if config.data.system is not None and not config.data.chat:
        raise ConfigError(f"{where}: data.system is for chats; set data.chat: true.")
    for name in _LEAST:
        value = setting(config, name)
        if value is not None and not 1 <= value <= _MOST:
            raise ConfigError(f"{where}: {name} is {value}; give an integer >= 1, to {_MOST:,}.")
    if not 0 <= config.seed < SEEDS:
        raise ConfigError(f"{where}: seed is {config.seed}; give an integer from 0 below 2^32.")
    _check_training(config, where)


def setting(config: Any, name: str) -> Any:
    """The value of a setting, "section.key" where it is in a section."""
    for key in name.split("."):
        config = getattr(config, key)
    return config


def _check_method(config: FinetuneConfig, where: str) -> None:
    """A known method, with its data, and without settings that it would not read."""
    method, data = config.method, config.data
    if method not in METHODS:
        raise ConfigError(
            f"{where}: method is {quoted(method)}; choose one of {', '.join(METHODS)}."
        )
    default = FinetuneConfig("", "", DataSection())
    for methods, names in _OF_ONE.items():
        for name in names:
            if method not in methods and setting(config, name) != setting(default, name):
                raise ConfigError(
                    f"{where}: {name} is of method {' or '.join(methods)}, but method is {method}; "
                    "leave it out."
                )
    if method == "grpo":
        return
    if data.path is not None or data.name is not None or data.samples is None:
        raise ConfigError(
            f"{where}: method {method} trains on data.samples, a file of "
            f"{'completions' if method == 'sft' else 'pairs'} with their weights; name it, and leave "
            "data.path and data.name out."
        )


def trainer_config(method: str) -> Any:
    """The class of the trainer's configuration."""
    from importlib import import_module

    module = import_module(f"trl.trainer.{method}_config")
    return getattr(module, f"{method.upper()}Config")


def _check_training(config: FinetuneConfig, where: str) -> None:
    kind = trainer_config(config.method)
    for key in config.training:
        if key in PLACED and key in kind.__dataclass_fields__:
            raise ConfigError(f"{where}: training.{key} has its own place; set {PLACED[key]}.")
        if key.endswith("_kwargs") and isinstance(config.training[key], str):
            raise ConfigError(f"{where}: training.{key} is a text; write settings below it.")
    check_fields(config.training, kind, where, "training.")
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
    names = ("model", "output", "data.path", "data.samples", "data.name")
    named = {name: setting(config, name) for name in names}
    for key, name in named.items():
        if name is None:
            continue
        if not name.strip():
            raise ConfigError(f"{where}: {key} is empty; name it.")
        if len(name) > 4000 or any(len(part.encode()) > 255 for part in Path(name).parts):
            raise ConfigError(f"{where}: {key} is {quoted(name)}, longer than a file name may be.")
    output = Path(config.output).resolve()
    written = [output, *(output / name for name in OWN_FILES)]
    for key in ("model", "data.path", "data.samples"):
        read = None if named[key] is None else Path(str(named[key])).resolve()
        if read is not None and read.exists() and (read in written or _within(read, written[1:])):
            raise ConfigError(
                f"{where}: output {quoted(config.output)} would overwrite {key} {quoted(named[key])}; "
                "name another folder."
            )


def _within(path: Path, folders: list[Path]) -> bool:
    return any(folder in path.parents for folder in folders)
