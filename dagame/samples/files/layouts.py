"""Rows as they stand in a file -> one row per completion, every column that a game needs a plain one.

Paths are followed, lists of completions spread over rows, chats and responses reduced to the text of
the answer; the other columns are carried along. Nothing nested ever passes as text.
"""

from __future__ import annotations

from ...errors import SamplesError
from ..chats import TRUNCATED
from ..lazy import pl
from .formats import FINISH
from .nested import spread
from .reading import Rows
from .roles import Flat, Roles, missing, no_row, role_of


def lay_out(rows: Rows, roles: Roles) -> Flat:
    """The rows of a file with one completion each; plain columns are left as they are.

    Raises:
        SamplesError: a path that no row has, a value of a shape that is no completion, lists of
            different lengths in one row, no row where `where` holds.
    """
    for role, paths in (("correct", roles.correct), ("gold", roles.gold), ("finish", roles.finish)):
        if len(paths) > 1 and len(paths) != len(roles.text):
            raise SamplesError(
                f"{len(paths)} columns of {role} for {len(roles.text)} of completions; name one for "
                "all, or one for each."
            )
    if _is_flat(rows, roles):
        return _flat(rows, roles)
    return spread(rows, roles)


# -- plain columns --------------------------------------------------------------------------------


def _is_flat(rows: Rows, roles: Roles) -> bool:
    """Whether all columns named are plain ones of the frame."""
    frame, nested = rows.frame, (pl.List, pl.Struct, pl.Array, pl.Object)
    named = (*roles.text, *roles.names, *(path for path, _ in roles.where))
    for name in named:
        if name not in frame.columns:
            if "." not in name:
                raise missing(name, role_of(name, roles), frame.columns)
            return False
        if isinstance(frame.schema[name], nested):
            return False
    texts = (*roles.text, *roles.gold, *roles.finish)
    plain = all(frame.schema[n] != pl.String or rows.is_text(n) for n in texts)
    return plain and len(roles.text) == 1 and not roles.skip_null


def _flat(rows: Rows, roles: Roles) -> Flat:
    frame = _selected(rows, roles)
    (text,) = roles.text
    if roles.answers:
        answers = pl.DataFrame({text: as_text(frame[text])})
        if roles.no_answer is not None:
            answers = answers.select(pl.when(pl.col(text) != roles.no_answer).then(pl.col(text)))
        frame = frame.with_columns(answers[text])
    plain = (pl.String, pl.Boolean)
    finish = roles.finish or [n for n in FINISH if frame.schema.get(n) in plain and n != text]
    cut = [_truncated(frame[name]) for name in finish]
    gold = frame[roles.gold[0]].to_list() if roles.gold else None
    return Flat(frame, roles, gold, pl.DataFrame(cut).max_horizontal() if cut else None)


def _selected(rows: Rows, roles: Roles) -> pl.DataFrame:
    """The rows where every `where` holds."""
    frame = rows.frame
    for name, value in roles.where:
        column = as_text(frame[name])
        frame = frame.filter(column == value)
        if not len(frame):
            raise no_row(rows.name, name, value, column.unique().sort().to_list())
    return frame


def _truncated(reasons: pl.Series) -> pl.Series:
    if reasons.dtype == pl.Boolean:
        return reasons.fill_null(False)
    if reasons.dtype != pl.String:
        raise SamplesError(
            f"column {reasons.name!r} (finish reason) holds {reasons.dtype}, not text or truth values."
        )
    return reasons.str.strip_chars().str.to_lowercase().is_in(list(TRUNCATED)).fill_null(False)


def as_text(values: pl.Series) -> pl.Series:
    """A plain column as text; whole numbers without a point, so that 18 and 18.0 are one."""
    if not values.dtype.is_float():
        return values.cast(pl.String)
    frame = pl.DataFrame({"v": values})
    whole = (pl.col("v") == pl.col("v").round()) & (pl.col("v").abs() < 2**53)
    plain = pl.col("v").cast(pl.String)
    integer = pl.col("v").cast(pl.Int64, strict=False).cast(pl.String)
    return frame.select(
        pl.when(whole).then(integer).otherwise(plain).alias(values.name)
    ).to_series()
