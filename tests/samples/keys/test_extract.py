"""Extraction and canonical keys, pattern by pattern."""

import re
import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagame.errors import ExtractionError
from dagame.samples.keys.canonical import make_canonicaliser
from dagame.samples.keys.extract import make_extractor
from dagame.samples.keys.presets import PRESETS


def extracted(spec, *texts):
    return make_extractor(spec)(pl.Series(texts, dtype=pl.String)).answers.to_list()


def keys(name, *texts):
    return make_canonicaliser(name)(pl.Series(texts, dtype=pl.String)).to_list()


@pytest.mark.parametrize(
    ("spec", "text", "answer"),
    [
        ("boxed", r"so \boxed{12} no, \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("boxed", r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("boxed", r"\boxed{unclosed", None),
        ("gsm8k", "12 - 5 = <<12-5=7>>7\n#### 7", " 7".strip()),
        ("gsm8k", "#### 3\n#### 1,000", "3"),
        ("last-gsm8k", "#### 3\n#### 1,000", "1,000"),
        ("gsm8k", "seven", None),
        ("last-number", "first 3, then -4.5e3.", "-4.5e3"),
        ("last-number", "it is 1,234,567", "1,234,567"),
        ("last-number", "none", None),
        ("choice", "I think (B) is right", "B"),
        ("choice", "The answer is C.", "C"),
        ("choice", "A\nB", "B"),
        ("choice", "The answer is A? No, it is not.", None),
        ("choice", "Is the answer (C)? No. The answer is (D).", "D"),
        ("choice", "Answer: B. Why? Because it fits.", "B"),
        (r"Answer:\s*([^=\n]*)", "Answer: 1+2 = 3\nAnswer: (4) = 4", "(4) "),
        (r"x=(\d)(\d)", "x=12 x=34", "3"),
        (r"(a)|b", "a b", ""),
    ],
)
def test_patterns_take_group_1_of_the_last_match(spec, text, answer):
    assert extracted(spec, text) == [answer]


PATTERNS = (
    r"(\w)(\w)?", r"(a)|b", r"A:\s*([^=\n]*)", r"(?:A|B)+?(1)?", r"\$(1)?", r"([$^])", r"[^^](A)",
    r"\b(\w)", r"^(\w+)", r"(?m)^(.+)$", r"(1+)\b", r"(?:A|B)(1)?\B", r"\A(.)", r"(A)?B\b",
)  # fmt: skip
"""In the syntax that both engines share, without and with signs that look beyond the match."""


@settings(max_examples=15)
@given(st.lists(st.text("aAB1 =$^\n:\ufdd0", max_size=12) | st.none(), min_size=1, max_size=6))
@pytest.mark.parametrize("copies", [1, 5])
def test_a_pattern_reads_what_pythons_engine_reads(copies, texts):
    for pattern in PATTERNS:
        plain = [None if t is None else t.replace("\ufdd0", "") for t in texts]
        found = [[] if t is None else list(re.finditer(pattern, t)) for t in plain]
        expected = [(matches[-1][1] or "") if matches else None for matches in found]
        assert extracted(pattern, *texts * copies) == expected * copies, pattern


def test_rows_are_independent_and_null_stays_null():
    assert extracted("gsm8k", "#### 1", None, "", "#### 2") == ["1", None, None, "2"]


def test_a_function_extracts():
    assert extracted(lambda c: c[-1:] or None, "abc", "") == ["c", None]
    with pytest.raises(ExtractionError, match="string or None"):
        extracted(lambda c: 3, "x")


def test_the_engine_is_linear_where_backtracking_hangs():
    started = time.perf_counter()
    assert extracted(r"((a+)+)$", "a" * 50_000 + "!") == [None]
    assert time.perf_counter() - started < 20


@given(st.lists(st.text(alphabet="ab:1 \n{}\\boxed", max_size=30), max_size=8))
def test_any_text_goes_through_every_pattern(texts):
    for spec in tuple(PRESETS):
        assert len(extracted(spec, *texts)) == len(texts)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("boxd", "did you mean 'boxed'"),
        ("Answer: .*", "has no group"),
        ("(unclosed", "does not compile"),
        (r"(?<=x)(\d)", "look-around"),
        (r"(a)\1", "back-reference"),
    ],
)
def test_bad_patterns(spec, message):
    with pytest.raises(ExtractionError, match=message):
        make_extractor(spec)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("exact", ["a b", " a b "]),
        ("nospace", ["a b", "ab", " a  b"]),
        ("casefold", ["A  b", "a b"]),
        ("number", ["1,000", "1000.0", "1e3", "$1000", "1000."]),
        ("number", ["1/2", "0.5", ".5", "2/4"]),
        ("math", [r"\frac{1}{2}", "0.5", "1/2"]),
        ("math", ["2x + 2", "2(x+1)"]),
    ],
)
def test_equal_answers_have_one_key(name, same):
    assert len(set(keys(name, *same))) == 1


@pytest.mark.parametrize(
    ("name", "different"),
    [
        ("exact", ["a b", "ab"]),
        ("number", ["1/0", "1", "one", "10**9"]),
        ("number", ["1e400", "1e401"]),
        ("math", ["dog", "god"]),
        ("math", ["x", "y", "1"]),
    ],
)
def test_different_answers_have_different_keys(name, different):
    assert len(set(keys(name, *different))) == len(different)


def test_empty_answers_are_no_answer():
    assert keys("nospace", "", "  ", None, "x") == [None, None, None, "x"]
    with pytest.raises(ExtractionError, match="did you mean 'number'"):
        make_canonicaliser("numbr")


def test_math_preset_reads_latex_and_survives_hostile_rows():
    rows = [r"thus $x = \boxed{\frac{3}{4}}$", "no math here at all", None]
    found = extracted("math", *rows)
    assert found[0] == r"\frac{3}{4}"
    assert found[2] is None


def test_a_row_that_hangs_is_killed_and_costs_only_itself():
    bomb = r"$\boxed{" + "9**" * 12 + "9}$"
    run = make_extractor("math", row_seconds=3.0)
    rows = [f"\\boxed{{{k}}}" for k in range(20)]
    done = run(pl.Series([*rows[:10], bomb, *rows[10:]]))
    answers = done.answers.to_list()
    assert [answers[k] for k in (0, 9, 11, 20)] == ["0", "9", "10", "19"]
    canonical = make_canonicaliser("math", row_seconds=3.0)(pl.Series(["1/2", "9**9**9**9", "0.5"]))
    assert canonical[0] == canonical[2]


@pytest.mark.parametrize("name", ["number", "math"])
def test_words_that_multiply_are_read_in_formulas_too(name):
    assert set(keys(name, "5 dozen", r"5\text{ dozen}", "60")) == {"60"}
    assert set(keys(name, "3 million", r"3\text{ million}", "3e6")) == {"3000000"}
    assert set(keys(name, "50 percent", r"50\text{ percent}", "1/2")) == {"1/2"}
