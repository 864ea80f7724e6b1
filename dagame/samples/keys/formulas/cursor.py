"""A place among the tokens of a text, and questions about the next one."""

from __future__ import annotations

import re

from .scanner import Token, tokens
from .values import NoValue

_UNIT_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*\\(?:text|mathrm)\s*\{\s*[A-Za-zµ]")
FACTORS = frozenset(
    ("pi", "infty", "emptyset", "sqrt", "root", "frac", "binom", "lfloor", "lceil", "langle")
)


class Cursor:
    """A place among tokens."""

    def __init__(self, text: str) -> None:
        """Of a prepared text."""
        self.text, self.tokens, self.at, self.depth, self.bars = text, tokens(text), 0, 0, 0
        self.unit_at = -1

    # -- tokens -----------------------------------------------------------------------------------

    @property
    def next(self) -> Token:
        """The token to be read."""
        return self.tokens[self.at]

    def sees(self, *texts: str) -> bool:
        """Whether a sign or command comes."""
        token = self.tokens[self.at]
        return token.text in texts and token.kind in ("sign", "command", "words")

    def takes(self, *texts: str) -> bool:
        """Whether it came, and step over it."""
        if self.sees(*texts):
            self.at += 1
            return True
        return False

    def passed(self) -> Token:
        """The token that comes, stepped over."""
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, text: str) -> None:
        """Step over a sign, or `NoValue`."""
        if not self.takes(text):
            raise NoValue(f"{text} is missing")

    def sees_unit_fraction(self) -> bool:
        r"""\frac{\text{m}}{\text{s}}, or a slash and a unit: not the numbers of an expression."""
        if self.sees("frac"):
            return bool(_UNIT_FRACTION.match(self.text, self.next.start))
        return self.sees("/") and self.tokens[self.at + 1].kind == "words"

    def begins_factor(self) -> bool:
        """Whether a factor follows side by side."""
        kind, text = self.next.kind, self.next.text
        if self.at == self.unit_at:
            return False
        if kind in ("number", "letter", "symbol", "function", "begin", "repeating"):
            return True
        if kind == "sign":
            return text in ("(", "[", "{", "\\{", "|(") or (text == "|" and not self.bars)
        if self.sees_unit_fraction():
            return False
        return kind == "command" and text in FACTORS
