"""A file of sampled completions as classes, contexts and answers: the way into every game."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..show.progress import Progress, silent
from ..show.tables import Shown
from .asked import Asked
from .columns import column_named, completions, found_in_words, partition_of, unread
from .files.tables import Table, read_table
from .how_read import HowRead, how_read
from .keys.reader import AnswerReader
from .labels import correctness, gold_texts
from .lazy import pl
from .partition import Partition

if TYPE_CHECKING:
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
        asked = Asked.of(locals())  # every option by its name
        say = progress or silent
        say("reading")
        table = read_table(path, asked.wish, on_error)
        say("extracting answers")
        source = str(path) if isinstance(path, str | Path) else "the samples"
        return cls._of_table(table, asked, source, say)

    @classmethod
    def _of_table(cls, table: Table, asked: Asked, source: str, say: Progress) -> Samples:
        flat, roles, texts = table.flat, table.flat.roles, completions(table.flat)
        cut = None if asked.read_truncated else flat.truncated
        truncated = 0 if cut is None else int(cut.sum())
        asked, notes = asked.settled(None if roles.answers else texts, truncated)
        reading, keys, right, read = asked.judged(flat, cut, gold_texts(flat.gold), correctness)
        notes = (*table.notes, *notes, *([] if read is None else [read.said()]))
        reader, lost = asked.reader, reading.timed_out
        if keys.null_count() == len(keys):
            raise unread(source, flat.frame[roles.text[0]], reader.extract)
        say("sorting")
        by = roles.class_by, roles.context_by
        partition = partition_of(flat.frame, *by, right, keys, asked.no_answer)
        in_words = {"extract": found_in_words(roles, reader.extract), "canonical": reader.canonical}
        given_up = {"truncated": truncated, "timed_out": lost}
        how = how_read(texts, reading.answers, keys, partition, **in_words, **given_up)
        own = None if roles.answers else reader
        return cls(flat.frame, partition, how, table.skipped, lost, source, notes, own)

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

        try:
            given = signature(cls.read).bind(path, *columns, **options)
        except TypeError as error:
            raise TypeError(f"Samples.stream: {error}") from None
        given.apply_defaults()
        return stream(given.arguments, max_memory, folder, engine, address)

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
        from .games import Game

        return solve_samples(self, Game(objective, beta, method, tol, device), progress)
