r"""Recursive descent over the tokens of an expression, straight to values and forms.

Where a text could be taken two ways (1/2x, x2, 2 3, a range) it raises `NoValue`.
"""

from __future__ import annotations

from fractions import Fraction

from . import arithmetic, functions, powers, values
from .forms import Item, added, multiplied, negated, plus_minus, value_of
from .primaries import PrimaryReader
from .scanner import Token
from .values import NoValue, Value

_DEEPEST = 30


class ExpressionReader(PrimaryReader):
    """Reads sums, products and powers."""

    def sum(self) -> Item:
        """Terms with signs before them."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NoValue("too deep")
        if self.takes("-"):
            result = negated(self.term())
        elif self.takes("pm", "mp"):
            result = plus_minus(values.number(0), value_of(self.term()))
        else:
            self.takes("+")
            result = self.term()
        while self.sees("+", "-", "pm", "mp"):
            result = self.with_term(result, self.passed().text)
        self.depth -= 1
        return result

    def with_term(self, result: Item, sign: str) -> Item:
        """A sum with one more term."""
        other = self.term()
        if sign in ("pm", "mp"):
            return plus_minus(value_of(result), value_of(other))
        return added(result, other if sign == "+" else negated(other))

    def term(self) -> Item:
        """Products and quotients; side by side only where that means a product."""
        first = self.at
        result, divided = self.factor(), False
        while True:
            if self.takes("*", "times", "cdot"):
                divided = False
                result = multiplied(result, self.signed_factor())
            elif self.sees("/", "div") and not self.sees_unit_fraction():
                if divided:
                    raise NoValue("a quotient of a quotient without brackets")
                self.at += 1
                result = arithmetic.divide(value_of(result), value_of(self.signed_factor()))
                divided = True
            elif self.begins_factor():
                result = self.side_by_side(result, first, divided)
            else:
                return result

    def side_by_side(self, result: Item, first: int, divided: bool) -> Item:
        """A mixed number, or a product without a sign."""
        digits = self.next.kind in ("number", "repeating")
        if divided or (digits and self.tokens[self.at - 1].text != "!"):
            raise NoValue("factors side by side that could be read two ways")
        mixed = self.mixed_part(first)
        if mixed is None:
            return multiplied(result, self.factor())
        if self.begins_factor() or self.sees("^", "!", "*", "/", "times", "cdot"):
            raise NoValue("a mixed number or a product")
        return arithmetic.add(value_of(result), values.number(mixed))

    def signed_factor(self) -> Item:
        """A factor, with a sign of its own behind a multiplication sign."""
        if self.takes("-"):
            return negated(self.factor())
        self.takes("+")
        return self.factor()

    def mixed_part(self, first: int) -> Fraction | None:
        r"""The fraction of 2\frac12 when the factor before it is only a whole number."""
        if self.at != first + 1 or not self.sees("frac"):
            return None
        if not self.tokens[first].text.isdigit():
            return None
        start, before = self.at, list(self.tokens)
        self.at += 1
        above, below = self.argument(), self.argument()
        inside = [t.text for t in self.tokens[start + 1 : self.at] if t.text not in ("{", "}")]
        if not all(t.isdigit() for t in inside):
            self.at, self.tokens = start, before
            return None
        part = arithmetic.divide(above, below).constant()
        if part is None or not 0 < part < 1:
            raise NoValue("a mixed number or a product")
        return part

    def factor(self) -> Item:
        """A primary with its powers, factorials, per cents and degrees."""
        result, raised = self.primary(), 0
        while True:
            if self.takes("^", "**"):
                if raised:
                    raise NoValue("a power of a power without brackets")
                result = powers.power(value_of(result), self.exponent())
                raised += 1
            elif self.sees("!", "%") or self.sees_degrees():
                result = self.marked(value_of(result), self.passed())
            else:
                return result

    def sees_degrees(self) -> bool:
        """Whether degrees of an angle come, not of a temperature."""
        return self.next.kind == "deg" and self.tokens[self.at + 1].text not in ("C", "F")

    def marked(self, value: Value, mark: Token) -> Value:
        """A factorial, per cents or degrees."""
        if mark.kind == "deg":
            return arithmetic.multiply(value, values.of_atom(values.DEGREE))
        if mark.text == "%":
            if self.begins_factor():
                raise NoValue("per cent of something")
            return arithmetic.divide(value, values.number(100))
        if self.sees("!"):
            raise NoValue("a double factorial")
        return functions.factorial(value)

    def exponent(self) -> Value:
        """What stands behind ^."""
        if self.sees("{"):
            return self.argument()
        if self.sees("'", "*", "T"):
            raise NoValue("a mark that is no power")
        return value_of(self.signed_primary())

    def signed_primary(self) -> Item:
        """A primary with a sign."""
        if self.takes("-"):
            return negated(self.primary())
        return self.primary()
