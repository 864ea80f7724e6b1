"""What `dagame evaluate` and `dagame certify` are about: a run or a model, its reference, its questions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, DagameError, SamplesError
from ..objectives.names import LABELLED
from ..show.progress import Progress

if TYPE_CHECKING:
    from ..lm.finetune.sections import DataSection
    from ..lm.spec import AnswerSection, ObjectiveSection

Row = dict[str, Any]


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


@dataclass(frozen=True)
class Inputs:
    """A model and its reference by name, the rows they answer, and how their answers are read.

    rows: one per prompt with class_id, member_id, prompt and, where the file has them, answer and
    aliases. reference: None where none is known. own_data: whether these are the run's own questions.
    drawn: of how many contexts of a question the run played the game at a time; None: of all.
    """

    model: str
    reference: str | None
    rows: list[Row]
    answers: AnswerSection
    objective: ObjectiveSection
    beta: float
    max_new_tokens: int
    trusted: bool
    template: dict[str, Any]
    is_run: bool
    own_data: bool
    drawn: int | None = None

    def load(self, say: Progress) -> tuple[Any, Any, Any, list[Row]]:
        """Model, reference (or None), tokenizer, and the rows with chats written out as texts."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from ..lm.models.loading import pretrained
        from ..scale import resolve_device

        say("loading the model")
        trusted = {"trust_remote_code": self.trusted}
        device = resolve_device("auto")
        tokenizer = pretrained(AutoTokenizer, self.model, **trusted)
        model = pretrained(AutoModelForCausalLM, self.model, **trusted).to(device).eval()
        reference = None
        if self.reference is not None:
            say("loading the reference")
            reference = self._reference(AutoModelForCausalLM, model.dtype).to(device).eval()
        return model, reference, tokenizer, as_texts(self.rows, tokenizer, self.template)

    def _reference(self, kind: Any, dtype: Any) -> Any:
        from ..lm.models.loading import pretrained

        try:
            return pretrained(
                kind, str(self.reference), trust_remote_code=self.trusted, dtype=dtype
            )
        except DagameError as error:
            if not self.is_run:
                raise
            raise type(error)(
                f"the reference of the run: {error} If it is a folder, start where the run was "
                "started, or name it by --reference."
            ) from error


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
    from trl.trainer.grpo_config import GRPOConfig

    from ..lm.finetune.folder import read_run
    from ..lm.finetune.methods import METHODS

    config = read_run(folder)
    default = GRPOConfig.__dataclass_fields__["max_completion_length"].default
    length = config.training.get("max_completion_length", default)
    if not METHODS[config.method].plays and asked.max_new_tokens is None:
        raise DagameError(
            f"where completions are cut is not known of a run of method {config.method}, which sampled "
            "none; name it by --max-new-tokens."
        )
    data = config.data
    if asked.questions is not None:
        data = replace(data, path=asked.questions, name=None, config=None, limit=None)
    return Inputs(
        model=str(folder / "model"),
        reference=asked.reference or config.model,
        rows=_rows(_named(data, asked), asked),
        answers=_answers(config.answers, asked),
        objective=_objective(config.objective, asked),
        beta=config.beta if asked.beta is None else asked.beta,
        max_new_tokens=asked.max_new_tokens or int(length or 0),
        trusted=bool(config.training.get("trust_remote_code", False)),
        template=dict(config.training.get("chat_template_kwargs") or {}),
        is_run=True,
        own_data=asked.questions is None,
        drawn=config.data.contexts if config.method == "grpo" else None,
    )


def _of_model(asked: Asked, folder: Path) -> Inputs:
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
    return Inputs(
        model=str(folder) if folder.exists() else asked.name,
        reference=asked.reference,
        rows=_rows(_named(DataSection(path=asked.questions, chat=asked.chat), asked), asked),
        answers=_answers(AnswerSection(), asked),
        objective=_objective(ObjectiveSection(), asked),
        beta=1.0 if asked.beta is None else asked.beta,
        max_new_tokens=asked.max_new_tokens,
        trusted=False,
        template={},
        is_run=False,
        own_data=False,
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


def _rows(section: DataSection, asked: Asked) -> list[Row]:
    """Rows of `read_rows` as `dagame.lm.evaluate` takes them; contexts by name, or numbered."""
    from ..lm.finetune.data import read_rows

    try:
        found = read_rows(section, asked.context_by)
    except ConfigError as error:
        raise ConfigError(f"{asked.questions or asked.name}: {error}") from None
    rows: list[Row] = []
    contexts: dict[Any, dict[Any, int]] = {}
    for row in found:
        mine = contexts.setdefault(row["class"], {})
        name = row.get("context", len(mine))
        if name in mine:
            raise SamplesError(
                f"question {row['class']!r} has two prompts of context {name!r}; leave --context out "
                "to number them, or name what makes a question by --class."
            )
        mine[name] = len(mine)
        labels = {k: row[k] for k in ("answer", "aliases") if k in row}
        named = {"class_id": row["class"], "member_id": name, "prompt": row["prompt"]}
        rows.append(named | labels)
    return rows


def as_texts(rows: Sequence[Row], tokenizer: Any, template: dict[str, Any]) -> list[Row]:
    """Chats written out by the tokenizer's template, as the texts that it reads as the same tokens.

    Raises:
        DagameError: no chat template, or one whose text is read as other tokens than the chat.
    """
    if all(isinstance(row["prompt"], str) for row in rows):
        return list(rows)
    if not getattr(tokenizer, "chat_template", None):
        raise DagameError(
            "the questions are chats, but the tokenizer has no chat template; give them as text."
        )
    from ..lm.models.generation import prompt_ids

    chats = [row["prompt"] for row in rows]
    texts = tokenizer.apply_chat_template(
        conversation=chats, add_generation_prompt=True, tokenize=False, **template
    )
    wanted = prompt_ids(tokenizer, chats, template)
    begin = tokenizer.bos_token
    for candidate in (texts, [t.removeprefix(begin) for t in texts] if begin else texts):
        if prompt_ids(tokenizer, candidate, template) == wanted:
            return [{**row, "prompt": t} for row, t in zip(rows, candidate, strict=True)]
    raise DagameError(
        "the chat template's text is read as other tokens than the chat itself; give the prompts as text."
    )
