"""Exact values of written numbers, in bounded time: no digit is rounded and none is guessed."""

from __future__ import annotations

import re
from fractions import Fraction

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:[ \u00a0\u202f][0-9]{3})+|[0-9]{0,60})"
_DECIMAL = re.compile(
    rf"([-+\u2212]?) *({_DIGITS})(?:\.([0-9]{{0,60}}))?(?:[eE]([-+]?[0-9]{{1,3}}))?"
)


def decimal(text: str) -> Fraction | None:
    """The value of a decimal of at most 60 + 60 digits and an exponent below 1000 in size.

    Commas or blanks may separate thousands, in threes: "1,000" is 1000 and "1,5" is no number.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, part, exponent = match.groups()
    digits = re.sub(r"[^0-9]", "", whole) + (part or "")
    if not digits or len(digits) > 120:
        return None
    value = Fraction(int(digits), 10 ** len(part or "")) * Fraction(10) ** int(exponent or 0)
    return -value if sign in ("-", "\u2212") else value


def rational(text: str) -> Fraction | None:
    """The value of a decimal or of a fraction of two; None for anything else, zero divisors too."""
    above, slash, below = text.partition("/")
    value = decimal(above.strip())
    if not slash or value is None:
        return value
    divisor = decimal(below.strip())
    return value / divisor if divisor else None
