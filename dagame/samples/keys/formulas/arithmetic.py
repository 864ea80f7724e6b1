"""Sums, products and quotients of exact values, quotients in lowest terms."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import reduce
from typing import Any

from .values import (
    HALF,
    ONE,
    UNIT,
    ZERO,
    Atom,
    Monomial,
    NoValue,
    Polynomial,
    Value,
    number,
    place_of,
    product_of,
    reduced,
    scaled,
    sine_squared,
    sum_of,
)


def add(a: Value, b: Value) -> Value:
    """a + b."""
    if a.below == b.below and len(a.below) == 1:
        return Value(sum_of(a.above, b.above), a.below)
    above = sum_of(product_of(a.above, b.below), product_of(b.above, a.below))
    return quotient(above, product_of(a.below, b.below))


def negative(a: Value) -> Value:
    """-a."""
    return Value(scaled(a.above, -ONE), a.below)


def subtract(a: Value, b: Value) -> Value:
    """a - b."""
    return add(a, negative(b))


def multiply(a: Value, b: Value) -> Value:
    """a b."""
    above = product_of(a.above, b.above)
    if len(a.below) == len(b.below) == 1:
        return Value(above, a.below)
    return quotient(above, product_of(a.below, b.below))


def divide(a: Value, b: Value) -> Value:
    """a/b, or `NoValue` if b is zero."""
    if not b.above:
        raise NoValue("division by zero")
    return quotient(product_of(a.above, b.below), product_of(a.below, b.above))


def quotient(above: Polynomial, below: Polynomial) -> Value:
    """Lowest terms: no roots, no i, no sine and no common factor below, leading coefficient 1."""
    above, below = _without_roots(above, below)
    if len(below) == 1:
        return _by_monomial(above, below)
    if not above:
        return number(0)
    inverse = _inverse_of_number(below)
    if inverse is not None:
        return Value(product_of(above, inverse), {UNIT: ONE})
    above, below = _cancelled(above, below)
    if len(below) == 1:
        return _by_monomial(above, below)
    first = 1 / below[max(below, key=place_of)]
    return Value(scaled(above, first), scaled(below, first))


def _without_roots(above: Polynomial, below: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Both times what takes square roots, i and sines out of a sum below, as far as that is known."""
    for _ in range(24):
        if not below:
            raise NoValue("division by zero")
        if len(below) == 1:
            return above, below
        common = _common_factor(below)
        if common:
            above, below = product_of(above, common), product_of(below, common)
        factor = _conjugate(below)
        if factor is None:
            return above, below
        above, below = product_of(above, factor), product_of(below, factor)
    raise NoValue("too many roots below")


def _common_factor(below: Polynomial) -> Polynomial | None:
    """The inverse of the letters, roots of primes and other free atoms that all terms share."""
    terms = [dict(m) for m in below]
    inverse = {}
    for atom in {a: None for m in terms for a in m}:
        if atom.kind not in ("root", "sin", "i"):
            least = min(m.get(atom, ZERO) for m in terms)
            if least:
                inverse[atom] = -least
    if not inverse:
        return None
    factor, monomial, _ = reduced(inverse)
    return {monomial: factor}


def _by_monomial(above: Polynomial, below: Polynomial) -> Value:
    ((monomial, c),) = below.items()
    inverse, rest = dict[Atom, Fraction](), list[Polynomial]()
    for atom, e in monomial:
        if atom.kind == "root":  # B^(-e) = B^(1-e) / B
            inverse[atom] = 1 - e
            rest.append(atom.base)
        elif atom.kind == "sin":
            inverse[atom] = ONE
            rest.append(sine_squared(atom))
        else:
            inverse[atom] = -e
    factor, upside_down, _ = reduced(inverse)
    above = product_of(above, {upside_down: factor / c})
    if not rest:
        return Value(above, {UNIT: ONE})
    return quotient(above, reduce(product_of, rest, {UNIT: ONE}))


def _conjugate(below: Polynomial) -> Polynomial | None:
    """What to multiply with so that one square root (of a number or sum), i or sine is gone."""
    for atom in sorted({a for m in below for a, _ in m}):
        exponents = {e for m in below for a, e in m if a == atom}
        if atom.kind in ("i", "sin") or (atom.kind in ("prime", "root") and exponents == {HALF}):
            odd = exponents
        else:
            continue
        return {m: -c if any(a == atom and e in odd for a, e in m) else c for m, c in below.items()}
    return None


def _inverse_of_number(below: Polynomial) -> Polynomial | None:
    """1/below for sums of roots of numbers, by linear equations over the fractions."""
    orders = _orders(below)
    size = math.prod(orders.values())
    if any(atom.kind != "prime" for atom in orders) or size > 16:
        return None
    basis: list[Monomial] = [UNIT]
    for atom, order in orders.items():
        steps = [Fraction(k, order) for k in range(order)]
        basis = [(*m, (atom, e)) if e else m for m in basis for e in steps]
    rows = [[ZERO] * (size + 1) for _ in basis]
    place = {m: k for k, m in enumerate(basis)}
    for k, m in enumerate(basis):
        for n, c in product_of(below, {m: ONE}).items():
            rows[place[n]][k] = c
    rows[0][size] = ONE
    return {m: c for m, c in zip(basis, _solved(rows), strict=True) if c}


def _orders(*parts: Polynomial) -> dict[Atom, int]:
    """All atoms, sorted, with the least common denominator of their exponents."""
    orders: dict[Atom, int] = {}
    for atom, e in (pair for part in parts for monomial in part for pair in monomial):
        orders[atom] = math.lcm(orders.get(atom, 1), e.denominator)
    return dict(sorted(orders.items()))


def _solved(rows: list[list[Fraction]]) -> list[Fraction]:
    for k in range(len(rows)):
        pivot = next((r for r in range(k, len(rows)) if rows[r][k]), None)
        if pivot is None:
            raise NoValue("division by zero")
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for r in range(len(rows)):
            if r != k and (by := rows[r][k]):
                rows[r] = [x - by * y for x, y in zip(rows[r], rows[k], strict=True)]
    return [row[-1] for row in rows]


def _cancelled(above: Polynomial, below: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Without the common factor, found by sympy."""
    letters = _Letters(_orders(above, below))
    parts = (above, below)
    low, lowest = ({a: min(dict(m).get(a, ZERO) for m in p) for a in letters.orders} for p in parts)
    top, bottom = letters.dense(above, low), letters.dense(below, lowest)
    if max(max(sum(m) for m in part) for part in (top, bottom)) > 60:
        raise NoValue("too large a power")
    top, bottom = top.cancel(bottom)
    shift = {a: low[a] - lowest[a] for a in letters.orders}
    return letters.sparse(top, shift), letters.sparse(bottom, dict.fromkeys(shift, ZERO))


class _Letters:
    """Atoms as free letters of sympy, whose whole exponents count steps of 1/order."""

    def __init__(self, orders: dict[Atom, int]) -> None:
        from sympy import QQ, lex
        from sympy.polys.rings import PolyRing

        self.orders = orders
        self.ring = PolyRing([f"a{k}" for k in range(len(orders))], QQ, lex)

    def dense(self, part: Polynomial, least: dict[Atom, Fraction]) -> Any:
        """A polynomial of sympy's, exponents from the least of each atom on."""
        terms = {}
        for m, c in part.items():
            e = dict(m)
            place = (int((e.get(a, ZERO) - least[a]) * n) for a, n in self.orders.items())
            terms[tuple(place)] = self.ring.domain(c.numerator, c.denominator)
        return self.ring.from_dict(terms)

    def sparse(self, part: Any, shift: dict[Atom, Fraction]) -> Polynomial:
        """One of ours again, its exponents shifted."""
        result: Polynomial = {}
        for place, c in part.terms():
            pairs = zip(self.orders.items(), place, strict=True)
            exponents = ((a, Fraction(int(k), order) + shift[a]) for (a, order), k in pairs)
            monomial = tuple((a, e) for a, e in exponents if e)
            result[monomial] = Fraction(int(c.numerator), int(c.denominator))
        return result
