"""The YAML file of a fine-tuning run, checked in full before anything large is loaded."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..answers.equilibria import labelled_table
from ..errors import ConfigError
from ..objectives.names import LABELLED, by_name, check_name
from .reading import AnswerReader
from .rewards import NO_ANSWER_RULES, ObjectiveOf
from .settings import check_kl


@dataclass(frozen=True)
class ObjectiveSection:
    """`name` as on the command line, `strength` lambda."""

    name: str = "coherence"
    strength: float = 1.0


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
class AnswerSection:
    """How answers are read from completions: see `AnswerReader` and `group_rewards`."""

    extract: str = "boxed"
    canonical: str = "exact"
    no_answer: str = "lowest"


@dataclass(frozen=True)
class BatchSection:
    """Completions per prompt, classes per generation batch, and how long the run is."""

    group_size: int = 8
    classes_per_step: int = 8
    epochs: int = 1
    steps: int | None = None


@dataclass(frozen=True)
class FinetuneConfig:
    """A whole run. `training` has fields of `trl.GRPOConfig`, `lora` fields of `peft.LoraConfig`."""

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
        name, strength = self.objective.name, self.objective.strength
        if name in LABELLED:
            return lambda bucket: by_name(name, strength, labelled_table(bucket))
        return by_name(name, strength)


PLACED = {
    "beta": "beta",
    "seed": "seed",
    "num_generations": "batch.group_size",
    "output_dir": "output",
    "num_train_epochs": "batch.epochs",
    "max_steps": "batch.steps",
    "generation_batch_size": "batch.classes_per_step",
    "resume_from_checkpoint": "--resume",
    "save_total_limit": "nothing: all checkpoints but the last three are removed",
}
"""Fields of the trainer that have a place of their own in the file."""


def read_config(path: str | Path) -> FinetuneConfig:
    """The run of a YAML file.

    Raises:
        ConfigError: no such file, no YAML, an unknown or missing or ill-typed key, columns that are
            not named, an objective without the labels that it needs.
        InvalidObjective, ExtractionError, SettingsError: names and numbers out of range.
    """
    raw = _read_yaml(Path(path))
    config = _section(FinetuneConfig, raw, str(path))
    _check_values(config, str(path))
    return config


def _check_values(config: FinetuneConfig, where: str) -> None:
    check_name(config.objective.name)
    if config.objective.name in LABELLED and config.data.answer_column is None:
        raise ConfigError(
            f"{where}: objective {config.objective.name!r} needs labels; name the column with "
            "data.answer_column."
        )
    if config.objective.name not in LABELLED:
        by_name(config.objective.name, config.objective.strength)
    check_kl(config.beta, config.kl)
    AnswerReader(config.answers.extract, config.answers.canonical)
    if config.data.answer_extract is not None:
        AnswerReader(config.data.answer_extract)
    if config.answers.no_answer not in NO_ANSWER_RULES:
        raise ConfigError(
            f"{where}: answers.no_answer is {config.answers.no_answer!r}; choose one of "
            f"{', '.join(NO_ANSWER_RULES)}."
        )
    if (config.data.path is None) == (config.data.name is None):
        raise ConfigError(f"{where}: data needs either path (a local file) or name (a data set).")
    if config.data.system is not None and not config.data.chat:
        raise ConfigError(f"{where}: data.system is for chats; set data.chat: true.")
    for name in ("epochs", "steps", "group_size", "classes_per_step"):
        value = getattr(config.batch, name)
        if value is not None and value < 1:
            raise ConfigError(f"{where}: batch.{name} is {value}; give an integer >= 1.")
    _check_training(config, where)


def _check_training(config: FinetuneConfig, where: str) -> None:
    from trl.trainer.grpo_config import GRPOConfig

    known = [f.name for f in dataclasses.fields(GRPOConfig) if f.init]
    for key in config.training:
        if key in PLACED:
            raise ConfigError(f"{where}: training.{key} has its own place; set {PLACED[key]}.")
        if key not in known:
            raise ConfigError(f"{where}: training.{key} is unknown{_near(key, known)}.")
    if config.lora is not None:
        from peft import LoraConfig

        options = [f.name for f in dataclasses.fields(LoraConfig) if f.init]
        for key in config.lora:
            if key not in options:
                raise ConfigError(f"{where}: lora.{key} is unknown{_near(key, options)}.")


# -- YAML -----------------------------------------------------------------------------------------


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        found = yaml.load(text, Loader=_loader())  # a safe loader
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no settings; write keys such as model: and data:.")
    return found


def _loader() -> Any:
    """The safe loader that also reads 1e-5 as a number and refuses a key given twice."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next((str(k) for i, k in enumerate(keys) if k in keys[:i]), None)
            if twice is not None:
                raise yaml.MarkedYAMLError(
                    problem=f"key {twice!r} is given twice", problem_mark=node.start_mark
                )
            return super().construct_mapping(node, deep)

    number = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)[eE][-+]?\d+")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return Loader


def _section(kind: type, raw: Any, where: str, prefix: str = "") -> Any:
    """A dataclass from a mapping: names known, types right, nothing missing."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{where}: {prefix.rstrip('.')} is {raw!r}; write settings below it.")
    hints = typing.get_type_hints(kind)
    unknown = next((str(k) for k in raw if k not in hints), None)
    if unknown is not None:
        raise ConfigError(f"{where}: {prefix}{unknown} is unknown{_near(unknown, list(hints))}.")
    values = {}
    for item in dataclasses.fields(kind):
        if item.name in raw:
            name = prefix + item.name
            values[item.name] = _value(hints[item.name], raw[item.name], where, name)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: {prefix}{item.name} is missing.")
    return kind(**values)


def _value(hint: Any, value: Any, where: str, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _section(typing.cast(type, hint), value, where, name + ".")
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        base = typing.get_origin(option) or option
        if base is float and type(value) is int:
            return float(value)
        if _fits(value, base):
            return value
    kinds = " or ".join(_KINDS.get(str(o), str(o)) for o in options)
    raise ConfigError(f"{where}: {name} is {value!r}; give {kinds}.")


def _fits(value: Any, base: type) -> bool:
    if isinstance(value, bool):
        return base is bool
    if isinstance(value, list):
        return base is list and all(isinstance(v, str) for v in value)
    return isinstance(value, base)


_KINDS = {
    str(str): "text",
    str(int): "an integer",
    str(float): "a number",
    str(bool): "true or false",
    str(list[str]): "a list of texts",
    str(dict[str, Any]): "settings",
    str(type(None)): "nothing",
}


def _near(key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known[:20])}"
