"""What is known of correctness: labels of a column, or right answers read as the completions are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import SamplesError
from .files.nested import plain_text
from .keys.reader import AnswerReader, Known
from .lazy import pl

_WORDS = {"true": 1.0, "false": 0.0, "correct": 1.0, "incorrect": 0.0}


def correctness(
    column: pl.Series, limits: tuple[float, float] = (0.0, 1.0), before: int = 0
) -> pl.Series:
    """A column of labels in [0, 1], null unknown; `limits` are its values for wrong and right.

    `before` counts the rows before those of the column, where it is a part of one.

    Raises:
        SamplesError: text but for true, false, correct and incorrect; numbers outside the limits.
    """
    low, high = limits
    if not low < high:
        raise SamplesError(f"--correct-range is {low:g}, {high:g}; give the lower value first.")
    if column.dtype == pl.String:
        return _from_words(column)
    if column.dtype == pl.Boolean:
        return column.cast(pl.Float64)
    if not column.dtype.is_numeric():
        held = f"column {column.name!r} (correct) holds {column.dtype}"
        raise SamplesError(f"{held}; give booleans or numbers in [0, 1].")
    values = column.cast(pl.Float64)
    _check_within(values, limits, before)
    return (values - low) / (high - low)


def _check_within(values: pl.Series, limits: tuple[float, float], before: int) -> None:
    low, high = limits
    wrong = ((values < low) | (values > high) | values.is_nan()).fill_null(False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        found = f"column {values.name!r} (correct) is {values[row]:g} in row {before + row + 1}"
        hint = ", or say what is wrong and right, --correct-range -1,1"
        raise SamplesError(
            f"{found}; it must be in [{low:g}, {high:g}]{hint if limits == (0.0, 1.0) else ''}."
        )


def _from_words(column: pl.Series) -> pl.Series:
    distinct = column.drop_nulls().unique(maintain_order=True).to_list()
    words = {text: text.strip().lower() for text in distinct}
    if distinct and all(word in _WORDS for word in words.values()):
        table = {text: _WORDS[word] for text, word in words.items()}
        return column.replace_strict(table, return_dtype=pl.Float64)
    shown = next((t for t, w in words.items() if w not in _WORDS), "")
    raise SamplesError(
        f"column {column.name!r} (correct) holds text, such as {shown[:40]!r}; give booleans or "
        "numbers in [0, 1], or name a column of right answers by --gold."
    )


class Gold(NamedTuple):
    """Right answers, each once; whether each was read within a text; the best sample (None: unknown)."""

    answers: list[str]
    within: list[bool]
    best: float | None

    def table(self) -> pl.DataFrame:
        """One row for each answer: `gold`, and whether it was read `within` a text."""
        within = pl.Series("within", self.within, dtype=pl.Boolean)
        return pl.DataFrame([pl.Series("gold", self.answers, dtype=pl.String), within])

    def said(self) -> str:
        """A sentence on how they were read."""
        return said_of_gold(len(self.answers), sum(self.within), self.best)


def said_of_gold(answers: int, within: int, best: float | None) -> str:
    """How so many right answers were read, and whether any sample agrees with one."""
    said = f"right answers: {answers:,}; {within:,} read as completions are, {answers - within:,} taken whole"
    if best == 0:
        said += "; no sample agrees with one, look at --extract and --canonical"
    return f"{said}."


def gold_texts(gold: Sequence[Any] | None) -> list[str | None] | None:
    """What the file says is right, as JSON; None where it does not."""
    if gold is None:
        return None
    return [None if g is None else json.dumps(g, ensure_ascii=False, default=str) for g in gold]


def compared(
    gold: Sequence[str | None], keys: pl.Series, reader: AnswerReader
) -> tuple[pl.Series, pl.Series, Gold]:
    """The keys with aliases joined, whether each is right (null unknown), and how the gold was read.

    A right answer, as JSON, is a value, or a list of values that count as one. In each the answer is
    what follows ####, is boxed, or is found as in a completion; else it is the whole of it.

    Raises:
        SamplesError: a right answer that is an object.
    """
    distinct = list(dict.fromkeys(t for t in gold if t is not None))
    answers = [_answers(json.loads(text)) for text in distinct]
    flat = list(dict.fromkeys(a for group in answers for a in group))
    read = _read(flat, reader)
    plain = {a: a if found is None else found for a, found in zip(flat, read, strict=True)}
    keyed = dict(zip(flat, reader.keys([plain[a] for a in flat]), strict=True))
    known = {
        text: _known({keyed[a]: plain[a] for a in group if keyed[a] is not None}, reader)
        for text, group in zip(distinct, answers, strict=True)
    }
    pairs = pl.DataFrame({"gold": gold, "key": keys}, schema={"gold": pl.String, "key": pl.String})
    by = {"on": ["gold", "key"], "nulls_equal": True, "maintain_order": "left"}
    found = pairs.join(_judged(pairs.unique(), known), how="left", **by)
    best: Any = found["right"].max()
    return found["same"], found["right"], Gold(flat, [r is not None for r in read], best)


def _judged(pairs: pl.DataFrame, known: Mapping[str, Known]) -> pl.DataFrame:
    """Right answers and keys, each with the key that counts and whether it is right."""
    judged = [
        (k, None) if g is None or not known[g].correct else known[g].judge(k)
        for g, k in pairs.select("gold", "key").rows()
    ]
    return pairs.with_columns(
        pl.Series("same", [k for k, _ in judged], dtype=pl.String),
        pl.Series("right", [r for _, r in judged], dtype=pl.Float64).fill_nan(None),
    )


def _known(aliases: dict[Any, str], reader: AnswerReader) -> Known:
    """What counts as right: answers by their keys."""
    if len(aliases) == 1:
        (key,) = aliases
        return Known(frozenset({key}), {key: key})
    return reader.known(list(aliases.values()) or None)


def _read(gold: list[str], reader: AnswerReader) -> list[str | None]:
    """The answer within each text, None if it stands for itself.

    What a data set marks by #### or in a box is its answer, whatever completions look like.
    """
    from .keys.extract import make_extractor

    texts = pl.Series("gold", gold, dtype=pl.String)
    found = pl.DataFrame(
        {
            "####": make_extractor("gsm8k")(texts).answers,
            "boxed": make_extractor("boxed")(texts).answers,
            "read": reader.read(texts).answers,
        }
    )
    return found.select(pl.coalesce("####", "boxed", "read")).to_series().to_list()


def _answers(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if any(isinstance(v, list | dict) for v in values):
        raise SamplesError(
            f"a right answer (gold) is {json.dumps(value, ensure_ascii=False)[:60]}; name the path of "
            "plain values, or lists of them."
        )
    return [text for v in values if (text := plain_text(v)) is not None]
