"""Completions of every kind become keys or None; aliases make classes of answers; nothing raises."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagame.errors import ExtractionError
from dagame.samples.keys.reader import AnswerReader, text_of


@given(st.lists(st.text(st.characters(), max_size=30), max_size=5))
def test_any_text_is_read(texts):
    for extract in ("boxed", "last-number", r"x(.)", lambda text: text[0]):
        with pytest.MonkeyPatch.context():
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                keys = AnswerReader(extract)(texts)
        assert len(keys) == len(texts)
        assert all(k is None or (isinstance(k, str) and k) for k in keys)


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("7", "7"),
        ([{"role": "assistant", "content": "7"}], "7"),
        ([{"role": "assistant", "content": None, "tool_calls": []}], ""),
        ([{"role": "assistant", "content": [{"type": "text", "text": "7"}]}], "7"),
        ([{"role": "assistant", "content": [{"type": "image"}]}], ""),
        ([{"role": "tool", "content": "6"}, {"role": "assistant", "content": "7"}], "7"),
        ([{"role": "assistant", "content": "7"}, {"role": "tool", "content": "6"}], ""),
        ([{"role": "assistant", "content": "6"}, {"role": "assistant", "content": "7"}], "7"),
        ([{"role": "user", "content": "6"}], ""),
        ({"role": "user", "content": "6"}, ""),
        ({"content": "7"}, "7"),
        (
            [
                {
                    "role": "assistant",
                    "content": [{"type": "reasoning", "text": "6"}, {"type": "text", "text": "7"}],
                }
            ],
            "7",
        ),
        (None, ""),
        (3, ""),
        ("\ud800 7", "? 7"),
    ],
)
def test_texts_of_completions(completion, text):
    assert text_of(completion) == text


def test_a_function_that_raises_counts_as_no_answer_and_warns_once():
    def extract(text):
        return 10 // int(text)

    read = AnswerReader(extract)
    with pytest.warns(UserWarning, match="ZeroDivisionError") as caught:
        assert read(["5", "0", "x"]) == ["2", None, None]
    assert len(caught) == 1


def test_keys_are_those_of_the_canonical_form_and_are_remembered():
    read = AnswerReader("last-number", "number")
    assert read(["is 1,000", "is 1e3", "none"]) == ["1000", "1000", None]
    assert read.keys(["1/2", None, "0.5"]) == ["1/2", None, "1/2"]
    read._canonical = None  # what is known needs no second look
    assert read(["is 1,000"]) == ["1000"]


def test_a_name_that_is_no_pattern_is_refused():
    with pytest.raises(ExtractionError, match="did you mean"):
        AnswerReader("boxd")


def test_labels_and_aliases():
    read = AnswerReader("last-number", "casefold")
    known = read.known(["USA", "United States"])
    assert known.judge("united states") == ("usa", 1.0)
    assert known.judge("usa") == ("usa", 1.0)
    assert known.judge("france") == ("france", 0.0)
    assert known.judge(None) == (None, 0.0)
    known = read.known(None, [["UK", "Britain"], ["Holland", "Netherlands"]])
    assert known.judge("britain")[0] == "uk"
    assert known.judge("netherlands")[0] == "holland"
    assert math.isnan(known.judge("uk")[1])
    assert read.known(4).judge("4") == ("4", 1.0)
    assert read.known([]).correct is None


def test_groups_with_a_common_key_are_one():
    read = AnswerReader("last-number")
    known = read.known(["a", "b"], [["c", "d"], ["d", "b"], ["x", "y"]])
    assert {known.judge(k)[0] for k in "abcd"} == {known.judge("a")[0]}
    assert all(known.judge(k)[1] == 1.0 for k in "abcd")
    assert known.judge("x") == known.judge("y") == ("x", 0.0)
