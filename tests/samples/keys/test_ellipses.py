"""Decimals that go on are not the decimals that stop there."""

import pytest

from dagame.samples.keys.reader import AnswerReader


@pytest.mark.parametrize("preset", ["math", "last-number"])
def test_decimals_that_go_on_have_a_key_of_their_own(preset):
    texts = ["It is 0.333...", "It is 0.333.", "It is 0.333"]
    on, stop, plain = AnswerReader(preset)(texts)
    assert stop == plain == "333/1000"
    assert on not in (None, plain)


def test_spellings_of_going_on_are_one():
    texts = ["It is 0.333...", "It is $0.333\\ldots$", r"\boxed{0.333\dots}", "It is 0.333…"]
    assert len(set(AnswerReader("math")(texts))) == 1
