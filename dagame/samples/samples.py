"""A file of sampled completions as classes, contexts and answers: the way into every game."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SamplesError
from ..show.progress import Progress, silent
from ..show.tables import Shown
from .files.roles import Flat, missing
from .files.tables import Wish, read_table
from .how_read import HowRead, how_read
from .keys.extract import check_pattern
from .keys.reader import AnswerReader, Reading
from .labels import compared, correctness, gold_texts
from .partition import Partition

if TYPE_CHECKING:
    import polars as pl

    from ..games.game import AlignmentGame
    from ..objectives import Objective
    from .equilibria import SampleEquilibria

_EXACT = 2.0**53
"""Whole numbers below it are exact in float64; names beyond could fall together."""


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Shown):
    """Samples and their partition; `frame` has one row per completion, the file's columns with it.

    reading: how their answers were read. skipped_lines: numbers of malformed lines left out, of all
    files one after the other; timed_out: rows whose extraction was killed; notes: sentences on what
    was decided while reading; reader: by which completions were read, None for answers.
    """

    frame: pl.DataFrame
    partition: Partition
    reading: HowRead
    skipped_lines: tuple[int, ...] = ()
    timed_out: int = 0
    source: str = ""
    notes: tuple[str, ...] = ()
    reader: AnswerReader | None = None

    @classmethod
    def read(
        cls,
        path: str | Path | Sequence[str | Path] | Any,
        class_by: str | Sequence[str] | None = None,
        context_by: str | Sequence[str] | None = None,
        completion: str | Sequence[str] | None = None,
        extract: str | Callable[[str], str | None] = "auto",
        correct: str | Sequence[str] | None = None,
        *,
        answer: str | Sequence[str] | None = None,
        gold: str | Sequence[str] | None = None,
        correct_range: tuple[float, float] = (0.0, 1.0),
        canonical: str = "auto",
        thinking: str = "drop",
        finish_reason: str | Sequence[str] | None = None,
        truncated: str = "no-answer",
        where: Mapping[str, str] | Sequence[str] = (),
        format: str = "auto",
        rows: str | None = None,
        no_answer: str = "keep",
        abstain: str | None = None,
        on_error: str = "stop",
        progress: Progress | None = None,
    ) -> Samples:
        r"""Read samples and sort every completion into class, context and answer.

        Columns may be dotted paths (`model_a.solution`, `choices.message.content`). A list of
        completions in a row is one sample each, with the lists beside it; of a chat the last turn
        counts if it is the assistant's and calls no tool.

        Args:
            path: a file (JSON, CSV or Parquet, packed or not), several, a folder, a glob, "-" for
                standard input, a frame, or a list of rows; of several files `file` names each.
            class_by: column(s) that name a class, that is one question; None where `format` says it.
            context_by: column(s) that name a context of it (paraphrase, prompt format); None: one.
            completion: column(s) of the completions; of several each is a context, named by `column`.
            extract: preset, pattern (group 1 of its last match), or function, see `AnswerReader`;
                "auto" tries presets on the file and says which it took (`notes`).
            correct: column of correctness, one or as many as of completions; null unknown.
            answer: column(s) of answers already extracted, instead of completions.
            gold: column(s) of right answers, a value or a list of aliases, read as completions are.
            correct_range: the labels of wrong and right, such as (-1, 1).
            canonical: exact | nospace | casefold | number | math, see `make_canonicaliser`; "auto"
                is the one that suits `extract`.
            thinking: "drop" reasoning between tags before an answer is looked for, or "keep" it.
            finish_reason: column of why a completion ended ("length": cut off), or truth values
                whether it was; None: finish_reason, stop_reason or truncated where there is one.
            truncated: what a completion that was cut off has: "no-answer", or "read" it as others.
            where: COLUMN=VALUE of the rows to keep.
            format: "auto", a layout (lm-eval, inspect, verl, openai, vllm, trl), or a kind of file
                (json, jsonl, csv, tsv, parquet) where the name does not say it.
            rows: path of the list of rows in a JSON document with several.
            no_answer: "keep" it as an answer of its own, or "drop" its samples from the counts.
            abstain: pattern of answers that mean "no answer", such as "(?i)^none|not possible".
            on_error: "stop" at a malformed line, or of several files an unreadable one, or "skip"
                and count it.
            progress: called with the name of each stage.

        Raises:
            SamplesError, ExtractionError: one sentence that says what to change.
        """
        import polars as pl

        if answer is not None and extract == "auto":
            extract = "answer"  # the canonical form of plain answers; nothing else is looked for
        reader = AnswerReader(extract, canonical, thinking=thinking, settle=True)
        if abstain is not None:
            check_pattern(abstain, "abstain pattern")
        if truncated not in ("no-answer", "read"):
            raise SamplesError(f"truncated is {truncated!r}; choose 'no-answer' or 'read'.")
        say = progress or silent
        say("reading")
        wish = Wish(
            *(class_by, context_by, completion, answer, correct, gold, finish_reason),
            *(where, format, rows),
        )
        table = read_table(path, wish, on_error)
        flat, notes = table.flat, [*table.notes]
        (text,) = flat.roles.text
        source = str(path) if isinstance(path, str | Path) else "the samples"
        say("extracting answers")
        cut = flat.truncated if truncated == "no-answer" else None
        if cut is not None and cut.any():
            notes.append(f"completions cut off, which have no answer: {cut.sum():,}.")
        if not flat.roles.answers:
            reader = reader.settled(flat.frame[text].cast(pl.String))
            notes += reader.choice()
        reading = _read(flat, reader, cut)
        keys, right = reading.keys, None
        if flat.gold is not None:
            keys, right, read = compared(gold_texts(flat.gold), keys, reader)
            notes.append(read.said())
        elif flat.roles.correct:
            column = _column(flat.frame, flat.roles.correct[0], "correctness")
            right = correctness(column, correct_range)
        keys = _abstained(keys, abstain)
        if keys.null_count() == len(keys):
            raise _unread(source, flat.frame[text], reader.extract)
        say("sorting")
        roles = flat.roles
        partition = _partition(flat.frame, roles.class_by, roles.context_by, right, keys, no_answer)
        how = how_read(
            _beside(flat) if roles.answers else flat.frame[text].cast(pl.String),
            reading.answers,
            keys,
            partition,
            extract=f"the column {text}" if roles.answers else _named_extract(reader.extract),
            canonical=reader.canonical,
            truncated=0 if cut is None else int(cut.sum()),
            timed_out=reading.timed_out,
        )
        return cls(
            flat.frame,
            partition,
            how,
            tuple(n for lines in table.skipped.values() for n in lines),
            reading.timed_out,
            source,
            tuple(notes),
            None if roles.answers else reader,
        )

    @classmethod
    def from_answers(
        cls,
        frame: Any,
        class_by: str | Sequence[str],
        context_by: str | Sequence[str] | None = None,
        answer: str = "answer",
        correct: str | None = None,
        *,
        no_answer: str = "keep",
        completion: str | None = None,
    ) -> Samples:
        """From a frame whose answers are already extracted strings (null: no answer).

        `completion` names the column of the completions, if there is one, to show them beside.
        """
        import polars as pl

        frame = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
        keys = _column(frame, answer, "answer").cast(pl.String)
        right = None if correct is None else correctness(_column(frame, correct, "correctness"))
        text = None if completion is None else _column(frame, completion, "completion")
        partition = _partition(frame, class_by, context_by, right, keys, no_answer)
        by = f"the column {answer}"
        return cls(
            frame, partition, how_read(text, keys, keys, partition, extract=by, canonical="exact")
        )

    @classmethod
    def example(cls) -> Samples:
        """Answers of six models to 359 questions about dates in five prompt formats.

        Classes are the questions, contexts the formats, samples the models; from the logs of
        Faithful Chain-of-Thought Reasoning (Lyu et al., 2023, arXiv 2301.13379; MIT licence), read by
        its authors. `dagame.samples.example.PATH` is the file.
        """
        from . import example as e

        return cls.read(e.PATH, e.CLASS, e.CONTEXT, answer=e.ANSWER, correct=e.CORRECT)

    def _rows(self) -> list[tuple[str, str]]:
        p = self.partition
        labelled = "" if p.correct is None else ", labelled"
        ends = sorted({int(p.contexts_per_class.min()), int(p.contexts_per_class.max())})
        contexts = f"{' to '.join(map(str, ends))} context{'s' * (ends[-1] > 1)}"
        source = f"; {Path(self.source).name}" if self.source else ""
        return [
            ("samples", f"{p.counted.sum():,} of {len(p.row_class):,} rows{labelled}{source}"),
            ("classes", f"{len(p):,} of {contexts}, {p.answers_per_class.sum():,} answers"),
            *self.reading.told(),
        ]

    def game(self, objective: Objective, *, beta: float) -> AlignmentGame:
        """All classes as one batched game on answers, padded to the largest number of answers.

        Raises:
            SamplesError: the classes differ in their number of contexts; use `solve`.
        """
        from .equilibria import batched_game

        return batched_game(self, objective, beta)

    def solve(
        self,
        objective: Objective | Callable[[Any], Objective],
        *,
        beta: float,
        method: str = "auto",
        tol: float = 1e-12,
        progress: Progress | None = None,
        device: str | None = None,
    ) -> SampleEquilibria:
        """The equilibrium of every class with its certificate, and what each sample is worth.

        `device` "auto", "cpu" or "cuda" solves with torch there; None with numpy.
        """
        from .equilibria import solve_samples

        return solve_samples(self, objective, beta, method, tol, progress, device)


def _partition(
    frame: pl.DataFrame,
    class_by: str | Sequence[str],
    context_by: str | Sequence[str] | None,
    right: pl.Series | None,
    keys: pl.Series,
    no_answer: str,
) -> Partition:
    if no_answer not in ("keep", "drop"):
        raise SamplesError(f"no_answer is {no_answer!r}; choose 'keep' or 'drop'.")
    classes = _named(frame, class_by, "class")
    contexts = None if context_by is None else _named(frame, context_by, "context")
    partition = Partition.build(classes, contexts, keys, right, no_answer=no_answer)
    if not len(partition):
        raise SamplesError("every sample is without an answer; nothing is left to solve.")
    return partition


def _read(flat: Flat, reader: AnswerReader, cut: pl.Series | None) -> Reading:
    """What is read in the column of texts; of answers, the answers themselves."""
    import polars as pl

    (text,) = flat.roles.text
    values = flat.frame[text]
    if values.dtype != pl.String and not values.null_count() == len(values):
        raise SamplesError(f"column {text!r} (completion) holds {values.dtype}, not text.")
    values = values.cast(pl.String)
    if not flat.roles.answers:
        return reader.read(values, cut)
    if cut is not None:
        frame = pl.DataFrame({text: values, "": cut})
        values = frame.select(pl.when(~pl.col("")).then(pl.col(text)))[text]
    keys = pl.Series("key", reader.keys(values.to_list()), dtype=pl.String)
    return Reading(values, keys)


def _beside(flat: Flat) -> pl.Series | None:
    """The completions beside answers that are already extracted, if there is such a column."""
    import polars as pl

    if "completion" not in flat.frame.columns or flat.frame["completion"].dtype != pl.String:
        return None
    return flat.frame["completion"]


def _unread(source: str, text: pl.Series, extract: Any) -> SamplesError:
    end = str(text.drop_nulls()[0] if text.null_count() < len(text) else "")[-80:]
    return SamplesError(
        f"{source}: no sample has an answer under extract={extract!r}; the first completion ends "
        f"{end!r}."
    )


def _column(frame: pl.DataFrame, name: str, role: str) -> pl.Series:
    if name not in frame.columns:
        raise missing(name, role, frame.columns)
    return frame[name]


def _named_extract(extract: str | Callable[..., Any]) -> str:
    return extract if isinstance(extract, str) else f"the function {_called(extract)}"


def _called(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def _names(by: str | Sequence[str]) -> list[str]:
    return [by] if isinstance(by, str) else list(by)


def _named(frame: pl.DataFrame, by: str | Sequence[str], role: str) -> pl.DataFrame:
    import polars as pl

    names = _names(by)
    if len(set(names)) != len(names) or not names:
        raise SamplesError(f"name each {role} column once, and at least one.")
    columns = [_column(frame, name, role) for name in names]
    for column in columns:
        if column.null_count():
            row = int(column.is_null().arg_max() or 0) + 1
            raise SamplesError(f"column {column.name!r} ({role}) is empty in row {row}.")
        if isinstance(column.dtype, pl.List | pl.Struct | pl.Array | pl.Object):
            raise SamplesError(f"column {column.name!r} ({role}) is nested; use plain values.")
        if column.dtype.is_float() and not bool((column.abs() < _EXACT).all()):
            raise SamplesError(
                f"column {column.name!r} ({role}) has decimal numbers of {_EXACT:g} and above or "
                "none at all (NaN), which are not told apart; write them as text."
            )
    return pl.DataFrame(columns)


def _abstained(keys: pl.Series, pattern: str | None) -> pl.Series:
    import polars as pl

    if pattern is None:
        return keys
    return pl.DataFrame({"a": keys}).select(
        pl.when(~pl.col("a").str.contains(pattern)).then(pl.col("a"))
    )["a"]
