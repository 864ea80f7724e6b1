"""The line at the end of a command that names the next one, ready to paste."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..text import on_one_line

if TYPE_CHECKING:
    from rich.console import Console


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
    """The same solve with its page, where none was written.

    Nothing where one was (a training needs settings that are yet to be written), nor where the samples
    came from standard input, which cannot be read again.
    """
    given = sys.argv[1:]
    return [] if written or "-" in given else [["dagame", *given, "--out", "solved"]]


def after_finetuning(result: dict[str, Any]) -> list[list[str]]:
    """Whether the trained model is better, and how far it still is; where to cut, if that is not its own."""
    longest = result.get("longest")
    cut = [] if longest is None else ["--max-new-tokens", str(longest)]
    return [["dagame", verb, result["output"], *cut] for verb in ("evaluate", "certify")]


def show_next(shown: Console, *commands: Sequence[str | Path]) -> None:
    """`next_lines`, not wrapped, so that a terminal copies each as one line."""
    for line in next_lines(*commands):
        shown.print(line, markup=False, highlight=False, soft_wrap=True)
