"""A completion round its answer, for people to look at."""

from __future__ import annotations

from typing import NamedTuple

_BEFORE, _AFTER = 80, 40
"""Characters that are shown on either side of an answer."""


class Excerpt(NamedTuple):
    """A completion round its answer: the text before, the answer as it stands there, the text after.

    `answer` is None where there is none (`before` is then the end of the completion), and `match` is
    empty where the answer's text does not stand in the completion.
    """

    row: int
    before: str
    match: str
    after: str
    answer: str | None
    key: str | None


def excerpt(row: int, text: str | None, answer: str | None, key: str | None) -> Excerpt:
    """The completion round the last place where the answer's text stands, as a word if it can."""
    text = (text or "").strip()
    if answer is None or not answer.strip():
        return Excerpt(row, _end(text), "", "", None, key)
    place = _last_place(text, answer.strip())
    if place < 0:
        return Excerpt(row, _end(text), "", "", answer, key)
    stop = place + len(answer.strip())
    before = text[max(0, place - _BEFORE) : place]
    after = text[stop : stop + _AFTER]
    before = f"…{before}" if place > _BEFORE else before
    after = f"{after}…" if stop + _AFTER < len(text) else after
    return Excerpt(row, before, text[place:stop], after, answer, key)


def _end(text: str) -> str:
    longest = _BEFORE + _AFTER
    return text if len(text) <= longest else f"…{text[-longest:]}"


def _last_place(text: str, answer: str) -> int:
    """Where the answer stands last with no letter or digit beside it; else where it stands last."""
    last = place = text.rfind(answer)
    while place >= 0:
        sides = text[max(0, place - 1) : place], text[place + len(answer) : place + len(answer) + 1]
        if not any(side.isalnum() for side in sides):
            return place
        place = text.rfind(answer, 0, place + len(answer) - 1)
    return last
