"""Stated facts tried on random pairs: concavity on chords, mu KL <= B(p, q) <= L KL, bounds at kinks."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from ...errors import InvalidObjective
from ...numerics.arrays import LOG_ZERO, log, to_numpy
from ..structure import stated_curvature
from .asked import Asked

_PAIRS = 8


def check_facts(
    asked: Asked, support: np.ndarray, noise: float, rng: np.random.Generator
) -> tuple[int, str]:
    """Try `concave`, `smoothness`, `curvature` on pairs: how many chords held, and what refutes concavity.

    Raises:
        InvalidObjective: a stated fact is violated by more than rounding.
    """
    p, q = _pairs(support, rng)
    chosen = rng.uniform(0.2, 0.8, (len(p), 1, 1))
    values = asked.values(np.concatenate([p, q, (1 - chosen) * q + chosen * p]))
    at_p, at_q, between = values.reshape(3, -1)
    finite = (at_p > -np.inf) & (at_q > -np.inf)
    if not finite.any():
        return 0, ""
    size = np.abs(np.concatenate([at_p[finite], at_q[finite]])).max()
    rounding = 30 * noise + 1e-12 * size
    share = chosen[:, 0, 0]
    below = np.where(finite, share * at_p + (1 - share) * at_q - between, -np.inf)
    bregman, distance, terms = _bregman(asked, p, q, at_p, at_q)
    slack = rounding + 1e-11 * terms
    objective, convex = asked.objective, ""
    if below.max() > rounding:
        convex = f"at a point of a chord the value lies {below.max():.3g} below the chord"
    elif (finite & (bregman < -slack)).any():
        k = int(np.argmin(np.where(finite, bregman, np.inf)))
        convex = f"the tangent at a point lies {-bregman[k]:.3g} below the value at another"
    if convex and objective.concave is True:
        raise InvalidObjective(
            f"{asked.name}: declared concave, but {convex}; set concave = False, or None if you do not know."
        )
    mu, smooth = stated_curvature(objective), objective.smoothness
    if np.isfinite(mu) and mu != 0:
        low = finite & (bregman < mu * distance - slack)
        if low.any():
            _refuse_fact(asked, "curvature mu", mu, "at most", bregman, distance, low)
    if smooth is not None:
        high = finite & (bregman > smooth * distance + slack)
        if high.any():
            _refuse_fact(asked, "smoothness L", smooth, "at least", bregman, distance, high)
    return int(finite.sum()), convex


def _bregman(
    asked: Asked, p: np.ndarray, q: np.ndarray, at_p: np.ndarray, at_q: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B(p, q) = Phi(q) + <u(q), p - q> - Phi(p), sum_x w_x KL(p_x || q_x), and the size of B's terms."""
    w, u = asked.weights[:, None], asked.rewards(q)
    moved = np.where(p != q, u * (p - q), 0.0) * w
    bregman = at_q + moved.sum((-2, -1)) - at_p
    ratio = np.log(np.where(p > 0, p, 1.0)) - np.log(np.where(p > 0, q, 1.0))
    return bregman, (w * p * ratio).sum((-2, -1)), np.abs(moved).sum((-2, -1))


def _refuse_fact(
    asked: Asked,
    fact: str,
    stated: float,
    most: str,
    bregman: np.ndarray,
    distance: np.ndarray,
    wrong: np.ndarray,
) -> NoReturn:
    ratios = bregman[wrong] / np.maximum(distance[wrong], 1e-300)
    k = int(np.argmin(ratios) if most == "at most" else np.argmax(ratios))
    raise InvalidObjective(
        f"{asked.name}: {fact} = {stated:.4g} is stated, but a pair p, q has B(p, q) = {ratios[k]:.4g} "
        f"times sum_x w_x KL(p_x || q_x) (B the Bregman divergence of -Phi); it is {most} that."
    )


def _pairs(support: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (8, m, n) on a support: two far apart, two close, two on two answers, two near corners."""
    even = support / support.sum(-1, keepdims=True)

    def spread(count: int) -> np.ndarray:
        p = rng.exponential(size=(count, *support.shape)) * support
        return 0.9 * p / p.sum(-1, keepdims=True) + 0.1 * even

    def corner(share: bool) -> np.ndarray:
        order = rng.random(support.shape[-1]) if share else rng.random(support.shape)
        return (
            np.argmax(np.where(support, order, -1.0), axis=-1)[:, None]
            == np.arange(support.shape[-1])
        ).astype(float)

    far, far_too, near = spread(2), spread(2), spread(2)
    close = 0.9 * near + 0.1 * spread(2)
    corners = [(corner(k % 2 == 0), corner(k % 2 == 1)) for k in range(2)]
    mixed = [(a, b, *rng.uniform(0.02, 0.05, 2)) for a, b in corners]
    two = np.stack([(0.5 - e / 2) * (a + b) + e * even for a, b, e, _ in mixed])
    two_too = np.stack([0.4 * a + (0.6 - f) * b + f * even for a, b, _, f in mixed])
    one = np.stack([(1 - e) * a + e * even for a, _, e, _ in mixed])
    other = np.stack([(0.7 - f) * a + (0.3 + f) * even for a, _, _, f in mixed])
    return (
        np.concatenate([far, near, two, one]),
        np.concatenate([far_too, close, two_too, other]),
    )


def check_bound(asked: Asked, others: np.ndarray, points: np.ndarray, noise: float) -> None:
    """Phi(nu) <= c + <u, nu> for what `linearise` answers at the points (kinks, hard sets)."""
    values = asked.values(others)
    w = asked.array(asked.weights)
    one = asked.copies(1)
    for p in points:
        log_p = log(asked.array(p[None]))
        chosen = one.reply.multipliers(log_p, w, 0 * log_p, log_p > LOG_ZERO / 2)
        c, u = one.reply.linearise(log_p, w, chosen)
        c, u = float(to_numpy(c).reshape(-1)[0]), to_numpy(u).reshape(p.shape)
        bound = c + (asked.weights[:, None] * u * others).sum((-2, -1))
        size = np.abs(values[np.isfinite(values)]).max(initial=0.0) + np.abs(u).max()
        over = np.where(values > -np.inf, values - bound, -np.inf).max()
        if over > 30 * noise + 1e-9 * size:
            raise InvalidObjective(
                f"{asked.name}.reply.linearise gives no upper bound of value: at another point the value is "
                f"{over:.3g} above c + <u, nu>."
            )
