"""The options of `dagame solve`, checked before the work starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..conformal import least_questions
from ..errors import DagameError
from ..objectives.names import LABELLED, NAMES, by_name
from ..provenance import not_installed
from ..solvers import METHODS
from .command import argument, option

if TYPE_CHECKING:
    from ..samples.equilibria import ObjectiveOf

_READ = ("class_by", "context_by", "completion", "extract", "correct", "answer", "gold", "rows")
_READ += ("canonical", "thinking", "finish_reason", "truncated", "no_answer", "abstain", "on_error")
"""Options that are keywords of `Samples.read`."""


@dataclass(frozen=True, kw_only=True)
class SolveOptions:
    """As on the command line."""

    samples: list[str] | None = argument(
        "JSON, JSONL, CSV, TSV, Parquet or .eval, also .gz, .zst, .zip; several, a folder, "
        'a glob, or "-" for standard input.'
    )
    class_by: list[str] | None = option(
        "Column or dotted path that names a question; repeatable.", "--class", "--question"
    )
    context_by: list[str] | None = option(
        "Column that names a paraphrase or format; repeatable.", "--context", "--phrasing"
    )
    completion: list[str] | None = option(
        "Column of the completions: texts, lists of them, chats; several are contexts. "
        "[default: completion]"
    )
    answer: list[str] | None = option("Column of answers already extracted.")
    correct: list[str] | None = option(
        "Column of correctness, in [0, 1]; one for each of --completion."
    )
    correct_range: str = option("Labels of wrong and right, such as -1,1.", default="0,1")
    gold: list[str] | None = option(
        "Column of right answers, read as completions are; a list: aliases."
    )
    calibrate: str | None = option(
        "Column of right answers: each half of the questions calibrates the other, for "
        "answer sets of known coverage and p-values.",
        metavar="COLUMN",
    )
    alpha: float | None = option(
        "Share of those sets that may lack the right answer. [default: 0.1]"
    )
    seed: int | None = option("Seed of the halves of --calibrate. [default: 0]")
    where: list[str] | None = option("COLUMN=VALUE of the rows to keep; repeatable.")
    format_name: str = option(
        "auto | lm-eval | inspect | openai | vllm | trl | verl, or the kind of file: "
        "json | jsonl | csv | tsv | parquet.",
        "--format",
        default="auto",
    )
    rows: str | None = option("Path of the list of rows in a JSON document with several.")
    finish_reason: list[str] | None = option(
        'Column of why a completion ended ("length"), or whether it was cut off.'
    )
    truncated: str = option(
        "What a completion that was cut off has: no-answer | read.", default="no-answer"
    )
    extract: str = option(
        "Pattern (group 1 of its last match), or boxed | gsm8k | last-number | choice | "
        "answer | math, also first-... and last-...; auto tries them on the file.",
        default="auto",
    )
    canonical: str = option(
        "exact | nospace | casefold | number | math; auto: what suits --extract.", default="auto"
    )
    thinking: str = option("Reasoning between tags, such as <think>: drop | keep.", default="drop")
    no_answer: str = option(
        '"keep" no answer as an answer of its own, or "drop" its samples.', default="keep"
    )
    abstain: str | None = option("Pattern of answers that mean no answer.")
    objective: str = option(" | ".join(NAMES) + ".", default="coherence")
    strength: float = option("Strength of the objective (lambda).", default=1.0)
    beta: float = option("Strength of the KL to the reference.", default=1.0)
    method: str = option(", ".join(METHODS) + ".", default="auto")
    device: str | None = option(
        "Solve with torch on auto | cpu | cuda; default numpy, no torch needed."
    )
    on_error: str = option(
        "What a malformed line, or one of several files, does: stop | skip.", default="stop"
    )
    json_file: str | None = option('Write summary and classes; "-" for stdout.', "--json")
    out: Path | None = option("Folder for samples.parquet and report.html.")
    report: bool = option("Write report.html into --out.", default=True)
    max_memory: str | None = option(
        "Read and solve in parts within about so much memory, such as 2GiB; files only, no "
        "report.html, no --calibrate.",
        "--max-memory",
        metavar="SIZE",
    )
    engine: str | None = option(
        "What reads and solves in parts: this process, or Ray on all cores, which also reads "
        "addresses such as s3://bucket/runs (of the extra ray).",
        metavar="local|ray",
    )
    address: str | None = option(
        "Of a Ray cluster to join for --engine ray; --out is on a disk that it shares."
    )
    strict: bool = option("Exit with 3 where there is a warning.", "--strict", default=False)
    example: bool = option(
        "Solve the example that ships with the package.", "--example", default=False
    )

    @property
    def sources(self) -> str | list[str]:
        """The one file or folder, or the several."""
        found = self.samples or []
        return found[0] if len(found) == 1 else found

    def with_example(self) -> SolveOptions:
        """With --example, its file and columns where none are named."""
        from ..samples.example import ANSWER, CLASS, CONTEXT, CORRECT, PATH

        if not self.example:
            return self
        if self.samples:
            raise DagameError("--example brings its own file; leave the file or --example out.")
        labelled = self.gold or self.calibrate not in (None, CORRECT)
        return replace(
            self,
            samples=[str(PATH)],
            class_by=self.class_by or [CLASS],
            context_by=self.context_by or [CONTEXT],
            answer=self.answer or ([] if self.completion else [ANSWER]),
            correct=self.correct or ([] if labelled else [CORRECT]),
        )

    def check_level(self) -> None:
        """Refuse an alpha that is none, and options of `--calibrate` without it."""
        for name, value in (("--alpha", self.alpha), ("--seed", self.seed)):
            if self.calibrate is None and value is not None:
                raise DagameError(f"{name} belongs to --calibrate COLUMN, which is not there.")
        if self.seed is not None and self.seed < 0:
            raise DagameError(f"--seed is {self.seed}; give a whole number of at least 0.")
        if self.alpha is not None:
            least_questions(self.alpha)

    def with_right_answers(self) -> SolveOptions:
        """The column of `--calibrate` is one of right answers, but for the labels of `--correct`."""
        column, gold = self.calibrate, self.gold
        if column is None or column in (self.correct or ()) or column in (gold or ()):
            return self
        if gold:
            raise DagameError(
                f"--calibrate is {column!r} and --gold {gold[0]!r}; one column says what is right."
            )
        return replace(self, gold=[column])

    def game(self) -> ObjectiveOf:
        """The objective; `DagameError` where it, its labels or the device cannot be had."""
        from ..lm.spec import named_objective

        made = named_objective(self.objective, self.strength)
        if self.device is not None:
            check_device(self.device)
        if self.objective in LABELLED and not (self.correct or self.gold):
            by_name(self.objective, self.strength)
        return made

    def reading(self) -> dict[str, Any]:
        """Keywords of `Samples.read`; an option that was not given is None, or its default."""
        given = {name: getattr(self, name) for name in _READ}
        return {
            **{name: None if value == [] else value for name, value in given.items()},
            "where": self.where or (),
            "format": self.format_name,
            "correct_range": self.correct_limits(),
        }

    def solving(self) -> dict[str, Any]:
        """Keywords of `solve`."""
        return {"beta": self.beta, "method": self.method, "device": self.device}

    def correct_limits(self) -> tuple[float, float]:
        """Two numbers, with a comma or a blank between them."""
        text = self.correct_range
        try:
            low, high = map(float, text.replace(",", " ").split())
        except ValueError:
            raise DagameError(
                f"--correct-range is {text!r}; write the labels of wrong and right, such as -1,1."
            ) from None
        return low, high


def check_device(name: str) -> None:
    """Refuse a device before the work; torch is needed from here on."""
    try:
        from ..scale import resolve_device
    except ImportError:
        raise DagameError(
            f"{not_installed('torch', 'torch', '--device')}; or leave --device out for numpy."
        ) from None
    resolve_device(name)
