"""What a model wrote, in a value of a data set: the text of the answer, and why it ends where it does.

A completion is a text, a chat (a list of messages), one message, or the response of an API with its
choices. Of a chat the last turn counts, and only if it is an assistant's: earlier turns, and one that
calls a tool, are drafts, and the text of tools, users and systems is never the model's. Reasoning
(`reasoning_content`, parts of type thinking or reasoning) is no part of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

ASSISTANTS = frozenset({"assistant", "model", "gpt", "ai", "bot", "chatbot"})
TRUNCATED = frozenset(
    {"length", "max_tokens", "max_output_tokens", "model_length", "max_length", "incomplete"}
)
"""Reasons, in lower case, that mean a completion was cut off."""

_TEXT_PARTS = frozenset({"text", "output_text"})
_REASONING_PARTS = frozenset({"reasoning", "thinking", "redacted_thinking", "summary_text"})
_TOOL_PARTS = frozenset({"tool_use", "tool_call", "function_call", "toolcall", "server_tool_use"})
_CHOICES = ("choices", "candidates", "outputs", "generations")
_REASONS = ("finish_reason", "stop_reason", "finishReason", "done_reason")


class NoCompletion(ValueError):
    """A value of a shape that is no completion; the message says what it holds."""


class Completion(NamedTuple):
    """text: None where there is no answer to read; finish_reason: None where it is not given."""

    text: str | None
    finish_reason: str | None = None


class Each(list):
    """The values that a path found in several places: each stands for itself, never one chat."""


def text_of(completion: Any) -> str:
    """The text of one completion, "" if it has none: of a chat the last turn, an assistant's.

    It never raises: what is no completion has no text.
    """
    if isinstance(completion, str):
        return clean(completion)
    found = _one(completion)
    return "" if found is None else found.text or ""


def is_truncated(reason: Any) -> bool:
    """Whether a finish reason, or a truth value of a column `truncated`, says that text is missing."""
    if isinstance(reason, str):
        return reason.strip().lower() in TRUNCATED
    return reason is True


def completions_of(value: Any) -> tuple[list[Completion], bool]:
    """The completions that a value holds, and whether it can hold any number of them.

    One text, message, chat or null is one. A list of these, or of choices of an API, is each of its
    elements; lists of lists (repeats of requests) are joined.

    Raises:
        NoCompletion: any other shape; nothing nested is taken for text.
    """
    if isinstance(value, Each):
        return [c for v in value for c in completions_of(v)[0]], True
    if _is_list(value) and not _is_chat(value) and not _is_parts(value):
        return [c for v in value for c in _element(v, nested=True)], True
    choices = _choices(value)
    if choices is not None:
        return [c for v in choices for c in _element(v, nested=False)], True
    if isinstance(value, Mapping) and value.get("error") and not _is_completion(value):
        return [], True
    return [_single(value)], False


def clean(text: str) -> str:
    """The text without lone surrogates, which no column of strings can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _one(value: Any) -> Completion | None:
    """The value as one completion, in any of the shapes above; None where it is none."""
    try:
        choices = _choices(value)
        if choices is not None:
            return _single(choices[0]) if len(choices) == 1 else None
        if _is_list(value) and value and not _is_chat(value):
            return Completion(_content(value))
        return _single(value)
    except NoCompletion:
        return None


def _element(value: Any, nested: bool) -> list[Completion]:
    """The completions of one element of a list; one more list is opened if `nested`."""
    if _is_list(value) and not _is_chat(value) and not _is_parts(value):
        if not nested:
            raise NoCompletion(f"lists within lists, of {_kind(value[0]) if value else 'nothing'}")
        return [c for v in value for c in _element(v, nested=False)]
    choices = _choices(value)
    if choices is not None:
        return [_single(v) for v in choices]
    return [_single(value)]


def _single(value: Any) -> Completion:
    if value is None:
        return Completion(None)
    if isinstance(value, str):
        return Completion(clean(value))
    if _is_list(value):
        if _is_parts(value):
            return Completion(_content(value))
        if _is_chat(value):
            return _chat(value)
        raise NoCompletion(f"a list of {_kind(value[0])}" if value else "an empty list")
    if not isinstance(value, Mapping):
        raise NoCompletion(f"{_kind(value)}, {str(value)[:40]!r}, not text")
    return _of_object(value, _reason(value))


def _of_object(value: Mapping[str, Any], reason: str | None) -> Completion:
    """One message, or the response of an API."""
    if _is_list(value.get("output")):
        return Completion(_chat(value["output"]).text, reason)
    for inner in ("message", "content"):
        if isinstance(value.get(inner), Mapping) and _speaker(value[inner]) is not None:
            found = _chat([value[inner]])
            return Completion(found.text, reason or found.finish_reason)
    if _speaker(value) is not None:
        return _chat([value])
    if "content" in value and not isinstance(value["content"], Mapping):
        return Completion(_content(value["content"]), reason)
    for name in ("text", "generated_text"):
        if isinstance(value.get(name), str) and not _is_reasoning(value):
            return Completion(clean(value[name]), reason)
        if name in value and value[name] is None:
            return Completion(None, reason)
    names = ", ".join(map(repr, list(value)[:6]))
    raise NoCompletion(f"an object with {names[:120] or 'nothing'}")


def _chat(turns: Sequence[Any]) -> Completion:
    """The last turn, if an assistant ends the chat there and calls no tool."""
    said = [t for t in turns if not (isinstance(t, Mapping) and _is_reasoning(t))]
    if not said:
        return Completion(None)
    last = said[-1]
    if not isinstance(last, Mapping):
        raise NoCompletion(f"a chat that ends in {_kind(last)}")
    content = next(
        (last[k] for k in ("content", "value", "parts") if last.get(k) is not None), None
    )
    if _speaker(last) not in ASSISTANTS or _calls_tool(last, content):
        return Completion(None, _reason(last))
    return Completion(_content(content), _reason(last))


def _content(content: Any) -> str | None:
    """The text of a message: a text, or its parts of text, one on a line."""
    if content is None:
        return None
    if isinstance(content, str):
        return clean(content)
    if not _is_list(content):
        raise NoCompletion(f"a message that holds {_kind(content)}")
    texts = []
    for part in content:
        if isinstance(part, str):
            texts.append(clean(part))
        elif isinstance(part, Mapping):
            if _is_text(part):
                texts.append(clean(part["text"]))
        elif part is not None:
            raise NoCompletion(f"a message with {_kind(part)} among its parts")
    return "\n".join(texts) if texts else None


def _is_text(part: Mapping[str, Any]) -> bool:
    return (
        (part.get("type") is None or _type(part) in _TEXT_PARTS)
        and isinstance(part.get("text"), str)
        and part.get("thought") is not True
    )


def _is_reasoning(part: Mapping[str, Any]) -> bool:
    return _type(part) in _REASONING_PARTS or part.get("channel") in ("analysis", "commentary")


def _type(part: Mapping[str, Any]) -> str:
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def _speaker(turn: Mapping[str, Any]) -> str | None:
    """Who speaks, in lower case; a tool for an item that is no message; None for no turn at all."""
    for name in ("role", "from"):
        if isinstance(turn.get(name), str):
            return turn[name].strip().lower()
    kind = _type(turn)
    if kind.endswith(("_call", "_call_output")):
        return "tool"
    return kind if kind in ("ai", "human", "tool", "system") and "content" in turn else None


def _calls_tool(turn: Mapping[str, Any], content: Any) -> bool:
    if turn.get("tool_calls") or turn.get("function_call"):
        return True
    parts = content if _is_list(content) else ()
    return any(
        isinstance(p, Mapping)
        and (_type(p) in _TOOL_PARTS or p.get("functionCall") or p.get("function_call"))
        for p in parts
    )


def _choices(value: Any) -> Sequence[Any] | None:
    """The choices of a response, or the response itself where it is one chat; None for other values."""
    if not isinstance(value, Mapping) or _speaker(value) is not None:
        return None
    for name in _CHOICES:
        if _is_list(value.get(name)):
            return value[name]
    return None


def _is_completion(value: Mapping[str, Any]) -> bool:
    return any(value.get(k) for k in ("output", "message", "content", "text", "role"))


def _reason(value: Mapping[str, Any]) -> str | None:
    details = value.get("incomplete_details")
    if isinstance(details, Mapping) and isinstance(details.get("reason"), str):
        return details["reason"]
    if value.get("status") == "incomplete":
        return "incomplete"
    return next((value[k] for k in _REASONS if isinstance(value.get(k), str)), None)


def _is_chat(value: Any) -> bool:
    """A list of turns; any element that is one makes it so, since the others are no completions."""
    return _is_list(value) and any(isinstance(v, Mapping) and _speaker(v) for v in value)


def _is_parts(value: Any) -> bool:
    """A list of the typed parts of one message."""
    return bool(value) and all(
        isinstance(v, Mapping) and isinstance(v.get("type"), str) and _speaker(v) is None
        for v in value
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _kind(value: Any) -> str:
    names = (
        (bool, "a truth value"),
        (int | float, "a number"),
        (str, "text"),
        (Mapping, "an object"),
    )
    found = next((name for kind, name in names if isinstance(value, kind)), None)
    return found or ("a list" if _is_list(value) else f"a {type(value).__name__}")
