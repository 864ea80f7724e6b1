"""What `dagame evaluate` and `dagame certify` are about: a run or a model, its reference, its questions."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DagameError
from ..objectives.names import LABELLED

if TYPE_CHECKING:
    from ..lm.finetune.inputs import Inputs
    from ..lm.finetune.sections import DataSection
    from ..lm.spec import AnswerSection, ObjectiveSection


@dataclass(frozen=True)
class Asked:
    """The options of a command; None: as the run has it, or the default."""

    name: str
    questions: str | None
    reference: str | None
    prompt: str | None
    class_by: str | None
    context_by: str | None
    gold: str | None
    limit: int | None
    chat: bool
    extract: str | None
    canonical: str | None
    truncated: str | None
    max_new_tokens: int | None
    objective: str | None = None
    strength: float | None = None
    beta: float | None = None


def read_inputs(asked: Asked) -> Inputs:
    """The inputs of a run (a folder of `dagame finetune`) or of a model, and the questions read.

    Raises:
        DagameError: one sentence: no questions, no way to read answers, a damaged run, a column or a
            file that cannot be read, an objective without its labels.
    """
    if asked.reference is not None:
        asked = replace(asked, reference=os.path.expanduser(asked.reference))
    folder = Path(os.path.expanduser(asked.name))
    made = _of_run(asked, folder) if (folder / "run.json").is_file() else _of_model(asked, folder)
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
    return made


def _of_run(asked: Asked, folder: Path) -> Inputs:
    from ..lm.finetune.folder import read_run
    from ..lm.finetune.inputs import cut_of, inputs_of_run, question_rows, trained_on
    from ..lm.finetune.sections import other_questions

    config = read_run(folder)
    length = asked.max_new_tokens or cut_of(config)
    if length is None:
        raise DagameError(
            f"where completions are cut is not known of a run of method {config.method}, which sampled "
            "none; name it by --max-new-tokens."
        )
    data = config.data
    if asked.questions is not None:
        data = other_questions(data, asked.questions)
    rows = question_rows(_named(data, asked), asked.questions or asked.name, asked.context_by)
    trained = None if asked.questions is None else trained_on(config.data)
    made = inputs_of_run(config, folder, rows, length, trained)
    return replace(
        made,
        reference=asked.reference or config.model,
        answers=_answers(config.answers, asked),
        objective=_objective(config.objective, asked),
        beta=config.beta if asked.beta is None else asked.beta,
        own_data=asked.questions is None,
    )


def _of_model(asked: Asked, folder: Path) -> Inputs:
    from ..lm.finetune.inputs import Inputs, question_rows
    from ..lm.finetune.sections import DataSection
    from ..lm.spec import AnswerSection, ObjectiveSection

    if folder.is_dir() and not any(
        (folder / name).is_file() for name in ("config.json", "adapter_config.json")
    ):
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
    data = _named(DataSection(path=asked.questions, chat=asked.chat), asked)
    return Inputs(
        model=str(folder) if folder.exists() else asked.name,
        reference=asked.reference,
        rows=question_rows(data, asked.questions, asked.context_by),
        answers=_answers(AnswerSection(), asked),
        objective=_objective(ObjectiveSection(), asked),
        beta=1.0 if asked.beta is None else asked.beta,
        max_new_tokens=asked.max_new_tokens,
    )


def _named(data: DataSection, asked: Asked) -> DataSection:
    """The columns that the options name in place of the run's own."""
    if asked.prompt is not None or asked.context_by is not None:
        data = replace(data, prompt_column=asked.prompt or data.prompt_column, paraphrases=None)
    if asked.class_by is not None:
        data = replace(data, class_column=asked.class_by)
    if asked.gold is not None:
        data = replace(data, answer_column=asked.gold, answer_extract=None)
    if asked.limit is not None:
        data = replace(data, limit=asked.limit)
    return replace(data, chat=data.chat or asked.chat)


def _answers(section: AnswerSection, asked: Asked) -> AnswerSection:
    given = {
        name: getattr(asked, name)
        for name in ("extract", "canonical", "truncated")
        if getattr(asked, name) is not None
    }
    return replace(section, **given)


def _objective(section: ObjectiveSection, asked: Asked) -> ObjectiveSection:
    """The run's objective, or the one asked for, whose strength is 1 unless given."""
    if asked.objective is not None and asked.objective != section.name:
        section = replace(section, name=asked.objective, strength=1.0)
    return section if asked.strength is None else replace(section, strength=asked.strength)
