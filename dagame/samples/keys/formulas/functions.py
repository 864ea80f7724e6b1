"""Trigonometric and other functions of exact values."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from .arithmetic import add, multiply, negative
from .powers import power
from .values import (
    HALF,
    LARGEST_POWER,
    ONE,
    UNIT,
    I,
    Monomial,
    NoValue,
    Value,
    approximation,
    content_of,
    function,
    magnitude,
    negative_first,
    number,
    scaled,
)


def absolute(a: Value) -> Value:
    """|a|; for numbers by their sign."""
    q = a.constant()
    if q is not None:
        return number(abs(q))
    size = approximation(a)
    if size is not None and not any(x == I for m in a.above for x, _ in m):
        if abs(size) > 1e-9 * magnitude(a):
            return negative(a) if size.real < 0 else a
    elif size is not None:
        return _modulus(a)
    content = content_of(a.above)
    rest = Value(scaled(a.above, 1 / content), a.below)
    if negative_first(rest):
        rest = negative(rest)
    return multiply(number(content), function("abs", rest))


def _modulus(a: Value) -> Value:
    """sqrt(x^2 + y^2) of x + iy."""
    real, imaginary = dict[Monomial, Fraction](), dict[Monomial, Fraction]()
    for m, c in a.above.items():
        rest = tuple(x for x in m if x[0] != I)
        (imaginary if len(rest) < len(m) else real)[rest] = c
    parts = [Value(part, {UNIT: ONE}) for part in (real, imaginary)]
    return power(add(*(multiply(part, part) for part in parts)), number(HALF))


def factorial(a: Value) -> Value:
    """a!, of small whole numbers."""
    n = a.constant()
    if n is None:
        return function("factorial", a)
    if n.denominator != 1 or not 0 <= n <= 500:
        raise NoValue("the factorial of a number that is no small whole one")
    return number(math.factorial(int(n)))


def binomial(n: Value, k: Value) -> Value:
    """n over k, of small whole numbers."""
    top, bottom = n.constant(), k.constant()
    if top is None or bottom is None:
        return function("binomial", n, k)
    if top.denominator != 1 or bottom.denominator != 1 or not 0 <= top <= LARGEST_POWER:
        raise NoValue("a binomial coefficient of numbers that are no small whole ones")
    return number(math.comb(int(top), int(bottom)) if bottom >= 0 else 0)


def whole_part(a: Value, name: str, of: Callable[[Fraction], int]) -> Value:
    """Floor or ceiling."""
    q = a.constant()
    return function(name, a) if q is None else number(of(q))
