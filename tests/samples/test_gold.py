"""Right answers read as completions are, labels of every spelling, completions that were cut off."""

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.samples import Samples
from dagame.samples.labels import correctness


def read(tmp_path, rows, **options):
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps({"q": 1, **row}) + "\n" for row in rows))
    options = {"extract": "gsm8k", "canonical": "number"} | options
    return Samples.read(path, options.pop("class_by", "q"), **options)


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [
        ("18", "#### 18", 1), ("18", "#### 18.0", 1), (18, "#### 18", 1), (18.0, "#### 18", 1),
        (1.5, "#### 3/2", 1), ("two\n#### 18", "#### 18", 1), (r"so \boxed{18}", "#### 18", 1),
        ("18", "#### 17", 0), ("18", "none", 0), (["17", "18"], "#### 17", 1), ([18, "x"], "#### 18", 1),
        (["17", "18"], "#### 19", 0), (None, "#### 18", None), ("", "#### 18", None), ([], "#### 18", None),
    ],
)  # fmt: skip
def test_right_answers(tmp_path, gold, text, right):
    rows = [{"completion": text, "gold": gold}, {"completion": "#### 18", "gold": "18", "q": 2}]
    samples = read(tmp_path, rows, gold="gold")
    found = samples.partition.correct.tolist()
    assert found[1] == 1
    assert found[0] == right or (right is None and found[0] != found[0])


def test_aliases_are_one_answer(tmp_path):
    rows = [{"completion": f"#### {a}", "gold": ["17", "18", 19]} for a in (17, 18, 19, 20)]
    samples = read(tmp_path, rows, gold="gold")
    assert samples.partition.answer_keys(0) == ["17", "20"]
    assert samples.partition.buckets()[0].counts.tolist() == [[[3, 1]]]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5) | st.none()), min_size=1, max_size=20)
)
def test_gold_against_plain_comparison(pairs):
    rows = [
        {"q": g, "completion": "no" if a is None else f"#### {a}", "gold": f"#### {g}"}
        for g, a in pairs
    ]
    if all(a is None for _, a in pairs):
        return
    samples = Samples.read(rows, "q", extract="gsm8k", gold="gold")
    assert samples.partition.correct.tolist() == [float(g == a) for g, a in pairs]


def test_a_gold_that_no_answer_meets_is_said(tmp_path):
    samples = read(tmp_path, [{"completion": "#### 18", "gold": "x = 18"}], gold="gold")
    assert any("no sample agrees" in note for note in samples.notes)


def test_answers_already_extracted(tmp_path):
    rows = [{"answer": a, "gold": 18} for a in ("18", 18, 18.0, "17", None, True)]
    samples = read(tmp_path, rows, answer="answer", gold="gold", extract="auto")
    assert samples.partition.correct.tolist() == [1, 1, 1, 0, 0, 0]
    lists = read(tmp_path, [{"pred": ["18", None, "17"]}], answer="pred", extract="auto")
    assert lists.partition.answer_keys(0) == ["17", "18", None]


@pytest.mark.parametrize(
    ("values", "limits", "found"),
    [
        ([-1, 1, None, 0], (-1, 1), [0, 1, None, 0.5]),
        ([True, False, None], (0, 1), [1, 0, None]),
        (["true", "FALSE", None], (0, 1), [1, 0, None]),
        (["correct", "Incorrect"], (0, 1), [1, 0]),
        ([0.25, 1.0], (0, 1), [0.25, 1]),
        ([1, 5], (1, 5), [0, 1]),
    ],
)
def test_labels_of_every_spelling(values, limits, found):
    assert correctness(pl.Series("ok", values), limits).to_list() == found


@pytest.mark.parametrize(
    ("values", "limits", "message"),
    [
        (["yes", "no"], (0, 1), "--gold"),
        (["18", "17"], (0, 1), "'18'.*--gold"),
        (["true", "18"], (0, 1), "'18'.*--gold"),
        ([-1, 1], (0, 1), "--correct-range"),
        ([-1, 2], (-1, 1), r"in \[-1, 1\]"),
        ([1.0, float("nan")], (-1, 1), "row 2"),
        ([[1]], (0, 1), "booleans"),
        ([1], (1, 0), "lower value first"),
        ([1], (float("nan"), 1), "lower value first"),
    ],
)
def test_labels_that_cannot_be_understood(values, limits, message):
    with pytest.raises(dg.DagameError, match=message):
        correctness(pl.Series("ok", values), limits)


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"finish_reason": "length"}, None), ({"stop_reason": "max_tokens"}, None),
        ({"finish_reason": " MAX_TOKENS"}, None), ({"truncated": True}, None),
        ({"finish_reason": "stop", "truncated": True}, None), ({"why": "length"}, "why"),
        ({"meta": {"why": "model_length"}}, "meta.why"), ({"meta": {"cut": True}}, "meta.cut"),
    ],
)  # fmt: skip
def test_what_was_cut_off_has_no_answer(tmp_path, more, name):
    rows = [{"completion": "#### 1", **more}, {"completion": "#### 2"}]
    samples = read(tmp_path, rows, finish_reason=name)
    assert samples.partition.answer_keys(0) == ["2", None]
    assert samples.reading.truncated == 1
    kept = read(tmp_path, rows, finish_reason=name, truncated="read")
    assert kept.partition.answer_keys(0) == ["1", "2"]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([{"completion": "#### 1", "why": 3}], {"finish_reason": "why"}, "finish reason"),
        ([{"completion": "#### 1"}], {"truncated": "lose"}, "choose 'no-answer' or 'read'"),
        ([{"completion": "#### 1"}], {"where": ["q"]}, "COLUMN=VALUE"),
        ([{"completion": "#### 1"}], {"where": {"q": 7}}, "no row has q=7; it is 1"),
        ([{"completion": "#### 1"}], {"where": {"z": 7}}, "no column 'z'"),
        ([{"completion": "#### 1", "a": {"b": 1}}], {"where": {"a.b": 2}}, "no row has a.b=2"),
        ([{"completion": "#### 1"}], {"format": "lmeval"}, "did you mean 'lm-eval'"),
        ([{"completion": "#### 1"}], {"format": "lm-eval"}, "so it is not of lm-eval"),
        ([{"completion": "#### 1"}], {"class_by": None}, "--class"),
        ([{"text": "#### 1", "output": "#### 1"}], {}, "'output' or 'text'"),
        ([{"texte": "#### 1"}], {}, "no column 'completion'"),
        (
            [{"a": {"solution": "#### 1"}}],
            {"completion": "a.solutions"},
            "did you mean 'a.solution'",
        ),
        ([{"completion": ["#### 1"], "ok": [1, 0]}], {"correct": "ok"}, "2 values for 1"),
        ([{"completion": ["#### 1"], "ok": {"a": 1}}], {"correct": "ok"}, "is nested"),
        ([{"completion": "#### 1", "g": {"a": 1}}], {"gold": "g"}, "right answer"),
        ([{"completion": "#### 1", "g": "1", "ok": 1}], {"gold": "g", "correct": "ok"}, "not both"),
        (
            [{"completion": "#### 1", "a": "1"}],
            {"answer": "a", "completion": "completion"},
            "--answer",
        ),
        ([{"a": [{"b": 1}]}], {"answer": "a"}, "nested values, not answers"),
        ([{"completion": "#### 1"}], {"correct": ["q", "completion"]}, "one for each"),
        ([{"completion": []}, {"completion": []}], {}, "no completion in completion"),
        ([{"completion": "#### 1"}], {"completion": "completion,completion"}, "each column once"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, rows, options, message):
    with pytest.raises(dg.DagameError, match=message) as caught:
        read(tmp_path, rows, **options)
    assert str(caught.value).endswith((".", "?"))


def test_rows_are_selected_by_what_they_hold(tmp_path):
    rows = [{"completion": f"#### {k}", "k": k, "flag": k == 1, "a": {"b": k}} for k in range(3)]
    for where in ({"k": 1}, ["k=1"], "k=1", {"flag": "true"}, {"a.b": 1}, ["k=1", "flag=true"]):
        assert read(tmp_path, rows, where=where).partition.answer_keys(0) == ["1"]


def test_documents_of_one_name_are_not_one_class(tmp_path):
    rows = [
        {"doc_id": 0, "doc_hash": h, "resps": [["#### 1"]], "filtered_resps": ["1"], "target": "1"}
        for h in ("a", "b")
    ]
    with pytest.raises(dg.DagameError, match="doc_hash"):
        read(tmp_path, rows, class_by=None)
    assert len(read(tmp_path, rows, class_by="doc_hash").partition) == 2


def test_answers_that_lm_eval_did_not_find_are_none(tmp_path):
    rows = [
        {"doc_id": 0, "resps": [["a", "b"]], "filtered_resps": ["[invalid]", "1"], "target": "1"}
    ]
    samples = read(tmp_path, rows, class_by=None, answer="filtered_resps", extract="auto")
    assert samples.partition.answer_keys(0) == ["1", None]
    assert samples.partition.correct.tolist() == [0, 1]
    choices = [{**rows[0], "resps": [[["-8.1", "False"]], [["-9.2", "False"]]]}]
    with pytest.raises(dg.DagameError, match="lists within lists"):
        read(tmp_path, choices, class_by=None)
