"""Numbers that differ in meaning never share a key; spellings of one number do. By generated pairs."""

from __future__ import annotations

import itertools
import os
import random
from collections import defaultdict
from fractions import Fraction

import polars as pl
import pytest
from number_meanings import a_value, other_meanings, spellings, surroundings

from dagame.samples.keys.reader import AnswerReader

VALUES = int(os.environ.get("DAGAME_MEANINGS", "60"))


def keys(preset, texts):
    reader = AnswerReader(preset, "number")
    return reader.read(pl.Series(texts, dtype=pl.String)).keys.to_list()


def test_every_spelling_in_every_sentence_is_the_number():
    rng = random.Random(1)
    rows, values = [], []
    for _ in range(VALUES):
        value = a_value(rng)
        for spelling in spellings(value, rng):
            around = surroundings(spelling)
            chosen = around[:2] + rng.sample(around[2:], 3)
            rows += chosen
            values += [value] * len(chosen)
    wrong = [
        (row, key, str(value))
        for row, key, value in zip(rows, keys("last-number", rows), values, strict=True)
        if key != str(value)
    ]
    assert len(rows) > 50 * VALUES
    assert not wrong, wrong[:25]


def test_gsm8k_reads_every_spelling_whatever_follows():
    rng = random.Random(2)
    rows, values = [], []
    for _ in range(VALUES):
        value = a_value(rng)
        for spelling in spellings(value, rng):
            if not spelling.endswith(("%", "percent")):
                tail = rng.choice(
                    ["", ".", " clips", " clips in total.", "\n#### 3", " (see above)"]
                )
                rows.append(f"{value} is near\n#### {spelling}{tail}")
                values.append(value)
    wrong = [
        (row, key, str(value))
        for row, key, value in zip(rows, keys("gsm8k", rows), values, strict=True)
        if key != str(value)
    ]
    assert not wrong, wrong[:25]


@pytest.mark.parametrize("preset", ["gsm8k", "last-number"])
@pytest.mark.parametrize("magnitude", ["k", "K", "M", " k", " mln", " Mln", " bn", " M", " mio"])
def test_a_number_is_never_read_without_its_magnitude(preset, magnitude):
    rows = [f"#### {n}{magnitude}" for n in (3, 1.5, 250)] + ["#### 3 kids", "#### 3"]
    found = keys(preset, rows)
    assert found[3] == found[4] == "3"
    assert len({*found}) == 4
    assert not {*found[:3]} & {"3", "3/2", "250"}


@pytest.mark.parametrize(
    "behind", [" {}", " to {}", " (or {})", " or {}", " until {}", " ${}", " € {}", " -{}", "x"]
)
def test_gsm8k_reads_no_line_that_goes_on_with_its_number(behind):
    rng = random.Random(4)
    numbers = rng.sample(range(2, 100), 20)  # three digits would be a group of thousands
    rows = [f"#### {n}{behind.format(n + 1)}" for n in numbers]
    found = keys("gsm8k", rows)
    assert not {*found} & {str(n) for n in range(200)}
    assert len({*found}) == len(numbers)


def test_what_only_contains_a_number_shares_no_key_with_another_meaning():
    rng = random.Random(3)
    numbers = {Fraction(rng.randrange(2, 10**5)) for _ in range(VALUES)}
    texts = {str(n): n for n in sorted(numbers)}
    rows, meanings = [], []
    for text, value in texts.items():
        rows.append(text)
        meanings.append(("number", value))
        for kind, row in enumerate(other_meanings(text)):
            if kind == 0:  # a power has a value of its own
                meaning = ("number", value**2)
            elif kind == 1:
                meaning = ("number", Fraction(10) ** int(value)) if value < 100 else (kind, value)
            else:
                meaning = (kind, value)
            rows.append(row)
            meanings.append(meaning)
    found = defaultdict(set)
    for row, key, meaning in zip(rows, keys("last-number", rows), meanings, strict=True):
        if key is not None:
            found[key].add((meaning, row))
    merged = {k: v for k, v in found.items() if len({m for m, _ in v}) > 1}
    assert merged == {}
    pairs = sum(1 for _ in itertools.islice(itertools.combinations(rows, 2), 20_001))
    assert pairs > 20_000
