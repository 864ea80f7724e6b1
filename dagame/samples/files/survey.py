"""One look at the bytes of JSON lines before they are parsed: how many, which are doubtful, how many keys."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

DEEPEST = 64
"""Levels of nesting in a row of JSON; the time of typing it grows with their square and more."""

_BLOCK = 100_000
"""Bytes looked at together, few enough to stay in the cache."""
_HALF_PAIR = re.compile(
    rb"\\(?:\\u[dD]"  # behind a backslash that may be one itself
    rb"|u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F]))"
)
_NEWLINE, _QUOTE, _COLON, _BACKSLASH, _BLANK = b'\n":\\ '


class Survey(NamedTuple):
    """What a file of JSON lines holds.

    lines: those that are not blank; doubtful: the numbers (from 1) of those that polars might misread:
    it takes half of a surrogate pair for some other character, and deep nesting makes it slow; keys:
    no fewer than there are in all objects, and no more where no text begins with a colon or has a
    backslash before a quote.
    """

    lines: int
    doubtful: set[int]
    keys: int


def survey(data: bytes) -> Survey:
    """The survey of lines, in one pass over the bytes."""
    lines, keys, before, start = 0, 0, 0, 0
    doubtful: set[int] = set()
    while start < len(data):
        end = data.rfind(b"\n", start, start + _BLOCK) + 1
        if not end:  # a line longer than a block
            end = data.find(b"\n", start) + 1 or len(data)
        signs = np.frombuffer(data, np.uint8, end - start, start)
        breaks = np.flatnonzero(signs == _NEWLINE)
        begins = np.concatenate([[0], breaks + 1])
        begins = begins[begins < len(signs)]
        found = _deep(signs, breaks) | _with_half_pairs(data[start:end], signs, breaks)
        doubtful |= {before + 1 + line for line in found}
        lines += len(begins) - _blank(data, start, signs, begins)
        keys += _keys(signs)
        before, start = before + len(begins), end
    return Survey(lines, doubtful, keys)


def _blank(data: bytes, start: int, signs: np.ndarray, begins: np.ndarray) -> int:
    """How many of the lines are white space; only those that begin with some are looked at."""
    count = 0
    for k in begins[signs[begins] <= _BLANK].tolist():
        end = data.find(b"\n", start + k)
        count += data[start + k : len(data) if end < 0 else end + 1].isspace()
    return count


def _deep(signs: np.ndarray, breaks: np.ndarray) -> set[int]:
    """Lines with more than `DEEPEST` opening brackets."""
    opening = np.flatnonzero((signs & 0xDF) == ord("["))  # and "{", which differs in that bit
    if len(opening) <= DEEPEST:
        return set()
    line = np.searchsorted(breaks, opening)
    return set(line[DEEPEST:][line[DEEPEST:] == line[:-DEEPEST]].tolist())


def _with_half_pairs(block: bytes, signs: np.ndarray, breaks: np.ndarray) -> set[int]:
    r"""Lines in which \ud... may stand without its partner."""
    escape = (signs[:-2] == _BACKSLASH) & (signs[1:-1] == ord("u"))
    if not escape.any():
        return set()
    escape &= signs[2:] | 32 == ord("d")
    ends = [*(breaks + 1).tolist(), len(block)]
    lines = set(np.searchsorted(breaks, np.flatnonzero(escape)).tolist())
    return {k for k in lines if _HALF_PAIR.search(block[ends[k - 1] if k else 0 : ends[k]])}


def _keys(signs: np.ndarray) -> int:
    """No fewer colons than stand behind a key: a quote that is not escaped, white space between."""
    colon = signs[3:] == _COLON  # no key and its brace are shorter
    direct = colon & (signs[2:-1] == _QUOTE)
    apart = colon & (signs[2:-1] <= _BLANK)
    escaped = direct & (signs[1:-2] == _BACKSLASH) & (signs[:-3] != _BACKSLASH)
    count = int(np.count_nonzero(direct)) - int(np.count_nonzero(escaped))
    if apart.any():
        before = signs[1:-2][apart]
        count += int(np.count_nonzero((before == _QUOTE) | (before <= _BLANK)))
    return count
