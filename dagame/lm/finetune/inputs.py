"""What a model is judged on: itself, its reference, the questions, and how their answers are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigError, DagameError, SamplesError
from ...provenance import provenance
from ...samples.bootstrap import CONFIDENCE, RESAMPLES
from ...show.progress import Progress
from ..models.loading import fit_threads, pretrained
from ..spec import AnswerSection, ObjectiveSection
from .data import Row, read_rows
from .methods import METHODS
from .sections import DataSection, FinetuneConfig


@dataclass(frozen=True)
class Inputs:
    """A model and its reference by name, the rows they answer, and how their answers are read.

    rows: one per prompt with class_id, member_id, prompt and, where the file has them, answer and
    aliases. reference: None where none is known. own_data: whether these are the run's own questions.
    drawn: of how many contexts of a question the run played the game at a time; None: of all.
    seen: how many of the prompts the run was trained on; None: not known.
    """

    model: str
    reference: str | None
    rows: list[Row]
    answers: AnswerSection
    objective: ObjectiveSection
    beta: float
    max_new_tokens: int
    trusted: bool = False
    template: dict[str, Any] | None = None
    is_run: bool = False
    own_data: bool = False
    drawn: int | None = None
    seen: int | None = None

    def load(self, say: Progress) -> tuple[Any, Any, Any, list[Row]]:
        """Model, reference (or None), tokenizer, and the rows with chats written out as texts."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from ...scale import resolve_device

        say("loading the model")
        trusted = {"trust_remote_code": self.trusted}
        device = resolve_device("auto")
        tokenizer = pretrained(AutoTokenizer, self.model, **trusted)
        model = pretrained(AutoModelForCausalLM, self.model, **trusted).to(device).eval()
        fit_threads(model)
        reference = None
        if self.reference is not None:
            say("loading the reference")
            reference = self._reference(AutoModelForCausalLM, model.dtype).to(device).eval()
        return model, reference, tokenizer, as_texts(self.rows, tokenizer, self.template or {})

    def _reference(self, kind: Any, dtype: Any) -> Any:
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

    def drawing(self, samples: int, seed: int, batch_size: int) -> dict[str, Any]:
        """How completions are drawn and read, as keywords of `evaluate` and of `certificate`."""
        own = {"samples": samples, "max_new_tokens": self.max_new_tokens, "seed": seed}
        read = {k: getattr(self.answers, k) for k in ("extract", "canonical", "truncated")}
        return {**own, **read, "batch_size": batch_size}

    def settings(self, samples: int, seed: int) -> dict[str, Any]:
        """What numbers of this model rest on, for JSON and pages."""
        return {
            "model": self.model,
            "reference": self.reference,
            "questions": len({row["class_id"] for row in self.rows}),
            "prompts": len(self.rows),
            "samples": samples,
            "max_new_tokens": self.max_new_tokens,
            "extract": self.answers.extract,
            "canonical": self.answers.canonical,
            "truncated": self.answers.truncated,
            "seed": seed,
            "resamples": RESAMPLES,
            "confidence": CONFIDENCE,
            "provenance": provenance(),
        }


def cut_of(config: FinetuneConfig) -> int | None:
    """Where completions of a run's model are cut; None: not known, as its training samples none."""
    if config.evaluation.max_new_tokens is not None or not METHODS[config.method].plays:
        return config.evaluation.max_new_tokens
    default = METHODS[config.method].config_class().__dataclass_fields__["max_completion_length"]
    return int(config.training.get("max_completion_length", default.default) or 0)


def inputs_of_run(
    config: FinetuneConfig,
    folder: Path,
    rows: list[Row],
    max_new_tokens: int,
    trained: Sequence[Row] | None = None,
) -> Inputs:
    """The model of a run on these rows, beside the one it began from, in the run's own game.

    trained: the prompts that it was trained on, where they are known.
    """
    known = None if trained is None else {repr(row["prompt"]) for row in trained}
    return Inputs(
        seen=None if known is None else sum(repr(row["prompt"]) in known for row in rows),
        model=str(folder / "model"),
        reference=config.model,
        rows=rows,
        answers=config.answers,
        objective=config.objective,
        beta=config.beta,
        max_new_tokens=max_new_tokens,
        trusted=bool(config.training.get("trust_remote_code", False)),
        template=dict(config.training.get("chat_template_kwargs") or {}),
        is_run=True,
        drawn=config.data.contexts if config.method == "grpo" else None,
    )


def trained_on(data: DataSection) -> list[Row] | None:
    """The prompts of a run's own file; None where it is not there, or a data set."""
    file = data.path or data.samples
    if file is None or not Path(file).is_file():
        return None
    try:
        return read_rows(data)
    except DagameError:  # another file by now
        return None


def question_rows(section: DataSection, said: str, context_by: str | None = None) -> list[Row]:
    """Rows of `read_rows` as `dagame.lm.evaluate` takes them; contexts by name, or numbered.

    said: what the questions are called in an error.
    """
    try:
        found = read_rows(section, context_by)
    except ConfigError as error:
        raise ConfigError(f"{said}: {error}") from None
    contexts: dict[Any, set[Any]] = {}
    return [_question_row(row, contexts.setdefault(row["class"], set())) for row in found]


def _question_row(row: Row, contexts: set[Any]) -> Row:
    """A row whose context, a further one of its question's, is named or numbered."""
    name = row.get("context", len(contexts))
    if name in contexts:
        raise SamplesError(
            f"question {row['class']!r} has two prompts of context {name!r}; leave --context out "
            "to number them, or name what makes a question by --class."
        )
    contexts.add(name)
    named = {"class_id": row["class"], "member_id": name, "prompt": row["prompt"]}
    return named | {k: row[k] for k in ("answer", "aliases") if k in row}


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
    from ..models.generation import prompt_ids

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
