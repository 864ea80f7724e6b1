"""Roots of positive numbers, with whole powers of primes out of them."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from .values import MOST_BITS, ONE, UNIT, Atom, NoValue, Value


def power_of_number(q: Fraction, e: Fraction) -> Value:
    """q^e for positive q, with the whole powers of primes out of the root."""
    factor, left = ONE, []
    for p, k in factored(q):
        whole = math.floor(k * e)
        if abs(whole) * p.bit_length() > MOST_BITS:
            raise NoValue("too large a power")
        factor *= Fraction(p) ** whole
        if k * e != whole:
            left.append((prime(p), k * e - whole))
    return Value({tuple(sorted(left)): factor}, {UNIT: ONE})


def prime(p: int) -> Atom:
    """The atom of a prime under a root."""
    try:
        size = float(p)
    except OverflowError:
        size = None
    return Atom("prime", str(p).zfill(12), p, size)


@lru_cache(1)
def _primes() -> list[int]:
    return [p for p in range(2, 2000) if all(p % d for d in range(2, math.isqrt(p) + 1))]


def factored(q: Fraction) -> list[tuple[int, int]]:
    """Primes and exponents; a factor without small divisors stays whole, which is sound."""
    found = []
    for n, sign in ((q.numerator, 1), (q.denominator, -1)):
        if n.bit_length() > 512:
            raise NoValue("too large a number under a root")
        for p in _primes():
            if p * p > n:
                break
            k = 0
            while n % p == 0:
                n, k = n // p, k + 1
            if k:
                found.append((p, sign * k))
        if n > 1:
            root = math.isqrt(n)
            found.append((root, 2 * sign) if root * root == n else (n, sign))
    return found
