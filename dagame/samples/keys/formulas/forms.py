"""Forms that hold values: tuples, intervals, sets, matrices, quantities, and what is done to them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ..numbers import decimal
from ..units import unit_key
from . import arithmetic, functions, powers, trigonometry, values
from .scanner import Token
from .values import NoValue, Value


@dataclass(frozen=True, slots=True)
class Form:
    """What is no number: kind and the one text of it, with its items where they matter."""

    kind: str
    key: str
    items: tuple[Value | Form, ...] = ()


Item = Value | Form


def key_of(item: Item) -> str:
    """The key of a value or form."""
    return item.key if isinstance(item, Form) else values.text_of(item)


def is_form(item: Item, kind: str) -> bool:
    """Whether it is a form of this kind."""
    return isinstance(item, Form) and item.kind == kind


def is_name(value: Value) -> bool:
    """Whether a value is a letter alone, which may stand for a set."""
    atoms = [a for part in value for m in part for a, _ in m]
    return len(atoms) == 1 and atoms[0].kind == "letter"


def value_of(item: Item) -> Value:
    """The value, or `NoValue` for a form."""
    if isinstance(item, Form):
        raise NoValue(f"arithmetic with a {item.kind}")
    return item


def number_of(token: Token) -> Fraction:
    """The number of a token."""
    if token.kind == "repeating":
        whole, part, again = re.fullmatch(
            r"([0-9]*)\.([0-9]*)[^0-9]+([0-9]+)[})]", token.text
        ).groups()  # type: ignore[union-attr]
        if len(token.text) > 60 or ("dot" in token.text and len(again) > 1):
            raise NoValue("a repeating decimal that is too long or not sure")
        before = Fraction(int(whole + part or "0"), 10 ** len(part))
        return before + Fraction(int(again), (10 ** len(again) - 1) * 10 ** len(part))
    value = decimal(token.text)
    if value is None:
        raise NoValue("no number of bounded size")
    return value


def negated(item: Item) -> Item:
    """Minus a value, infinity or matrix."""
    if isinstance(item, Form):
        if item.kind == "infinity":
            return Form("infinity", "oo" if item.key == "-oo" else "-oo")
        if item.kind == "matrix":
            return matrix_of([[arithmetic.negative(v) for v in row] for row in _rows(item)])
        raise NoValue(f"minus a {item.kind}")
    return arithmetic.negative(item)


def added(a: Item, b: Item) -> Item:
    """The sum of two values or matrices."""
    if is_form(a, "matrix") and is_form(b, "matrix"):
        rows = list(zip(_rows(a), _rows(b), strict=True))
        return matrix_of(
            [[arithmetic.add(x, y) for x, y in zip(r, s, strict=True)] for r, s in rows]
        )
    return arithmetic.add(value_of(a), value_of(b))


def multiplied(a: Item, b: Item) -> Item:
    """The product of two values, or of one and a matrix."""
    for one, other in ((a, b), (b, a)):
        if is_form(one, "matrix") and isinstance(other, Value):
            return matrix_of([[arithmetic.multiply(other, v) for v in row] for row in _rows(one)])
    return arithmetic.multiply(value_of(a), value_of(b))


def matrix_of(rows: list[list[Value]]) -> Form:
    """The form of a matrix."""
    texts = [", ".join(map(values.text_of, row)) for row in rows]
    items = tuple(Form("row", text, tuple(row)) for text, row in zip(texts, rows, strict=True))
    return Form("matrix", f"Matrix({'; '.join(texts)})", items)


def _rows(item: Item) -> list[list[Value]]:
    assert isinstance(item, Form)
    return [[value_of(v) for v in row.items] for row in item.items if isinstance(row, Form)]


def plus_minus(a: Value, b: Value) -> Form:
    """The two values of a +- b; more than one such sign has no certain meaning."""
    both = (arithmetic.add(a, b), arithmetic.subtract(a, b))
    low, high = sorted(both, key=values.text_of)
    kind = "plusminus" if a.above else "both"
    return Form(kind, f"{kind}({key_of(low)}, {key_of(high)})", (low, high))


def bracketed(opening: str, closing: str, items: list[Item]) -> Item:
    """What a pair of brackets makes of its items."""
    if opening in ("|", "|("):
        return functions.absolute(value_of(_only(items)))
    if opening in ("lfloor", "lceil"):
        name, rounded = ("floor", math.floor) if opening == "lfloor" else ("ceil", math.ceil)
        return functions.whole_part(value_of(_only(items)), name, rounded)
    keys, alone = [key_of(item) for item in items], len(items) == 1
    if alone and (opening == "{" or (opening, closing) == ("(", ")")):
        return items[0]
    if opening in ("{", "\\{"):
        return Form("set", f"{{{', '.join(sorted(set(keys)))}}}")
    if alone and (opening, closing) == ("[", "]"):
        return Form("list", f"[{keys[0]}]")
    if (opening, closing) not in (("(", ")"), ("[", "]"), ("langle", "rangle")) and len(items) != 2:
        raise NoValue("an interval has two ends")
    signs = {"langle": "<", "rangle": ">"}
    text = f"{signs.get(opening, opening)}{', '.join(keys)}{signs.get(closing, closing)}"
    return Form("tuple", text, tuple(items))


def _only(items: list[Item]) -> Item:
    if len(items) != 1:
        raise NoValue("a comma in a bracket of one number")
    return items[0]


def with_unit(value: Item, source: str) -> Item:
    """5 cm, 50 percent, 5 apples: a unit by its canonical text, a noun as it is written."""
    number = value_of(value)
    unit, noun = unit_key(source), noun_of(source)
    if noun in ("percent", "per cent", "pct"):
        return arithmetic.divide(number, values.number(100))
    if unit == "$":
        return number
    if unit == "°":
        return arithmetic.multiply(number, values.of_atom(values.DEGREE))
    if unit is None and (number.constant() is None or not noun):
        raise NoValue("words that are no unit")
    return Form("quantity", f"{key_of(number)} {unit or noun}")


def noun_of(source: str) -> str:
    """Words behind a number without their wrapper, "" if it is anything but words."""
    words = re.sub(
        r"\\(?:text|mathrm)\s*\{([^{}\\]*)\}|\\[ ,;:!]|~", lambda m: f" {m[1] or ''} ", source
    )
    words = " ".join(words.split())
    return words if re.fullmatch(r"[A-Za-z]{2}[A-Za-z' -]*", words) else ""


def function_value(name: str, base: Value | None, a: Value) -> Value:
    """The value of a named function of one number."""
    if name in _TRIGONOMETRIC:
        return _TRIGONOMETRIC[name](a)
    if name.startswith("arc"):
        return trigonometry.inverse_trigonometric(name, a)
    if name == "exp":
        return powers.power(values.of_atom(values.E), a)
    if name not in ("ln", "lg", "log"):
        return values.function(name, a)
    value, base = powers.logarithm(a), values.number(10) if name == "lg" else base
    if base is not None:
        return arithmetic.divide(value, powers.logarithm(base))
    return value if name == "ln" else arithmetic.multiply(value, values.of_atom(values.LOG_BASE))


_TRIGONOMETRIC: dict[str, Callable[[Value], Value]] = {
    "sin": trigonometry.sine,
    "cos": trigonometry.cosine,
    "tan": trigonometry.tangent,
    "cot": lambda a: arithmetic.divide(trigonometry.cosine(a), trigonometry.sine(a)),
    "sec": lambda a: arithmetic.divide(values.number(1), trigonometry.cosine(a)),
    "csc": lambda a: arithmetic.divide(values.number(1), trigonometry.sine(a)),
}


def extreme(name: str, arguments: list[Value]) -> Value:
    """Maximum, minimum, greatest common divisor or least common multiple."""
    numbers = [a.constant() for a in arguments]
    if any(q is None for q in numbers) or len(arguments) < 2:
        return values.function(name, *sorted(arguments, key=values.text_of))
    known = [q for q in numbers if q is not None]
    if name in ("max", "min"):
        return values.number(max(known) if name == "max" else min(known))
    if any(q.denominator != 1 for q in known):
        raise NoValue("a common divisor of fractions")
    whole = [int(q) for q in known]
    return values.number(math.gcd(*whole) if name == "gcd" else math.lcm(*whole))
