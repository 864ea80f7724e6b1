"""Layouts known by name: which paths hold what in the files of well-known tools.

A format is data; options can express everything that it does. `auto` takes the first one whose paths
are all there, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import SamplesError, nearest
from .containers import KIND_NAMES
from .paths import ABSENT, at, known_paths


@dataclass(frozen=True)
class Format:
    """What a tool writes.

    has: paths that all are in each row; completion, class_by, gold: their paths; rows: where a
    document keeps its rows; files: names of the files in a folder; filters: a column of which one
    value is kept, the strictest; no_answer: an answer that means none; same: two rows of one class
    have the same value there; skip_null: rows without a completion are failed requests.
    """

    has: tuple[str, ...]
    completion: str
    class_by: str | None = None
    gold: str | None = None
    rows: str | None = None
    files: str | None = None
    filters: str | None = None
    no_answer: str | None = None
    same: str | None = None
    skip_null: bool = False


FORMATS = {
    "lm-eval": Format(
        has=("doc_id", "resps"),
        completion="resps",
        class_by="doc_id",
        gold="target",
        files="samples_*",
        filters="filter",
        no_answer="[invalid]",
        same="doc_hash",
    ),
    "inspect": Format(
        has=("id", "target", "output.choices"),
        completion="output",
        class_by="id",
        gold="target",
        rows="samples",
    ),
    "openai": Format(
        has=("custom_id", "response"),
        completion="response.body",
        class_by="custom_id",
        skip_null=True,
    ),
    "anthropic": Format(
        has=("custom_id", "result.type"),
        completion="result.message",
        class_by="custom_id",
        skip_null=True,
    ),
    "vllm": Format(has=("prompt", "outputs.text"), completion="outputs", class_by="prompt"),
    "trl": Format(has=("prompt", "completion", "step"), completion="completion", class_by="prompt"),
    "verl": Format(
        has=("input", "output", "score"), completion="output", class_by="input", gold="gts"
    ),
}
"""By the name of the tool that writes them."""

NO_FORMAT = Format(has=(), completion="")
"""Of files that no known tool wrote."""

GUESSED = (
    "completions", "response", "responses", "output", "outputs", "generation", "generations",
    "generated_text", "generated", "text", "resps", "model_output", "model_outputs", "choices",
    "messages", "conversations", "conversation",
)  # fmt: skip
"""Columns that may hold the completions where there is no column `completion`."""

FINISH = ("finish_reason", "finish_reasons", "stop_reason", "stop_reasons", "truncated")
"""Columns that say how a completion ended, taken without being named."""


def check_format(name: str) -> str:
    """The name, if it is known."""
    known = ("auto", *FORMATS, *KIND_NAMES)
    if name not in known:
        raise SamplesError(f"format {name!r} is unknown; {nearest(name, known)}")
    return name


def detected(row: Mapping[str, Any]) -> str | None:
    """The format whose paths are all in the row, None if there is none."""
    for name, form in FORMATS.items():
        if all(at(row, path) is not ABSENT for path in form.has):
            return name
    return None


# -- documents ------------------------------------------------------------------------------------


def open_document(
    value: Any, path: str | None, wanted: tuple[str, ...]
) -> tuple[list[Any], str | None]:
    """The rows of a JSON document, and a word on how they were found.

    A list is its elements. An object is the list of objects in it, with its plain values added to
    each row; columns of equal length; or one row, if it has the columns that are `wanted`. `path`
    names the list.

    Raises:
        SamplesError: more than one list that it could be, or none.
    """
    if path is not None:
        rows = at(value, path) if isinstance(value, dict) else None
        if not isinstance(rows, list) or not _is_rows(rows):
            raise SamplesError(f"--rows {path!r} is no list of objects{_lists_of(value)}.")
        return _with_values(value, path, rows)
    if isinstance(value, list):
        return value, None
    if not isinstance(value, dict):
        raise SamplesError(
            "a JSON document must be a list of objects, or an object that holds one."
        )
    return _rows_in(value, wanted)


def _rows_in(value: dict[str, Any], wanted: tuple[str, ...]) -> tuple[list[Any], str | None]:
    """The one list of rows in an object, its columns, or itself as the only row."""
    log = _log_of(value)
    if log is not None:
        return value[log], None
    columns = _columns(value)
    if columns is not None:
        return columns, "read as a table of columns"
    lists = [key for key, rows in value.items() if _is_rows(rows)]
    one_row = detected(value) or (wanted and all(at(value, p) is not ABSENT for p in wanted))
    if one_row or not lists:
        return [value], None
    if len(lists) > 1:
        raise SamplesError(
            f"the document holds several lists of objects, {', '.join(map(repr, lists[:8]))}; name "
            "the one of the samples by --rows."
        )
    return _with_values(value, lists[0], value[lists[0]])


def _log_of(value: Mapping[str, Any]) -> str | None:
    """Where the log of a known tool keeps its rows; None for other objects."""
    known = (form.rows for form in FORMATS.values() if form.rows)
    return next((k for k in known if "eval" in value and isinstance(value.get(k), list)), None)


def _is_rows(value: Any) -> bool:
    """A list of objects, and not the messages or choices of one row."""
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        return False
    return not all("role" in v or "message" in v for v in value)


def _with_values(
    value: Mapping[str, Any], path: str, rows: list[Any]
) -> tuple[list[Any], str | None]:
    plain = {k: v for k, v in value.items() if isinstance(v, str | int | float) or v is None}
    made = [{**{k: v for k, v in plain.items() if k not in row}, **row} for row in rows]
    left = [k for k in value if k not in plain and k != path.split(".")[0]]
    more = f", without {', '.join(map(repr, left[:8]))}" if left else ""
    return made, f"the rows are those of {path!r}{more}"


def _columns(value: Mapping[str, Any]) -> list[Any] | None:
    """The rows of a table written by columns, of pandas' orients or as lists of one length."""
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list) and _are_of_length(data, len(names)):
        return [dict(zip(map(str, names), row, strict=True)) for row in data]
    inner = list(value.values())
    if inner and all(isinstance(v, list) for v in inner):
        long = {len(v) for v in inner}
        objects = any(isinstance(e, dict) for v in inner for e in v)
        if len(long) == 1 and long != {0} and not objects:
            return [dict(zip(value, row, strict=True)) for row in zip(*inner, strict=True)]
    if inner and all(isinstance(v, dict) and v and v.keys() == inner[0].keys() for v in inner):
        if all(k.isdecimal() for k in inner[0]):
            return [{name: value[name][k] for name in value} for k in inner[0]]
        if all(k.isdecimal() for k in value):
            return [{"index": k, **row} for k, row in value.items()]
    return None


def _are_of_length(rows: list[Any], length: int) -> bool:
    return all(isinstance(row, list) and len(row) == length for row in rows)


def _lists_of(value: Any) -> str:
    names = [k for k, v in value.items() if _is_rows(v)] if isinstance(value, dict) else []
    if names:
        return f"; lists of objects are {', '.join(map(repr, names[:8]))}"
    paths = known_paths(value) if isinstance(value, dict) else []
    return f"; the document has {', '.join(paths[:8])}" if paths else ""
