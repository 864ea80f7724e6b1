r"""Recursive descent over the tokens of an expression, straight to values and forms.

Where a text could be taken two ways (1/2x, x2, 2 3, a range) it raises `NoValue`.
"""

from __future__ import annotations

import re
from fractions import Fraction

from . import arithmetic, functions, powers, trigonometry, values
from .forms import (
    Form,
    Item,
    added,
    bracketed,
    extreme,
    function_value,
    matrix_of,
    multiplied,
    negated,
    number_of,
    plus_minus,
    value_of,
)
from .scanner import Token, tokens
from .values import NoValue, Value

_DEEPEST = 30
_UNIT_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*\\(?:text|mathrm)\s*\{\s*[A-Za-zµ]")
_APPLIED = frozenset("fghFGHPQ")
_MATRICES = frozenset(("matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"))
_CLOSERS = {
    "(": (")", "]"), "[": ("]", ")"), "{": ("}",), "\\{": ("\\}",), "|": ("|",), "|(": (")|",),
    "lfloor": ("rfloor",), "lceil": ("rceil",), "langle": ("rangle",),
}  # fmt: skip
_BRACKETS = frozenset(("(", "[", "{", "\\{", "|", "|("))
_FACTORS = frozenset(
    ("pi", "infty", "emptyset", "sqrt", "root", "frac", "binom", "lfloor", "lceil", "langle")
)


class ExpressionReader:
    """A cursor over tokens; `item` of a bracket is read by the subclass that knows statements."""

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

    def expect(self, text: str) -> None:
        """Step over a sign, or `NoValue`."""
        if not self.takes(text):
            raise NoValue(f"{text} is missing")

    def sees_unit_fraction(self) -> bool:
        r"""\frac{\text{m}}{\text{s}}, or a slash and a unit: not the numbers of an expression."""
        if self.sees("frac"):
            return bool(_UNIT_FRACTION.match(self.text, self.next.start))
        return self.sees("/") and self.tokens[self.at + 1].kind == "words"

    # -- expressions ------------------------------------------------------------------------------

    def sum(self) -> Item:
        """Terms with signs before them."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise NoValue("too deep")
        if self.takes("pm", "mp"):
            result: Item = plus_minus(values.number(0), value_of(self.term()))
        else:
            negative = self.sees("-")
            self.takes("-", "+")
            result = self.term()
            if negative:
                result = negated(result)
        while self.sees("+", "-", "pm", "mp"):
            sign = self.next.text
            self.at += 1
            other = self.term()
            if sign in ("pm", "mp"):
                result = plus_minus(value_of(result), value_of(other))
            else:
                result = added(result, other if sign == "+" else negated(other))
        self.depth -= 1
        return result

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
                if divided or self.next.kind in ("number", "repeating"):
                    raise NoValue("factors side by side that could be read two ways")
                mixed = self.mixed_part(first)
                if mixed is not None:
                    result = arithmetic.add(value_of(result), values.number(mixed))
                    if self.begins_factor() or self.sees("^", "!", "*", "/", "times", "cdot"):
                        raise NoValue("a mixed number or a product")
                else:
                    result = multiplied(result, self.factor())
            else:
                return result

    def signed_factor(self) -> Item:
        """A factor, with a sign of its own behind a multiplication sign."""
        if self.takes("-"):
            return negated(self.factor())
        self.takes("+")
        return self.factor()

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
        return kind == "command" and text in _FACTORS

    def mixed_part(self, first: int) -> Fraction | None:
        r"""The fraction of 2\frac12 when the factor before it is only a whole number."""
        if self.at != first + 1 or not self.sees("frac"):
            return None
        if not self.tokens[first].text.isdigit():
            return None
        start = self.at
        self.at += 1
        above, below = self.argument(), self.argument()
        inside = [t.text for t in self.tokens[start + 1 : self.at] if t.text not in ("{", "}")]
        if not all(t.isdigit() for t in inside):
            self.at = start
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
            elif self.sees("!"):
                self.at += 1
                if self.sees("!"):
                    raise NoValue("a double factorial")
                result = functions.factorial(value_of(result))
            elif self.takes("%"):
                result = arithmetic.divide(value_of(result), values.number(100))
                if self.begins_factor():
                    raise NoValue("per cent of something")
            elif self.next.kind == "deg":
                if self.tokens[self.at + 1].text in ("C", "F"):
                    return result
                self.at += 1
                result = arithmetic.multiply(value_of(result), values.of_atom(values.DEGREE))
            else:
                return result

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

    def argument(self) -> Value:
        r"""What a command takes: {...}, one digit, one letter or one command."""
        if self.takes("{"):
            bars, self.bars = self.bars, 0
            value = value_of(self.sum())
            self.bars = bars
            self.expect("}")
            return value
        token = self.next
        if token.kind == "number":
            if not token.text.isdigit():
                raise NoValue("a decimal without braces")
            rest = Token("number", token.text[1:], token.start + 1)
            self.tokens[self.at : self.at + 1] = [rest] if rest.text else []
            return values.number(int(token.text[0]))
        if token.kind == "letter" or self.sees("pi"):
            return value_of(self.primary())
        raise NoValue("an argument without braces")

    # -- primaries --------------------------------------------------------------------------------

    def primary(self) -> Item:
        """A number, name, function, bracket or command."""
        token = self.next
        self.at += 1
        if token.kind in ("number", "repeating"):
            return values.number(number_of(token))
        if token.kind in ("letter", "symbol"):
            return self.name(token)
        if token.kind == "function":
            return self.function(token.text)
        if token.kind == "begin":
            return self.matrix(token.text)
        if token.kind == "sign" and token.text in _BRACKETS:
            return self.bracket(token.text)
        if token.kind == "command" and token.text in _FACTORS:
            return self.command(token.text)
        raise NoValue("no mathematics that is known")

    def command(self, name: str) -> Item:
        """What a command of LaTeX stands for."""
        if name == "pi":
            return values.of_atom(values.PI)
        if name == "infty":
            return Form("infinity", "oo")
        if name == "emptyset":
            return Form("set", "{}")
        if name in ("sqrt", "root"):
            return self.root(name)
        if name in _CLOSERS:
            return self.bracket(name)
        start = self.at
        if self.begins_text():
            raise NoValue("words in a fraction")
        above = self.argument()
        below = self.argument()
        digits = [t for t in self.tokens[start : self.at] if t.kind == "number"]
        if self.next.kind == "number" and digits:
            raise NoValue("digits behind a fraction")
        return (
            arithmetic.divide(above, below) if name == "frac" else functions.binomial(above, below)
        )

    def begins_text(self) -> bool:
        """Whether words stand in the braces that come."""
        return self.sees("{") and self.tokens[self.at + 1].kind == "words"

    def root(self, name: str) -> Value:
        """A root and what it is of."""
        order = 2
        if self.takes("["):
            token = self.next
            self.at += 1
            if not token.text.isdigit() or not 2 <= int(token.text) <= 100:
                raise NoValue("a root of no small whole order")
            order = int(token.text)
            self.expect("]")
        if self.takes("("):
            inner = value_of(self.sum())
            self.expect(")")
        elif name == "root" and self.next.kind == "number":
            inner = value_of(self.primary())
        else:
            one = self.next
            inner = self.argument()
            if one.kind == "number" and self.next.kind == "number":
                raise NoValue("a root of one digit or of more")
        if name == "root" and self.next.kind == "letter":
            raise NoValue("a root of one factor or of more")
        return powers.real_root(inner, order)

    def name(self, token: Token) -> Item:
        """A letter with index and primes, or the value of a function."""
        name = token.text
        if self.takes("_"):
            name += "_" + self.index()
        while self.takes("'"):
            name += "'"
        if name == "i":
            return values.of_atom(values.I)
        if name == "e":
            return values.of_atom(values.E)
        if not self.sees("("):
            return values.letter(name)
        return self.applied(name, token)

    def applied(self, name: str, token: Token) -> Item:
        """f(2) is a function's value, x(x+1) a product."""
        start = self.at
        self.at += 1
        arguments = [self.sum()]
        while self.takes(","):
            arguments.append(self.sum())
        self.expect(")")
        texts = [t.text for t in self.tokens[start + 1 : self.at - 1]]
        plain = token.text.removeprefix("\\")
        sums = any(t in ("+", "-") for t in texts[1:]) or token.text in texts
        if len(arguments) > 1 or plain in _APPLIED or "'" in name or not sums:
            function = [value_of(a) for a in arguments]
            return values.function(name, *function)
        self.at = start
        return values.letter(name)

    def index(self) -> str:
        """The text of an index."""
        if not self.takes("{"):
            token = self.next
            self.at += 1
            if token.kind not in ("number", "letter") or (
                token.kind == "number" and not token.text.isdigit()
            ):
                raise NoValue("an index that is no number or letter")
            return token.text
        found = ""
        while not self.sees("}"):
            if self.next.kind in ("end", "begin", "row", "end_of") or self.next.text in ("{", "$"):
                raise NoValue("an index that is not read")
            found += self.next.text
            self.at += 1
        self.at += 1
        return found if len(found) == 1 or found.isdigit() else f"{{{found}}}"

    def function(self, name: str) -> Item:
        """A named function with base, power and arguments."""
        base, exponent = None, None
        if self.takes("_"):
            base = self.argument()
        if self.takes("^"):
            exponent = self.exponent()
        value = self.applied_function(name, base, self.function_arguments(), exponent)
        return value

    def function_arguments(self) -> list[Value]:
        r"""(a, b), or a product up to the next sign: \sin 2x, \ln 3."""
        if self.takes("(", "{", "["):
            closing = {"(": ")", "{": "}", "[": "]"}[self.tokens[self.at - 1].text]
            found = [value_of(self.sum())]
            while self.takes(","):
                found.append(value_of(self.sum()))
            self.expect(closing)
            if self.sees("^", "!"):
                raise NoValue("a power of the function or of what it is of")
            return found
        start = self.at
        value = value_of(self.factor())
        number = self.tokens[start].kind == "number"
        while self.begins_factor() and self.next.kind in ("letter", "command") and number:
            if self.sees("|", "sqrt") or self.at > start + 3:
                break
            value = arithmetic.multiply(value, value_of(self.factor()))
        if self.begins_factor() and self.next.kind not in ("function",):
            raise NoValue("the end of what the function is of is not sure")
        if self.sees("/"):
            raise NoValue("the end of what the function is of is not sure")
        return [value]

    def applied_function(
        self, name: str, base: Value | None, arguments: list[Value], exponent: Value | None
    ) -> Value:
        """Its value."""
        a = arguments[0]
        if name in ("max", "min", "gcd", "lcm"):
            return extreme(name, arguments)
        if len(arguments) > 1 or (base is not None and name != "log"):
            raise NoValue("a function of several numbers")
        inverse = exponent is not None and exponent.constant() == -1
        if inverse and name in ("sin", "cos", "tan"):
            return trigonometry.inverse_trigonometric("arc" + name, a)
        if inverse:
            raise NoValue("an inverse function or a power")
        value = function_value(name, base, a)
        return value if exponent is None else powers.power(value, exponent)

    def matrix(self, name: str) -> Form:
        """The rows of an environment."""
        if name == "cases" or name not in _MATRICES:
            raise NoValue("an environment that is not known")
        rows: list[list[Value]] = [[]]
        while True:
            rows[-1].append(value_of(self.sum()))
            if self.takes("&"):
                continue
            if self.next.kind == "row":
                self.at += 1
                if self.next.kind != "end_of":
                    rows.append([])
                    continue
            if self.next.kind != "end_of" or self.next.text != name:
                raise NoValue("a matrix that does not end")
            self.at += 1
            break
        if len({len(row) for row in rows}) != 1:
            raise NoValue("rows of different lengths")
        return matrix_of(rows)

    def bracket(self, opening: str) -> Item:
        """(value), (a, b), [a, b), {a, b}, |value|, floor and ceiling."""
        bars, self.bars = self.bars, opening == "|"
        if opening == "\\{" and self.takes("\\}"):
            self.bars = bars
            return Form("set", "{}")
        items: list[Item] = [self.item()]
        while self.takes(",", ";"):
            items.append(self.item())
        closing = self.next.text
        if closing not in _CLOSERS[opening] or self.next.kind not in ("sign", "command"):
            raise NoValue("a bracket that does not close")
        self.at += 1
        self.bars = bars
        return bracketed(opening, closing, items)

    def item(self) -> Item:
        """One item of a bracket."""
        raise NotImplementedError
