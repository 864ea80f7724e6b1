"""Tables of commands in narrow terminals: what names a row is never cut."""

import io

import pytest
from rich.console import Console

from dagame.apps.terminal import table_of

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
