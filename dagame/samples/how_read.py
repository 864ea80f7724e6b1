"""How the answers of a samples file were read: what one must look at before believing any number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ..show.tables import Shown
from ..text import shortened
from .disagreements import Contested, Disagreements, Split
from .excerpts import Excerpt, excerpt
from .keys.extract import make_extractor
from .keys.reader import ENOUGH, TRIED
from .lazy import pl
from .spellings import Merged, commonest_endings, merged_spellings

if TYPE_CHECKING:
    from .partition import Partition

EXAMPLES = 10
"""Completions shown."""

UNREAD = 0.2
"""The share without a readable answer above which there is a warning."""

_TRIED, _ENDINGS_OF, _MERGED_OF = 200, 20_000, 200_000
_SHOWN = 60
"""Characters of a name or an answer within a sentence."""


class Caution(NamedTuple):
    """What may be wrong, in one sentence with its fix; `kind` is its name in a program."""

    kind: str
    sentence: str


@dataclass(frozen=True, eq=False, repr=False)
class HowRead(Shown):
    """What was read of the completions, and the signs that something was read wrongly.

    rows: completions; read: those with an answer; abstained: those whose answer is a word for none.
    The rest is unread: truncated and timed_out of them were given up, in the others nothing was found.
    extract, canonical: how answers were found and compared. examples: random completions. endings:
    the commonest last characters of completions without an answer (digits as 0), with their number,
    among `endings_of` of them. merged: keys with several spellings, merged_keys of them in all.
    split, contested: see `Split` and `Contested`, split_classes and contested_answers in all.
    no_answer_right of the no_answer_labelled unread completions are labelled right.
    """

    rows: int
    read: int
    abstained: int
    truncated: int
    timed_out: int
    extract: str
    canonical: str
    examples: tuple[Excerpt, ...] = ()
    endings: tuple[tuple[str, int], ...] = ()
    endings_of: int = 0
    merged: tuple[Merged, ...] = ()
    merged_keys: int = 0
    merged_of: int = 0
    split: tuple[Split, ...] = ()
    split_classes: int = 0
    contested: tuple[Contested, ...] = ()
    contested_answers: int = 0
    no_answer_right: int = 0
    no_answer_labelled: int = 0
    warnings: tuple[Caution, ...] = ()

    @property
    def unread(self) -> int:
        """Completions in which no answer was found."""
        return self.rows - self.read - self.abstained

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        named = {
            name: [part._asdict() for part in getattr(self, name)]
            for name in ("examples", "merged", "split", "contested", "warnings")
        }
        return asdict(self) | {"unread": self.unread} | named

    def _rows(self) -> list[tuple[str, str]]:
        rows = [*self.told()]
        rows += [("warning", caution.sentence) for caution in self.warnings]
        return rows

    def told(self) -> list[tuple[str, str]]:
        """Three lines: what was read and how, what was not, and the keys of several spellings."""
        read = f"{self.read:,} of {self.rows:,} ({share(self.read, self.rows)}) by {self.extract}"
        lost = f"{self.unread:,} ({share(self.unread, self.rows)})"
        given_up = (("cut off", self.truncated), ("timed out", self.timed_out))
        lost += "".join(f", {count:,} {word}" for word, count in given_up if count)
        lost += f"; abstained {self.abstained:,}" if self.abstained else ""
        if self.endings and self.endings[0][1] > 1:
            lost += f"; {self.endings[0][1]:,} end in “…{self.endings[0][0]}”"
        keys = f"as {self.canonical}; {self.merged_keys:,} answers have several spellings"
        if self.merged:
            first = self.merged[0]
            keys += f", most {_quoted([first.key])}: {first.count}"
        return [("read", read), ("not read", lost), ("compared", keys)]


class Read(Protocol):
    """All completions, of which only some are looked at.

    rows: their number; read: those with an answer; lost: those in which none was found, the rest
    abstained. labelled: (right, all) of the lost ones with a label.
    """

    @property
    def rows(self) -> int: ...  # noqa: D102
    @property
    def read(self) -> int: ...  # noqa: D102
    @property
    def lost(self) -> int: ...  # noqa: D102
    @property
    def labelled(self) -> tuple[int, int]: ...  # noqa: D102

    def texts(self, rows: np.ndarray) -> pl.Series | None:
        """The completions of some rows, None where only their answers are known."""

    def answers(self, rows: np.ndarray) -> pl.Series:
        """What was found in them; null for nothing."""
        ...

    def keys(self, rows: np.ndarray) -> pl.Series:
        """What makes two answers equal; null for no answer."""
        ...

    def lost_rows(self, positions: np.ndarray) -> np.ndarray:
        """The row numbers of some of the lost ones, by their places among these."""
        ...


class _Held:
    """Completions in memory."""

    def __init__(
        self, texts: pl.Series | None, answers: pl.Series, keys: pl.Series, partition: Partition
    ) -> None:
        self._texts, self._answers, self._keys = texts, answers, keys
        self._lost, self.labelled = lost_of(answers, keys, partition.correct)
        self.rows, self.lost = len(keys), len(self._lost)
        self.read = len(keys) - keys.null_count()

    def texts(self, rows: np.ndarray) -> pl.Series | None:
        return None if self._texts is None else self._texts.gather(rows)

    def answers(self, rows: np.ndarray) -> pl.Series:
        return self._answers.gather(rows)

    def keys(self, rows: np.ndarray) -> pl.Series:
        return self._keys.gather(rows)

    def lost_rows(self, positions: np.ndarray) -> np.ndarray:
        return self._lost[positions]


def lost_of(
    answers: pl.Series, keys: pl.Series, correct: np.ndarray | None
) -> tuple[np.ndarray, tuple[int, int]]:
    """The rows without an answer, not even a word for none; of these how many labels say right, and all."""
    empty = keys.is_null().arg_true()
    blank = answers.gather(empty).fill_null("").str.strip_chars() == ""
    rows = empty.filter(blank).to_numpy()
    label = np.zeros(0) if correct is None else correct[rows]
    return rows, (int((label > 0.5).sum()), int((~np.isnan(label)).sum()))


def how_read(
    texts: pl.Series | None,
    answers: pl.Series,
    keys: pl.Series,
    partition: Partition,
    **options: Any,
) -> HowRead:
    """What was read of the texts (N,), whose answers as they stand there became the keys.

    Args:
        texts: the completions; None where only their answers are known.
        answers: what was found in each; null for nothing.
        keys: what makes two answers equal; null for no answer.
        partition: where each row belongs, with its correctness where that is known.
        options: see `looked_at`.
    """
    found = _Held(texts, answers, keys, partition)
    return looked_at(found, Disagreements.of(partition), **options)


def looked_at(
    source: Read,
    labels: Disagreements,
    *,
    extract: str,
    canonical: str,
    truncated: int = 0,
    timed_out: int = 0,
    seed: int = 0,
) -> HowRead:
    """What is to be seen in all completions, or in random ones of them.

    Args:
        source: the completions.
        labels: what their labels say of the answers.
        extract, canonical: how answers were found and compared, in words.
        truncated, timed_out: rows that were given up.
        seed: of the choice of the examples.
    """
    rng = np.random.default_rng(seed)
    chosen = _some(source.rows, _MERGED_OF, rng)
    merged, merged_keys = merged_spellings(source.answers(chosen), source.keys(chosen))
    shown = _some(source.rows, EXAMPLES, rng)
    ends = _drawn(source, rng, _ENDINGS_OF)
    endings, endings_of = ((), 0) if ends is None else commonest_endings(ends)
    right, known = source.labelled
    found = HowRead(
        rows=source.rows, read=source.read, abstained=source.rows - source.read - source.lost,
        truncated=truncated, timed_out=timed_out, extract=extract, canonical=canonical,
        examples=_examples(source, shown), endings=endings, endings_of=endings_of,
        merged=merged, merged_keys=merged_keys, merged_of=len(chosen),
        split=tuple(one for *_, one in labels.split), split_classes=labels.split_classes,
        contested=tuple(one for *_, one in labels.contested),
        contested_answers=labels.contested_answers,
        no_answer_right=right, no_answer_labelled=known,
    )  # fmt: skip
    some = _drawn(source, rng, _TRIED)
    return replace(found, warnings=tuple(_cautions(found, some, labels.classes)))


def _examples(source: Read, rows: np.ndarray) -> tuple[Excerpt, ...]:
    texts, answers, keys = source.texts(rows), source.answers(rows), source.keys(rows)
    return tuple(
        excerpt(int(row), None if texts is None else texts[k], answers[k], keys[k])
        for k, row in enumerate(rows)
    )


def share(part: int, whole: int) -> str:
    """A share in per cent, never rounded to all or nothing."""
    if part in (0, whole) or not whole:
        return "0%" if not part else "100%"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f}%"


# -- all completions ------------------------------------------------------------------------------


def _drawn(source: Read, rng: np.random.Generator, most: int) -> pl.Series | None:
    """The texts of the lost rows, or of `most` random ones of them."""
    if source.texts(np.zeros(0, dtype=np.int64)) is None:
        return None
    texts = source.texts(source.lost_rows(_some(source.lost, most, rng)))
    return None if texts is None else texts.drop_nulls()


def _some(size: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """All of 0, 1, ..., or `most` random ones, in order."""
    if size <= most:
        return np.arange(size)
    return np.sort(rng.choice(size, most, replace=False))


# -- warnings -------------------------------------------------------------------------------------


def _cautions(found: HowRead, some: pl.Series | None, classes: int) -> list[Caution]:
    """Of all that may be wrong what there is any of; `some` of the completions without an answer."""
    told = {
        "unread": _unread(found, some) if found.unread > UNREAD * found.rows else "",
        "split": _split(found, classes) if found.split_classes else "",
        "contested": _contested(found) if found.contested_answers else "",
        "no answer right": _no_answer_right(found) if found.no_answer_right else "",
    }
    return [Caution(kind, sentence) for kind, sentence in told.items() if sentence]


def _split(found: HowRead, classes: int) -> str:
    first = found.split[0]
    return (
        f"in {found.split_classes:,} of {classes:,} classes several answers are "
        f"labelled right, such as {_quoted(first.keys[:3])} in {_quoted([first.name])}: if they are "
        f"one answer, compare by another canonical form than {found.canonical!r} or read it "
        "by another pattern; if a question has several right answers, nothing is wrong."
    )


def _contested(found: HowRead) -> str:
    one = found.contested[0]
    return (
        f"{found.contested_answers:,} answers are labelled both right and wrong, such as "
        f"{_quoted([one.key])} in {_quoted([one.name])} ({one.right:,} right, {one.wrong:,} "
        "wrong): something else was read than what was labelled, or different answers fell "
        "together; look at the completions."
    )


def _no_answer_right(found: HowRead) -> str:
    return (
        f"no answer was read in {found.no_answer_right:,} completions that are labelled "
        f"right (of {found.no_answer_labelled:,} labelled without an answer): read them by "
        "another pattern or preset."
    )


def _unread(found: HowRead, some: pl.Series | None) -> str:
    lost = f"{found.unread:,} of {found.rows:,} ({share(found.unread, found.rows)})"
    given_up = found.truncated + found.timed_out
    if given_up * 2 > found.unread:
        return (
            f"{lost} have no answer, {found.truncated:,} as they were cut off and {found.timed_out:,} "
            "as reading them took too long: allow more tokens, or read by a simpler pattern."
        )
    if some is None or not len(some):
        return f"{lost} have no answer in {found.extract}: name the column that has one."
    ends = list(dict.fromkeys(f"…{' '.join(text[-40:].split())}" for text in some.to_list()))
    fix = _fix(_tried(some, found.extract), len(some))
    return f"{lost} were not read by {found.extract}, such as {_quoted(ends[:3])}: {fix}."


def _fix(tried: Mapping[str, int], count: int) -> str:
    """The preset that reads most of so many completions."""
    enough = [name for name, read in tried.items() if read >= ENOUGH * count]
    best = (enough or [max(tried, key=lambda name: tried[name])])[0]
    if tried[best] * 2 < count:
        return "no preset reads most of them; give a pattern with the answer as its group"
    how = f"{best!r} reads {share(tried[best], count)} of them"
    return f"{how}, so extract by it if that is the answer"


def _tried(texts: pl.Series, extract: str) -> Mapping[str, int]:
    """How many of the texts each other preset reads."""
    names = [name for name in TRIED if name != extract]
    answers = {name: make_extractor(name)(texts).answers for name in names}
    return {name: len(found.drop_nulls()) for name, found in answers.items()}


def _quoted(texts: Sequence[str]) -> str:
    return ", ".join(f"“{_short(text)}”" for text in texts)


def _short(text: str) -> str:
    """On one line of at most `_SHOWN` characters."""
    return shortened(text[: 4 * _SHOWN], _SHOWN)
