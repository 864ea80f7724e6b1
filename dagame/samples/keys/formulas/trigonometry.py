"""Sine, cosine and their inverses: addition theorems, and multiples of pi by their roots."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from .arithmetic import add, divide, multiply, negative, subtract
from .roots import power_of_number
from .values import (
    DEGREE,
    HALF,
    ONE,
    PI,
    UNIT,
    Atom,
    NoValue,
    Value,
    approximation,
    function,
    negative_first,
    number,
    of_atom,
    text_of,
)


def _surd(*terms: tuple[int, int]) -> Value:
    """The sum of c sqrt(n), over 4."""
    total = number(0)
    for c, n in terms:
        total = add(total, multiply(number(Fraction(c, 4)), power_of_number(Fraction(n), HALF)))
    return total


@lru_cache(1)
def _sines() -> dict[Fraction, Value]:
    """sin(q pi) for q in [0, 1/2]."""
    of = {
        0: [],
        15: [(1, 6), (-1, 2)],
        18: [(1, 5), (-1, 1)],
        30: [(2, 1)],
        45: [(2, 2)],
        54: [(1, 5), (1, 1)],
        60: [(2, 3)],
        75: [(1, 6), (1, 2)],
        90: [(4, 1)],
    }
    return {Fraction(k, 180): _surd(*terms) for k, terms in of.items()}


def sine(angle: Value) -> Value:
    """sin of an angle."""
    return _sine_and_cosine(angle)[0]


def cosine(angle: Value) -> Value:
    """cos of an angle."""
    return _sine_and_cosine(angle)[1]


def tangent(angle: Value) -> Value:
    """tan of an angle."""
    s, c = _sine_and_cosine(angle)
    return divide(s, c)


def _sine_and_cosine(angle: Value) -> tuple[Value, Value]:
    """By the addition theorems, down to multiples of pi and single terms."""
    angle = _in_radians(angle)
    if len(angle.below) > 1 or len(angle.above) > 4:
        return _of_term(angle)
    s, c = number(0), number(1)
    for monomial, k in angle.above.items():
        if monomial == ((PI, ONE),):
            t, d = _of_turn(k)
        else:
            t, d = _of_multiple(Value({monomial: ONE}, {UNIT: ONE}), k)
        s, c = _of_sum(s, c, t, d)
    return s, c


def _of_sum(s: Value, c: Value, t: Value, d: Value) -> tuple[Value, Value]:
    """Sine and cosine of the sum of two angles that have s and c, t and d."""
    return add(multiply(s, d), multiply(c, t)), subtract(multiply(c, d), multiply(s, t))


def _of_multiple(term: Value, k: Fraction) -> tuple[Value, Value]:
    n = abs(k.numerator)
    if n > 6:
        t, d = _of_term(multiply(number(abs(k)), term))
        return (t if k > 0 else negative(t)), d
    t, d = _of_term(multiply(number(Fraction(1, k.denominator)), term))
    s, c = number(0), number(1)
    for _ in range(n):
        s, c = _of_sum(s, c, t, d)
    return (s if k > 0 else negative(s)), c


def _of_term(angle: Value) -> tuple[Value, Value]:
    size = approximation(angle)
    near = size.real if size is not None and not size.imag else None
    name = text_of(angle)
    cos = Atom("cos", f"cos({name})", size=None if near is None else math.cos(near))
    sin = Atom("sin", f"sin({name})", cos, None if near is None else math.sin(near))
    return of_atom(sin), of_atom(cos)


def _of_turn(q: Fraction) -> tuple[Value, Value]:
    """sin and cos of q pi, brought to the first quadrant."""
    q %= 2
    if q >= 1:
        s, c = _of_turn(q - 1)
        return negative(s), negative(c)
    if q > HALF:
        s, c = _of_turn(1 - q)
        return s, negative(c)
    table = _sines()
    if q in table and HALF - q in table:
        return table[q], table[HALF - q]
    if q > Fraction(1, 4):
        s, c = _of_turn(HALF - q)
        return c, s
    return _of_term(multiply(number(q), of_atom(PI)))


def _in_radians(angle: Value) -> Value:
    if not any(a == DEGREE for m in angle.above for a, _ in m):
        return angle
    if len(angle.below) > 1 or not all(m and m[0] == (DEGREE, ONE) for m in angle.above):
        raise NoValue("degrees beside numbers")
    plain = Value({m[1:]: c for m, c in angle.above.items()}, angle.below)
    return multiply(plain, multiply(number(Fraction(1, 180)), of_atom(PI)))


def inverse_trigonometric(name: str, a: Value) -> Value:
    """arcsin, arccos or arctan, as a multiple of pi where it is a usual one."""
    of = {"arcsin": sine, "arccos": cosine, "arctan": tangent}[name]
    for degrees in (0, 15, 18, 30, 45, 54, 60, 75, 90, 105, 120, 126, 135, 150, 162, 165, 180):
        for sign in (1, -1):
            turn = Fraction(sign * degrees, 180)
            allowed = 0 <= turn <= 1 if name == "arccos" else -HALF <= turn <= HALF
            if not allowed or (name == "arctan" and abs(turn) == HALF):
                continue
            angle = multiply(number(turn), of_atom(PI))
            if of(angle) == a:
                return angle
    if name != "arccos" and negative_first(a):
        return negative(function(name, negative(a)))
    return function(name, a)
