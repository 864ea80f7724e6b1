r"""A strict reader of LaTeX and plain mathematics: to the end of the text, in one way, or not at all."""

from __future__ import annotations

import re

from ..units import unit_key
from .expressions import ExpressionReader
from .forms import Form, Item, is_name, key_of, with_unit
from .scanner import prepared
from .values import NoValue, Value

_LONGEST = 1000
_SEPARATORS = {",": ",", ";": ",", "and": "and", "or": "or"}
_RELATIONS = {
    "=": "=", "==": "=", "<": "<", ">": ">", "le": "<=", "<=": "<=", "ge": ">=", ">=": ">=",
    "ne": "!=", "!=": "!=", "in": "in", "approx": "~",
}  # fmt: skip


_OF_NUMBERS = ("frac", "times", "cdot", "div", "sqrt", "$")
Part = tuple[str, list[Item], list[str]]
"""The separator before it, its sides, and the relations between them."""


def read(text: str) -> list[Part]:
    """All parts of a text, or `NoValue`."""
    if len(text) > _LONGEST:
        raise NoValue("too long")
    text = prepared(text)
    if re.search(r"(?<![0-9.])[0-9]{1,3},[0-9]{3}(?![0-9])", text):
        raise NoValue("thousands or a list")
    parts = StatementReader(text).whole()
    if len(parts) == 2 and re.search(r"[0-9],[0-9]", re.sub(r"[({\[].*[)}\]]", "", text)):
        raise NoValue("a decimal comma or a list")
    return parts


class StatementReader(ExpressionReader):
    """Lists of equations, sets and quantities."""

    def whole(self) -> list[Part]:
        """Parts up to the end."""
        self.find_unit()
        parts = [("", *self.part())]
        while self.next.kind != "end":
            separator = self.separator()
            self.find_unit()
            parts.append((separator, *self.part()))
        return parts

    def find_unit(self) -> None:
        """Where the letters of a unit begin that is set off from a number: 5 m, 3 h, not 5m."""
        at = self.lone_letter()
        if at is None:
            return
        before, stop = self.tokens[at - 1], at
        if before.kind not in ("number", "repeating") and before.text not in ("}", ")"):
            return
        while self.is_inside(stop):
            stop += 1
        if unit_key(self.text[self.tokens[at].start : self.tokens[stop].start]) is not None:
            self.unit_at = at

    def is_inside(self, at: int) -> bool:
        """Whether the part goes on there."""
        return self.tokens[at].text not in _SEPARATORS and self.tokens[at].kind != "end"

    def lone_letter(self) -> int | None:
        """The place of the first letter behind numbers and signs and a blank."""
        at = self.at
        while self.is_inside(at):
            token = self.tokens[at]
            if token.kind == "letter" and token.spaced and at > self.at:
                break
            if token.kind not in ("number", "repeating", "sign") and token.text not in _OF_NUMBERS:
                return None
            if token.text in _RELATIONS:
                return None
            at += 1
        return at if self.tokens[at].kind == "letter" else None

    def separator(self) -> str:
        """A comma, "and" or "or" between two parts."""
        found = ""
        while self.next.text in _SEPARATORS and self.next.kind != "letter":
            found = max(found, _SEPARATORS[self.next.text])
            self.at += 1
        if not found:
            raise NoValue("the text goes on behind what was read")
        return found

    def part(self) -> tuple[list[Item], list[str]]:
        """Sides with relations between them: 0 < x <= 1."""
        sides, relations = [self.side()], []
        while self.next.text in _RELATIONS and self.next.kind in ("sign", "command"):
            relations.append(_RELATIONS[self.next.text])
            self.at += 1
            sides.append(self.side())
        return sides, relations

    def side(self) -> Item:
        """Unions, intersections and differences of sets, or one expression."""
        while self.takes("$"):
            pass
        result, operation = self.quantity(), ""
        while self.sees("cup", "cap", "setminus"):
            sign = self.passed().text
            other = self.quantity()
            if operation not in ("", sign) or (operation and sign == "setminus"):
                raise NoValue("unions and intersections side by side")
            result, operation = _of_sets(sign, result, other), sign
        while self.takes("$"):
            pass
        return result

    def quantity(self) -> Item:
        """An expression, with a unit or a noun behind it."""
        value = self.sum()
        behind = self.next.kind in ("words", "deg") or self.at == self.unit_at
        if not behind and not self.sees_unit_fraction():
            return value
        if self.next.text in _SEPARATORS:
            return value
        start, self.at = self.next.start, self.end_of_words()
        return with_unit(value, self.text[start : self.next.start].strip())

    def end_of_words(self) -> int:
        """Where a separator, a relation, a dollar or a bracket of before ends what comes."""
        end, depth = self.at, 0
        while True:
            token = self.tokens[end]
            depth += token.text in ("{", "(")
            depth -= token.text in ("}", ")")
            stops = token.text in _SEPARATORS or (
                token.text in _RELATIONS and token.kind != "words"
            )
            if token.kind == "end" or depth < 0 or (not depth and stops) or token.text == "$":
                return end
            end += 1

    def item(self) -> Item:
        """One item of a bracket, which is no equation."""
        sides, relations = self.part()
        if relations:
            raise NoValue("an equation in brackets")
        return sides[0]


def _of_sets(sign: str, a: Item, b: Item) -> Form:
    """A union, an intersection or a difference; members of the first two in any order."""
    for part in (a, b):
        if isinstance(part, Value) and not is_name(part):
            raise NoValue("a set operation on numbers")
    before = a.items if isinstance(a, Form) and a.kind == sign else (a,)
    texts = [key_of(member) for member in (*before, b)]
    texts = texts if sign == "setminus" else sorted(set(texts))
    return Form(sign, f" {sign} ".join(texts), (*before, b))
