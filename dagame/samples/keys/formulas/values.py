r"""Exact values of expressions in one normal form: quotients of polynomials in atoms, over fractions.

An atom is a letter, pi, i, a prime under a root, a logarithm, a function of something, a sum under
a root. A monomial is atoms with rational exponents. What atoms satisfy is applied at once:
i^2 = -1, (p^(1/n))^n = p, sin^2 = 1 - cos^2, e^a e^b = e^(a+b), ln(pq) = ln p + ln q. Roots leave
the denominator and common factors are cancelled, so equal values mostly have one form; each step
is an identity (where both sides are defined), so different values never share one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

LARGEST_POWER, LARGEST_POWER_OF_SUM = 1000, 12
_MOST_TERMS, MOST_BITS = 300, 8000


class NoValue(ValueError):
    """The text has no certain value within bounds."""


@dataclass(frozen=True, order=True, slots=True)
class Atom:
    """A factor that arithmetic does not look into; `name` says what it is, and whole."""

    kind: str
    name: str
    base: Any = field(default=None, compare=False)
    """prime: the number; root: the polynomial under it; sin: its cosine."""
    size: complex | None = field(default=None, compare=False)
    """Its approximate value, None if it holds letters."""


Monomial = tuple[tuple[Atom, Fraction], ...]
Polynomial = dict[Monomial, Fraction]

UNIT: Monomial = ()
ONE, ZERO, HALF = Fraction(1), Fraction(0), Fraction(1, 2)
I = Atom("i", "i", size=1j)  # noqa: E741 (its name in mathematics)
PI = Atom("letter", "pi", size=math.pi)
E = Atom("exp", "e", size=math.e)
DEGREE = Atom("degree", "°")
LOG_BASE = Atom("base", "1/ln(base)")
"""The factor that makes ln the logarithm whose base is not given."""


class Value(NamedTuple):
    """above/below, in lowest terms; below is 1 or has at least two terms."""

    above: Polynomial
    below: Polynomial

    def constant(self) -> Fraction | None:
        """The number, if it is rational."""
        if len(self.below) > 1 or len(self.above) > 1:
            return None
        return self.above.get(UNIT) if self.above else ZERO


def number(value: Fraction | int) -> Value:
    """A rational number."""
    return Value({UNIT: Fraction(value)} if value else {}, {UNIT: ONE})


def of_atom(atom: Atom, exponent: Fraction = ONE) -> Value:
    """An atom to a power."""
    return Value({((atom, exponent),): ONE}, {UNIT: ONE})


def function(name: str, *arguments: Value) -> Value:
    """A function that arithmetic does not look into."""
    return of_atom(Atom("function", f"{name}({', '.join(map(text_of, arguments))})"))


def letter(name: str) -> Value:
    """A letter that stands for anything."""
    return of_atom(Atom("letter", name))


# -- polynomials ----------------------------------------------------------------------------------


def sum_of(a: Polynomial, b: Polynomial) -> Polynomial:
    """The sum of two polynomials."""
    total = dict(a)
    for monomial, c in b.items():
        c += total.get(monomial, ZERO)
        if c:
            total[monomial] = c
        else:
            total.pop(monomial, None)
    return bounded(total)


def product_of(a: Polynomial, b: Polynomial) -> Polynomial:
    """Their product, with what atoms satisfy applied."""
    if len(a) * len(b) > 4 * _MOST_TERMS:
        raise NoValue("too many terms")
    total: Polynomial = {}
    for m, c in a.items():
        for n, d in b.items():
            factor, monomial, rest = joined(m, n)
            term = {monomial: c * d * factor}
            for base, power in rest:
                term = product_of(term, repeated(base, power))
            total = sum_of(total, term)
    return total


def scaled(a: Polynomial, by: Fraction) -> Polynomial:
    """A polynomial times a number."""
    return {m: c * by for m, c in a.items()}


def repeated(base: Polynomial, power: int) -> Polynomial:
    """A whole power by multiplication."""
    result: Polynomial = {UNIT: ONE}
    for _ in range(power):
        result = product_of(result, base)
    return result


def bounded(a: Polynomial) -> Polynomial:
    """The same polynomial, if it is not too large."""
    if len(a) > _MOST_TERMS:
        raise NoValue("too many terms")
    for c in a.values():
        if c.numerator.bit_length() + c.denominator.bit_length() > MOST_BITS:
            raise NoValue("too large a number")
    return a


def joined(m: Monomial, n: Monomial) -> tuple[Fraction, Monomial, list[tuple[Polynomial, int]]]:
    """The product as factor, monomial and whole powers of polynomials that left their roots."""
    if not m or not n:
        return ONE, m or n, []
    exponents = dict(m)
    for atom, e in n:
        exponents[atom] = exponents.get(atom, ZERO) + e
    return reduced(exponents)


def reduced(
    exponents: dict[Atom, Fraction],
) -> tuple[Fraction, Monomial, list[tuple[Polynomial, int]]]:
    """What atoms satisfy, applied to a monomial: see `joined`."""
    factor, rest, left = ONE, [], []
    for atom, e in exponents.items():
        if atom.kind == "prime":
            factor *= Fraction(atom.base) ** math.floor(e)
            e %= 1
        elif atom.kind == "i":
            factor *= -1 if e % 4 >= 2 else 1
            e %= 2
        elif atom.kind == "root" and e >= 1:
            rest.append((atom.base, math.floor(e)))
            e %= 1
        elif atom.kind == "sin" and e >= 2:
            rest.append((sine_squared(atom), int(e // 2)))
            e %= 2
        if e:
            left.append((atom, e))
    return factor, tuple(sorted(left)), rest


def sine_squared(sine: Atom) -> Polynomial:
    """1 - cos^2."""
    return {UNIT: ONE, ((sine.base, Fraction(2)),): -ONE}


# -- size, sign and text --------------------------------------------------------------------------


def approximation(a: Value) -> complex | None:
    """About the number; None if there are letters, or it is beyond floats."""
    try:
        parts = []
        for part in a:
            total = 0j
            for monomial, c in part.items():
                term = complex(c)
                for atom, e in monomial:
                    if atom.size is None:
                        return None
                    term *= atom.size ** float(e)
                total += term
            parts.append(total)
        return parts[0] / parts[1]
    except (OverflowError, ZeroDivisionError):
        return None


def magnitude(a: Value) -> float:
    """The sum of the sizes of the terms, the scale of the rounding error."""
    sizes = [approximation(Value({m: c}, a.below)) for m, c in a.above.items()]
    return sum(abs(s) for s in sizes if s is not None)


def content_of(a: Polynomial) -> Fraction:
    """The positive rational factor that leaves coprime whole coefficients."""
    above = math.gcd(*(c.numerator for c in a.values()))
    return Fraction(above, math.lcm(*(c.denominator for c in a.values())))


def place_of(monomial: Monomial) -> tuple[Fraction, Monomial]:
    """Where a monomial stands in the order of terms."""
    return sum((e for _, e in monomial), ZERO), monomial


def negative_first(a: Value) -> bool:
    """Whether the leading coefficient is negative."""
    return bool(a.above) and a.above[max(a.above, key=place_of)] < 0


def primitive(a: Value, *, keep_sign: bool = False) -> tuple[Value, bool]:
    """The value over its rational content, leading coefficient positive; and if the sign changed."""
    turned = negative_first(a) and not keep_sign
    by = 1 / content_of(a.above)
    return Value(scaled(a.above, -by if turned else by), a.below), turned


def text_of(a: Value) -> str:
    """The one text of the value; a rational as p/q."""
    if len(a.below) == 1:
        return _sum_text(a.above)
    return f"({_sum_text(a.above)})/({_sum_text(a.below)})"


def _sum_text(a: Polynomial) -> str:
    if not a:
        return "0"
    text = ""
    for monomial in sorted(a, key=place_of, reverse=True):
        c = a[monomial]
        factors = [_factor_text(atom, e) for atom, e in monomial]
        if abs(c) != 1 or not factors:
            factors.insert(0, str(abs(c)))
        sign = (" - " if text else "-") if c < 0 else (" + " if text else "")
        text += sign + "*".join(factors)
    return text


def _factor_text(atom: Atom, e: Fraction) -> str:
    name = str(atom.base) if atom.kind == "prime" else atom.name
    if atom.kind in ("root", "power", "fraction"):
        name = f"({name})"
    if e == 1:
        return name
    return f"{name}^{e}" if e.denominator == 1 and e > 0 else f"{name}^({e})"
