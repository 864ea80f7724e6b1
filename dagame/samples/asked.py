"""What `Samples.read` and `Samples.stream` are asked for, and what they make of rows alike by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

from ..errors import SamplesError
from .columns import abstained, check_no_answer, column_named, read_answers
from .files.roles import Flat
from .files.tables import Wish
from .keys.extract import check_pattern
from .keys.reader import AnswerReader, Reading
from .labels import Gold, compared
from .lazy import pl


class Judged(NamedTuple):
    """What was read, the keys that count, and whether each is right; None where nothing says so."""

    reading: Reading
    keys: pl.Series
    right: pl.Series | None
    gold: Gold | None


@dataclass(frozen=True)
class Asked:
    """The options of `Samples.read`, but for the path and the progress."""

    wish: Wish
    reader: AnswerReader
    correct_range: tuple[float, float]
    read_truncated: bool
    abstain: str | None
    no_answer: str
    on_error: str

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Asked:
        """From all of them by their names, checked as far as that is possible before a file is read."""
        named = {
            name: options[name] for name in ("correct_range", "abstain", "no_answer", "on_error")
        }
        extract, truncated = options["extract"], options["truncated"]
        if options["answer"] is not None and extract == "auto":
            extract = "answer"  # of which only the canonical form is taken
        reader = AnswerReader(
            extract, options["canonical"], thinking=options["thinking"], settle=True
        )
        if options["abstain"] is not None:
            check_pattern(options["abstain"], "abstain pattern")
        if truncated not in ("no-answer", "read"):
            raise SamplesError(f"truncated is {truncated!r}; choose 'no-answer' or 'read'.")
        check_no_answer(options["no_answer"])
        wish = Wish(**{field.name: options[field.name] for field in fields(Wish)})
        return cls(wish, reader, read_truncated=truncated == "read", **named)

    def settled(self, texts: pl.Series | None, cut: int) -> tuple[Self, list[str]]:
        """With the reader that suits the completions, and sentences on that and on those cut off.

        texts: None where there are answers already.
        """
        said = [f"completions cut off, which have no answer: {cut:,}."] if cut else []
        if texts is None:
            return self, said
        reader = self.reader.settled(texts)
        return replace(self, reader=reader), said + reader.choice()

    def judged(
        self,
        flat: Flat,
        cut: pl.Series | None,
        gold: Sequence[str | None] | None,
        labels: Callable[[pl.Series, tuple[float, float]], pl.Series],
    ) -> Judged:
        """Keys and correctness of rows; gold: the right answers as JSON; labels: see `correctness`."""
        reading = read_answers(flat, self.reader, cut)
        keys, right, read = reading.keys, None, None
        if gold is not None:
            keys, right, read = compared(gold, keys, self.reader)
        elif flat.roles.correct:
            column = column_named(flat.frame, flat.roles.correct[0], "correctness")
            right = labels(column, self.correct_range)
        return Judged(reading, abstained(keys, self.abstain), right, read)
