"""A reward given as a sympy formula: evaluated stably, integrated, and proved not to rise if it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import InvalidObjective
from .reward_proofs import exact_range, never_rises, pieces, sign, special

Function = Callable[[Any], Any]

_MOST_STEPS, _LARGEST_NUMBER = 200, 100


@dataclass(frozen=True, eq=False)
class Formula:
    """g and g' as functions of arrays, F as text and function where sympy has it, and what is proved.

    `special`: places where a smooth formula may be steep or jump. `proved`: g' <= 0 on all of (0, 1) and no
    jump goes up. `bend`: exact (least, greatest) of -factor g' for factor p and p (1 - p), None if unknown.
    """

    name: str
    paid: Function
    slope: Function | None
    integral: tuple[str, Function] | None
    special: tuple[float, ...]
    proved: bool
    bend: dict[str, tuple[float, float] | None]


def formula(expression: Any) -> Formula:
    """Read a sympy expression in at most one symbol; `InvalidObjective` names what cannot be read."""
    import sympy

    symbols = sorted(expression.free_symbols, key=str)
    if len(symbols) > 1:
        raise InvalidObjective(
            f"the reward {expression} has {len(symbols)} symbols; substitute all but the probability."
        )
    p = sympy.Symbol("p", positive=True)
    given = sympy.sympify(expression)
    given = given.subs(symbols[0], p) if symbols else given
    g = _in_pieces(_exact(given), p)
    paid = _stable([given, g, *_rational_forms(g, p)], p)
    slope_formula = sympy.diff(g, p)
    slope = None
    if not slope_formula.has(sympy.Derivative, sympy.Subs, sympy.DiracDelta):
        slope = _stable([slope_formula, *_rational_forms(slope_formula, p)], p)
    parts = pieces(g)
    places = special(g, p) | {float(end) for piece in parts or () for end in piece[:2]}
    return Formula(
        str(given),
        paid,
        slope,
        _integral(g, p),
        tuple(sorted(s for s in places if 0 < s < 1)),
        parts is not None and never_rises(parts, p),
        {
            "answer": exact_range(-p * slope_formula, p),
            "success": exact_range(-p * (1 - p) * slope_formula, p),
        },
    )


def array_function(symbol: Any, expression: Any) -> Function:
    """The expression as a function of numpy arrays or torch tensors."""
    import sympy

    made: dict[str, Function] = {}

    def run(p: Any) -> Any:
        module = "torch" if "torch" in type(p).__module__ else "numpy"
        if module not in made:
            made[module] = sympy.lambdify(symbol, expression, module, cse=True)
        return made[module](p) + 0 * p

    return run


# -- forms ------------------------------------------------------------------------------------------


def _exact(expression: Any) -> Any:
    """Decimal numbers as the fractions that they are written as."""
    import sympy

    floats = {f: sympy.nsimplify(f, rational=True) for f in expression.atoms(sympy.Float)}
    return expression.xreplace(floats)


def _in_pieces(g: Any, p: Any) -> Any:
    """abs, sign, Heaviside, Min, Max, floor and ceiling of p in (0, 1) written out or as Piecewise."""
    import sympy

    for node in sorted(g.atoms(sympy.floor, sympy.ceiling), key=sympy.count_ops):
        g = g.xreplace({node: _steps(node, p)})
    for node in sorted(g.atoms(sympy.Abs, sympy.sign), key=sympy.count_ops):
        s = sign(node.args[0], p)
        if s:
            g = g.xreplace({node: s * node.args[0] if node.func == sympy.Abs else sympy.Integer(s)})
    real = sympy.Symbol("p", real=True)
    kinds = (sympy.Abs, sympy.sign, sympy.Heaviside, sympy.Min, sympy.Max)
    if g.has(*kinds):
        g = g.subs(p, real).rewrite(kinds, sympy.Piecewise).subs(real, p)
    return sympy.piecewise_fold(g) if g.has(sympy.Piecewise) else g


def _steps(node: Any, p: Any) -> Any:
    """floor or ceiling of a monotone function of p as Piecewise, the steps at its roots."""
    import sympy

    inner, half = node.args[0], sympy.Rational(1, 2)
    rising = sign(sympy.diff(inner, p), p)
    ends = [sympy.limit(inner, p, 0, "+"), sympy.limit(inner, p, 1, "-")]
    wide = not all(e.is_finite for e in ends) or abs(ends[1] - ends[0]) > _MOST_STEPS
    if rising is None or wide:
        raise InvalidObjective(
            f"the reward has {node}, whose steps on (0, 1) are not found; write it as a Piecewise or "
            "give a function of an array."
        )
    low, high = min(ends), max(ends)
    whole = [
        k for k in range(int(sympy.floor(low)), int(sympy.ceiling(high)) + 1) if low < k < high
    ]
    found: list[Any] = [sympy.solveset(inner - k, p, sympy.Interval.open(0, 1)) for k in whole]
    cuts = sorted((root for roots in found for root in roots), key=float)
    edges = [sympy.Integer(0), *cuts, sympy.Integer(1)]
    levels = [node.func(inner.subs(p, (a + b) * half)) for a, b in pairwise(edges)]
    closed = (node.func == sympy.floor) == (rising > 0)
    branches = [
        (level, p < cut if closed else p <= cut) for level, cut in zip(levels, cuts, strict=False)
    ]
    return sympy.Piecewise(*branches, (levels[-1], True))


def _rational_forms(g: Any, p: Any) -> list[Any]:
    """Cancelled and factored, for rational functions of p; as it is otherwise."""
    import sympy

    if not g.is_rational_function(p):
        return [g]
    cancelled = sympy.cancel(g)
    return [cancelled, sympy.factor(cancelled)]


def _stable(forms: Iterable[Any], p: Any) -> Function:
    """The form whose float values are nearest to those in 60 digits."""
    import mpmath
    import sympy

    probes = np.array([1e-9, 1e-5, 0.03, 0.4, 0.71, 1 - 1e-5, 1 - 1e-9])
    forms = list(dict.fromkeys(forms))
    if len(forms) == 1:
        return array_function(p, forms[0])
    try:
        with mpmath.workdps(60):
            exact = sympy.lambdify(p, forms[0], "mpmath")
            true = np.array([complex(exact(mpmath.mpf(float(x)))) for x in probes])
    except Exception:
        return array_function(p, forms[0])
    made = [array_function(p, form) for form in forms]
    errors = [_largest_error(function, probes, true) for function in made]
    most = max(4 * min(errors), 1e-14)
    return next(f for f, error in zip(made, errors, strict=True) if error <= most)


def _largest_error(function: Function, probes: np.ndarray, true: np.ndarray) -> float:
    """Relative to the true values; infinite where it cannot be evaluated."""
    try:
        with np.errstate(all="ignore"):
            off = np.abs(function(probes) - true)
        error = float((off / (np.abs(true) + 1e-300)).max())
    except Exception:
        return np.inf
    return error if np.isfinite(error) else np.inf


def _integral(g: Any, p: Any) -> tuple[str, Function] | None:
    """An antiderivative that is real, finite and right on (0, 1) as text and function; or None."""
    import sympy

    algebraic = not g.atoms(sympy.Function) - g.atoms(sympy.Piecewise)
    numbers = all(abs(number) <= _LARGEST_NUMBER for number in g.atoms(sympy.Rational))
    for manual in (True, None) if algebraic and numbers else (True,):
        with suppress(Exception):
            found = sympy.integrate(g, p, manual=manual).replace(
                lambda e: isinstance(e, sympy.Piecewise), lambda e: _on_unit_interval(e, p)
            )
            right = None if found.has(sympy.Integral) else _right(found, g, p)
            if right is not None:
                return right
    return None


def _right(found: Any, g: Any, p: Any) -> tuple[str, Function] | None:
    """The antiderivative as it is or with positive logarithms, whichever is right on (0, 1)."""
    import sympy

    real = found.replace(sympy.log, lambda x: sympy.log(_positive(x, p)))
    for form in (found, real):
        function = array_function(p, form)
        if _is_antiderivative(function, array_function(p, g)):
            return str(form), function
    return None


def _positive(x: Any, p: Any) -> Any:
    """x or -x, whichever is positive on (0, 1): the logarithms of both have one derivative."""
    import sympy

    s = sign(x, p)
    return sympy.expand(-x) if s == -1 else x if s == 1 else sympy.Abs(x)


def _is_antiderivative(function: Function, paid: Function) -> bool:
    """F(b) - F(a) against Gauss-Legendre on short intervals, away from what may jump between them."""
    edges = np.concatenate([np.geomspace(1e-8, 0.05, 40), np.linspace(0.05, 1 - 1e-6, 700)[1:]])
    nodes, weights = np.polynomial.legendre.leggauss(8)
    width = np.diff(edges)
    try:
        with np.errstate(all="ignore"):
            values = np.asarray(function(edges))
            if values.dtype.kind == "c" or not np.isfinite(values).all():
                return False
            at = edges[:-1, None] + width[:, None] * (1 + nodes) / 2
            parts = (np.asarray(paid(at)) * weights).sum(-1) * width / 2
    except Exception:
        return False
    size = np.abs(parts) + np.abs(values).max() * 1e-7 + 1e-300
    off = np.abs(np.diff(values) - parts) / size
    return bool(np.sort(off)[int(0.97 * len(off))] < 1e-6)


def _on_unit_interval(piecewise: Any, p: Any) -> Any:
    """A Piecewise without the branches that no p in (0, 1) takes."""
    import sympy

    taken: set[int] = set()
    for k in range(1, 400):
        point = sympy.Rational(k, 400)
        holds = [bool(condition.subs(p, point)) for _, condition in piecewise.args]
        taken.add(holds.index(True))
    kept = [branch for i, branch in enumerate(piecewise.args) if i in taken]
    return kept[0][0] if len(kept) == 1 else sympy.Piecewise(*kept)
