"""What is proved of a formula in p on (0, 1): its sign, that it never rises, its exact range.

Signs come from Sturm's theorem (rational functions of a root of p, or of one exp, log, tanh, ...) and
from the signs of the parts of products and sums. What is not proved is None; nothing is guessed.
"""

from __future__ import annotations

import math
from contextlib import suppress
from itertools import pairwise
from typing import Any

_LARGEST_ROOT = 12


def special(g: Any, p: Any) -> set[float]:
    """Roots of the arguments of functions and of their derivatives: where tanh steps and bells peak."""
    import sympy

    found: set[float] = set()
    nodes: set[Any] = g.atoms(sympy.Function, sympy.Pow)
    for node in nodes:
        for argument in node.args:
            if not argument.has(p) or isinstance(node, sympy.Piecewise):
                continue
            for part in (argument, sympy.diff(argument, p)):
                with suppress(Exception):
                    poly = sympy.Poly(sympy.fraction(sympy.together(part))[0], p)
                    found |= {float(r) for r in poly.nroots(n=20) if r.is_real}
    return found


def pieces(g: Any) -> list[tuple[Any, Any, Any]] | None:
    """(a, b, formula) in order on (0, 1), a point where a == b; None where the conditions are not solved."""
    import sympy

    if not g.has(sympy.Piecewise):
        return [(sympy.Integer(0), sympy.Integer(1), g)]
    if not isinstance(g, sympy.Piecewise):
        return None
    left: Any = sympy.Interval.open(0, 1)
    found = []
    try:
        branches: Any = g.args
        for part, condition in branches:
            region = left if condition == sympy.true else left & condition.as_set()
            left, spans = left - region, _spans(region)
            if spans is None or part.has(sympy.Piecewise):
                return None
            found += [(a, b, part) for a, b in spans]
    except Exception:
        return None
    return sorted(found, key=lambda piece: (float(piece[0]), float(piece[1])))


def _spans(region: Any) -> list[tuple[Any, Any]] | None:
    """The ends of the intervals and points of a set, None where it is no union of them."""
    import sympy

    found: list[tuple[Any, Any]] = []
    for one in region.args if isinstance(region, sympy.Union) else (region,):
        if isinstance(one, sympy.FiniteSet):
            found += [(point, point) for point in one]
        elif isinstance(one, sympy.Interval):
            found.append((one.start, one.end))
        elif one != sympy.S.EmptySet:
            return None
    return found


def never_rises(pieces: list[tuple[Any, Any, Any]], p: Any) -> bool:
    """Whether each piece is proved not to increase and no piece starts above the end of the one before."""
    import sympy

    ends: list[Any] = []
    for a, b, part in pieces:
        if a == b:
            ends += [part.subs(p, a)]
            continue
        inner = part.subs(p, a + (b - a) * p)
        if sign(sympy.diff(inner, p), p) not in (-1, 0):
            return False
        if len(pieces) > 1:
            ends += [sympy.limit(part, p, a, "+"), sympy.limit(part, p, b, "-")]
    return all(bool((after - before).evalf(30) <= 0) for before, after in pairwise(ends))


def sign(expression: Any, p: Any) -> int | None:
    """-1, 0 or 1 where expression <= 0, == 0 or >= 0 is proved for all p in (0, 1); else None."""
    import sympy

    try:
        found = _signed(expression, p)
        if found is None and not expression.atoms(sympy.Function) - expression.atoms(sympy.log):
            found = _signed(sympy.factor(sympy.together(expression)), p)
        return found
    except Exception:
        return None


def _signed(e: Any, p: Any) -> int | None:
    import sympy

    if not e.has(p):
        value = e.evalf(30)
        return int(sympy.sign(value)) if value.is_real else None
    if e == p:
        return 1
    rational = _rational_sign(e, p)
    if rational is not None:
        return rational[0]
    alone = _sign_in_one_function(e, p)
    return _sign_of_parts(e, p) if alone is None else alone


def _sign_of_parts(e: Any, p: Any) -> int | None:
    """The sign of a product, a sum, a power or a function of one argument from those of its parts."""
    import sympy

    if e.is_Mul:
        parts = [_signed(a, p) for a in e.args]
        return None if None in parts else math.prod(s for s in parts if s is not None)
    if e.is_Add:
        parts = {_signed(a, p) for a in e.args} - {0}
        return None if None in parts or len(parts) > 1 else (parts.pop() if parts else 0)
    if isinstance(e, sympy.exp | sympy.cosh | sympy.Abs):
        return 1
    if e.is_Pow:
        base, power = e.as_base_exp()
        return _sign_of_power(base, power, p)
    if isinstance(e, sympy.log):
        return _signed(sympy.together(e.args[0] - 1), p)
    if isinstance(e, sympy.tanh | sympy.sinh | sympy.atan | sympy.asinh | sympy.erf):
        return _signed(e.args[0], p)
    return None


def _sign_of_power(base: Any, power: Any, p: Any) -> int | None:
    if power.is_real and not power.has(p) and power.is_even:
        return 1
    s = _signed(base, p)
    odd = power.is_integer and power.is_odd
    return s if odd else (1 if s == 1 else None)


def _sign_in_one_function(e: Any, p: Any) -> int | None:
    """The sign of a rational function of one exp, tanh, sin, cos, erf or log: Sturm over its range."""
    import sympy

    bounded = (sympy.tanh, sympy.sin, sympy.cos, sympy.erf)
    nodes = e.atoms(sympy.exp, sympy.log, *bounded)
    if len(nodes) != 1:
        return None
    (node,) = nodes
    t = sympy.Symbol("t", positive=True)
    reached = {sympy.exp: t / (1 - t), sympy.log: (2 * t - 1) / (t * (1 - t))}.get(
        node.func, 2 * t - 1
    )
    changed = e.xreplace({node: reached})
    if changed.has(p) or not changed.is_rational_function(t):
        return None
    found = _rational_sign(sympy.cancel(changed), t)
    return None if found is None else found[0]


def _rational_in_root(e: Any, p: Any) -> tuple[Any, Any, int] | None:
    """(e with p = s^q, s, q) where that is a rational function of s; q = 1 for rational e."""
    import sympy

    powers = [x.as_base_exp()[1] for x in e.atoms(sympy.Pow) if x.as_base_exp()[0] == p]
    q = 1
    for power in powers:
        if not power.is_Rational:
            return None
        q = int(sympy.ilcm(q, power.q))
    if q > _LARGEST_ROOT:
        return None
    s = sympy.Symbol("s", positive=True)
    changed: Any = sympy.powdenest(e.subs(p, s**q), force=True)
    return (sympy.cancel(changed), s, q) if changed.is_rational_function(s) else None


def _rational_sign(e: Any, p: Any) -> tuple[int | None] | None:
    """(sign,) by Sturm's theorem, (None,) where it changes; None if e is no such function."""
    import sympy

    found = _rational_in_root(e, p)
    if found is None:
        return None
    rational, s, _ = found
    top, bottom = sympy.fraction(sympy.together(rational))
    product = sympy.Poly(top, s) * sympy.Poly(bottom, s)
    if product.is_zero:
        return (0,)
    for part, multiplicity in product.sqf_list()[1]:
        roots = part.count_roots(0, 1) - (part.eval(0) == 0) - (part.eval(1) == 0)
        if multiplicity % 2 and roots:
            return (None,)
    points = (sympy.Rational(k, 23) for k in range(1, 23))
    return (next(int(sympy.sign(v)) for x in points if (v := rational.subs(s, x)) != 0),)


def exact_range(bend: Any, p: Any) -> tuple[float, float] | None:
    """(inf, sup) on (0, 1) of a rational function of a root of p: limits at the ends, critical points."""
    import sympy

    try:
        found = _rational_in_root(bend, p)
        if found is None:
            return None
        e, s, _ = found
        values = [sympy.limit(e, s, 0, "+"), sympy.limit(e, s, 1, "-")]
        bottom = sympy.Poly(sympy.fraction(sympy.together(e))[1], s)
        if bottom.count_roots(0, 1) - (bottom.eval(0) == 0) - (bottom.eval(1) == 0):
            return None
        top = sympy.Poly(sympy.fraction(sympy.together(sympy.diff(e, s)))[0], s)
        inside = [] if top.is_zero else [r for r in top.nroots(n=40, maxsteps=200) if r.is_real]
        values += [e.subs(s, r) for r in inside if 0 < r < 1]
        numbers = [float(v) for v in values]
        return min(numbers), max(numbers)
    except Exception:
        return None
