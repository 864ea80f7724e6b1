"""A file of sampled completions as classes, contexts and answers: the way into every game."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..show.progress import Progress, silent
from ..show.tables import Shown
from .columns import (
    abstained,
    beside_answers,
    column_named,
    extract_in_words,
    partition_of,
    read_answers,
    reader_of,
    unread,
)
from .files.tables import Wish, read_table
from .how_read import HowRead, how_read
from .keys.reader import AnswerReader
from .labels import compared, correctness, gold_texts
from .partition import Partition

if TYPE_CHECKING:
    import polars as pl

    from ..games.game import AlignmentGame
    from ..objectives import Objective
    from .equilibria import SampleEquilibria
    from .stream.streamed import StreamedSamples


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

        reader = reader_of(
            *(extract, canonical),
            thinking=thinking,
            of_answers=answer is not None,
            abstain=abstain,
            truncated=truncated,
            no_answer=no_answer,
        )
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
        reading = read_answers(flat, reader, cut)
        keys, right = reading.keys, None
        if flat.gold is not None:
            keys, right, read = compared(gold_texts(flat.gold), keys, reader)
            notes.append(read.said())
        elif flat.roles.correct:
            column = column_named(flat.frame, flat.roles.correct[0], "correctness")
            right = correctness(column, correct_range)
        keys = abstained(keys, abstain)
        if keys.null_count() == len(keys):
            raise unread(source, flat.frame[text], reader.extract)
        say("sorting")
        roles = flat.roles
        partition = partition_of(
            flat.frame, roles.class_by, roles.context_by, right, keys, no_answer
        )
        how = how_read(
            beside_answers(flat) if roles.answers else flat.frame[text].cast(pl.String),
            reading.answers,
            keys,
            partition,
            extract=f"the column {text}" if roles.answers else extract_in_words(reader.extract),
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
    def stream(
        cls,
        path: str | Path | Sequence[str | Path],
        *columns: Any,
        max_memory: str | int = "2GiB",
        folder: str | Path | None = None,
        engine: str = "local",
        address: str | None = None,
        **options: Any,
    ) -> StreamedSamples:
        """Read files of any size in bounded memory, with the results of `read` to the last bit.

        (For gini and geometric-coherence to rounding: their solvers look at all games of a batch.)

        Three passes over parts of the files: rows to disk; answers and keys, reduced to counts of
        (class, context, answer); groups of classes solved one after the other. Every part is read as the
        whole file would be, or refused. Memory grows with the classes only, about 100 bytes for each.

            with dagame.Samples.stream("runs", "question", max_memory="2GiB") as samples:
                found = samples.solve(dagame.Coherence(1.0), beta=1.0)
                found.write_rows("samples.parquet")

        Args:
            path: files, folders, globs, or addresses such as s3://bucket/runs (with pyarrow); no
                frames, and no standard input.
            columns, options: as of `read`.
            max_memory: what the process is to stay within, such as "2GiB" or 500_000_000.
            folder: where a temporary folder is made that holds what is between the passes, about twice
                what is read; None: the system's. It is removed by `close`, or at the end of a `with`.
            engine: "local", this process; "ray", all cores of an engine that is started, or joined at
                `address`, whose machines all see `folder`.

        Raises:
            SamplesError: as `read`; a part that only the whole file can be read with.
            OutputError: no space for what is between the passes.
        """
        from .stream.streamed import stream

        way = {"max_memory": max_memory, "folder": folder, "engine": engine, "address": address}
        return stream(path, *columns, **way, **options)

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
        keys = column_named(frame, answer, "answer").cast(pl.String)
        right = (
            None if correct is None else correctness(column_named(frame, correct, "correctness"))
        )
        text = None if completion is None else column_named(frame, completion, "completion")
        partition = partition_of(frame, class_by, context_by, right, keys, no_answer)
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
        from .games import batched_game

        return batched_game(self.partition, objective, beta)

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
