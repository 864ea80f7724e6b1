"""Slopes of a function along lines, by differences of many step lengths, and what they say of a gradient.

A line is Phi at p * (1 + t (g - <g, p>)): it stays in the simplex and in the support of p for |t| <= 1/4,
and a move in proportion to p keeps functions of log p and 1/p as smooth as others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STEPS = 0.25 * 4.0 ** -np.arange(7)
_COUNT = len(STEPS)
OFFSETS = np.concatenate([[0.0], STEPS, -STEPS])
"""Where along a line the value is taken: in the middle and at each step on both sides."""

_RELATIVE = 1e-5
_ROUNDING = 50 * np.finfo(np.float64).eps
_FINE = np.arange(len(STEPS) - 2) >= len(STEPS) - 5
_LEAST = 0.01
"""The least size that a value's terms are taken to have, as rounding error is relative to the terms
even where they cancel."""


@dataclass(frozen=True)
class Slopes:
    """Slopes of K lines: `measured`, its `error` (K,), one-sided ends `low` and `high`, `noise` of f."""

    measured: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    candidates: np.ndarray
    allowed: np.ndarray
    reach: np.ndarray
    noise: float

    def agree(self, stated: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Whether a stated slope (K,) is one of these; `scale` is the size of the terms it sums.

        It equals some step's central difference, or lies between the one-sided slopes of the least
        step, as every super- and subgradient does at a kink.
        """
        size = np.maximum(scale, np.abs(self.measured))
        near = _RELATIVE * size + 10 * self.error
        off = np.abs(self.candidates - stated[:, None])
        smooth = (off <= near[:, None] + self.allowed).any(axis=1)
        between = (self.low - near <= stated) & (stated <= self.high + near)
        return smooth | between

    def unclear(self, scale: np.ndarray) -> np.ndarray:
        """Where differences of neighbouring steps disagree too much to determine a slope."""
        size = np.maximum(np.maximum(scale, np.abs(self.measured)), self.reach)
        return ~(self.error <= 0.05 * size + self.allowed[:, 0])


def slopes(values: np.ndarray, terms: np.ndarray | float = 0.0) -> Slopes:
    """Slopes from values (K, 15) at `OFFSETS`; values that are not finite drop their step.

    `terms` (K,) is the size of what the value sums, whose rounding it has where they cancel.

    Central differences at steps h and h/4 are extrapolated, (16 C(h/4) - C(h)) / 15, error O(h^4); of
    all steps the one that agrees best with its neighbour is taken, so neither curvature like 1/p nor
    rounding of single precision needs a step of its own.
    """
    middle, ahead, behind = np.split(values, [1, 1 + _COUNT], axis=1)
    with np.errstate(all="ignore"):
        central = (ahead - behind) / (2 * STEPS)
        better = (16 * central[:, 1:] - central[:, :-1]) / 15
        size = np.max(np.where(np.isfinite(values), np.abs(values), 0), axis=1, keepdims=True)
        size = size + np.maximum(np.reshape(terms, (-1, 1)), _LEAST)
        apart = np.abs(np.diff(better, axis=1))
        apart = np.where(np.isfinite(apart), apart, np.inf)
        best = np.argmin(apart, axis=1)
        fine = np.max(
            np.where(np.isfinite(apart), apart, 0) * STEPS[2:], axis=1, where=_FINE, initial=0
        )
        noise = float(np.median(fine))  # of one value; a near kink shows in few lines
        allowed = (_ROUNDING * size + 4 * noise) / STEPS[1:]
        rows = np.arange(len(values))
        error, measured = apart[rows, best], better[rows, best + 1]
        forward, backward = (ahead - middle) / STEPS, (middle - behind) / STEPS
        ends = np.stack([forward[:, -1], backward[:, -1]])
    return Slopes(
        np.where(np.isfinite(error), measured, np.nan),
        error,
        np.min(ends, axis=0),
        np.max(ends, axis=0),
        np.where(
            np.isfinite(tried := np.concatenate([better, central[:, -1:]], axis=1)), tried, np.inf
        ),
        np.concatenate([allowed, allowed[:, -1:]], axis=1),
        np.ptp(np.where(np.isfinite(values), values, middle), axis=1) / STEPS[0],
        noise + float(_ROUNDING * size.max(initial=0.0)),
    )


def directions(p: np.ndarray, g: np.ndarray) -> np.ndarray:
    """p * (g - <g, p>) with the largest |g - <g, p>| scaled to 1: zero-sum in every context."""
    centred = np.where(p > 0, g - (g * p).sum(-1, keepdims=True), 0.0)
    largest = np.abs(centred).max(axis=(-2, -1), keepdims=True)
    return p * centred / np.where(largest > 0, largest, 1.0)


def along(p: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The points p + t d at `OFFSETS`: (K, m, n) -> (K, 15, m, n)."""
    return p[:, None] + OFFSETS[:, None, None] * d[:, None]


def stated_slopes(
    u: np.ndarray, p: np.ndarray, d: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """<u, d> in the pairing, the size of its terms, u less its mean (a constant is free), and <|u|, p>."""
    safe = np.where(p > 0, u, 0.0)
    centred = np.where(d != 0, safe - (safe * p).sum(-1, keepdims=True), 0.0)
    terms = weights[..., None] * centred * d
    whole = (weights[..., None] * np.abs(safe) * p).sum((-2, -1))
    return terms.sum((-2, -1)), np.abs(terms).sum((-2, -1)), whole
