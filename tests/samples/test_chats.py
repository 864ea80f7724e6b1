"""Only what the assistant says last is an answer, whatever else a chat or a response holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagame.samples.chats import (
    Each,
    NoCompletion,
    completions_of,
    is_truncated,
    text_of,
)

USER = {"role": "user", "content": "6"}
TOOL = {"role": "tool", "content": "6"}
CALL = {"role": "assistant", "content": "6", "tool_calls": [{"id": "a"}]}
SAID = {"role": "assistant", "content": "7"}


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("7", "7"),
        (SAID, "7"),
        ([SAID], "7"),
        ([USER, SAID], "7"),
        ([{"role": "system", "content": "6"}, USER, CALL, TOOL, SAID], "7"),
        ([{"role": "assistant", "content": "6"}, USER, SAID], "7"),
        ([SAID, USER], ""),
        ([SAID, CALL], ""),
        ([SAID, CALL, TOOL], ""),
        ([USER], ""),
        ([{"role": "function", "content": "6"}], ""),
        ([{**SAID, "tool_calls": [], "function_call": None}], "7"),
        ([{"role": "assistant", "content": None}], ""),
        ([{"role": "assistant"}], ""),
        ([SAID, {"role": "assistant", "content": None}], ""),
        ([{**SAID, "reasoning_content": "6", "reasoning": "6", "thinking": "6"}], "7"),
        ([{"role": "assistant", "content": [{"type": "text", "text": "7"}]}], "7"),
        ([{"role": "assistant", "content": ["7"]}], "7"),
        ([{"role": "assistant", "content": [{"type": "image"}, {"type": "refusal", "text": "6"}]}], ""),
        (
            [{"role": "assistant", "content": [{"type": "reasoning", "text": "6"},
              {"type": "thinking", "thinking": "6"}, {"type": "text", "text": "7"}]}],
            "7",
        ),
        (
            [{"role": "assistant", "content": [{"type": "text", "text": "6"}, {"type": "tool_use"}]}],
            "",
        ),
        ([{"role": "ASSISTANT ", "content": "7"}], "7"),
        ([{"role": "model", "parts": [{"text": "6", "thought": True}, {"text": "7"}]}], "7"),
        ([{"from": "human", "value": "6"}, {"from": "gpt", "value": "7"}], "7"),
        ([{"type": "human", "content": "6"}, {"type": "ai", "content": "7"}], "7"),
        ([{"role": "assistant", "channel": "final", "content": "7"},
          {"role": "assistant", "channel": "analysis", "content": "6"}], "7"),
        ({"choices": [{"message": SAID}]}, "7"),
        ({"choices": [{"text": "7"}]}, "7"),
        ({"message": SAID}, "7"),
        ({"output": [{"type": "reasoning", "content": "6"}, {"type": "message", **SAID}]}, "7"),
        ({"output": [{"type": "message", **SAID}, {"type": "function_call", "arguments": "6"}]}, ""),
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": "7"}]}}]}, "7"),
        ({"choices": [{"message": SAID}, {"message": SAID}]}, ""),
        (None, ""),
        (7, ""),
        ([], ""),
        ({}, ""),
        ([7], ""),
        ([[SAID]], ""),
        ({"role": "assistant", "content": {"text": "6"}}, ""),
        ({"role": 6, "content": "7"}, "7"),
        ("\ud800 7", "? 7"),
    ],
)  # fmt: skip
def test_the_text_of_one_completion(completion, text):
    assert text_of(completion) == text


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("7", ["7"]),
        (None, [None]),
        ([], []),
        (["6", None, "7"], ["6", None, "7"]),
        ([["6"], ["7", "8"]], ["6", "7", "8"]),
        ([USER, SAID], ["7"]),
        ([[USER, SAID], [SAID, USER]], ["7", None]),
        (Each([SAID, SAID]), ["7", "7"]),
        ({"choices": [{"message": SAID}, {"message": CALL}]}, ["7", None]),
        ([{"text": "6"}, {"text": "7"}], ["6", "7"]),
        ([{"generated_text": "6"}], ["6"]),
        ([{"type": "text", "text": "6"}, {"type": "text", "text": "7"}], ["6\n7"]),
        ({"error": {"code": 1}}, []),
        ({"choices": []}, []),
    ],
)
def test_the_completions_of_a_value(value, texts):
    assert [c.text for c in completions_of(value)[0]] == texts


@pytest.mark.parametrize(
    "value",
    [
        7, True, 1.5, {}, {"a": "7"}, [7], ["7", 7], [["7"], [7]], [[["7"]]], [{"a": "7"}], [[], ["7", []]],
        {"role": "assistant", "content": 7}, [{"role": "assistant", "content": {"text": "7"}}],
        [{"role": "assistant", "content": [[{"text": "7"}]]}], [SAID, "7"], [{"role": "user"}, 7],
        {"choices": [[7]]}, [[[-1.5, "False"]]], {"text": 7},
    ],
)  # fmt: skip
def test_what_is_no_completion_is_refused(value):
    with pytest.raises(NoCompletion):
        completions_of(value)


@pytest.mark.parametrize(
    ("value", "cut"),
    [
        ({"choices": [{"message": SAID, "finish_reason": "length"}]}, True),
        ({"choices": [{"message": SAID, "finish_reason": "stop"}]}, False),
        ({"text": "7", "finish_reason": "length"}, True),
        ({**SAID, "stop_reason": "max_tokens"}, True),
        ({**SAID, "stop_reason": "end_turn"}, False),
        ({"candidates": [{"content": SAID, "finishReason": "MAX_TOKENS"}]}, True),
        ({"status": "incomplete", "output": [{"type": "message", **SAID}],
          "incomplete_details": {"reason": "max_output_tokens"}}, True),
        ({"status": "completed", "incomplete_details": None, "output": [{"type": "message", **SAID}]}, False),
        (SAID, False),
        ("7", False),
        (None, False),
    ],
)  # fmt: skip
def test_completions_that_were_cut_off(value, cut):
    assert [is_truncated(c.finish_reason) for c in completions_of(value)[0]] == [cut]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["role", "content", "type", "text", "tool_calls", "choices", "message", "output", "from",
             "value", "parts", "error", "outputs", "finish_reason", "status", "channel"]
        ),
        inner | st.sampled_from(["assistant", "user", "tool", "text", "reasoning", "ai", "x_call"]),
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(json_values)
def test_nothing_raises_but_a_refusal_and_texts_are_texts_of_the_value(value):
    assert isinstance(text_of(value), str)
    try:
        found, _ = completions_of(value)
    except NoCompletion:
        return
    for completion in found:
        assert completion.finish_reason is None or isinstance(completion.finish_reason, str)
        parts = [] if completion.text is None else completion.text.split("\n")
        assert set(parts) <= {line for leaf in leaves(value) for line in leaf.split("\n")}


def leaves(value):
    """Every text within."""
    if isinstance(value, str):
        return [text_of(value)]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for v in inner for text in leaves(v)]
