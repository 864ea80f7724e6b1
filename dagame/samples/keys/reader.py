"""Completions -> answer keys, the one way for files, training, evaluation and certificates.

completion -> text of the assistant -> without its thinking -> the whole answer -> canonical key. A
truncated completion, an unclosed thought and a function that raises are no answer. Keys are
remembered, so that only new answers cost anything.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import ExtractionError
from ..chats import clean, text_of
from ..lazy import pl
from .canonical import make_canonicaliser
from .distinct import each_once
from .extract import Extraction, make_extractor
from .presets import PRESETS
from .thinking import without_thinking

_REMEMBERED = 100_000
_PLAIN = (str, int, float)
TRIED_ROWS = 20_000
"""Completions on which "auto" chooses, evenly spread."""
TRIED = ("boxed", "gsm8k", "choice", "answer", "last-number")
"""What "auto" tries, from the most telling mark of an answer to the least."""
ENOUGH = 0.8
"""The share of completions that lets "auto" take a preset before those behind it."""


@dataclass(frozen=True)
class Reading:
    """What was read of each completion; null where there is no answer.

    answers: the text of the answer as it stands in the completion; keys: what makes two answers
    equal; timed_out: rows whose reading was given up.
    """

    answers: pl.Series
    keys: pl.Series
    timed_out: int = 0


class AnswerReader:
    """Texts or chats -> canonical answer keys, None where there is no answer.

    Args:
        extract: a preset of `presets.PRESETS`, "math", a pattern (group 1 of its last match) or a
            function of one completion. Patterns run in linear time and "math" in processes that are
            killed after `row_seconds` on one completion; a function of the caller's cannot be
            interrupted, but what it raises counts as no answer, with one warning. "auto" needs a
            column of completions to choose on (`settled`), so it takes `settle=True`.
        canonical: what makes two answers equal, see `make_canonicaliser`; "auto" is the form that
            suits the preset: boxed, math: math; numbers, answer: number; choice: exact. Patterns and
            functions: exact.
        thinking: "drop" (reasoning between tags is no answer, see `without_thinking`) or "keep".
        row_seconds: for one completion in a worker process.
        settle: `settled` will be called before anything is read.

    Raises:
        ExtractionError: a pattern or a name that cannot be used.
    """

    _warned = False

    def __init__(
        self,
        extract: str | Callable[[str], str | None] = "boxed",
        canonical: str = "auto",
        *,
        thinking: str = "drop",
        row_seconds: float = 5.0,
        settle: bool = False,
    ) -> None:
        """See the class."""
        if extract == "auto" and not settle:
            raise ExtractionError(
                "extract='auto' chooses on the completions of a file; name the preset here: "
                f"{', '.join(TRIED)}, math."
            )
        if thinking not in ("drop", "keep"):
            raise ExtractionError(f"thinking is {thinking!r}; choose 'drop' or 'keep'.")
        self.extract, self.thinking, self.row_seconds = extract, thinking, row_seconds
        self.asked_canonical = canonical
        self.canonical = _suited(extract) if canonical == "auto" else canonical
        self.tried: dict[str, int] = {}
        self.tried_rows = 0
        guarded = self._guarded(extract) if callable(extract) else extract
        auto = guarded == "auto"
        self._extract = None if auto else make_extractor(guarded, row_seconds=row_seconds)
        self._canonical = make_canonicaliser(self.canonical, row_seconds=row_seconds)
        self._keys: dict[str, str | None] = {}

    def settled(self, texts: pl.Series) -> AnswerReader:
        """This reader, or with extract="auto" the one of the preset that suits the completions.

        Rule: the first of boxed, gsm8k, choice, answer, last-number that reads at least four fifths
        of the completions; if none does, the one that reads most. At most 20,000 rows, evenly
        spread, are tried; `tried` says how many each preset read.
        """
        if self.extract != "auto":
            return self
        rows = texts.gather_every(-(-len(texts) // TRIED_ROWS)) if len(texts) else texts
        rest = self._thought(rows)
        counts = {name: len(rest) - PRESETS[name].find(rest).null_count() for name in TRIED}
        most = max(counts.values(), default=0)
        enough = [name for name in TRIED if counts[name] >= ENOUGH * len(rows)]
        name = (enough or [name for name in TRIED if counts[name] == most])[0]
        found = AnswerReader(
            name, self.asked_canonical, thinking=self.thinking, row_seconds=self.row_seconds
        )
        found.tried, found.tried_rows = counts, len(rows)
        return found

    def choice(self) -> list[str]:
        """How "auto" chose, as a sentence; nothing without it."""
        if not self.tried:
            return []
        counts = ", ".join(f"{name} {count:,}" for name, count in self.tried.items())
        return [
            f"answers are read by {self.extract!r}, canonical {self.canonical!r}; of "
            f"{self.tried_rows:,} completions tried are read by {counts}."
        ]

    def read(self, texts: pl.Series, truncated: pl.Series | None = None) -> Reading:
        """What is read in a column of texts; where `truncated` is true there is no answer."""
        assert self._extract is not None, "settled() comes first"
        found: Extraction = self._extract(self._thought(texts))
        answers = found.answers.alias("answer")
        if found.distinct is None:
            keys = self._keys_of(answers)
        else:
            keys = self._keys_of(found.distinct.texts).gather(found.distinct.places)
        if truncated is not None:
            frame = pl.DataFrame([answers, keys, truncated.fill_null(False).alias("cut")])
            answers, keys = frame.select(
                pl.when(~pl.col("cut")).then(pl.col("answer", "key"))
            ).get_columns()
        return Reading(answers, keys, found.timed_out)

    def __call__(
        self, completions: Sequence[Any], truncated: Sequence[bool] | None = None
    ) -> list[str | None]:
        """The key of each completion's answer, a text or a chat."""
        texts = pl.Series("completion", [text_of(c) for c in completions], dtype=pl.String)
        cut = None if truncated is None else pl.Series(truncated, dtype=pl.Boolean)
        return self.read(texts, cut).keys.to_list()

    def keys(self, answers: Sequence[str | None]) -> list[str | None]:
        """The canonical key of each answer that is already extracted."""
        return self._keys_of(pl.Series("answer", answers, dtype=pl.String)).to_list()

    def known(self, answer: Any, aliases: Any = None) -> Known:
        """What a dataset says of one prompt's answers.

        `answer` is the correct one, or a list of its aliases; `aliases` is one list of answers that
        count as one, or several lists. Groups with a common key are one.
        """
        right = [[k for k in self.keys(g) if k is not None] for g in _groups(answer)]
        groups = right + [[k for k in self.keys(g) if k is not None] for g in _groups(aliases)]
        same = _joined([g for g in groups if g])
        correct = None if not right else frozenset(same[k] for g in right for k in g)
        return Known(correct, same)

    def _thought(self, texts: pl.Series) -> pl.Series:
        return texts if self.thinking == "keep" else without_thinking(texts)

    def _keys_of(self, answers: pl.Series) -> pl.Series:
        """Keys of the distinct answers, remembered."""
        return each_once(answers, self._keys_of_distinct).alias("key")

    def _keys_of_distinct(self, answers: pl.Series) -> pl.Series:
        texts: list[str] = answers.to_list()
        new = [a for a in texts if a not in self._keys]
        if len(self._keys) + len(new) > _REMEMBERED:
            self._keys, new = {}, texts
        if new:
            found = self._canonical(pl.Series("answer", new, dtype=pl.String)).to_list()
            self._keys.update(zip(new, found, strict=True))
        return pl.Series([self._keys[a] for a in texts], dtype=pl.String)

    def _guarded(self, function: Callable[[str], str | None]) -> Callable[[str], str | None]:
        def run(text: str) -> str | None:
            try:
                found = function(text)
            except Exception as error:  # any error on a strange text is "no answer"
                if not self._warned:
                    self._warned = True
                    warnings.warn(
                        f"the extract function raised {error!r} on {text[-80:]!r}; such completions "
                        "count as having no answer.",
                        stacklevel=2,
                    )
                return None
            return None if found is None else clean(str(found))

        return run


def _suited(extract: str | Callable[[str], str | None]) -> str:
    """The canonical form that suits a way of extraction."""
    if extract == "math":
        return "math"
    return (
        PRESETS[extract].canonical if isinstance(extract, str) and extract in PRESETS else "exact"
    )


@dataclass(frozen=True)
class Known:
    """What is known of a prompt's answers: the keys that are correct (None: unlabelled), and of each
    key with aliases the one that stands for all of them.
    """

    correct: frozenset[str] | None
    same: Mapping[str, str]

    def judge(self, key: str | None) -> tuple[str | None, float]:
        """The key that counts, and its correctness (NaN where unknown)."""
        key = None if key is None else self.same.get(key, key)
        return key, math.nan if self.correct is None else float(key in self.correct)


def _groups(value: Any) -> list[list[str]]:
    """Groups of answers that count as one: of None, an answer, a list of aliases, or several lists."""
    if value is None:
        return []
    if isinstance(value, _PLAIN):
        return [[str(value)]]
    listed = [v for v in value if v is not None]
    if any(not isinstance(v, _PLAIN) for v in listed):
        return [[str(a) for a in group] for group in listed]
    return [[str(a) for a in listed]] if listed else []


def _joined(groups: Sequence[Sequence[str]]) -> dict[str, str]:
    """Each key -> the first key of the groups that it is connected with."""
    same: dict[str, str] = {}
    for group in groups:
        met = [same[key] for key in group if key in same]
        first = met[0] if met else group[0]
        same = {key: first if rep in met else rep for key, rep in same.items()}
        same |= dict.fromkeys(group, first)
    return same
