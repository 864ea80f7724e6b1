"""A file of sampled completions as classes, contexts and answers: the way into every game."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._display import Shown
from ..errors import SamplesError
from .files.reading import read_frame
from .how_read import HowRead, how_read
from .keys.canonical import make_canonicaliser
from .keys.extract import check_pattern, make_extractor
from .partition import Partition

if TYPE_CHECKING:
    import polars as pl

    from ..game import AlignmentGame
    from ..objectives import Objective
    from .equilibria import SampleEquilibria

_EXACT = 2.0**53
"""Whole numbers below it are exact in float64; names beyond could fall together."""

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Shown):
    """Samples and their partition; `frame` has the input rows as they were read.

    reading: how their answers were read. skipped_lines: numbers of malformed lines left out;
    timed_out: rows whose extraction was killed.
    """

    frame: pl.DataFrame
    partition: Partition
    reading: HowRead
    skipped_lines: tuple[int, ...] = ()
    timed_out: int = 0
    source: str = ""

    @classmethod
    def read(
        cls,
        path: str | Path,
        class_by: str | Sequence[str],
        context_by: str | Sequence[str] | None = None,
        completion: str = "completion",
        extract: str | Callable[[str], str | None] = "boxed",
        correct: str | None = None,
        *,
        canonical: str = "exact",
        no_answer: str = "keep",
        abstain: str | None = None,
        on_error: str = "stop",
        progress: Progress | None = None,
    ) -> Samples:
        r"""Read JSONL, CSV or Parquet and sort every completion into class, context and answer.

        Args:
            path: the file; the suffix tells the format, text may be gzipped.
            class_by: column(s) that name a class, that is one question.
            context_by: column(s) that name a context of it (paraphrase, prompt format); None: one.
            completion: column of the completions.
            extract: preset, pattern (group 1 of its last match), or function; see `make_extractor`.
            correct: column of correctness, boolean or in [0, 1], null unknown.
            canonical: exact | nospace | casefold | number | math; see `make_canonicaliser`.
            no_answer: "keep" it as an answer of its own, or "drop" its samples from the counts.
            abstain: pattern of answers that mean "no answer", such as "(?i)^none|not possible".
            on_error: "stop" at a malformed line or "skip" and count it.
            progress: called with the name of each stage.

        Raises:
            SamplesError, ExtractionError: one sentence that says what to change.
        """
        extractor = make_extractor(extract)
        canonicaliser = make_canonicaliser(canonical)
        if abstain is not None:
            check_pattern(abstain, "abstain pattern")
        say = progress or (lambda stage: None)
        say("reading")
        labels = {*_names(class_by), *(() if context_by is None else _names(context_by))}
        frame, skipped = read_frame(path, on_error, text=(completion,), labels=labels)
        text = _column(frame, completion, "completion")
        _require_text(text, completion)
        say("extracting answers")
        extraction = extractor(text)
        keys = _abstained(canonicaliser(extraction.answers), abstain)
        if keys.null_count() == len(keys):
            end = str(text.drop_nulls()[0] if text.null_count() < len(text) else "")[-80:]
            raise SamplesError(
                f"{path}: no sample has an answer under extract={extract!r}; the first completion "
                f"ends {end!r}."
            )
        say("sorting")
        partition = _partition(frame, class_by, context_by, correct, keys, no_answer)
        reading = how_read(
            text,
            extraction.answers,
            keys,
            partition,
            extract=extract if isinstance(extract, str) else f"the function {_called(extract)}",
            canonical=canonical,
            timed_out=extraction.timed_out,
        )
        return cls(frame, partition, reading, tuple(skipped), extraction.timed_out, str(path))

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
        text = None if completion is None else _column(frame, completion, "completion")
        partition = _partition(frame, class_by, context_by, correct, keys, no_answer)
        by = f"the column {answer}"
        return cls(
            frame, partition, how_read(text, keys, keys, partition, extract=by, canonical="exact")
        )

    @classmethod
    def example(cls, no_answer: str = "keep") -> Samples:
        """Answers of six models to 359 questions about dates in five prompt formats.

        Classes are the questions, contexts the formats, samples the models; from the logs of
        Faithful Chain-of-Thought Reasoning (Lyu et al., 2023, arXiv 2301.13379; MIT licence), read by
        its authors. `dagame.samples.example.PATH` is the file.
        """
        from .example import read

        return read(no_answer)

    def _rows(self) -> list[tuple[str, str]]:
        p = self.partition
        labelled = "" if p.correct is None else ", labelled"
        ends = sorted({int(p.contexts_per_class.min()), int(p.contexts_per_class.max())})
        contexts = f"{' to '.join(map(str, ends))} context{'s' * (ends[-1] > 1)}"
        source = f"; {self.source}" if self.source else ""
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
    correct: str | None,
    keys: pl.Series,
    no_answer: str,
) -> Partition:
    if no_answer not in ("keep", "drop"):
        raise SamplesError(f"no_answer is {no_answer!r}; choose 'keep' or 'drop'.")
    classes = _named(frame, class_by, "class")
    contexts = None if context_by is None else _named(frame, context_by, "context")
    right = None if correct is None else _correctness(frame, correct)
    partition = Partition.build(classes, contexts, keys, right, no_answer=no_answer)
    if not len(partition):
        raise SamplesError("every sample is without an answer; nothing is left to solve.")
    return partition


def _column(frame: pl.DataFrame, name: str, role: str) -> pl.Series:
    if name not in frame.columns:
        near = get_close_matches(name[:100], [c for c in frame.columns[:1000] if len(c) <= 100], 1)
        hint = f"did you mean {near[0]!r}? The" if near else "the"
        shown = [c if c.isprintable() else ascii(c) for c in frame.columns[:20]]
        names = ", ".join(c if len(c) <= 60 else f"{c[:60]}..." for c in shown)
        more = f" and {frame.width - 20:,} more" if frame.width > 20 else ""
        raise SamplesError(
            f"there is no column {name[:60]!r} for the {role}; {hint} columns are {names}{more}."
        )
    return frame[name]


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


def _require_text(column: pl.Series, name: str) -> None:
    import polars as pl

    if column.dtype != pl.String:
        raise SamplesError(f"column {name!r} (completion) holds {column.dtype}, not text.")


def _correctness(frame: pl.DataFrame, name: str) -> pl.Series:
    import polars as pl

    column = _column(frame, name, "correctness")
    if not (column.dtype == pl.Boolean or column.dtype.is_numeric()):
        raise SamplesError(
            f"column {name!r} (correct) holds {column.dtype}; give booleans or numbers in [0, 1]."
        )
    values = column.cast(pl.Float64)
    wrong = ((values < 0) | (values > 1) | values.is_nan()).fill_null(False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise SamplesError(
            f"column {name!r} (correct) is {values[row]:g} in row {row + 1}; it must be in [0, 1]."
        )
    return values


def _abstained(keys: pl.Series, pattern: str | None) -> pl.Series:
    import polars as pl

    if pattern is None:
        return keys
    return pl.DataFrame({"a": keys}).select(
        pl.when(~pl.col("a").str.contains(pattern)).then(pl.col("a"))
    )["a"]
