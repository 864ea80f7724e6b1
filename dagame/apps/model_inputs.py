"""What `dagame evaluate` and `dagame certify` are about: a run or a model, its reference, its questions."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import DagameError
from ..objectives.names import LABELLED, NAMES
from .command import Chat, ClassBy, ContextBy, Json, Limit, argument, option

if TYPE_CHECKING:
    from ..lm.finetune.inputs import Inputs
    from ..lm.finetune.sections import DataSection
    from ..show.progress import Progress

Section = TypeVar("Section", bound=Any)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of `dagame certify`; None: as the run has it, or the default."""

    name: str = argument(
        "Folder of dagame finetune, a Hugging Face model or its name, a GGUF file.",
        default=...,
        metavar="RUN|MODEL",
    )
    questions: str | None = argument(
        "JSON, JSONL, CSV, TSV or Parquet; of a RUN its own questions if left out."
    )
    reference: str | None = option("Model to compare with; of a RUN the one it began from.")
    objective: str | None = option(" | ".join(NAMES) + ".")
    strength: float | None = option("Strength (lambda); else the run's, or 1.")
    beta: float | None = option("Strength of the KL; else the run's, or 1.")
    prompt: str | None = option("Column of the prompts; else prompt.")
    class_by: ClassBy = None
    context_by: ContextBy = None
    gold: str | None = option("Column of right answers; list: aliases.")
    limit: Limit = None
    chat: Chat = False
    samples: int = option("Samples of each prompt, per model.", default=64, min=4)
    max_new_tokens: int | None = option("Where completions are cut.", "--max-new-tokens", min=1)
    extract: str | None = option("Pattern or boxed | gsm8k | last-number | choice | answer | math.")
    canonical: str | None = option("auto | exact | nospace | casefold | number | math.")
    truncated: str | None = option("What a completion that was cut off has: no-answer | read.")
    confidence: float = option("Of either end of the interval.", default=0.95)
    seed: int = option("Seed of the samples and of the bootstrap.", default=0, min=0)
    batch_size: int = option("Completions side by side.", "--batch-size", default=256, min=1)
    json_file: Json = None
    report: Path | None = option("Write a page, such as report.html.")


@dataclass(frozen=True, kw_only=True)
class AskedMeasures(Asked):
    """The options of `dagame evaluate`, which needs no game."""

    objective: str | None = field(default=None, init=False)
    strength: float | None = field(default=None, init=False)
    beta: float | None = field(default=None, init=False)
    samples: int = option("Samples of each prompt.", default=16, min=1)
    confidence: float = field(default=0.95, init=False)
    card: bool = option("Put the verdict on the model card of a RUN.", "--card", default=False)


def read_inputs(asked: Asked, say: Progress) -> Inputs:
    """The inputs of a run (a folder of `dagame finetune`) or of a model, and the questions read.

    Raises:
        DagameError: one sentence: no questions, no way to read answers, a damaged run, a column or a
            file that cannot be read, an objective without its labels.
    """
    say("reading the questions")
    if asked.reference is not None:
        asked = replace(asked, reference=os.path.expanduser(asked.reference))
    folder = Path(os.path.expanduser(asked.name))
    made = _of_run(asked, folder) if (folder / "run.json").is_file() else _of_model(asked, folder)
    _check(made)
    return made


def _check(made: Inputs) -> None:
    from ..lm.answers import check_truncated
    from ..lm.spec import check_count, check_kl, named_objective
    from ..samples.keys.reader import AnswerReader

    AnswerReader(made.answers.extract, made.answers.canonical)
    check_truncated(made.answers.truncated)
    check_count("--max-new-tokens", made.max_new_tokens, 1)
    check_kl(made.beta, "loss")
    named_objective(made.objective.name, made.objective.strength)
    if made.objective.name in LABELLED and not any("answer" in row for row in made.rows):
        raise DagameError(
            f"objective {made.objective.name!r} needs right answers; name their column by --gold."
        )


def _of_run(asked: Asked, folder: Path) -> Inputs:
    from ..lm.finetune.folder import read_run
    from ..lm.finetune.inputs import cut_of, inputs_of_run, question_rows, trained_on
    from ..lm.finetune.sections import other_questions

    config, file = read_run(folder), asked.questions
    length = asked.max_new_tokens or cut_of(config)
    if length is None:
        raise DagameError(
            f"where completions are cut is not known of a run of method {config.method}, which sampled "
            "none; name it by --max-new-tokens."
        )
    data = config.data if file is None else other_questions(config.data, file)
    rows = question_rows(_named(data, asked), file or asked.name, asked.context_by)
    trained = None if file is None else trained_on(config.data)
    made = inputs_of_run(config, folder, rows, length, trained)
    return replace(_as_asked(made, asked), own_data=file is None)


def _of_model(asked: Asked, folder: Path) -> Inputs:
    from ..lm.finetune.inputs import Inputs, question_rows
    from ..lm.finetune.sections import DataSection
    from ..lm.spec import AnswerSection, ObjectiveSection

    file, length = _needed_of_model(asked, folder)
    data = _named(DataSection(path=file, chat=asked.chat), asked)
    made = Inputs(
        model=str(folder) if folder.exists() else asked.name,
        reference=asked.reference,
        rows=question_rows(data, file, asked.context_by),
        answers=AnswerSection(),
        objective=ObjectiveSection(),
        beta=1.0,
        max_new_tokens=length,
    )
    return _as_asked(made, asked)


def _needed_of_model(asked: Asked, folder: Path) -> tuple[str, int]:
    """The questions, and where completions are cut; refused without them."""
    names = ("config.json", "adapter_config.json")
    if folder.is_dir() and not any((folder / name).is_file() for name in names):
        raise DagameError(
            f"{folder} holds neither run.json (a run of dagame finetune) nor config.json (a model); "
            "name one that does."
        )
    if asked.questions is None:
        raise DagameError(
            f"{asked.name} is a model, which brings no questions; name their file behind it."
        )
    if asked.extract is None:
        raise DagameError(
            "how answers are read is not known of a model; name it by --extract, such as boxed, "
            "gsm8k, answer, or a pattern."
        )
    if asked.max_new_tokens is None:
        raise DagameError(
            "where completions are cut is not known of a model; name it by --max-new-tokens."
        )
    return asked.questions, asked.max_new_tokens


def _named(data: DataSection, asked: Asked) -> DataSection:
    """The columns that the options name in place of the run's own."""
    if asked.prompt is not None or asked.context_by is not None:
        data = replace(data, prompt_column=asked.prompt or data.prompt_column, paraphrases=None)
    if asked.gold is not None:
        data = replace(data, answer_column=asked.gold, answer_extract=None)
    data = _given(data, class_column=asked.class_by, limit=asked.limit)
    return replace(data, chat=data.chat or asked.chat)


def _as_asked(made: Inputs, asked: Asked) -> Inputs:
    """What the options name in place of the run's own; another objective has strength 1 unless given."""
    objective, read = made.objective, ("extract", "canonical", "truncated")
    if asked.objective not in (None, objective.name):
        objective = replace(objective, strength=1.0)
    return replace(
        _given(made, beta=asked.beta),
        reference=asked.reference or made.reference,
        answers=_given(made.answers, **{name: getattr(asked, name) for name in read}),
        objective=_given(objective, name=asked.objective, strength=asked.strength),
    )


def _given(made: Section, **options: Any) -> Section:
    """The same with the options that are not None."""
    return replace(made, **{k: v for k, v in options.items() if v is not None})
