"""Numbers, names, functions, commands, matrices and brackets: what powers and products are of."""

from __future__ import annotations

from . import arithmetic, functions, powers, trigonometry, values
from .cursor import FACTORS, Cursor
from .forms import Form, Item, bracketed, extreme, function_value, matrix_of, number_of, value_of
from .scanner import Token
from .values import NoValue, Value

_APPLIED = frozenset("fghFGHPQ")
_MATRICES = frozenset(("matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"))
_CLOSERS = {
    "(": (")", "]"), "[": ("]", ")"), "{": ("}",), "\\{": ("\\}",), "|": ("|",), "|(": (")|",),
    "lfloor": ("rfloor",), "lceil": ("rceil",), "langle": ("rangle",),
}  # fmt: skip
_BRACKETS = frozenset(("(", "[", "{", "\\{", "|", "|("))


_CONSTANTS: dict[str, Item] = {
    "pi": values.of_atom(values.PI),
    "infty": Form("infinity", "oo"),
    "emptyset": Form("set", "{}"),
}


class PrimaryReader(Cursor):
    """Reads primaries; sums, factors and statements are read by its subclasses."""

    def argument(self) -> Value:
        r"""What a command takes: {...}, one digit, one letter or one command."""
        if self.takes("{"):
            bars, self.bars = self.bars, 0
            value = value_of(self.sum())
            self.bars = bars
            self.expect("}")
            return value
        if self.next.kind == "number":
            return values.number(self.digit())
        if self.next.kind == "letter" or self.sees("pi"):
            return value_of(self.primary())
        raise NoValue("an argument without braces")

    def digit(self) -> int:
        """The first digit of a number, of which the others stay."""
        token = self.passed()
        if not token.text.isdigit():
            raise NoValue("a decimal without braces")
        if token.text[1:]:
            self.at -= 1
            self.tokens[self.at] = Token("number", token.text[1:], token.start + 1)
        return int(token.text[0])

    def primary(self) -> Item:
        """A number, name, function, bracket or command."""
        token = self.passed()
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
        if token.kind == "command" and token.text in FACTORS:
            return self.command(token.text)
        raise NoValue("no mathematics that is known")

    def command(self, name: str) -> Item:
        """What a command of LaTeX stands for."""
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in ("sqrt", "root"):
            return self.root(name)
        return self.bracket(name) if name in _CLOSERS else self.of_two(name)

    def of_two(self, name: str) -> Value:
        """A fraction or a binomial coefficient."""
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
        order = self.order() if self.takes("[") else 2
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

    def order(self) -> int:
        """Of a root, to the bracket behind it."""
        token = self.passed()
        if not token.text.isdigit() or not 2 <= int(token.text) <= 100:
            raise NoValue("a root of no small whole order")
        self.expect("]")
        return int(token.text)

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
        arguments = self.sums(")")
        texts = [t.text for t in self.tokens[start + 1 : self.at - 1]]
        plain = token.text.removeprefix("\\")
        sums = any(t in ("+", "-") for t in texts[1:]) or token.text in texts
        if len(arguments) > 1 or plain in _APPLIED or "'" in name or not sums:
            return values.function(name, *map(value_of, arguments))
        self.at = start
        return values.letter(name)

    def sums(self, closing: str) -> list[Item]:
        """With commas between them, and the bracket that closes them."""
        found = [self.sum()]
        while self.takes(","):
            found.append(self.sum())
        self.expect(closing)
        return found

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
        base = self.argument() if self.takes("_") else None
        exponent = self.exponent() if self.takes("^") else None
        return self.applied_function(name, base, self.function_arguments(), exponent)

    def function_arguments(self) -> list[Value]:
        r"""(a, b), or a product up to the next sign: \sin 2x, \ln 3."""
        if self.takes("(", "{", "["):
            closing = {"(": ")", "{": "}", "[": "]"}[self.tokens[self.at - 1].text]
            found = [value_of(item) for item in self.sums(closing)]
            if self.sees("^", "!"):
                raise NoValue("a power of the function or of what it is of")
            return found
        return [self.product()]

    def product(self) -> Value:
        """One factor, or a number and the letters behind it."""
        start = self.at
        value = value_of(self.factor())
        number = self.tokens[start].kind == "number"
        while self.begins_factor() and self.next.kind in ("letter", "command") and number:
            if self.sees("|", "sqrt") or self.at > start + 3:
                break
            value = arithmetic.multiply(value, value_of(self.factor()))
        if (self.begins_factor() and self.next.kind != "function") or self.sees("/"):
            raise NoValue("the end of what the function is of is not sure")
        return value

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
        rows = [self.row()]
        while self.next.kind != "end_of":
            rows.append(self.row())
        if self.passed().text != name:
            raise NoValue("a matrix that does not end")
        if len({len(row) for row in rows}) != 1:
            raise NoValue("rows of different lengths")
        return matrix_of(rows)

    def row(self) -> list[Value]:
        """Of a matrix, to the end of the line or of the matrix."""
        found = [value_of(self.sum())]
        while self.takes("&"):
            found.append(value_of(self.sum()))
        if self.next.kind == "row":
            self.at += 1
        elif self.next.kind != "end_of":
            raise NoValue("a matrix that does not end")
        return found

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
        beside = opening == "|" and self.begins_factor() and not self.sees("|")
        if beside and any(t.text == "|" for t in self.tokens[self.at :]):
            raise NoValue("bars that could be paired in two ways")
        return bracketed(opening, closing, items)

    def item(self) -> Item:
        """One item of a bracket."""
        raise NotImplementedError

    def sum(self) -> Item:
        """Terms with signs before them."""
        raise NotImplementedError

    def factor(self) -> Item:
        """A primary with its powers."""
        raise NotImplementedError

    def exponent(self) -> Value:
        """What stands behind ^."""
        raise NotImplementedError
