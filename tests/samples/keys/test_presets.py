"""Each preset does what its table of examples says."""

import importlib.util
from pathlib import Path

import polars as pl
import pytest

from dagame.errors import ExtractionError
from dagame.samples.keys.presets import PRESETS
from dagame.samples.keys.reader import AnswerReader


@pytest.mark.parametrize(
    ("name", "completion", "answer"),
    [(name, *example) for name, preset in PRESETS.items() for example in preset.examples],
)
def test_examples(name, completion, answer):
    assert PRESETS[name].find(pl.Series([completion])).to_list() == [answer]


def test_the_page_of_presets_is_current():
    docs = Path(__file__).parents[3] / "docs"
    spec = importlib.util.spec_from_file_location("make_presets", docs / "make_presets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (docs / "presets.md").read_text(encoding="utf-8") == module.page()


@pytest.mark.parametrize(
    ("completions", "name", "read"),
    [
        ([r"so \boxed{1}", r"\boxed{2}", "3"] * 3, "last-number", 9),
        ([r"so \boxed{1}", r"\boxed{2}"] * 4 + ["none"], "boxed", 8),
        (["#### 1", "#### 2 clips"], "gsm8k", 2),
        (["Answer: B", "(C) is right", "The answer is D."], "choice", 3),
        (["The answer is Paris.", "Answer: Rome"], "answer", 2),
        (["It is 5.", "So 7"], "last-number", 2),
    ],
)
def test_auto_takes_the_first_preset_that_reads_four_fifths(completions, name, read):
    reader = AnswerReader("auto", settle=True).settled(pl.Series(completions))
    assert reader.extract == name
    assert reader.canonical == PRESETS[name].canonical
    assert reader.tried[name] == read
    assert f"{name!r}" in reader.choice()[0]


def test_auto_is_no_preset_of_a_single_call():
    with pytest.raises(ExtractionError, match="chooses on the completions of a file"):
        AnswerReader("auto")


@pytest.mark.parametrize(
    ("completion", "key"),
    [
        ("<think>it is 4</think>It is 5.", "5"),
        ("<thinking>it is 4</thinking> 5", "5"),
        ("it is 4</think> so 5", "5"),
        ("5 <think>or 6</think>", "5"),
        ("<think>it is 4", None),
        ("<think>4</think> 5 <think>6", None),
        ("<think>a<think>3</think>4</think>5", "5"),
        ("[THINK]4[/THINK]5", "5"),
        (
            "<|channel|>analysis<|message|>4<|end|><|start|>assistant<|channel|>final<|message|>5",
            "5",
        ),
        ("<|channel|>analysis<|message|>4", None),
        ("<reasoning>4</reasoning>\n5", "5"),
        ("<seed:think>4</seed:think>5", "5"),
        ("I think it is 5", "5"),
        ("<thinker>5</thinker>", "5"),
    ],
)
def test_thoughts_are_no_answers(completion, key):
    assert AnswerReader("last-number")([completion]) == [key]


def test_thoughts_are_kept_where_asked():
    assert AnswerReader("last-number", thinking="keep")(["<think>it is 4"]) == ["4"]
