"""Powers, roots and logarithms of exact values."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import reduce

from .arithmetic import add, divide, multiply, negative
from .roots import factored, power_of_number, prime
from .trigonometry import cosine, sine
from .values import (
    HALF,
    LARGEST_POWER,
    LARGEST_POWER_OF_SUM,
    MOST_BITS,
    ONE,
    PI,
    UNIT,
    Atom,
    E,
    I,
    Monomial,
    NoValue,
    Value,
    approximation,
    bounded,
    content_of,
    function,
    number,
    of_atom,
    reduced,
    scaled,
    text_of,
)


def power(base: Value, exponent: Value) -> Value:
    """base^exponent, principal; whole powers of sums only up to a bound."""
    e = exponent.constant()
    if e is not None:
        return whole_power(base, int(e)) if e.denominator == 1 else rational_power(base, e)
    if not base.above:
        raise NoValue("a power of zero")
    if base.constant() == 1:
        return base
    if len(exponent.below) > 1:
        return _symbolic_power(base, exponent)
    terms = (_by_term(base, monomial, c) for monomial, c in exponent.above.items())
    return reduce(multiply, terms, number(1))


def _by_term(base: Value, monomial: Monomial, c: Fraction) -> Value:
    """base^(c monomial)."""
    exponent, q = Value({monomial: c}, {UNIT: ONE}), base.constant()
    if monomial == UNIT:
        return power(base, exponent)
    if q is not None and q > 0:
        name = text_of(Value({monomial: ONE}, {UNIT: ONE}))
        primes = (of_atom(Atom("power", f"{p}^({name})"), k * c) for p, k in factored(q))
        return reduce(multiply, primes, number(1))
    if base.above == {((E, ONE),): ONE} and len(base.below) == 1:
        return _exponential(monomial, c)
    return _symbolic_power(base, exponent)


def _exponential(monomial: Monomial, c: Fraction) -> Value:
    if monomial == ((I, ONE), (PI, ONE)):
        turn = multiply(number(c), of_atom(PI))
        return add(cosine(turn), multiply(of_atom(I), sine(turn)))
    return of_atom(Atom("power", f"e^({text_of(Value({monomial: ONE}, {UNIT: ONE}))})"), c)


def _symbolic_power(base: Value, exponent: Value) -> Value:
    return of_atom(Atom("power", f"({text_of(base)})^({text_of(exponent)})"))


def whole_power(base: Value, n: int) -> Value:
    """base^n for a whole n."""
    if n == 0 and not base.above:
        raise NoValue("0^0")
    if abs(n) > LARGEST_POWER:
        raise NoValue("too large a power")
    if n < 0:
        return divide(number(1), whole_power(base, -n))
    of_sum = len(base.above) > 1 or len(base.below) > 1
    if base.above and not of_sum:
        ((monomial, c),) = base.above.items()
        if n * (c.numerator.bit_length() + c.denominator.bit_length()) > 2 * MOST_BITS:
            raise NoValue("too large a power")
        if not any(a.kind in ("root", "sin") for a, _ in monomial):
            factor, raised, _ = reduced({a: e * n for a, e in monomial})
            return Value(bounded({raised: c**n * factor}), base.below)
    if base.above and n > LARGEST_POWER_OF_SUM:
        raise NoValue("too large a power of a sum or root")
    return _squared(base, n)


def _squared(base: Value, n: int) -> Value:
    """base^n by squares of squares."""
    result, square = number(1), base
    while n:
        if n & 1:
            result = multiply(result, square)
        n >>= 1
        if n:
            square = multiply(square, square)
    return result


POSITIVE = ("prime", "exp")


def rational_power(base: Value, e: Fraction) -> Value:
    """The principal base^e, roots of unknown sign as atoms."""
    if not base.above:
        if e < 0:
            raise NoValue("division by zero")
        return base
    if abs(e) > LARGEST_POWER or e.denominator > 100:
        raise NoValue("too large a power")
    if e < 0:
        return divide(number(1), rational_power(base, -e))
    if len(base.below) > 1:  # one root, as the signs of above and below are not known
        return _root_atom(base, e)
    found = _of_sum(base, e) if len(base.above) > 1 else _of_monomial(base, e)
    if found is not None:
        return found
    content = content_of(base.above)
    inner = Value(scaled(base.above, 1 / content), base.below)
    return multiply(power_of_number(content, e), _root_atom(inner, e))


def _of_sum(base: Value, e: Fraction) -> Value | None:
    """Without a root over roots, where that is known."""
    simple = _denested(base) if e.denominator == 2 else None
    return None if simple is None else whole_power(simple, int(2 * e))


def _of_monomial(base: Value, e: Fraction) -> Value | None:
    """Factor by factor where they are positive; of a negative number, or a letter alone."""
    ((monomial, c),) = base.above.items()
    if c > 0 and all(a.kind in POSITIVE or a == PI for a, _ in monomial):
        factors = (_of_positive(atom, k * e) for atom, k in monomial)
        return reduce(multiply, factors, power_of_number(c, e))
    if monomial == UNIT:
        if e.denominator != 2:
            raise NoValue("a root of a negative number that could be read two ways")
        return multiply(whole_power(of_atom(I), int(2 * e)), power_of_number(-c, e))
    atom, k = monomial[0]
    alone = c == 1 and len(monomial) == 1 and k == 1 and atom.kind == "letter"
    return of_atom(atom, e) if alone else None


def _of_positive(atom: Atom, e: Fraction) -> Value:
    return power_of_number(Fraction(atom.base), e) if atom.kind == "prime" else of_atom(atom, e)


def _root_atom(base: Value, e: Fraction) -> Value:
    if len(base.below) > 1:
        return of_atom(Atom("fraction", f"({text_of(base)})^({e})"))
    size = approximation(base)
    whole = math.floor(e)
    if abs(whole) > LARGEST_POWER_OF_SUM:
        raise NoValue("too large a power")
    root = Atom("root", text_of(base), base.above, size)
    return multiply(of_atom(root, e - whole), whole_power(base, whole))


def _denested(base: Value) -> Value | None:
    """sqrt(a + b sqrt c) = sqrt((a+d)/2) +- sqrt((a-d)/2) if d = sqrt(a^2 - b^2 c) is rational."""
    a = base.above.get(UNIT)
    others = [(m, c) for m, c in base.above.items() if m != UNIT]
    if a is None or a <= 0 or len(others) != 1:
        return None
    monomial, b = others[0]
    if any(atom.kind != "prime" or e != HALF for atom, e in monomial):
        return None
    square = a * a - b * b * math.prod(atom.base for atom, _ in monomial)
    if square <= 0:
        return None
    d = Fraction(math.isqrt(square.numerator), math.isqrt(square.denominator))
    if d * d != square:
        return None
    first, second = (power_of_number((a + s * d) / 2, HALF) for s in (1, -1))
    return add(first, second if b > 0 else negative(second))


def real_root(base: Value, n: int) -> Value:
    r"""\sqrt[n]{base}: the real root of a negative number if n is odd."""
    q = base.constant()
    if n % 2 and q is not None and q < 0:
        return negative(rational_power(number(-q), Fraction(1, n)))
    return power(base, number(Fraction(1, n)))


def logarithm(a: Value) -> Value:
    """ln a."""
    if not a.above:
        raise NoValue("the logarithm of zero")
    if len(a.above) == 1 and len(a.below) == 1:
        ((monomial, c),) = a.above.items()
        if c > 0 and all(x.kind in POSITIVE or x == PI for x, _ in monomial):
            total = number(0)
            parts = [(prime(p), Fraction(k)) for p, k in factored(c)]
            for atom, k in (*parts, *monomial):
                whole = atom == E
                name = str(atom.base or atom.name)
                size = None if atom.size is None else math.log(atom.size.real)
                part = number(1) if whole else of_atom(Atom("ln", f"ln({name})", size=size))
                total = add(total, multiply(number(k), part))
            return total
    return function("ln", a)
