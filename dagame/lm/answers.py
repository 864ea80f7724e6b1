"""From completions to answer keys, correctness and rows: the one path of training and measuring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ExtractionError

if TYPE_CHECKING:
    from ..samples.keys.reader import AnswerReader
    from .models.generation import Generations

TRUNCATED = ("no-answer", "read")
"""What a completion without an end token is: no answer, or read like any other."""


def check_truncated(rule: str) -> None:
    """Raise `ExtractionError` unless the rule is one of `TRUNCATED`."""
    if rule not in TRUNCATED:
        raise ExtractionError(f"truncated is {rule!r}; choose one of {', '.join(TRUNCATED)}.")


def cut(flags: Any, rule: str) -> list[bool] | None:
    """The completions that have no answer because they were cut; None if cut ones are read."""
    check_truncated(rule)
    return None if rule == "read" else np.asarray(flags, dtype=bool).ravel().tolist()


def judged(
    reader: AnswerReader,
    completions: Sequence[Any],
    truncated: Sequence[bool] | None,
    answers: Iterable[Any] | None = None,
    aliases: Iterable[Any] | None = None,
) -> tuple[list[str | None], list[float]]:
    """Key and correctness (NaN: unknown) of each completion, aliases made one.

    Args:
        reader: finds the answer and its key.
        completions: texts or chats.
        truncated: those that have no answer because they were cut; None reads all.
        answers: of each completion the right answer or a list of its aliases, None unlabelled.
        aliases: of each completion one list of answers that count as one, or several.
    """
    keys = reader(completions, truncated)
    absent = [None] * len(keys)
    before, known, found = None, reader.known(None), []
    for key, told in zip(keys, zip(answers or absent, aliases or absent, strict=True), strict=True):
        if told != before:
            before, known = told, reader.known(*told)
        found.append(known.judge(key))
    return [key for key, _ in found], [right for _, right in found]


def judged_generations(
    reader: AnswerReader, rows: Sequence[Mapping[str, Any]], drawn: Generations, rule: str
) -> tuple[list[str | None], list[float]]:
    """`judged` for K completions of each row's prompt, its labels under `answer` and `aliases`."""
    samples = drawn.log_prob.shape[1]
    answers, aliases = (
        [row.get(name) for row in rows for _ in range(samples)] for name in ("answer", "aliases")
    )
    texts = [text for found in drawn.texts for text in found]
    return judged(reader, texts, cut(drawn.truncated, rule), answers, aliases)
