"""JSON lines typed by the first of them must be what all of them together give."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagame.samples.files import json_rows
from dagame.samples.files.survey import _HALF_PAIR, DEEPEST, survey

TEXT = st.text('ab :"\\{}[],\n\ud83d\ude00é', max_size=6)
VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([1.5, -2.0, 1e3, 2**63, 10**20]),
    TEXT, st.sampled_from(["[x]", "{", ":x", "1", "true"]), st.lists(TEXT, max_size=2),
    st.dictionaries(st.sampled_from("abz"), st.integers(0, 1), max_size=2),
)  # fmt: skip
PLAIN = st.fixed_dictionaries({"a": TEXT, "b": st.integers(-3, 3) | st.none()})
ROW = PLAIN | st.dictionaries(st.sampled_from(["a", "b", "z", "é\\"]), VALUE, max_size=4)
STYLE = st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : "), (",\t", "  :")])


def typed(rows, monkeypatch, first):
    monkeypatch.setattr(json_rows, "_FIRST_LINES", first)
    frame, kept, faults = json_rows.read_lines("x", rows, "skip")
    return frame.schema, frame.to_dict(as_series=False), kept, faults


@settings(max_examples=40)
@given(rows=st.lists(ROW, min_size=1, max_size=5), style=STYLE, ascii_only=st.booleans())
def test_the_first_lines_give_the_types_of_all(rows, style, ascii_only):
    lines = [json.dumps(r, separators=style, ensure_ascii=ascii_only) for r in rows]
    data = "\n".join(lines).encode(errors="surrogatepass")
    with pytest.MonkeyPatch.context() as patched:
        assert typed(data, patched, 1) == typed(data, patched, 10**9)


def first(lines, monkeypatch):
    monkeypatch.setattr(json_rows, "_FIRST_LINES", 1)
    data = "\n".join(lines).encode()
    return json_rows._by_first_lines("x", data, survey(data))


def test_equal_columns_are_read_without_a_second_look(monkeypatch):
    row = {"text": 'He said: "one": 1', "n": 1, "right": True}
    lines = [json.dumps(row | {"n": k, "right": None if k % 3 else False}) for k in range(9)]
    frame = first([json.dumps(row), *lines], monkeypatch)
    assert frame is not None
    assert frame["text"].to_list() == [row["text"]] * 10
    assert frame["right"].null_count() == 6


@pytest.mark.parametrize(
    "odd",
    [
        '{"a": "x", "b": 1, "c": 2}',  # another key
        '{"a": "x", "c": null}',  # in the place of one that is absent
        '{"a": {"b": 1}, "b": 1}',
        '{"a": ["x"], "b": 1}',
        '{"a": "[x]", "b": 1}',  # a text, but it might be a list
        '{"a": "x", "b": 1.5}',
        '{"a": "x", "b": "1"}',
        '{"a": "x", "b"  :1, "a\\\\":1}',
        "[1]",
    ],
)
def test_a_line_that_could_change_the_types_is_not_guessed(odd, monkeypatch):
    plain = ['{"a": "x", "b": 1}', '{"a": "y", "b": null}']
    assert first(plain, monkeypatch) is not None
    assert first([*plain, odd], monkeypatch) is None


def keys_in(value):
    if isinstance(value, dict):
        return len(value) + sum(map(keys_in, value.values()))
    return sum(map(keys_in, value)) if isinstance(value, list) else 0


def texts_in(value):
    if isinstance(value, dict):
        return [text for pair in value.items() for v in pair for text in texts_in(v)]
    if isinstance(value, list):
        return [text for v in value for text in texts_in(v)]
    return [value] if isinstance(value, str) else []


def doubtful(line):
    deep = line.count(b"[") + line.count(b"{") > DEEPEST
    return deep or _HALF_PAIR.search(line) is not None


@settings(max_examples=20)
@given(
    rows=st.lists(st.dictionaries(TEXT, VALUE, max_size=4), max_size=6),
    blank=st.sampled_from(["", " \t", "\r", "\x0b"]),
    style=STYLE,
    block=st.sampled_from([1, 40, 10**5]),
    span=st.sampled_from([1, 90, 10**7]),
)
def test_a_survey_counts_what_is_there(rows, blank, style, block, span):
    deep = "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)
    lines = [json.dumps(r, separators=style) for r in rows]
    half = '{"q": "\\ud83d"}'
    data = "\n".join([*lines, blank, half, "", deep, *lines]).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("dagame.samples.files.survey._BLOCK", block)
        patched.setattr("dagame.samples.files.survey._SPAN", span)
        found = survey(data)
    assert found.lines == sum(not line.isspace() for line in io.BytesIO(data))
    numbered = enumerate(io.BytesIO(data), 1)
    assert found.doubtful == {k for k, line in numbered if doubtful(line)}
    assert {len(rows) + 2, len(rows) + 4} <= found.doubtful
    count = 2 * sum(map(keys_in, rows)) + 1
    assert found.keys >= count
    texts = [text for r in rows for text in texts_in(r)]
    if not any(text.lstrip(" ").startswith(":") or '\\"' in text for text in texts):
        assert found.keys == count
