"""A file, several, or a frame -> one flat table of completions, and what was decided on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any, NamedTuple

from ...errors import SamplesError
from ..lazy import pl
from .containers import KIND_NAMES, file_names, files_of, is_several
from .formats import FORMATS, GUESSED, NO_FORMAT, Format, check_format, detected
from .joining import Gathered, joined
from .json_rows import read_lines
from .layouts import lay_out
from .paths import ABSENT, at
from .reading import Rows, read_rows
from .roles import Flat, Roles, missing

Names = str | Sequence[str] | None
FILE = "file"


@dataclass(frozen=True)
class Wish:
    """What the caller named; None: to be found out."""

    class_by: Names = None
    context_by: Names = None
    completion: Names = None
    answer: Names = None
    correct: Names = None
    gold: Names = None
    finish_reason: Names = None
    where: Mapping[str, str] | Sequence[str] = ()
    format: str = "auto"
    rows: str | None = None

    def texts(self) -> set[str]:
        """Columns of a CSV that stay text."""
        named = {*listed(self.completion), *listed(self.answer), *listed(self.gold)}
        return named if self.completion or self.answer else {*named, "completion", *GUESSED}

    def labels(self) -> set[str]:
        """Columns of a CSV that name things."""
        return {*listed(self.class_by), *listed(self.context_by)}

    def wanted(self) -> tuple[str, ...]:
        """Columns that make an object a row."""
        named = (*listed(self.class_by), *listed(self.completion), *listed(self.answer))
        return tuple(name for name in named if name != FILE)


@dataclass(frozen=True, eq=False)
class Table:
    """The flat rows of all files. skipped: lines left out; notes: sentences on what was decided."""

    flat: Flat
    skipped: tuple[int, ...]
    notes: tuple[str, ...]


def read_table(source: Any, wish: Wish, on_error: str = "stop") -> Table:
    """All samples of a path, several, a folder, a glob, "-", a frame, or a list of rows.

    Raises:
        SamplesError: what cannot be read; of several files the one is named.
    """
    check_format(wish.format)
    sources = _sources(source, wish, on_error)
    found, roles = Gathered[_FlatFile](on_error == "skip" and len(sources) > 1), None
    for load in sources:
        try:
            rows = load()
            roles = roles or roles_of(wish, rows, found.notes)
            found.add(_FlatFile(rows.name, rows.skipped, rows.said, laid_out(rows, roles)))
        except SamplesError as error:
            found.fail(error)
    notes, skipped = found.told()
    flat = joined([(file.name, file.flat) for file in found.read])
    _check_same(flat, wish, roles)
    return Table(flat, skipped, notes)


class _FlatFile(NamedTuple):
    name: str
    skipped: tuple[int, ...]
    said: str | None
    flat: Flat

    @property
    def empty_rows(self) -> int:
        return self.flat.empty_rows


def listed(names: Names) -> tuple[str, ...]:
    """Names as a tuple."""
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


# -- the rows of all files ------------------------------------------------------------------------


def _sources(source: Any, wish: Wish, on_error: str) -> list[Callable[[], Rows]]:
    """What reads each file, or the rows given."""
    if not is_path(source):
        return [partial(_given, source)]
    files, options = named_files(source, wish, on_error)
    return [partial(_with_file, file, options) for file in files]


class NamedFile(NamedTuple):
    """A file, and the name that its rows are to have, None for none; whether it is one of several."""

    path: str
    name: str | None
    several: bool

    def named(self, rows: Rows) -> Rows:
        """The rows with the file's name beside them, unless they have a column of that name."""
        has_own = FILE in rows.frame.columns
        if self.name is None or (has_own and not self.several):
            return rows
        return rows.with_value(f"dagame_{FILE}" if has_own else FILE, self.name)


def named_files(source: Any, wish: Wish, on_error: str) -> tuple[list[NamedFile], dict[str, Any]]:
    """The files that a path or several stand for, and how `read_rows` has to read them."""
    form = FORMATS.get(wish.format)
    files = files_of(source, None if form is None else form.files)
    options: dict[str, Any] = {
        "on_error": on_error,
        "kind": KIND_NAMES.get(wish.format),
        "rows": wish.rows or (None if form is None else form.rows),
        "text": wish.texts(),
        "labels": wish.labels(),
        "wanted": wish.wanted(),
    }
    several = is_several(source)
    asked = FILE in (*listed(wish.class_by), *listed(wish.context_by))
    names = file_names(files) if several or asked else [None] * len(files)
    return [NamedFile(p, n, several) for p, n in zip(files, names, strict=True)], options


def _with_file(file: NamedFile, options: dict[str, Any]) -> Rows:
    return file.named(read_rows(file.path, **options))


def laid_out(rows: Rows, roles: Roles) -> Flat:
    """The rows with one completion each; what is wrong with them is said of their file."""
    try:
        return lay_out(rows, roles)
    except SamplesError as error:
        named = str(error).startswith(rows.name)
        raise error if named else SamplesError(f"{rows.name}: {error}") from None


def is_path(source: Any) -> bool:
    """Whether it names files, and is no rows."""
    if isinstance(source, str | PurePath):
        return True
    is_list = isinstance(source, Sequence)
    return is_list and bool(source) and all(isinstance(s, str | PurePath) for s in source)


def _given(source: Any) -> Rows:
    """The rows of a frame, or of a list of dictionaries."""
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, Sequence) and all(isinstance(row, Mapping) for row in source):
        made = _of_dictionaries(source)
    else:
        made = Rows(_GIVEN, _framed(source))
    if not len(made.frame) or not made.frame.width:
        raise SamplesError(f"{_GIVEN} hold no samples.")
    return made


_GIVEN = "the rows given"


def _of_dictionaries(source: Sequence[Mapping[str, Any]]) -> Rows:
    try:
        lines = [json.dumps(dict(row), ensure_ascii=False).encode() + b"\n" for row in source]
    except (TypeError, ValueError) as error:
        raise SamplesError(f"{_GIVEN} hold what is no JSON: {error}.") from None
    frame, kept, _ = read_lines(_GIVEN, b"".join(lines), "stop", "row")
    return Rows(_GIVEN, frame, kept)


def _framed(source: Any) -> pl.DataFrame:
    try:
        return source if isinstance(source, pl.DataFrame) else pl.DataFrame(source)
    except (pl.exceptions.PolarsError, TypeError, ValueError):
        raise SamplesError(
            f"samples are a path, several, a frame or a list of rows, not {type(source).__name__}."
        ) from None


# -- what is what ---------------------------------------------------------------------------------


def roles_of(wish: Wish, rows: Rows, notes: list[str]) -> Roles:
    """The columns named, those of the format, and those that can only be meant."""
    columns = rows.frame.columns
    name, form = _layout(wish, rows)
    text, class_by, uses_form = _text_and_class(wish, form, rows, notes)
    form = form if uses_form else NO_FORMAT
    correct, gold = _paths(wish.correct, columns), _paths(wish.gold, columns)
    if correct and gold:
        raise SamplesError("name labels (--correct) or right answers (--gold), not both.")
    if form.gold is not None and not correct and not gold:
        known = at(rows.first, form.gold)
        gold = () if known is ABSENT or known is None else (form.gold,)
    contexts = _paths(wish.context_by, columns) or None
    if uses_form:
        told = {"completion": ", ".join(text), "class": ", ".join(class_by), "gold": "".join(gold)}
        shown = ", ".join(f"{role} {path}" for role, path in told.items() if path)
        notes.append(f"read as a file of {name}: {shown}.")
    return Roles(
        text=text, answers=wish.answer is not None, class_by=class_by, context_by=contexts,
        correct=correct, gold=gold, finish=_paths(wish.finish_reason, columns),
        where=_where(wish, form, rows, notes), skip_null=form.skip_null, no_answer=form.no_answer,
    )  # fmt: skip


def _layout(wish: Wish, rows: Rows) -> tuple[str | None, Format]:
    """The format that is named, or that the rows are of."""
    if wish.format not in FORMATS:
        name = detected(rows.first)
        return name, NO_FORMAT if name is None else FORMATS[name]
    form = FORMATS[wish.format]
    absent = [path for path in form.has if at(rows.first, path) is ABSENT]
    if absent:
        raise SamplesError(
            f"{rows.name} has no {', '.join(absent)}, so it is not of {wish.format}."
        )
    return wish.format, form


def _text_and_class(
    wish: Wish, form: Format, rows: Rows, notes: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """The columns of completions and of classes, and whether the format has a part in them."""
    columns = rows.frame.columns
    if wish.answer is not None and wish.completion is not None:
        raise SamplesError("name the completions (--completion) or their answers (--answer).")
    text = _paths(wish.answer if wish.answer is not None else wish.completion, columns)
    fits = not text or text == (form.completion,) or bool(wish.answer)
    text = text or _completion(form, rows, notes)
    class_by = _paths(wish.class_by, columns)
    if class_by:
        return text, class_by, fits and form is not NO_FORMAT
    if form.class_by is None:
        raise missing_class(columns)
    return text, (form.class_by,), True


def missing_class(columns: Sequence[str]) -> SamplesError:
    """The error of questions that nothing names."""
    shown = ", ".join(c if len(c) <= 60 else f"{c[:60]}..." for c in map(_printable, columns[:20]))
    return SamplesError(f"name the column of the questions (--class); the columns are {shown}.")


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _paths(names: Names, columns: Sequence[str]) -> tuple[str, ...]:
    """The paths; "a,b" is two unless a column is called so."""
    found: list[str] = []
    for name in listed(names):
        found += [name] if name in columns or "," not in name else name.split(",")
    if len(set(found)) != len(found):
        raise SamplesError(f"name each column once, not {', '.join(found)}.")
    return tuple(found)


def _completion(form: Format, rows: Rows, notes: list[str]) -> tuple[str, ...]:
    columns = rows.frame.columns
    if form is not NO_FORMAT:
        return (form.completion,)
    if "completion" in columns:
        return ("completion",)
    found = [name for name in GUESSED if name in columns]
    if len(found) > 1:
        raise SamplesError(
            f"the completions may be in {' or '.join(map(repr, found))}; name the column by --completion."
        )
    if not found:
        raise missing("completion", "completion", columns)
    notes.append(f"completions taken from the column {found[0]!r}.")
    return (found[0],)


def _where(wish: Wish, form: Format, rows: Rows, notes: list[str]) -> tuple[tuple[str, str], ...]:
    """What is asked for, and of the format's filters the strictest."""
    pairs, column = _pairs(wish.where), form.filters
    if column is None or column not in rows.frame.columns or column in dict(pairs):
        return tuple(pairs)
    values = rows.frame[column].drop_nulls().unique(maintain_order=True).to_list()
    if len(values) > 1:
        kept = next((v for v in values if "strict" in str(v)), values[0])
        pairs.append((column, str(kept)))
        names = ", ".join(map(str, values[:8]))
        notes.append(f"of the filters {names} the rows of {kept} are kept (--where {column}=...).")
    return tuple(pairs)


def _pairs(where: Mapping[str, str] | Sequence[str]) -> list[tuple[str, str]]:
    """Columns and the values that they must have."""
    if isinstance(where, Mapping):
        return [(name, str(value)) for name, value in where.items()]
    pairs = []
    for text in [where] if isinstance(where, str) else where:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise SamplesError(f"where is {text!r}; write COLUMN=VALUE.")
        pairs.append((name, value))
    return pairs


# -- one table ------------------------------------------------------------------------------------


def _check_same(flat: Flat, wish: Wish, roles: Roles | None) -> None:
    """Rows of one class must be of one document where a format says which."""
    name = wish.format if wish.format in FORMATS else "lm-eval"
    same = FORMATS[name].same
    if roles is None or same is None or roles.class_by != (FORMATS[name].class_by,):
        return
    if same not in flat.frame.columns:
        return
    counts = flat.frame.group_by(roles.class_by).agg(pl.col(same).n_unique().alias("#"))
    wrong = counts.filter(pl.col("#") > 1)
    if len(wrong):
        raise SamplesError(
            f"{roles.class_by[0]} {wrong[roles.class_by[0]][0]} is the name of {wrong['#'][0]} "
            f"documents, which {same} tells apart; name the classes by --class {same}."
        )
