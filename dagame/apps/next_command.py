"""The line at the end of a command that names the next one, ready to paste."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..text import on_one_line

if TYPE_CHECKING:
    from rich.console import Console

    from ..samples.equilibria import SampleEquilibria
    from ..samples.partition import Partition


def next_lines(*commands: Sequence[str | Path]) -> list[str]:
    """One line per command, "next: " and the command quoted for the shell.

    A command with a character that a terminal does not show is left out: what is pasted would be
    another command than what is seen.
    """
    made = [shlex.join(map(str, words)) for words in commands]
    return [f"next: {text}" for text in made if on_one_line(text, len(text)) == text]


def after_sampling(out: Path, cut: bool) -> list[list[str]]:
    """The solve of the samples; `cut`: completions that were cut off are read, as most are."""
    words = ["dagame", "solve", str(out), "--class", "class", "--context", "context"]
    return [[*words, *(["--truncated", "read"] if cut else [])]]


def after_solving(written: Sequence[Path]) -> list[list[str]]:
    """The same solve with its page, where none was written; else at a higher strength, beside it.

    Nothing where the samples came from standard input, which cannot be read again.
    """
    given = ["dagame", *sys.argv[1:]]
    if "-" in given:
        return []
    return [_stronger(given)] if written else [[*given, "--out", "solved"]]


class Step(NamedTuple):
    """Something to do next: why, the text of a file that it needs ("" for none), and the command."""

    why: str
    command: tuple[str, ...] = ()
    file: str = ""


STRONGER = 10
"""Times the strength, of the step that is offered."""

_ENOUGH = 16
"""Samples of a context above which no more are asked for."""


def steps_after(found: SampleEquilibria, rows: Path | None) -> list[Step]:
    """What to do with solved samples; the commands name the files and columns of this run.

    rows: where `samples.parquet` is written.
    """
    command = [str(word) for word in found.provenance()["command"]]
    solving = command[:2] == ["dagame", "solve"] and "-" not in command
    steps = [*_more_samples(found.samples.partition)]
    if solving:
        again = tuple(_stronger(command))
        steps.append(Step(f"See the same at {STRONGER} times the strength.", again))
    if rows is not None:
        why = (
            f"Use the weights: in {rows} each row has a weight ν*/ν⁰; keep a row with a probability in "
            "proportion to it, or train on it."
        )
        steps += [Step(why), *(_training(found, command, rows) if solving else ())]
    return steps


def _more_samples(partition: Partition) -> Iterator[Step]:
    most = int(partition.counted.sum()) / max(1, int(partition.contexts_per_class.sum()))
    if most < _ENOUGH:
        why = f"Draw more samples: {most:.0f} of each phrasing are few, {_ENOUGH} say far more."
        sampling = ("dagame", "sample", "MODEL", "QUESTIONS", "more.jsonl")
        yield Step(why, (*sampling, "--samples", f"{_ENOUGH}"))


def _training(found: SampleEquilibria, command: Sequence[str], rows: Path) -> Iterator[Step]:
    """On the weights, where one column names the questions."""
    names = [c for c in found.samples.partition.classes.columns if c != "#class"]
    if len(names) == 1:
        has = {"prompt", "completion"} <= set(found.samples.frame.columns)
        needs = "" if has else " The file lacks the columns prompt and completion, which it needs."
        file = _weighted(command, rows, names[0], found.summary["beta"])
        why = f"Train on the weights: with this as weighted.yaml.{needs}"
        yield Step(why, ("dagame", "finetune", "weighted.yaml"), file)


def _stronger(command: Sequence[str]) -> list[str]:
    """The same solve at a higher strength, into a folder of its own."""
    strength = f"{STRONGER * float(_option(command, '--strength', '1')):g}"
    changed = _with(_without(command, "--json"), "--strength", strength)
    return _with(changed, "--out", f"strength-{strength}")


def _weighted(command: Sequence[str], rows: Path, name: str, beta: float) -> str:
    """The settings of a training on weighted rows, with what only its user knows in capitals."""
    extract, strength = _option(command, "--extract", ""), _option(command, "--strength", "1")
    lines = [
        "method: sft",
        "model: MODEL",
        "output: trained",
        f"data: {{samples: {json.dumps(str(rows))}, class_column: {json.dumps(name)}}}",
        f"objective: {{name: {_option(command, '--objective', 'coherence')}, strength: {strength}}}",
        f"beta: {beta:g}",
        *([f"answers: {{extract: {json.dumps(extract)}}}"] if extract else []),
        "batch: {epochs: 1}",
    ]
    return "\n".join(lines)


def _option(command: Sequence[str], name: str, default: str) -> str:
    """The last value of an option, given as two words or with "="."""
    for place in range(len(command) - 1, 1, -1):
        if command[place] == name and place + 1 < len(command):
            return command[place + 1]
        if command[place].startswith(f"{name}="):
            return command[place].partition("=")[2]
    return default


def _with(command: Sequence[str], name: str, value: str) -> list[str]:
    """The command with this value of an option, in place of any other."""
    return [*_without(command, name), name, value]


def _without(command: Sequence[str], name: str) -> list[str]:
    """The command without an option and its value."""
    kept, skip = [], False
    for word in command:
        if not skip and word != name and not word.startswith(f"{name}="):
            kept.append(word)
        skip = not skip and word == name
    return kept


def after_finetuning(result: dict[str, Any]) -> list[list[str]]:
    """Whether the trained model is better, and how far it still is; where to cut, if that is not its own."""
    longest, judged = result.get("longest"), result.get("evaluation", {})
    length = judged.get("settings", {}).get("max_new_tokens", longest)
    cut = [] if longest is None else ["--max-new-tokens", str(length)]
    verbs = ("certify",) if "verdict" in judged else ("evaluate", "certify")
    new = [judged["questions"]] if judged.get("questions") else []
    return [["dagame", verb, result["output"], *new, *cut] for verb in verbs]


def show_next(shown: Console, *commands: Sequence[str | Path]) -> None:
    """`next_lines`, not wrapped, so that a terminal copies each as one line."""
    for line in next_lines(*commands):
        shown.print(line, markup=False, highlight=False, soft_wrap=True)
