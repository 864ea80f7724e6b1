"""Questions and templates -> prompts with their class, context and carried columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Formatter
from typing import Any

from ...errors import GenerationError, SamplesError, nearest
from ...samples.files.reading import read_rows

WRITTEN = ("class", "context", "prompt", "completion", "log_probability", "tokens")
WRITTEN += ("finish_reason", "model", "seed", "sample")
"""Columns that a file of samples gets beside those carried along."""


def prompts_of(
    path: str,
    prompt: str | None = None,
    class_by: str | None = None,
    context_by: str | None = None,
    templates: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """One row for each prompt: class, context, prompt, and the other columns of the file.

    Args:
        path: JSONL, JSON, CSV or Parquet.
        prompt: column of the prompts; or `templates` with a {field} for each column used.
        class_by: column of the classes; None: the row's number.
        context_by: column of the contexts; with `templates` the template is the context.

    Raises:
        SamplesError: an unknown column or field, no prompt, or a column that would be overwritten.
    """
    if bool(templates) == bool(prompt):
        raise SamplesError("give either --prompt COLUMN or --paraphrases FILE.")
    if templates and context_by:
        raise SamplesError("--paraphrases makes the contexts; leave out --context.")
    roles = {"class": class_by, "context": context_by, "prompt": prompt}
    named = [name for name in roles.values() if name]
    rows = read_rows(path, text=[prompt] if prompt else [], labels=named)
    known = rows.frame.columns
    for name in [*named, *(f for t in templates for f in _fields(t))]:
        if name not in known:
            raise SamplesError(f"{path} has no column {name!r}; {nearest(name, known, 'columns')}")
    for name in known:
        if name in WRITTEN and roles.get(name) != name:
            raise SamplesError(f"{path} has a column {name!r}, which sampling writes; rename it.")
    made = []
    for number, row in enumerate(rows.records):
        head = {"class": row[class_by] if class_by else number}
        for template in templates or [None]:
            context = template if templates else row[context_by] if context_by else "0"
            text = row[prompt] if template is None else template.format_map(row)
            if not isinstance(text, str) or not text:
                raise SamplesError(f"{path}: row {number} has no text in {prompt!r}.")
            made.append({**row, **head, "context": context, "prompt": text})
    return made


def templates_of(path: str | Path) -> list[str]:
    """The templates of a file, one a line; empty lines are left out."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SamplesError(f"{path} cannot be read: {error}.") from None
    found = [line for line in lines if line.strip()]
    if not found or len(set(found)) < len(found):
        raise SamplesError(f"{path} has {'a template twice' if found else 'no template'}.")
    return found


def _fields(template: str) -> list[str]:
    try:
        fields = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise GenerationError(f"the template {template!r} cannot be read: {error}.") from None
    if not fields:
        raise SamplesError(f"the template {template!r} has no {{field}}; name a column in braces.")
    return fields
