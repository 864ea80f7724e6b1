"""Questions and templates -> prompts with their class, context and carried columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import SamplesError, nearest, one_line
from ...samples.files.containers import KINDS, PACKED
from ...samples.files.reading import read_rows
from ..sources import check_template, load_data_set

Row = dict[str, Any]

WRITTEN = ("class", "context", "prompt", "completion", "log_probability", "tokens")
WRITTEN += ("finish_reason", "model", "revision", "seed", "sample")
"""Columns that a file of samples gets beside those carried along."""


def is_file(name: str) -> bool:
    """Whether questions are a file rather than a data set's name or folder."""
    path = Path(name)
    return path.is_file() or path.suffix.lower() in {*KINDS, *PACKED}


def prompts_of(
    source: str,
    prompt: str | None = None,
    class_by: str | None = None,
    context_by: str | None = None,
    templates: Sequence[str] = (),
    *,
    config: str | None = None,
    split: str = "train",
    limit: int | None = None,
) -> list[Row]:
    """One row for each prompt: class, context, prompt, and the other columns of the questions.

    Args:
        source: JSONL, JSON, CSV, TSV or Parquet, or the name of a data set, of which `config` and `split`.
        prompt: column of the prompts; or `templates`, texts with a {column} for each that they use.
        class_by: column of the classes; None: each row is one, named by its number from 0.
        context_by: column of the contexts; with `templates` the template is the context; with neither
            the prompts of a class are numbered from 0.
        limit: the first so many classes.

    Raises:
        SamplesError: no such file or column, a row without a value where one is needed, two prompts of
            one class and context, a column that would be overwritten.
        ConfigError: a template that names no column, a data set that cannot be loaded.
    """
    if bool(templates) == (prompt is not None):
        raise SamplesError("give either --prompt COLUMN or --paraphrases FILE.")
    if templates and context_by is not None:
        raise SamplesError("--paraphrases makes the contexts; leave out --context.")
    named = {"--prompt": prompt, "--class": class_by, "--context": context_by}
    records, columns = _records(source, named, templates, config, split)
    used = [(template, check_template(template, columns)) for template in templates]
    roles = {"class": class_by, "context": context_by, "prompt": prompt}
    _check_columns(source, columns, named, roles)
    made: list[Row] = []
    seen: dict[Any, dict[Any, None]] = {}
    for number, row in enumerate(records, start=1):
        where = f"{source}, row {number}"
        kind = number - 1 if class_by is None else _name(row, class_by, where)
        if limit is not None and kind not in seen and len(seen) == limit:
            continue
        mine = seen.setdefault(kind, {})
        for context, text in _phrasings(row, roles, used, len(mine), where):
            if context in mine:
                raise SamplesError(f"{where}: class {kind!r} has context {context!r} already.")
            mine[context] = None
            made.append({"class": kind, "context": context, "prompt": text, **_carried(row, roles)})
    return made


Roles = Mapping[str, str | None]


def _check_columns(source: str, columns: Sequence[str], named: Roles, roles: Roles) -> None:
    """Those that options name are there, and none is overwritten."""
    for option, name in named.items():
        if name is not None and name not in columns:
            hint = nearest(name, columns, "columns")
            raise SamplesError(f"{source} has no column {name!r} ({option}); {hint}")
    for name in columns:
        if name in WRITTEN and roles.get(name) != name:
            raise SamplesError(f"{source} has a column {name!r}, which sampling writes; rename it.")


def _phrasings(
    row: Row, roles: Roles, used: Sequence[tuple[str, list[str]]], known: int, where: str
) -> Iterator[tuple[Any, str]]:
    """Context and prompt, by each template or of the row itself, whose class has so many contexts."""
    for template, names in used:
        yield template, _filled(template, names, row, where)
    if not used:
        by = roles["context"]
        context = known if by is None else _name(row, by, where)
        yield context, _prompt(row, str(roles["prompt"]), where)


def templates_of(path: str | Path) -> list[str]:
    """The templates of a file: a JSON list of texts (.json), or one a line; empty lines are left out.

    Raises:
        SamplesError: the file cannot be read, holds none, or one twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise SamplesError(f"{path} cannot be read: {one_line(error)}.") from None
    if not isinstance(found, list) or not all(isinstance(line, str) for line in found):
        raise SamplesError(f"{path} is no list of texts; write one template a line.")
    found = [line for line in found if line.strip()]
    twice = [line for k, line in enumerate(found) if line in found[:k]]
    if twice or not found:
        what = f"has the template {twice[0]!r} twice" if twice else "has no template"
        raise SamplesError(f"{path} {what}.")
    return found


def _records(
    source: str, named: Roles, templates: Sequence[str], config: str | None, split: str
) -> tuple[Sequence[Row], list[str]]:
    """The rows and the names of all columns."""
    if not is_file(source):
        rows = [dict(row) for row in load_data_set(source, config, split)]
        return rows, list(rows[0])
    labels = [name for name in (named["--class"], named["--context"]) if name is not None]
    text = [] if named["--prompt"] is None else [named["--prompt"]]
    found = read_rows(source, text=text, labels=labels)
    if templates and found.lines is None:  # of a table: digits as they stand in it
        used = [f"{{{name}}}" for name in found.frame.columns]
        text = [name[1:-1] for name in used if any(name in t for t in templates)]
        found = read_rows(source, text=text, labels=labels)
    return found.records, found.frame.columns


def _name(row: Row, column: str, where: str) -> Any:
    """The value that names a class or a context."""
    value = row.get(column)
    if value is None or not isinstance(value, str | int | float | bool):
        raise SamplesError(f"{where}: column {column!r} holds {value!r}, which names nothing.")
    return value


def _prompt(row: Row, column: str, where: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        raise SamplesError(f"{where}: column {column!r} holds {value!r}, not a prompt.")
    return value


def _filled(template: str, names: Sequence[str], row: Row, where: str) -> str:
    for name in names:
        value = row.get(name)
        if value is None or not isinstance(value, str | int | float):
            raise SamplesError(
                f"{where}: column {name!r} holds {value!r}, which paraphrase {template!r} cannot be "
                "filled with."
            )
    try:
        return template.format_map(row)
    except Exception as error:  # a format of the template that the value does not take
        raise SamplesError(
            f"{where}: paraphrase {template!r} cannot be filled: {one_line(error)}."
        ) from None


def _carried(row: Row, roles: Roles) -> Row:
    return {name: value for name, value in row.items() if name not in roles}
