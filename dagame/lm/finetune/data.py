"""The prompts of a fine-tuning run: a file or a data set -> one row per context, all checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import ConfigError, nearest
from ...samples.files.reading import read_frame
from ...samples.keys.reader import AnswerReader
from ..sources import check_template, load_data_set
from .sections import DataSection

Row = dict[str, Any]


def read_rows(section: DataSection, context_column: str | None = None) -> list[Row]:
    """Rows with class, prompt and, where named, answer, aliases and context; a class's contexts in order.

    Of samples each prompt of a class counts once; without data.class_column each is a class.

    Raises:
        ConfigError: a missing column, an empty prompt, a template that names no column.
        SamplesError: a file that cannot be read.
    """
    source = _source(section)
    columns = list(source[0])
    for template in section.paraphrases or ():
        check_template(template, columns)
    answers = _answers(source, section, columns)
    rows: list[Row] = []
    classes: dict[Any, None] = {}
    for number, raw in enumerate(source, start=1):
        name = number - 1
        if section.class_column is not None:
            name = _field(raw, section.class_column, "data.class_column", columns)
        classes[name] = None
        if section.limit is not None and len(classes) > section.limit:
            break
        labels: Row = {} if answers is None else {"answer": answers[number - 1]}
        labels |= _named(raw, section, context_column, columns)
        rows += [
            {"class": name, "prompt": read_prompt(text, section, number), **labels}
            for text in _phrasings(raw, section, columns)
        ]
    return rows


def _named(
    raw: Mapping[str, Any], section: DataSection, context: str | None, columns: Sequence[str]
) -> Row:
    """The aliases and the context of a row, where columns of them are named."""
    found: Row = {}
    if section.alias_column is not None:
        aliases = _field(raw, section.alias_column, "data.alias_column", columns)
        found["aliases"] = _texts(aliases)
    if context is not None:
        found["context"] = _field(raw, context, "context", columns)
    return found


def _source(section: DataSection) -> Sequence[Mapping[str, Any]]:
    file = section.path or section.samples
    if file is not None:
        texts = (section.prompt_column, section.answer_column, section.alias_column)
        labels = () if section.class_column is None else (section.class_column,)
        frame, _ = read_frame(
            file, text=[name for name in texts if name is not None], labels=labels
        )
        return _once(frame.to_dicts(), section) if section.path is None else frame.to_dicts()
    return load_data_set(str(section.name), section.config, section.split)


def _once(rows: list[Row], section: DataSection) -> list[Row]:
    """The first sample of each prompt of each class."""
    names = [n for n in (section.class_column, section.prompt_column) if n is not None]
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(repr([_field(row, name, "data", list(row)) for name in names]), row)
    return list(found.values())


def _phrasings(raw: Mapping[str, Any], section: DataSection, columns: Sequence[str]) -> list[Any]:
    if section.paraphrases is not None:
        return [template.format_map(raw) for template in section.paraphrases]
    return [_field(raw, section.prompt_column, "data.prompt_column", columns)]


def read_prompt(text: Any, section: DataSection, number: int) -> Any:
    """The prompt of row `number`, a text or, of a chat, messages; `ConfigError` where it is neither."""
    if isinstance(text, list) and not section.chat:
        return text
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(
            f"row {number}: column {section.prompt_column!r} holds {text!r}, not a prompt."
        )
    if not section.chat:
        return text
    system = [] if section.system is None else [{"role": "system", "content": section.system}]
    return [*system, {"role": "user", "content": text}]


def _answers(
    source: Sequence[Mapping[str, Any]], section: DataSection, columns: Sequence[str]
) -> list[Any] | None:
    """The right answer of each row as text or list of aliases; None without an answer column."""
    if section.answer_column is None:
        return None
    role = "data.answer_column"
    values = [_texts(_field(raw, section.answer_column, role, columns)) for raw in source]
    if section.answer_extract is None:
        return values
    found = AnswerReader(section.answer_extract)(values)
    if all(answer is None for answer in found):
        raise ConfigError(
            f"no {section.answer_column!r} has an answer under data.answer_extract "
            f"{section.answer_extract!r}; leave it out if the column holds plain answers."
        )
    return found


def _texts(value: Any) -> Any:
    """Answers as text, lists of aliases kept, so that a column has one type."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return [_texts(v) for v in value if v is not None]
    return str(value)


def _field(raw: Mapping[str, Any], path: str, role: str, columns: Sequence[str]) -> Any:
    """The value at a dotted path of columns."""
    value: Any = raw
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            known = list(value) if isinstance(value, Mapping) else list(columns)
            hint = nearest(name, known, "columns")
            raise ConfigError(f"there is no column {path!r} ({role}); {hint}")
        value = value[name]
    return value
