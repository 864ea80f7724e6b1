"""The sections of a fine-tuning run's file, typed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..spec import AnswerSection, GameSpec, ObjectiveSection


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
class EvaluationSection:
    """Questions held out of the training, on which the model is judged at its end beside the one it was.

    path: a file with the columns of `data`; or split: another one of its data set. samples: completions of
    each prompt. limit: the first so many questions. max_new_tokens: where completions are cut; None: as in
    the training.
    """

    path: str | None = None
    split: str | None = None
    samples: int = 16
    limit: int | None = None
    max_new_tokens: int | None = None


@dataclass(frozen=True)
class FinetuneConfig:
    """A whole run. `training` has fields of the trainer's configuration, `lora` of `peft.LoraConfig`.

    method: of `methods.METHODS`. "grpo" plays the game (`trl.GRPOConfig`); "sft" and "dpo" train on
    weighted rows of data.samples (`trl.SFTConfig`, `trl.DPOConfig`), and objective, answers and, for sft,
    beta then only say in which game `dagame evaluate` and `dagame certify` judge the model.

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
    evaluation: EvaluationSection = field(default_factory=EvaluationSection)

    def held_out(self) -> DataSection | None:
        """The questions of `evaluation` as data; None where none are named."""
        named, data = self.evaluation, self.data
        if named.path is not None:
            return other_questions(data, named.path, named.limit)
        if named.split is not None:
            return replace(data, split=named.split, limit=named.limit)
        return None

    def spec(self) -> GameSpec:
        """The game of the run."""
        own = {"beta": self.beta, "kl": self.kl, "estimator": self.estimator}
        size = self.batch.group_size
        return GameSpec.of_sections(self.objective, self.answers, group_size=size, **own)


def other_questions(data: DataSection, path: str, limit: int | None = None) -> DataSection:
    """Another file of questions, with the columns of a run's own."""
    return replace(data, path=path, name=None, config=None, limit=limit)


def setting(config: Any, name: str) -> Any:
    """The value of a setting, "section.key" where it is in a section."""
    for key in name.split("."):
        config = getattr(config, key)
    return config
