"""The YAML file of a fine-tuning run, checked in full before anything large is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import ConfigError, one_line
from ...files.fields import check_fields, quoted, section
from ...files.yaml import read_yaml
from ...objectives.names import LABELLED, by_name, check_name
from ...samples.keys.reader import AnswerReader
from ..answers import TRUNCATED
from ..rewards import NO_ANSWER_RULES
from ..spec import check_kl
from .methods import METHODS
from .sections import DataSection, FinetuneConfig, setting

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
_LEAST += ("evaluation.samples", "evaluation.limit", "evaluation.max_new_tokens")
_MOST = 1_000_000
_NAMED = ("model", "output", "data.path", "data.samples", "data.name", "evaluation.path")
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
    path = written_out("evaluation.path", config.evaluation.path)
    judged = replace(config.evaluation, path=path)
    model, output = (str(written_out(k, getattr(config, k))) for k in ("model", "output"))
    return replace(config, model=model, output=output, data=data, evaluation=judged)


def _check_values(config: FinetuneConfig, where: str) -> None:
    _check_method(config, where)
    _check_objective(config, where)
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
    if METHODS[config.method].plays:
        config.spec()
    _check_data(config, where)
    _check_numbers(config, where)
    _check_training(config, where)


def _check_objective(config: FinetuneConfig, where: str) -> None:
    name, plays = check_name(config.objective.name), METHODS[config.method].plays
    if plays and name in LABELLED and config.data.answer_column is None:
        raise ConfigError(
            f"{where}: objective {name!r} needs labels; name the column with data.answer_column."
        )
    by_name(name, config.objective.strength, [0.0, 1.0])


def _check_data(config: FinetuneConfig, where: str) -> None:
    """One source of prompts, and settings that fit it."""
    data, judged = config.data, config.evaluation
    if METHODS[config.method].plays and (data.path is None) == (data.name is None):
        raise ConfigError(f"{where}: data needs either path (a local file) or name (a data set).")
    if judged.split is not None and (judged.path is not None or data.name is None):
        raise ConfigError(
            f"{where}: evaluation.split is a split of data.name; name a file by evaluation.path alone."
        )
    if data.system is not None and not data.chat:
        raise ConfigError(f"{where}: data.system is for chats; set data.chat: true.")


def _check_numbers(config: FinetuneConfig, where: str) -> None:
    for name in _LEAST:
        value = setting(config, name)
        if value is not None and not 1 <= value <= _MOST:
            raise ConfigError(f"{where}: {name} is {value}; give an integer >= 1, to {_MOST:,}.")
    if not 0 <= config.seed < SEEDS:
        raise ConfigError(f"{where}: seed is {config.seed}; give an integer from 0 below 2^32.")


def _check_method(config: FinetuneConfig, where: str) -> None:
    """A known method, with its data, and without settings that it would not read."""
    data, method = config.data, METHODS.get(config.method)
    if method is None:
        raise ConfigError(
            f"{where}: method is {quoted(config.method)}; choose one of {', '.join(METHODS)}."
        )
    default = FinetuneConfig("", "", DataSection())
    for name in dict.fromkeys(name for m in METHODS.values() for name in m.own):
        if name not in method.own and setting(config, name) != setting(default, name):
            readers = " or ".join(m.name for m in METHODS.values() if name in m.own)
            raise ConfigError(
                f"{where}: {name} is of method {readers}, but method is {method.name}; leave it out."
            )
    alone = data.samples is not None and data.path is None and data.name is None
    if not (method.plays or alone):
        raise ConfigError(
            f"{where}: method {method.name} trains on data.samples, a file of {method.rows} with their "
            "weights; name it, and leave data.path and data.name out."
        )


def _check_training(config: FinetuneConfig, where: str) -> None:
    kind = METHODS[config.method].config_class()
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
    if config.lora is not None:
        _check_lora(config.lora, where)


def _check_lora(lora: dict[str, Any], where: str) -> None:
    from peft import LoraConfig

    check_fields(lora, LoraConfig, where, "lora.")
    try:
        LoraConfig(**lora)
    except Exception as error:  # its own checks raise anything
        raise ConfigError(f"{where}: lora cannot be used: {one_line(error)}.") from None


def _check_paths(config: FinetuneConfig, where: str) -> None:
    """Names that a file system takes, and an output that overwrites neither model nor data."""
    named = {name: setting(config, name) for name in _NAMED}
    for key, name in named.items():
        if name is None:
            continue
        if not name.strip():
            raise ConfigError(f"{where}: {key} is empty; name it.")
        if len(name) > 4000 or any(len(part.encode()) > 255 for part in Path(name).parts):
            raise ConfigError(f"{where}: {key} is {quoted(name)}, longer than a file name may be.")
    output = Path(config.output).resolve()
    written = [output, *(output / name for name in OWN_FILES)]
    for key in ("model", "data.path", "data.samples", "evaluation.path"):
        read = None if named[key] is None else Path(str(named[key])).resolve()
        if read is not None and read.exists() and (read in written or _within(read, written[1:])):
            raise ConfigError(
                f"{where}: output {quoted(config.output)} would overwrite {key} {quoted(named[key])}; "
                "name another folder."
            )


def _within(path: Path, folders: list[Path]) -> bool:
    return any(folder in path.parents for folder in folders)
