"""Each preset does what its table of examples says."""

import polars as pl
import pytest

from dagame.samples.keys.presets import PRESETS


@pytest.mark.parametrize(
    ("name", "completion", "answer"),
    [(name, *example) for name, preset in PRESETS.items() for example in preset.examples],
)
def test_examples(name, completion, answer):
    assert PRESETS[name].find(pl.Series([completion])).to_list() == [answer]
