"""One partition of the samples into classes, contexts and answers, for counts, rewards and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .cores import MANY, blocks, side_by_side
from .lazy import pl
from .numbering import Pairs, numbered, within


def name_text(name: Iterable[object]) -> str:
    """The name of a class or context, which has one part for each of its columns, as one text."""
    return " / ".join(map(str, name))


@dataclass(frozen=True, eq=False)
class Bucket:
    """Classes with the same number of contexts, answers padded to a common n.

    classes (B,); counts (B, m, n) with 0 as padding; answer_mask (B, n), False on padding; correct
    (B, n) the mean of `correct` over the samples with that answer (NaN unknown), or None; no_answer
    (B, n) marks the "no answer" symbol.
    """

    classes: np.ndarray
    counts: np.ndarray
    answer_mask: np.ndarray
    no_answer: np.ndarray
    correct: np.ndarray | None

    @property
    def reference(self) -> np.ndarray:
        """Empirical answer distributions (B, m, n), each context's counts over their sum."""
        return self.counts / self.counts.sum(axis=-1, keepdims=True)

    def parts(self, cells: int) -> Iterator[Bucket]:
        """Consecutive classes of it, of so many cells together or one class."""
        size = max(1, cells // self.counts[0].size)
        for k in range(0, len(self.classes), size):
            some = slice(k, k + size)
            yield Bucket(
                self.classes[some],
                self.counts[some],
                self.answer_mask[some],
                self.no_answer[some],
                None if self.correct is None else self.correct[some],
            )


_HALF, _GRID = 2.0**26, 2.0**27


class Labels(NamedTuple):
    """What is known of the correctness of the samples of each row, every part (N,) and exact in sums.

    A label in [0, 1], to the nearest 2^-53, is high / 2^26 + low / 2^53 with whole numbers high and
    low < 2^27, whose sums over fewer than 2^26 samples are exact whatever their order. known counts
    the samples with a label, right those above 0.5, wrong those below.
    """

    high: np.ndarray
    low: np.ndarray
    known: np.ndarray
    right: np.ndarray
    wrong: np.ndarray

    @classmethod
    def of(cls, correct: np.ndarray) -> Labels:
        """Of one sample a row, NaN where its label is not known."""
        known = ~np.isnan(correct)
        value = np.where(known, correct, 0.0)
        high = np.floor(value * _HALF)
        low = np.rint((value * _HALF - high) * _GRID)
        return cls(
            high, low, *(part.astype(float) for part in (known, correct > 0.5, correct < 0.5))
        )


def mean_label(high: np.ndarray, low: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The mean of labels by the sums of their parts; NaN where none is known."""
    sums = high / _HALF + low / (_HALF * _GRID)
    return np.divide(sums, known, out=np.full_like(sums, np.nan), where=known > 0)


def _of_contexts(of: Pairs, names: pl.DataFrame) -> pl.DataFrame:
    numbers = pl.DataFrame({"#class": of.group, "#context": of.number})
    columns = [numbers.select("#class"), names[of.value], numbers.select("#context")]
    return pl.concat(columns, how="horizontal")


def _of_answers(of: Pairs, names: pl.DataFrame) -> pl.DataFrame:
    columns = {"class": of.group, "answer": names["answer"][of.value], "index": of.number}
    return pl.DataFrame(columns)


@dataclass(frozen=True, eq=False)
class Partition:
    """Where every row belongs. Nothing depends on the order of the rows.

    Classes, contexts of a class and answers of a class are sorted, "no answer" (null) last. The
    tables `classes` and `contexts` have the file's own columns and the numbers #class, #context.
    row_class, row_context, row_answer (N,): the class, and the local context and answer; -1 where
    the row left the counts. `classes`, `contexts`, `answers` are the tables of names. A row is one
    sample, or `multiplicity` (N,) of them, whose labels are then in `grouped`.
    """

    classes: pl.DataFrame
    contexts: pl.DataFrame
    answers: pl.DataFrame
    row_class: np.ndarray
    row_context: np.ndarray
    row_answer: np.ndarray
    lost_classes: tuple[tuple, ...]
    correct: np.ndarray | None = None
    multiplicity: np.ndarray | None = None
    grouped: Labels | None = None

    @classmethod
    def build(
        cls,
        classes: pl.DataFrame,
        contexts: pl.DataFrame | None,
        keys: pl.Series,
        correct: pl.Series | None = None,
        *,
        no_answer: str = "keep",
        multiplicity: np.ndarray | None = None,
        grouped: Labels | None = None,
    ) -> Partition:
        """From one row per sample: class columns, context columns (None: one context), answer keys.

        With `multiplicity` from one row per group of samples of one class, context and answer, their
        labels in `grouped` instead of `correct`.
        """
        if contexts is None:
            contexts = pl.DataFrame({"": pl.repeat("", len(keys), eager=True)})
        live = np.full(len(keys), True) if no_answer == "keep" else keys.is_not_null().to_numpy()
        tables, many = (classes, contexts, keys.alias("answer").to_frame()), len(keys) >= MANY
        (class_names, of), *others = side_by_side(lambda t: numbered(t, live), tables, many)
        context_names, answer_names = (names for names, _ in others)
        pairs = side_by_side(lambda other: within(of, len(class_names), *other, live), others, many)
        (context_of, row_context), (answer_of, row_answer) = pairs
        class_names = class_names.with_columns(pl.Series("#class", np.arange(len(class_names))))
        named = (
            class_names,
            _of_contexts(context_of, context_names),
            _of_answers(answer_of, answer_names),
        )
        lost = tuple(sorted(classes.filter(pl.Series(of < 0)).unique().rows()))
        labels = None if correct is None else correct.cast(pl.Float64).to_numpy()
        return cls(*named, of, row_context, row_answer, lost, labels, multiplicity, grouped)

    # -- sizes and names --------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def class_names(self) -> list[tuple]:
        """The class columns' values, in order."""
        return self.classes.drop("#class").rows()

    @cached_property
    def contexts_per_class(self) -> np.ndarray:
        """(C,)."""
        return np.bincount(self.contexts["#class"].to_numpy(), minlength=len(self))

    @cached_property
    def answers_per_class(self) -> np.ndarray:
        """(C,), the "no answer" included where it occurs."""
        return np.bincount(self.answers["class"].to_numpy(), minlength=len(self))

    @cached_property
    def no_answer_index(self) -> np.ndarray:
        """The local index of "no answer" in each class (C,), -1 where it does not occur."""
        empty = self.answers.filter(pl.col("answer").is_null())
        index = np.full(len(self), -1)
        index[empty["class"].to_numpy()] = empty["index"].to_numpy()
        return index

    def context_names(self, index: int) -> list[tuple]:
        """The contexts of one class, in order."""
        return self.contexts.filter(pl.col("#class") == index).drop("#class", "#context").rows()

    def answer_keys(self, index: int) -> list[str | None]:
        """The answers of one class, in order; None is "no answer"."""
        return self.answers.filter(pl.col("class") == index)["answer"].to_list()

    @property
    def counted(self) -> np.ndarray:
        """Rows that are in the counts (N,)."""
        return self.row_answer >= 0

    @cached_property
    def samples(self) -> int:
        """Samples in the counts."""
        rows = self.counted
        return int(rows.sum() if self.multiplicity is None else self.multiplicity[rows].sum())

    @cached_property
    def labels(self) -> Labels | None:
        """What is known of correctness, summed over the samples of each of `answers`; None if nothing is."""
        if self.correct is None and self.grouped is None:
            return None
        sums = Labels(*(np.zeros(len(self.answers)) for _ in Labels._fields))
        for some in blocks(len(self.row_class)):
            rows = np.flatnonzero(self.row_answer[some] >= 0) + some.start
            cell = self.answers_start[self.row_class[rows]] + self.row_answer[rows]
            for total, part in zip(sums, self._labels_in(rows), strict=True):
                np.add.at(total, cell, part)
        return sums

    def _labels_in(self, rows: np.ndarray) -> Labels:
        if self.grouped is not None:
            return Labels(*(part[rows] for part in self.grouped))
        assert self.correct is not None
        return Labels.of(self.correct[rows])

    @cached_property
    def answers_start(self) -> np.ndarray:
        """Where the answers of each class begin in `answers`."""
        return np.cumsum(self.answers_per_class) - self.answers_per_class

    # -- tables -----------------------------------------------------------------------------------

    @cached_property
    def _width(self) -> np.ndarray:
        """The padded number of answers of each class: the next power of two."""
        return 2 ** np.ceil(np.log2(np.maximum(self.answers_per_class, 2))).astype(int)

    @cached_property
    def _groups(self) -> list[np.ndarray]:
        """Classes of each bucket."""
        if not len(self):
            return []
        kinds = np.stack([self.contexts_per_class, self._width], axis=1)
        _, of = np.unique(kinds, axis=0, return_inverse=True)
        order = np.argsort(of, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(of[order])) + 1)

    @cached_property
    def _offset(self) -> np.ndarray:
        """Where each class begins in the concatenation of all bucket tables."""
        sizes = self.contexts_per_class * self._width
        order = np.concatenate([np.zeros(0, dtype=int), *self._groups])
        offset = np.empty(len(self), dtype=np.int64)
        offset[order] = np.cumsum(sizes[order]) - sizes[order]
        return offset

    @cached_property
    def _flat(self) -> np.ndarray:
        """Position of each row in that concatenation, -1 where it left the counts."""
        flat = np.full(len(self.row_class), -1)
        for some in blocks(len(flat)):
            rows = self.row_answer[some] >= 0
            of, context = self.row_class[some][rows], self.row_context[some][rows]
            place = self._offset[of] + context * self._width[of] + self.row_answer[some][rows]
            flat[some][rows] = place
        return flat

    @cached_property
    def _cells(self) -> int:
        return int((self.contexts_per_class * self._width).sum())

    def buckets(self) -> list[Bucket]:
        """All classes as padded tables, one per (contexts, padded answers)."""
        counts = np.zeros(self._cells + 1)  # the last of rows that left the counts
        np.add.at(counts, self._flat, 1.0 if self.multiplicity is None else self.multiplicity)
        return [self._bucket(group, counts) for group in self._groups]

    def _bucket(self, group: np.ndarray, counts: np.ndarray) -> Bucket:
        m, n = int(self.contexts_per_class[group[0]]), int(self._width[group[0]])
        column = np.arange(n)
        return Bucket(
            classes=group,
            counts=self._slice(counts, group, m, n),
            answer_mask=column < self.answers_per_class[group][:, None],
            no_answer=column == self.no_answer_index[group][:, None],
            correct=None if self.labels is None else self._correct(group, n),
        )

    def _slice(self, flat: np.ndarray, group: np.ndarray, m: int, n: int) -> np.ndarray:
        start = int(self._offset[group[0]])
        return flat[start : start + len(group) * m * n].reshape(len(group), m, n)

    def _correct(self, group: np.ndarray, n: int) -> np.ndarray:
        """The mean label of each answer (B, n), NaN where none is known and on padding."""
        assert self.labels is not None
        column, mean = np.arange(n), mean_label(*self.labels[:3])
        answer = np.minimum(column, self.answers_per_class[group][:, None] - 1)
        padding = column > answer
        return np.where(padding, np.nan, mean[self.answers_start[group][:, None] + answer])

    def lookup(self, tables: Sequence[np.ndarray]) -> np.ndarray:
        """One value per row (N,) from tables (B, m, n) in bucket order; NaN for rows not counted."""
        values = np.concatenate([*map(np.ravel, tables), [np.nan]])
        return values[self._flat]
