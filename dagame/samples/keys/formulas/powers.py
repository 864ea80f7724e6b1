"""Powers, roots and logarithms of exact values."""

from __future__ import annotations

import math
from fractions import Fraction

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
    if e is not None and e.denominator == 1:
        return whole_power(base, int(e))
    if e is not None:
        return rational_power(base, e)
    if not base.above:
        raise NoValue("a power of zero")
    q = base.constant()
    if q == 1:
        return base
    if len(exponent.below) > 1:
        return _symbolic_power(base, exponent)
    result = number(1)
    for monomial, c in exponent.above.items():
        part = Value({monomial: c}, {UNIT: ONE})
        if monomial == UNIT:
            part_power = power(base, part)
        elif q is not None and q > 0:
            part_power = number(1)
            for p, k in factored(q):
                name = f"{p}^({text_of(Value({monomial: ONE}, {UNIT: ONE}))})"
                part_power = multiply(part_power, of_atom(Atom("power", name), k * c))
        elif base.above == {((E, ONE),): ONE} and len(base.below) == 1:
            part_power = _exponential(monomial, c)
        else:
            part_power = _symbolic_power(base, part)
        result = multiply(result, part_power)
    return result


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
    if len(base.above) > 1 or len(base.below) > 1:
        if n > LARGEST_POWER_OF_SUM:
            raise NoValue("too large a power of a sum")
    elif base.above:
        ((monomial, c),) = base.above.items()
        if n * (c.numerator.bit_length() + c.denominator.bit_length()) > 2 * MOST_BITS:
            raise NoValue("too large a power")
        if not any(a.kind in ("root", "sin") for a, _ in monomial):
            factor, raised, _ = reduced({a: e * n for a, e in monomial})
            return Value(bounded({raised: c**n * factor}), base.below)
        if n > LARGEST_POWER_OF_SUM:
            raise NoValue("too large a power")
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
    if len(base.above) == 1:
        ((monomial, c),) = base.above.items()
        if c > 0 and all(a.kind in POSITIVE or a == PI for a, _ in monomial):
            result = power_of_number(c, e)
            for atom, k in monomial:
                if atom.kind == "prime":
                    result = multiply(result, power_of_number(Fraction(atom.base), k * e))
                else:
                    result = multiply(result, of_atom(atom, k * e))
            return result
        if monomial == UNIT:
            if e != HALF and e.denominator != 2:
                raise NoValue("a root of a negative number that could be read two ways")
            turns = int(2 * e)
            return multiply(whole_power(of_atom(I), turns), power_of_number(-c, e))
        if (
            c == 1
            and len(monomial) == 1
            and monomial[0][1] == 1
            and monomial[0][0].kind == "letter"
        ):
            return of_atom(monomial[0][0], e)
    elif e.denominator == 2:
        simple = _denested(base)
        if simple is not None:
            return whole_power(simple, int(2 * e))
    content = content_of(base.above)
    inner = Value(scaled(base.above, 1 / content), base.below)
    return multiply(power_of_number(content, e), _root_atom(inner, e))


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
