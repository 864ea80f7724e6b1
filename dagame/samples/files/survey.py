"""One look at the bytes of JSON lines before they are parsed: how many, which are doubtful, how many keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..cores import side_by_side

DEEPEST = 64
"""Levels of nesting in a row of JSON; the time of typing it grows with their square and more."""

_SPAN, _BLOCK = 8_000_000, 100_000
"""Bytes that a thread takes at a time, and those looked at together, few enough to stay in the cache."""
_HALF_PAIR = re.compile(
    rb"\\(?:\\u[dD]"  # behind a backslash that may be one itself
    rb"|u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F]))"
)
_NEWLINE, _QUOTE, _COLON, _BACKSLASH, _BLANK, _OPENING = b'\n":\\ ['


class Survey(NamedTuple):
    """What a file of JSON lines holds.

    lines: those that are not blank; doubtful: the numbers (from 1) of those that polars might misread:
    it takes half of a surrogate pair for some other character, and deep nesting makes it slow; keys:
    no fewer than there are in all objects, and no more where no text begins with a colon (white space before
    it or not) or has a backslash before a quote.
    """

    lines: int
    doubtful: set[int]
    keys: int


def survey(data: bytes) -> Survey:
    """The survey of lines, in one pass over the bytes, on all cores."""
    spans = list(_cut(data, 0, len(data), _SPAN))
    return _joined(side_by_side(lambda span: _of_lines(data, *span), spans, len(spans) > 1))


class _Part(NamedTuple):
    """The survey of some lines, numbered from 1, and how many of them there are with blank ones."""

    found: Survey
    every: int


def _joined(parts: Iterable[_Part]) -> Survey:
    """The survey of lines from that of parts that follow each other."""
    lines, doubtful, keys, before = 0, set[int](), 0, 0
    for found, every in parts:
        lines, keys = lines + found.lines, keys + found.keys
        doubtful |= {before + number for number in found.doubtful}
        before += every
    return Survey(lines, doubtful, keys)


def _cut(data: bytes, start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Where whole lines begin and end, about `size` bytes of them together."""
    while start < stop:
        end = data.rfind(b"\n", start, min(start + size, stop)) + 1
        if not end:  # a line longer than that
            end = data.find(b"\n", start, stop) + 1 or stop
        yield start, end
        start = end


def _of_lines(data: bytes, start: int, stop: int) -> _Part:
    """The survey of the lines between two places."""
    parts = [_of_block(data, *block) for block in _cut(data, start, stop, _BLOCK)]
    return _Part(_joined(parts), sum(part.every for part in parts))


def _of_block(data: bytes, start: int, end: int) -> _Part:
    signs = np.frombuffer(data, np.uint8, end - start, start)
    newline, blank = signs == _NEWLINE, signs <= _BLANK
    every = int(np.count_nonzero(newline)) + int(signs[-1] != _NEWLINE)
    begins = newline[:-1] & blank[1:]  # before lines that begin with white space
    empty = 0
    if blank[0] or begins.any():
        for k in (0, *(np.flatnonzero(begins) + 1).tolist()):
            line = data.find(b"\n", start + k, end) + 1 or end
            empty += data[start + k : line].isspace()
    backslash = signs == _BACKSLASH
    doubtful = _deep(signs, newline) | _with_half_pairs(data[start:end], signs, newline, backslash)
    found = Survey(every - empty, doubtful, _keys(signs, blank, backslash))
    return _Part(found, every)


def _deep(signs: np.ndarray, newline: np.ndarray) -> set[int]:
    """Lines with more than `DEEPEST` opening brackets."""
    opening = (signs & 0xDF) == _OPENING  # and "{", which differs in that bit
    others = np.count_nonzero(newline[:-1] & opening[1:])  # lines that have one, but for the first
    if np.count_nonzero(opening) - others < DEEPEST:
        return set()
    line = np.searchsorted(np.flatnonzero(newline), np.flatnonzero(opening))
    return set((line[DEEPEST:][line[DEEPEST:] == line[:-DEEPEST]] + 1).tolist())


def _with_half_pairs(
    block: bytes, signs: np.ndarray, newline: np.ndarray, backslash: np.ndarray
) -> set[int]:
    r"""Lines in which \ud... may stand without its partner."""
    escape = backslash[:-2] & (signs[1:-1] == ord("u"))
    if not escape.any():
        return set()
    escape &= signs[2:] | 32 == ord("d")
    breaks = np.flatnonzero(newline)
    ends = [0, *(breaks + 1).tolist(), len(block)]
    lines = set(np.searchsorted(breaks, np.flatnonzero(escape)).tolist())
    return {k + 1 for k in lines if _HALF_PAIR.search(block[ends[k] : ends[k + 1]])}


def _keys(signs: np.ndarray, blank: np.ndarray, backslash: np.ndarray) -> int:
    """No fewer colons than stand behind a key: a quote that is not escaped, white space between."""
    colon = signs[3:] == _COLON  # no key and its brace are shorter
    direct = colon & (signs[2:-1] == _QUOTE)
    apart = colon & blank[2:-1]
    count = int(np.count_nonzero(direct))
    direct &= backslash[1:-2]
    if direct.any():
        count -= int(np.count_nonzero(direct & ~backslash[:-3]))
    if apart.any():
        before = signs[1:-2][apart]
        count += int(np.count_nonzero((before == _QUOTE) | (before <= _BLANK)))
    return count
