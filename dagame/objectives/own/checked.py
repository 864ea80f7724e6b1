"""Does `reward` belong to `value`? Objectives from outside the package are asked when a game is made.

At two interior points the slopes of `value` along random feasible directions, by differences, are
compared with those that `reward` states; shapes, batches, weights and stated facts are tried besides. The
cost is about fifteen calls of the objective on small batches (`benchmarks/objective_checks.py`).
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InvalidObjective
from ...numerics.arrays import LOG_ZERO, Array, namespace, to_numpy
from ..objective import Objective
from ..structure import stated_curvature
from .asked import Asked
from .causes import likely_cause
from .conditions import CONCAVE, Checked, Condition, of_concavity, of_gradient, of_smoothness
from .differences import OFFSETS, along, directions, slopes, stated_slopes
from .facts import check_bound, check_facts

_ATTRIBUTE = "_dagame_checked"
_MIXED = (0.1, 0.001)
_LINES = 2


def checked_terms(
    given: Objective, bound: Objective, log_nu0: Array, weights: Array, check: bool = True
) -> tuple[Checked | None, ...]:
    """What was found of each term of an objective: None for built-in ones, and where `check` is False.

    `given` is the user's object, which remembers what was found for these numbers of contexts and
    answers, `bound` its copy on the game's arrays; log_nu0 (*batch, m, n) are the reference's marginals.

    Raises:
        InvalidObjective: value, reward or a stated fact is wrong; the message says which and how.
    """
    pairs = zip(given.terms(), bound.terms(), strict=True)
    return tuple(
        _remembered(g, b, log_nu0, weights) if check and g.own else None for (_, g), (_, b) in pairs
    )


def conditions_of(
    objective: Objective, found: Sequence[Checked | None], mu: float, beta: float
) -> tuple[Condition, ...]:
    """What a certificate of the objective stands on, term by term; `mu` is the whole sum's curvature."""
    parts = [(f, o, seen) for (f, o), seen in zip(objective.terms(), found, strict=True) if f]
    own = [(f, o, seen) for f, o, seen in parts if o.own]
    said = [of_gradient(type(o).__name__, seen) for _, o, seen in own]
    if not own:
        unproved = {o.concavity_known for _, o, _ in parts if o.concave is None}
        known = unproved.pop() if len(unproved) == 1 and mu >= 0 else ""
        return (of_concavity("", objective.concave, mu, False, None, known),)
    for factor, part, seen in own:
        name = type(part).__name__
        if factor < 0:
            said.append(of_smoothness(name, part.smoothness, seen))
        else:
            said.append(of_concavity(name, part.concave, stated_curvature(part), True, seen))
    if len(own) < len(parts):
        said.append(Condition("built-in terms: concave, or their curvature: proved"))
    if objective.concave is None and mu < 0 and beta + mu <= 0:
        said.append(Condition(f"curvature mu = {mu:.4g} does not allow T6", CONCAVE))
    return tuple(dict.fromkeys(said))


def forget(objective: Objective) -> None:
    """Forget what was found of an objective, so that the next game asks again."""
    for _, part in objective.terms():
        getattr(part, "__dict__", {}).pop(_ATTRIBUTE, None)


def _remembered(given: Objective, bound: Objective, log_nu0: Array, weights: Array) -> Checked:
    """The check, once per object, its attributes, and the numbers of contexts and answers."""
    kept = getattr(given, "__dict__", {}).get(_ATTRIBUTE)
    if kept is None:
        kept = {}
        if hasattr(given, "__dict__"):
            object.__setattr__(given, _ATTRIBUTE, kept)
    key = _key(given, log_nu0, weights)
    if key not in kept:
        with np.errstate(all="ignore"):
            kept[key] = _check(bound, log_nu0, weights)
    return kept[key]


def _key(given: Objective, log_nu0: Array, weights: Array) -> tuple[Any, ...]:
    attributes = tuple(
        (name, id(value))
        for name, value in getattr(given, "__dict__", {}).items()
        if name != _ATTRIBUTE and name not in given.tables
    )
    kind = type(given)
    facts = given.concave, given.smoothness, given.curvature, id(kind.value), id(kind.reward)
    shape = tuple(log_nu0.shape[-2:])
    return shape, namespace(log_nu0).__name__, weights.ndim, facts, attributes


def _check(objective: Objective, log_nu0: Array, weights: Array) -> Checked:
    lead, (m, n) = tuple(log_nu0.shape[:-2]), tuple(log_nu0.shape[-2:])
    _check_signature(objective)
    asked = Asked(objective, log_nu0, weights)
    asked.check_tensors()
    nu0 = np.exp(np.clip(to_numpy(log_nu0).astype(np.float64), LOG_ZERO, 0.0))
    nu0 = nu0.reshape(-1, m, n)[0]
    rng = np.random.default_rng([m, n, zlib.crc32(nu0.tobytes())])
    asked.check_shapes(lead)
    points, support, why = _points(asked, nu0, rng)
    asked.check_batch(_some(rng, support, 3))
    if not len(points):
        return Checked(unresolved=why)
    noise, bent, clear = _compare(asked, points, rng, None)
    other = asked.other_weights(rng)
    if other is not None:
        _compare(asked, points[-1:], rng, other)
    if objective.has_multipliers:
        check_bound(asked, _some(rng, support, 6), points, noise)
    chords, convex = check_facts(asked, support, noise, rng)
    chords += 2 * _LINES * len(points)
    if bent and objective.concave is True:
        raise InvalidObjective(
            f"{asked.name}: declared concave, but {bent}; set concave = False, or None if you do not know."
        )
    said = convex or bent if objective.concave is None else ""
    compared = int(clear.sum())
    rough = "" if clear.all() else "the value is too rough there"
    return Checked(compared, chords, rough, said)


def _check_signature(objective: Objective) -> None:
    """Whether `value` and `reward` can be called with marginals and weights."""
    for name in ("value", "reward"):
        try:
            inspect.signature(getattr(objective, name)).bind(0, 0)
        except TypeError:
            raise InvalidObjective(
                f"{type(objective).__name__}.{name} takes no context weights; write "
                f"{name}(self, marginals, weights)."
            ) from None
        except ValueError:  # a compiled function that states no signature
            pass


def _points(
    asked: Asked, nu0: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, str]:
    """Two interior points of finite value, the reference mixed inside and a random one; their support.

    Where Phi is finite nowhere on the reference's support, as divergences between contexts that share
    no support are, the points are taken in the whole simplex.
    """
    for support in (nu0 > 0, np.ones(nu0.shape, dtype=bool)):
        even = support / support.sum(-1, keepdims=True)
        inside = nu0 if support.all(where=nu0 > 0) and (nu0[support] > 0).all() else even
        near = [(1 - e) * inside + e * even for e in _MIXED]
        far = _some(rng, support, 2)
        pulled = 0.9 * inside + 0.1 * far[:1]
        candidates = np.concatenate([np.stack(near), pulled, far])
        values = asked.values(candidates)
        if np.isnan(values).any() or (values == np.inf).any():
            bad = "NaN" if np.isnan(values).any() else "+infinity"
            raise InvalidObjective(
                f"{asked.name}.value is {bad} at marginals inside the simplex"
                + ("" if support.all() else ", some of whose entries are 0 (0 log 0 is 0)")
                + "; -infinity is the only value that is not a number which Phi may take."
            )
        finite = np.flatnonzero(values > -np.inf)
        if finite.size:
            chosen = candidates[np.unique([finite[0], finite[-1]])]
            return chosen, support, ""
        if support.all():
            break
    return candidates[:0], support, "the value is -infinity at every point tried"


def _some(rng: np.random.Generator, support: np.ndarray, count: int) -> np.ndarray:
    """Random marginals on a support, a tenth of each row even."""
    p = rng.exponential(size=(count, *support.shape)) * support
    p = p / p.sum(-1, keepdims=True)
    return 0.9 * p + 0.1 * support / support.sum(-1, keepdims=True)


def _compare(
    asked: Asked, points: np.ndarray, rng: np.random.Generator, weights: np.ndarray | None
) -> tuple[float, str, np.ndarray]:
    """Slopes at points (P, m, n) along random directions, two each, against those of `reward`.

    The noise of the value, a convex line in words, and at which points slopes could be measured (P,).
    """
    count, m, n = points.shape
    g = rng.uniform(-1, 1, (count, _LINES, m, n))
    g[:, 1, np.arange(m) != rng.integers(m)] = 0.0  # one direction moves one context only
    p = np.repeat(points, _LINES, axis=0)
    d = directions(p, g.reshape(p.shape))
    lines = along(p, d)
    values = asked.values(lines.reshape(-1, m, n), weights).reshape(len(p), len(OFFSETS))
    u = np.repeat(asked.rewards(points, weights), _LINES, axis=0)
    w = asked.weights if weights is None else weights
    stated, scale, terms = stated_slopes(u, p, d, w)
    found = slopes(values, terms)
    unclear = found.unclear(scale) & (np.abs(d).max((-2, -1)) > 0)
    wrong = np.flatnonzero(~found.agree(stated, scale) & ~unclear)
    if wrong.size:
        k = wrong[np.argmax(np.abs(found.measured - stated)[wrong])]
        raise InvalidObjective(
            _sentence(asked, p[k], weights, float(found.measured[k]), float(stated[k]))
        )
    clear = ~unclear.reshape(count, _LINES).all(axis=1)
    return found.noise, _convex_line(values, found.noise), clear


def _sentence(
    asked: Asked, p: np.ndarray, weights: np.ndarray | None, slope: float, stated: float
) -> str:
    ratio = f" ({slope / stated:.4g} times)" if stated else ""
    where = "" if weights is None else f" with context weights {np.round(weights, 3).tolist()}"
    return (
        f"{asked.name}: reward is not the gradient of value: along a random direction{where} the slope "
        f"of value is {slope:.4g}, that of reward {stated:.4g}{ratio}; {likely_cause(asked, p)}."
    )


def _convex_line(values: np.ndarray, noise: float) -> str:
    """A chord of a line that lies above the function by more than rounding, in words."""
    ahead, behind = np.split(values[:, 1:], 2, axis=1)
    above = (ahead[:, :2] + behind[:, :2]) / 2 - values[:, :1]
    above = np.where(np.isfinite(above), above, -np.inf)
    size = np.abs(values[:, 0]).max()
    top = above.max(initial=-np.inf)
    if not top > 30 * noise + 1e-12 * size:
        return ""
    return f"on a chord its middle lies {top:.3g} below the mean of its ends"
