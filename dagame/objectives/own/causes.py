"""The likely cause of a reward that is not its value's gradient, which is measured answer by answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from numbers import Real

import numpy as np

from .asked import Asked
from .differences import OFFSETS, along, directions, slopes

_MOST = 400
_CLOSE = 2e-3
_FACTORS = {
    -1.0: "the sign is reversed",
    2.0: "a factor 2 is missing from reward, or 1/2 is too much",
    0.5: "a factor 2 is too much in reward, or 1/2 is missing",
    float(np.log(2)): "reward takes the logarithm to base 2, value the natural one",
    float(1 / np.log(2)): "value takes the logarithm to base 2, reward the natural one",
    float(np.log(10)): "reward takes the logarithm to base 10, value the natural one",
    float(1 / np.log(10)): "value takes the logarithm to base 10, reward the natural one",
}


def likely_cause(asked: Asked, p: np.ndarray) -> str:
    """One clause; `p` (m, n) is an interior point."""
    weights = _uneven(asked)
    if asked.m * asked.n > _MOST:
        return f"try it on fewer answers than {asked.n} to see where they differ"
    true, spread = _measured(asked, p, weights)
    u = asked.reward(p, weights)
    stated = _centred(u, p)
    if not np.isfinite(true).all():
        return "the value has no slope at some answers there"
    size = np.abs(true).max() + np.abs(stated).max()
    if np.abs(stated).max() <= 1e-12 * size:
        whole = bool((u == np.round(u)).all())
        return (
            _integers() if whole and np.abs(u).max() > 0 else "reward is the same for every answer"
        )
    for guess, cause in _guesses(asked, p, u, stated, true, weights):
        if np.abs(_centred(guess, p) - true).max() <= _CLOSE * size + 10 * spread:
            return cause
    return _where(u, stated, true, p, size)


def _uneven(asked: Asked) -> np.ndarray:
    """Context weights as uneven as a few draws give: even ones look like a factor."""
    rng = np.random.default_rng(5)
    drawn = [w for _ in range(8) if (w := asked.other_weights(rng)) is not None]
    return max(drawn, key=lambda w: w.max() / w.min()) if drawn else asked.weights


def _measured(asked: Asked, p: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """The gradient in the pairing less its mean under p, (m, n), by a line for each answer; its error."""
    m, n = p.shape
    g = np.eye(m * n).reshape(m * n, m, n)
    d = directions(p, g)
    lines = along(np.broadcast_to(p, d.shape), d).reshape(-1, m, n)
    found = slopes(asked.values(lines, weights).reshape(m * n, len(OFFSETS)))
    moved = np.abs(d).max(axis=(-2, -1))
    scale = np.where(moved > 0, np.maximum(p, 1 - p).reshape(-1), 1.0)
    mass = (weights[:, None] * p).reshape(-1)
    per = np.where((mass > 0) & (moved > 0), scale / np.where(mass > 0, mass, 1.0), 0.0)
    error = float(np.max(found.error * per, initial=0.0, where=np.isfinite(found.error)))
    return (np.where(per > 0, found.measured, 0.0) * per).reshape(m, n), error


def _centred(u: np.ndarray, p: np.ndarray) -> np.ndarray:
    safe = np.where(p > 0, u, 0.0)
    return np.where(p > 0, safe - (safe * p).sum(-1, keepdims=True), 0.0)


def _guesses(
    asked: Asked,
    p: np.ndarray,
    u: np.ndarray,
    stated: np.ndarray,
    true: np.ndarray,
    weights: np.ndarray,
) -> Iterator[tuple[np.ndarray, str]]:
    """Rewards that mistakes would have given, each with the mistake."""
    m, w = len(p), weights[:, None]
    yield -stated, _FACTORS[-1.0]
    if m > 1:
        weighs = _value_weighs(asked, p, weights)
        within = "reward has a context weight too much: context weights belong to value only"
        without = "value does not weigh its contexts: sum (per_context * weights) over them"
        yield stated / w, within if weighs else without
        yield stated * w, "reward divides by the context weights, which belong to value only"
        yield stated / (m * w), "value takes the plain mean over contexts where the weights belong"
        or_two = " (or by another 2)" if m == 2 else ""
        yield (
            m * stated,
            (
                f"reward divides by the number of contexts{or_two}; context weights belong to value only"
            ),
        )
        yield (
            stated / m,
            (
                f"value divides by the number of contexts{or_two} besides weighing them, or reward "
                "multiplies by it"
            ),
        )
    yield from _scaled(asked, stated, true)
    yield p * u, "reward lacks a factor nu: a power is off by one"
    yield (
        np.divide(u, p, out=np.zeros_like(u), where=p > 0),
        ("reward has a factor nu too much: a power is off by one"),
    )
    yield u[:, ::-1], "the answers are in reversed order"
    if m > 1:
        yield u[::-1], "the contexts are in reversed order"
        if u.shape[0] == u.shape[1]:
            yield u.T, "contexts and answers are transposed"
        if m <= 5:
            for order in permutations(range(m)):
                yield u[list(order)], f"the contexts are in another order, {list(order)}"
    for shift in range(1, min(p.shape[1], 8)):
        yield np.roll(u, shift, axis=-1), f"the answers are shifted by {shift}"


def _scaled(asked: Asked, stated: np.ndarray, true: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """One factor for all answers, named where a fact of the objective has its size."""
    factor = float((stated * true).sum() / (stated**2).sum())
    for known, cause in _FACTORS.items():
        if abs(factor - known) <= _CLOSE * abs(known):
            yield factor * stated, cause
    for name, value in vars(asked.objective).items():
        if isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value)):
            known = float(value)
            if known and abs(factor - known) <= _CLOSE * abs(known):
                yield factor * stated, f"the factor `{name}` is missing from reward"
            if known and abs(factor - 1 / known) <= _CLOSE * abs(1 / known):
                yield (
                    factor * stated,
                    f"the factor `{name}` is missing from value, or in reward twice",
                )
    yield factor * stated, f"reward is to be multiplied by {factor:.4g} everywhere"


def _value_weighs(asked: Asked, p: np.ndarray, weights: np.ndarray) -> bool:
    """Whether the value depends on the context weights; contexts alike would not tell."""
    p = (p + np.random.default_rng(5).dirichlet(np.ones(p.shape[1]), len(p))) / 2
    one, other = asked.values(p[None], weights)[0], asked.values(p[None], weights[::-1].copy())[0]
    third = asked.values(p[None], np.full(len(weights), 1 / len(weights)))[0]
    size = max(abs(one), abs(other), abs(third))
    return max(abs(one - other), abs(one - third)) > 1e-12 * size


def _integers() -> str:
    return (
        "reward holds whole numbers only: an integer array cuts fractions off (give it dtype=float)"
    )


def _where(u: np.ndarray, stated: np.ndarray, true: np.ndarray, p: np.ndarray, size: float) -> str:
    """Where they differ most, and what of a known form is missing."""
    if (u == np.round(u)).all() and not (true == np.round(true)).all() and np.abs(u).max() > 0:
        return _integers()
    rest = true - stated
    for name, shape in (("log nu(z)", np.log(np.where(p > 0, p, 1.0))), ("nu(z)", p)):
        form = _centred(shape, p)
        if (form**2).sum() > 0:
            factor = float((rest * form).sum() / (form**2).sum())
            if np.abs(rest - factor * form).max() <= _CLOSE * size:
                return f"the term {factor:.4g} {name} is missing from reward"
    x, z = np.unravel_index(np.argmax(np.abs(rest)), rest.shape)
    contexts = np.abs(rest).max(axis=-1) > _CLOSE * size
    only = "" if contexts.all() else f" (only in contexts {np.flatnonzero(contexts).tolist()})"
    return (
        f"they differ most at context {x}, answer {z}{only}: less its context's mean the gradient is "
        f"{true[x, z]:.4g}, reward {stated[x, z]:.4g}; is a term dropped, or of another answer?"
    )
