"""Completions -> answer keys during training: one partition for counting, rewards and metrics.

The package's own extraction and canonical keys, made safe for a training loop: nothing a completion
holds can raise, and canonical keys are remembered, so that only new answers cost anything.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .canonical import make_canonicaliser
from .extract import make_extractor

if TYPE_CHECKING:
    import polars as pl

_REMEMBERED = 100_000
_PLAIN = (str, int, float)


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

    `extract` is a preset, a pattern or a function of one completion, `canonical` a canonical form
    (see `dagame.answers`). Patterns run in linear time and `math` in processes that are killed after
    `row_seconds` on one completion; a function of the caller's cannot be interrupted, but what it
    raises counts as no answer, with one warning.
    """

    def __init__(
        self,
        extract: str | Callable[[str], str | None] = "boxed",
        canonical: str = "exact",
        *,
        row_seconds: float = 5.0,
    ) -> None:
        """See the class; a pattern or a name that cannot be used raises `ExtractionError`."""
        guarded = self._guarded(extract) if callable(extract) else extract
        self._extract = make_extractor(guarded, row_seconds=row_seconds)
        self._canonical = make_canonicaliser(canonical, row_seconds=row_seconds)
        self._keys: dict[str, str | None] = {}
        self._warned = False

    def read(self, texts: pl.Series, truncated: pl.Series | None = None) -> Reading:
        """What is read in a column of texts; where `truncated` is true there is no answer."""
        import polars as pl

        found = self._extract(texts)
        answers = found.answers.alias("answer")
        if truncated is not None:
            frame = pl.DataFrame({"answer": answers, "cut": truncated.fill_null(False)})
            answers = frame.select(pl.when(~pl.col("cut")).then(pl.col("answer")))["answer"]
        keys = pl.Series("key", self.keys(answers.to_list()), dtype=pl.String)
        return Reading(answers, keys, found.timed_out)

    def __call__(
        self, completions: Sequence[Any], truncated: Sequence[bool] | None = None
    ) -> list[str | None]:
        """The key of each completion's answer, a text or a chat."""
        import polars as pl

        texts = pl.Series("completion", [text_of(c) for c in completions], dtype=pl.String)
        cut = None if truncated is None else pl.Series(truncated, dtype=pl.Boolean)
        return self.read(texts, cut).keys.to_list()

    def keys(self, answers: Sequence[str | None]) -> list[str | None]:
        """The canonical key of each answer that is already extracted."""
        import polars as pl

        new = list(dict.fromkeys(a for a in answers if a is not None and a not in self._keys))
        if len(self._keys) + len(new) > _REMEMBERED:
            self._keys.clear()
            new = list(dict.fromkeys(a for a in answers if a is not None))
        if new:
            found = self._canonical(pl.Series("answer", new, dtype=pl.String)).to_list()
            self._keys.update(zip(new, found, strict=True))
        return [None if a is None else self._keys[a] for a in answers]

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

    def _guarded(self, function: Callable[[str], str | None]) -> Callable[[str], str | None]:
        def run(text: str) -> str | None:
            try:
                found = function(text)
            except Exception as error:  # whatever it throws at a strange text is "no answer"
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


def text_of(completion: Any) -> str:
    """The text of a completion: a string, or that of a chat's last turn, if it is the assistant's.

    Earlier turns are drafts; those of users, tools and systems are never read, nor parts of a message
    that are no text, such as reasoning, calls and images. A message without a role is the assistant's.
    """
    if isinstance(completion, str):
        return clean(completion)
    if not isinstance(completion, Iterable):
        return ""
    turns = [completion] if isinstance(completion, Mapping) else list(completion)
    last = turns[-1] if turns else None
    if not isinstance(last, Mapping) or last.get("role", "assistant") != "assistant":
        return ""
    return _content(last)


def _content(message: Mapping[str, Any]) -> str:
    """The text of a message, whose content is a text or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return clean(content)
    parts = content if isinstance(content, Iterable) and not isinstance(content, Mapping) else []
    texts = [
        part.get("text")
        for part in parts
        if isinstance(part, Mapping) and part.get("type", "text") in ("text", "output_text")
    ]
    return "\n".join(clean(text) for text in texts if isinstance(text, str))


def clean(text: str) -> str:
    """The text without lone surrogates, which no column of strings can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


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
