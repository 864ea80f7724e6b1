"""Rows with lists, objects and chats in them -> one row per completion, in plain columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ...errors import SamplesError
from ..chats import Completion, Each, NoCompletion, completions_of, is_truncated
from ..lazy import pl
from .formats import FINISH
from .json_rows import check_size
from .paths import ABSENT, at, known_paths
from .reading import Rows
from .roles import Flat, Roles, missing, no_completion, no_row, role_of

_WHOLE = 2**53


class _Cell(NamedTuple):
    """The completions that one row holds in one of the columns named; `many`: it is a list of them."""

    index: int
    column: int
    found: list[Completion]
    many: bool


def spread(rows: Rows, roles: Roles) -> Flat:
    """One row per completion: lists of completions, and what stands beside them, taken apart.

    A list in another column that is as long as that of the completions in every row goes along with
    them, element by element; whatever else a row holds is repeated. Several columns of completions
    follow each other, the column's name in `column`, which is a context.

    Raises:
        SamplesError: see `lay_out`.
    """
    cells = _cells(rows, roles)
    full = [cell for cell in cells if cell.found]
    count = sum(len(cell.found) for cell in full)
    if not count:
        raise no_completion(rows.name, roles.text, len(cells))
    check_size(rows.name, count, rows.frame.width)
    made, named, alongside = _columns(rows, roles, full)
    columns = [column_of(name, values) for name, values in made.items()]
    series = {column.name: column for column in (*columns, *_carried(rows, full, set(made)))}
    order = [name for name in rows.frame.columns if name in series]
    frame = pl.DataFrame([series[name] for name in dict.fromkeys((*order, *series))])
    gold = [_at(rows, c, roles.gold) for c in full for _ in c.found] if roles.gold else None
    cut = [flag for cell in full for flag in _truncated(rows, roles, cell)]
    truncated = pl.Series("truncated", cut, dtype=pl.Boolean)
    empty = len(cells) - len(full)
    return Flat(frame, named, gold, truncated, empty, True, frozenset(alongside))


def _cells(rows: Rows, roles: Roles) -> list[_Cell]:
    """Of the columns of completions, one after the other, what the selected rows hold."""
    kept = _selected(rows, roles)
    _check_paths(rows, roles, kept)
    return [
        _Cell(index, number, *_completions(rows, roles, index, path))
        for number, path in enumerate(roles.text)
        for index in kept
    ]


def _selected(rows: Rows, roles: Roles) -> list[int]:
    """The rows where every `where` holds."""
    kept = list(range(len(rows.records)))
    for path, value in roles.where:
        found = {k: plain_text(at(rows.records[k], path)) for k in kept}
        kept = [k for k in kept if found[k] == value]
        if not kept:
            values = sorted({"null" if v is None else v for v in found.values()})
            raise no_row(rows.name, path, value, values)
    return kept


def _check_paths(rows: Rows, roles: Roles, kept: Sequence[int]) -> None:
    for path in (*roles.text, *roles.names):
        if all(at(rows.records[k], path) is ABSENT for k in kept):
            deeper = [p for p in known_paths(rows.records[kept[0]]) if "." in p]
            raise missing(path, role_of(path, roles), [*rows.frame.columns, *deeper])


def _completions(rows: Rows, roles: Roles, index: int, path: str) -> tuple[list[Completion], bool]:
    value = at(rows.records[index], path)
    if value is ABSENT or value is None:
        return ([] if roles.skip_null or value is ABSENT else [Completion(None)]), False
    try:
        found, many = _answers(value) if roles.answers else completions_of(value)
    except NoCompletion as error:
        what = "answer" if roles.answers else "completion"
        raise SamplesError(
            f"{rows.name}, row {index + 1}: column {path!r} ({what}) holds {error}; name the path of "
            f"the texts, such as {path}.content, or convert it."
        ) from None
    if roles.answers and roles.no_answer is not None:
        found = [Completion(None) if c.text == roles.no_answer else c for c in found]
    return found, many


def _answers(value: Any) -> tuple[list[Completion], bool]:
    leaves = _leaves(value) if isinstance(value, list) else [value]
    if any(isinstance(v, dict | list) for v in leaves):
        raise NoCompletion("nested values, not answers")
    return [Completion(plain_text(v)) for v in leaves], isinstance(value, list)


# -- columns --------------------------------------------------------------------------------------


def _columns(
    rows: Rows, roles: Roles, full: Sequence[_Cell]
) -> tuple[dict[str, list[Any]], Roles, Sequence[str]]:
    """The columns that are made anew, the roles under their names, and those beside the completions."""
    named = _plain(rows, roles)
    made = {
        name: [v for c in full for v in _values(rows, c, name, roles, label=True)]
        for name in (*roles.class_by, *(roles.context_by or ()))
    }
    for name in named.correct:
        each = (_values(rows, c, _one(roles.correct, c), roles, label=False) for c in full)
        made[name] = [v for values in each for v in values]
    alongside = _alongside(rows, full, {*named.text, *made})
    for name in alongside:
        made[name] = [v for c in full for v in _elements(rows.records[c.index].get(name), c)]
    if len(roles.text) > 1:
        made[_free("column", rows)] = [roles.text[c.column] for c in full for _ in c.found]
    made[named.text[0]] = [completion.text for c in full for completion in c.found]
    return made, named, alongside


def _plain(rows: Rows, roles: Roles) -> Roles:
    """The roles where one column takes the place of several."""
    named = replace(roles, where=())
    if len(roles.text) > 1:
        text = _free("answer" if roles.answers else "completion", rows)
        contexts = (*(roles.context_by or ()), _free("column", rows))
        named = replace(named, text=(text,), context_by=contexts)
    if len(roles.correct) > 1:
        named = replace(named, correct=(_free("correct", rows),))
    return named


def _free(name: str, rows: Rows) -> str:
    return f"dagame_{name}" if name in rows.frame.columns else name


def _one(paths: Sequence[str], cell: _Cell) -> str:
    return paths[cell.column if len(paths) > 1 else 0]


def _at(rows: Rows, cell: _Cell, paths: Sequence[str]) -> Any:
    value = at(rows.records[cell.index], _one(paths, cell))
    return None if value is ABSENT else value


def _values(rows: Rows, cell: _Cell, path: str, roles: Roles, *, label: bool) -> list[Any]:
    """One value per completion: an element each of a list, or the row's value for all."""
    value = at(rows.records[cell.index], path)
    value = None if value is ABSENT else value
    size = len(cell.found)
    leaves = _leaves(value) if isinstance(value, list) else None
    nested = isinstance(value, dict) or any(isinstance(v, dict) for v in leaves or ())
    where = f"{rows.name}, row {cell.index + 1}: column {path!r} ({role_of(path, roles)})"
    if nested and label:
        return [json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)] * size
    if nested:
        raise SamplesError(f"{where} is nested; name the path of the plain values.")
    if leaves is None:
        return [value] * size
    if len(leaves) != size:
        raise SamplesError(f"{where} has {len(leaves)} values for {size} completions.")
    return leaves


def _alongside(rows: Rows, full: Sequence[_Cell], taken: set[str]) -> list[str]:
    """The columns whose lists are as long as that of the completions wherever there is one."""
    lists = [cell for cell in full if cell.many]
    if not lists:
        return []

    def goes_along(name: str) -> bool:
        found = [(rows.records[c.index].get(name), len(c.found)) for c in lists]
        values = [(v, size) for v, size in found if v is not None]
        return bool(values) and all(
            isinstance(v, list) and len(_leaves(v)) == size for v, size in values
        )

    return [name for name in rows.frame.columns if name not in taken and goes_along(name)]


def _elements(value: Any, cell: _Cell) -> list[Any]:
    return _leaves(value) if isinstance(value, list) and cell.many else [value] * len(cell.found)


def _leaves(values: list[Any]) -> list[Any]:
    """The elements of a list, or those of its lists where all of them are lists."""
    if values and all(isinstance(v, list) for v in values):
        return [e for v in values for e in v]
    return list(values)


def _carried(rows: Rows, full: Sequence[_Cell], made: set[str]) -> list[pl.Series]:
    """The other columns, repeated; nested ones as JSON where they are, lest they grow."""
    parents = [cell.index for cell in full for _ in cell.found]
    frame = rows.frame.select([name for name in rows.frame.columns if name not in made])
    if len(set(parents)) < len(parents):
        nested = (pl.List, pl.Struct, pl.Array, pl.Object)
        frame = frame.with_columns(
            column_of(name, [_json(row.get(name)) for row in rows.records])
            for name, kind in frame.schema.items()
            if isinstance(kind, nested)
        )
    return frame[pl.Series(parents, dtype=pl.UInt32)].get_columns() if frame.width else []


def column_of(name: str, values: Sequence[Any]) -> pl.Series:
    """Plain values as one column: of their type where they have one, else as text, nested as JSON."""
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {str}:
        return pl.Series(name, values, dtype=pl.String)
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    numbers = [v for v in values if v is not None] if kinds <= {int, float} else []
    if kinds == {int} and all(-(2**63) <= v < 2**63 for v in numbers):
        return pl.Series(name, values, dtype=pl.Int64)
    if numbers and all(isinstance(v, float) or abs(v) <= _WHOLE for v in numbers):
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    if len(kinds) == 1 and not kinds & {int, list, dict, Each}:
        return pl.Series(name, values)
    return as_texts(name, values)


def as_texts(name: str, values: Iterable[Any]) -> pl.Series:
    """A column of text, other values as JSON."""
    return pl.Series(name, [v if isinstance(v, str) else _json(v) for v in values], dtype=pl.String)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def plain_text(value: Any) -> str | None:
    """A plain value as a column of text has it; whole numbers without a point."""
    if value is None or value is ABSENT:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        return str(int(value))
    return _json(value) if isinstance(value, dict | list) else str(value)


# -- ends -----------------------------------------------------------------------------------------


def _truncated(rows: Rows, roles: Roles, cell: _Cell) -> list[bool]:
    """Whether each completion was cut off, by its own reason or by that of a column."""
    cut = [is_truncated(c.finish_reason) for c in cell.found]
    if roles.finish:
        beside = [_named_reasons(rows, roles, cell)]
    else:
        row = rows.records[cell.index]
        beside = [_elements(row.get(name), cell) for name in FINISH if name in row]
    for values in beside:
        if len(values) == len(cut):
            cut = [a or is_truncated(b) for a, b in zip(cut, values, strict=True)]
    return cut


def _named_reasons(rows: Rows, roles: Roles, cell: _Cell) -> list[Any]:
    path = _one(roles.finish, cell)
    values = _values(rows, cell, path, roles, label=False)
    odd = next((v for v in values if v is not None and not isinstance(v, str | bool)), None)
    if odd is not None:
        raise SamplesError(
            f"{rows.name}, row {cell.index + 1}: column {path!r} (finish reason) holds {odd!r}, "
            "not text or a truth value."
        )
    return values
