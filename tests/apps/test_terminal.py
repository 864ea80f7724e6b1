"""Tables of commands in narrow terminals: what names a row is never cut."""

import io
import re

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from dagame.apps.cli import app
from dagame.apps.terminal import _cell, table_of
from dagame.bench.cli import app as bench

NAMES = ("pairwise-jensen-shannon holds", "T1 holds")


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_the_names_of_rows_stand_whole_and_nothing_is_cut(width):
    table = table_of("Title", "theorem", "statement", "cases", "allowed")
    for name in NAMES:
        table.add_row(
            name, "a statement of many words and onelongwordwithoutablank", "1,234", "1e-10"
        )
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert all(name in text for name in NAMES)
    assert "…" not in text


PROGRAMS = {"dagame": app, "dagame-bench": bench}
COMMANDS = [
    (program, name)
    for program, one in PROGRAMS.items()
    for name in ["", *typer.main.get_command(one).commands]  # pyright: ignore
]


@pytest.mark.parametrize(("program", "name"), COMMANDS)
def test_help_names_values_in_words_of_a_command_line(program, name):
    """No type of Python's and no brace; what an option takes stands behind it."""
    done = CliRunner().invoke(
        PROGRAMS[program], [*filter(None, [name]), "--help"], env={"COLUMNS": "80"}
    )
    assert done.exit_code == 0
    words = {"str", "bool", "float", "int", "path", "list"}
    assert not re.findall(rf"<(?:{'|'.join(words)})\b|list\[", done.output)
    usage = done.output.partition("Usage:")[2].splitlines()[0]
    assert not set("{}<>") & set(usage)
    if name == "solve":
        for option, value in {
            "--class,--question": "COLUMN",
            "--extract": "TEXT",
            "--strength": "NUMBER",
            "--seed": "INTEGER",
            "--out": "PATH",
        }.items():
            assert re.search(rf"{option} +{value} ", done.output), option
        assert "SAMPLES" in usage  # in brackets where typer is new


def test_a_rounded_zero_has_no_sign():
    assert _cell(-1e-9) == "0.0000"
    assert _cell(-0.25) == "-0.2500"
