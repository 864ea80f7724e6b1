"""Hostile CSV: the well-formed records exactly, every other line named, no digit lost."""

from __future__ import annotations

import csv
import itertools
import random
import time

import polars as pl
import pytest
from budget import FACTOR, scale

from dagame.errors import SamplesError
from dagame.samples import Samples
from dagame.samples.files.reading import read_frame

SEED = 8 if FACTOR == 1 else random.SystemRandom().randrange(2**32)


FAULTS = {  # a record and how many of its lines are named
    "another field": lambda record: (record[:-1] + ",x\n", record.count("\n")),
    "a field less": lambda record: ('"a"\n', 1),
    "an open quote": lambda record: ('a,"oops\n', 1),
    "text behind a quote": lambda record: ('a,"oo"ps\n', 1),
    "a byte": lambda record: ('"a","\udcff\n"\n', 2),
}


def test_csv_records_against_what_was_written(tmp_path):
    rng = random.Random(SEED)
    alphabet = ["a", '"', ",", "\t", "\n", "\r\n", "é", "0", " ", "\x00", "####"]
    for _ in range(scale(150)):
        text, bad, good, line = "q,completion\n", [], [], 2
        for _ in range(rng.randrange(1, 8)):
            answer = "".join(rng.choice(alphabet) for _ in range(rng.randrange(6))) + "#### 1"
            row = {"q": rng.choice("abc"), "completion": answer}
            record = "{},{}\n".format(*('"' + v.replace('"', '""') + '"' for v in row.values()))
            if not set(answer) & set('",\n') and rng.random() < 0.7:
                record = f"{row['q']},{answer}\n"
            if rng.random() < 0.3:
                record, named = FAULTS[rng.choice(list(FAULTS))](record)
                bad += range(line, line + named)
            else:
                good.append(row)
            text += record
            line += record.count("\n")
        path = tmp_path / "s.csv"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        if bad:
            with pytest.raises(SamplesError, match=rf"line {bad[0]}:"):
                read_frame(path)
        if good:
            found, skipped = read_frame(path, "skip")
            assert skipped == bad
            assert found["completion"].to_list() == [row["completion"] for row in good]


def test_lines_without_quotes_are_read_as_by_pythons_reader(tmp_path):
    rng = random.Random(SEED)
    for _ in range(scale(150)):
        name, separator = rng.choice((("s.csv", ","), ("s.tsv", "\t")))
        width = rng.randrange(1, 4)
        lines = [
            separator.join(
                "".join(rng.choice("a0é ,\t\0") for _ in range(rng.randrange(3)))
                for _ in range(width if rng.random() < 0.9 else rng.randrange(1, 5))
            ) + rng.choice(("\n", "\n", "\r\n", "\n\n", "\r"))
            for _ in range(rng.randrange(1, 9))
        ]  # fmt: skip
        head = separator.join("xyz"[:width])
        text = f"{head}\n{''.join(lines)}{rng.choice(('', 'end'))}"
        path = tmp_path / name
        path.write_bytes(text.encode())
        good, bad = [], []
        for number, row in enumerate(csv.reader(text.splitlines(), delimiter=separator), 1):
            assert text.splitlines()[number - 1] == separator.join(row)
            if row:
                (good if len(row) == width else bad).append((number, row))
        found = [tuple(v or None for v in row) for _, row in good[1:]]
        if not found:
            continue
        frame, skipped = read_frame(path, "skip", text="xyz")
        assert frame.rows() == found
        assert skipped == [number for number, _ in bad]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('"q;\n1",completion\n1,a\n', ["q;\n1", "completion"]),
        ('"q,\n;""1""",completion\n1,a\n', ['q,\n;"1"', "completion"]),
        ('"q,\n1";completion\n1;"a,b"\n', ["q,\n1", "completion"]),
        ('5" q;completion\n1;"a,b"\n', ['5" q', "completion"]),
        ("q;completion\r1;a,b\r", ["q", "completion"]),
        ("\r\nq;completion\r\n1;a,b\r\n", ["q", "completion"]),
    ],
)
def test_the_separator_is_the_whole_header_s(tmp_path, text, columns):
    path = tmp_path / "s.csv"
    path.write_bytes(text.encode())
    frame, _ = read_frame(path)
    assert frame.columns == columns
    assert frame["completion"][0] in ("a", "a,b")


@pytest.mark.parametrize("line", ['2,"oops\n', 'x",",y\n'])
def test_a_stray_quote_costs_its_line_and_no_more(tmp_path, line):
    good = "".join(f"{k},{k}\n" for k in range(1000))
    path = tmp_path / "s.csv"
    path.write_text("id,a\n1,ok\n" + line + good)
    frame, skipped = read_frame(path, "skip")
    assert skipped == [3]
    assert frame["id"].to_list() == [1, *range(1000)]
    path.write_text("id,a\n" + line * 20_000 + "1,1\n")
    started = time.process_time()
    frame, skipped = read_frame(path, "skip")
    assert time.process_time() - started < 20
    assert skipped == list(range(2, 20_002))
    assert len(frame) == 1


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["0.1", "0.3333333333333333", "-2.50", "1e-5"], pl.Float64),
        (["0.10000000000000001", "0.1"], pl.String),
        (["123456789012345.12345678901234567"], pl.String),
        (["1", "-7"], pl.Int64),
        (["true", "False"], pl.Boolean),
    ],
)
def test_csv_columns_are_numbers_where_no_digit_is_lost(tmp_path, values, kind):
    path = tmp_path / "s.csv"
    path.write_text("q,v\n" + "".join(f"a,{v}\n" for v in values))
    assert read_frame(path)[0]["v"].dtype == kind
    assert read_frame(path, text=("v",))[0]["v"].to_list() == values
    assert [str(v) for v in read_frame(path, labels=("v",))[0]["v"]] == values


def test_csv_completions_may_be_plain_numbers(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("q,completion\n1,3.10\n1,007\n1,5\n")
    for text in ("3.10\n1,007\n1,5", "3.10\n1,4.20", "5\n1,6", "true\n1,false"):
        path.write_text(f"q,completion\n1,{text}\n")
        answers = Samples.read(path, "q", extract=lambda c: c).partition.answer_keys(0)
        assert set(answers) == set(text.replace("1,", "").split())


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("q", ["01", "1", "1.0"]),
        ("q", ["9223372036854775808", "1"]),
        ("q", ["9007199254740993", "9007199254740992", "1.5"]),
        ("q", ["true", "1", "True"]),
        ("q", ["true", "True", "false"]),
        ("q", ["3.1", "3.10", "3.2"]),
        ("q", ["0.10000000000000001", "0.1"]),
        ("q", ["1"] * 11_000 + ["x"]),
        ("", ["a", "b"]),
        ("\u202eevil\x1b[31m", ["a", "b"]),
        ("x" * 100_000, ["a", "b"]),
    ],
    ids=itertools.count(),
)
def test_csv_names_are_never_rounded_or_merged(tmp_path, column, values):
    path = tmp_path / "s.csv"
    path.write_text(f'"{column}",completion\n' + "".join(f"{v},#### 1\n" for v in values))
    samples = Samples.read(path, column, extract="gsm8k")
    assert {str(name) for (name,) in samples.partition.class_names} == set(values)
    with pytest.raises(SamplesError) as caught:
        Samples.read(path, "nothing", extract="gsm8k")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
