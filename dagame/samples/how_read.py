"""How the answers of a samples file were read: what one must look at before believing any number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..show.tables import Shown
from ..text import shortened
from .disagreements import LISTED, SPELLINGS, Contested, Disagreements, Split
from .excerpts import Excerpt, excerpt
from .keys.extract import make_extractor
from .keys.reader import ENOUGH, TRIED

if TYPE_CHECKING:
    import polars as pl

    from .partition import Partition

EXAMPLES = 10
"""Completions shown."""

UNREAD = 0.2
"""The share without a readable answer above which there is a warning."""

_TRIED, _ENDINGS_OF, _MERGED_OF = 200, 20_000, 200_000
_SHOWN = 60
"""Characters of a name or an answer within a sentence."""
_LENGTHS = (40, 20, 10)


class Merged(NamedTuple):
    """Spellings (text, rows) that are one key, the commonest first; `count` of them in all."""

    key: str
    count: int
    spellings: tuple[tuple[str, int], ...]


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


def how_read(
    texts: pl.Series | None,
    answers: pl.Series,
    keys: pl.Series,
    partition: Partition,
    *,
    extract: str,
    canonical: str,
    truncated: int = 0,
    timed_out: int = 0,
    seed: int = 0,
) -> HowRead:
    """What was read of the texts (N,), whose answers as they stand there became the keys.

    Args:
        texts: the completions; None where only their answers are known.
        answers: what was found in each; null for nothing.
        keys: what makes two answers equal; null for no answer.
        partition: where each row belongs, with its correctness where that is known.
        extract, canonical: how answers were found and compared, in words.
        truncated, timed_out: rows that were given up.
        seed: of the choice of the examples.
    """
    import polars as pl

    rng = np.random.default_rng(seed)
    lost = keys.is_null().arg_true()
    lost = lost.filter(answers.gather(lost).fill_null("").str.strip_chars() == "").to_numpy()
    read = len(keys) - keys.null_count()
    looked_at = _some(len(keys), _MERGED_OF, rng)
    merged, merged_keys = _merged(answers.gather(looked_at), keys.gather(looked_at))
    labels = Disagreements(partition, lost)
    split, split_classes = labels.split()
    contested, contested_answers = labels.contested()
    right, labelled = labels.unread
    shown = _some(len(keys), EXAMPLES, rng)
    endings, endings_of = (
        ((), 0) if texts is None else _endings(_drawn(texts, lost, rng, _ENDINGS_OF))
    )
    found = HowRead(
        rows=len(keys),
        read=read,
        abstained=len(keys) - read - len(lost),
        truncated=truncated,
        timed_out=timed_out,
        extract=extract,
        canonical=canonical,
        examples=tuple(
            excerpt(int(k), None if texts is None else texts[int(k)], answers[int(k)], keys[int(k)])
            for k in shown
        ),
        endings=endings,
        endings_of=endings_of,
        merged=merged,
        merged_keys=merged_keys,
        merged_of=len(looked_at),
        split=split,
        split_classes=split_classes,
        contested=contested,
        contested_answers=contested_answers,
        no_answer_right=right,
        no_answer_labelled=labelled,
    )
    some = pl.Series([], dtype=pl.String) if texts is None else _drawn(texts, lost, rng, _TRIED)
    return replace(found, warnings=tuple(_cautions(found, some, labels)))


def share(part: int, whole: int) -> str:
    """A share in per cent, never rounded to all or nothing."""
    if part in (0, whole) or not whole:
        return "0%" if not part else "100%"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f}%"


# -- all completions ------------------------------------------------------------------------------


def _drawn(texts: pl.Series, rows: np.ndarray, rng: np.random.Generator, most: int) -> pl.Series:
    """The texts of these rows, or of `most` random ones of them."""
    return texts.gather(rows[_some(len(rows), most, rng)]).drop_nulls()


def _some(size: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """All of 0, 1, ..., or `most` random ones, in order."""
    if size <= most:
        return np.arange(size)
    return np.sort(rng.choice(size, most, replace=False))


def _endings(texts: pl.Series) -> tuple[tuple[tuple[str, int], ...], int]:
    """The commonest endings, as long as it goes for the first to be one in twenty."""
    import polars as pl

    tails = texts.str.tail(4 * _LENGTHS[0]).str.replace_all(r"\d+", "0")
    tails = tails.str.replace_all(r"\s+", " ").str.strip_chars()
    counted: list[tuple[str, int]] = []
    for length in _LENGTHS:
        ends = pl.DataFrame({"end": tails.str.tail(length)}).group_by("end").len()
        counted = ends.sort("len", "end", descending=[True, False]).head(LISTED).rows()
        if counted and counted[0][1] * 20 >= len(texts) and counted[0][1] > 1:
            break
    return tuple((end, int(count)) for end, count in counted), len(texts)


def _merged(answers: pl.Series, keys: pl.Series) -> tuple[tuple[Merged, ...], int]:
    """Keys whose answers differ by more than outer white space, those of most spellings first."""
    import polars as pl

    frame = pl.LazyFrame({"key": keys, "answer": answers})
    differs = pl.col("answer") != pl.col("key")
    pairs = _spelled(frame.filter(differs))  # lazy, so that no filtered copy is made
    if not len(pairs):
        return (), 0
    known = pairs.lazy().select("key").unique()
    exact = frame.filter(~differs).join(known, on="key", how="semi")
    table = pl.concat([pairs, _spelled(exact)])
    table = table.group_by("key", "answer").agg(pl.col("len").sum())
    table = table.with_columns(count=pl.len().over("key")).filter(pl.col("count") > 1)
    if not len(table):
        return (), 0
    first = table.select("key", "count").unique().sort("count", "key", descending=[True, False])
    shown = []
    for key, count in first.head(LISTED).rows():
        mine = table.filter(pl.col("key") == key).sort("len", "answer", descending=[True, False])
        shown.append(Merged(key, count, tuple(mine.select("answer", "len").head(SPELLINGS).rows())))
    return tuple(shown), len(first)


def _spelled(frame: pl.LazyFrame) -> pl.DataFrame:
    """Each key with each of its answers, outer white space off, and their rows."""
    import polars as pl

    counted = frame.group_by("key", "answer").len().collect()
    return counted.with_columns(pl.col("answer").str.strip_chars()).filter(pl.col("answer") != "")


# -- warnings -------------------------------------------------------------------------------------


def _cautions(found: HowRead, some: pl.Series, labels: Disagreements) -> list[Caution]:
    said: list[Caution] = []
    if found.unread > UNREAD * found.rows:
        said.append(Caution("unread", _unread(found, some)))
    if found.split_classes:
        first = found.split[0]
        said.append(
            Caution(
                "split",
                f"in {found.split_classes:,} of {len(labels.of):,} classes several answers are "
                f"labelled right, such as {_quoted(first.keys[:3])} in {_quoted([first.name])}: if they are "
                f"one answer, compare by another canonical form than {found.canonical!r} or read it "
                "by another pattern; if a question has several right answers, nothing is wrong.",
            )
        )
    if found.contested_answers:
        one = found.contested[0]
        said.append(
            Caution(
                "contested",
                f"{found.contested_answers:,} answers are labelled both right and wrong, such as "
                f"{_quoted([one.key])} in {_quoted([one.name])} ({one.right:,} right, {one.wrong:,} "
                "wrong): something else was read than what was labelled, or different answers fell "
                "together; look at the completions.",
            )
        )
    if found.no_answer_right:
        said.append(
            Caution(
                "no answer right",
                f"no answer was read in {found.no_answer_right:,} completions that are labelled "
                f"right (of {found.no_answer_labelled:,} labelled without an answer): read them by "
                "another pattern or preset.",
            )
        )
    return said


def _unread(found: HowRead, some: pl.Series) -> str:
    lost = f"{found.unread:,} of {found.rows:,} ({share(found.unread, found.rows)})"
    given_up = found.truncated + found.timed_out
    if given_up * 2 > found.unread:
        return (
            f"{lost} have no answer, {found.truncated:,} as they were cut off and {found.timed_out:,} "
            "as reading them took too long: allow more tokens, or read by a simpler pattern."
        )
    if not len(some):
        return f"{lost} have no answer in {found.extract}: name the column that has one."
    ends = list(dict.fromkeys(f"…{' '.join(text[-40:].split())}" for text in some.to_list()))
    tried = _tried(some, found.extract)
    enough = [name for name, count in tried.items() if count >= ENOUGH * len(some)]
    best = (enough or [max(tried, key=lambda name: tried[name])])[0]
    fix = (
        f"{best!r} reads {share(tried[best], len(some))} of them, so extract by it if that is the "
        "answer"
        if tried[best] * 2 >= len(some)
        else "no preset reads most of them; give a pattern with the answer as its group"
    )
    return f"{lost} were not read by {found.extract}, such as {_quoted(ends[:3])}: {fix}."


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
