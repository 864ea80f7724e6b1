"""What values of a reward g on (0, 1) show: where it rises, where it jumps, how steep it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidObjective, one_line

Function = Callable[[Any], Any]

EPS = float(np.finfo(float).eps)
_LEAST, _ROUNDS, _JOINED = 1e-9, 80, 4000
_END = np.geomspace(_LEAST, 1e-2, 200)
GRID = np.unique(np.concatenate([_END, np.linspace(1e-2, 1 - 1e-2, 20_001), 1 - _END]))
_CLUSTER = np.concatenate([[0.0], *((s * 10.0 ** -np.arange(2, 15, 0.5)) for s in (-1, 1))])


@dataclass(frozen=True, eq=False)
class Shape:
    """g at the points tried: spans where it rises, places where it jumps, -g' times a factor.

    `rises` are (a, b) with g(b) > g(a); `up` and `down` the jumps; low and high the extremes of
    -factor(p) g'(p), infinite at a jump and where they still grow at an end of (0, 1).
    """

    rises: tuple[tuple[float, float], ...]
    up: tuple[float, ...]
    down: tuple[float, ...]
    low: float
    high: float

    @property
    def falls_only(self) -> bool:
        """Whether no point tried shows a rise."""
        return not self.rises and not self.up


def probe(
    name: str,
    paid: Function,
    factor: Function,
    slope: Function | None = None,
    special: Sequence[float] = (),
) -> Shape:
    """Evaluate g on a grid of (0, 1), bisect wherever its differences do not fit together, and look.

    Intervals whose mean slope differs from their neighbours' by half are bisected until it does not, or
    until they are as short as floats allow: then g jumps there. `special` points and their
    surroundings at all scales join the grid. What happens between two points of the grid (5e-5
    apart) and nowhere else is not seen: a fact of this probe is a fact of the points tried.

    Raises:
        InvalidObjective: g is not finite somewhere.
    """
    near = np.ravel(np.asarray(special, float)[:, None] + _CLUSTER)
    inside = near[(near > _LEAST) & (near < 1 - _LEAST)]
    p = np.unique(np.concatenate([GRID, inside]))
    p, v, noise = _refined(name, paid, p, _evaluated(name, paid, p))
    width, change = np.diff(p), np.diff(v)
    floor = 12 * np.maximum(noise[1:], noise[:-1]) + 16 * EPS * np.maximum(
        np.abs(v[1:]), np.abs(v[:-1])
    )
    jump = (width <= 1e-11 * p[1:]) & (np.abs(change) > floor) & _sudden(p, v, change)
    rises = _spans(p, (change > floor) & ~jump, change < -floor)
    middle = (p[1:] + p[:-1]) / 2
    up, down = jump & (change > 0), jump & (change < 0)
    clear = np.ones(len(p), bool)
    at = np.flatnonzero(jump)
    clear[at] = clear[at + 1] = False

    def bend(q: np.ndarray, spacing: np.ndarray) -> np.ndarray:
        return -factor(q) * _derivative(
            paid, slope, q, _step(q, spacing, np.interp(q, p, noise), v)
        )

    ends = _towards_the_ends(paid, factor, slope)
    low = -np.inf if up.any() else _least(bend, p, clear, ends, 1.0)
    high = np.inf if down.any() else -_least(bend, p, clear, ends, -1.0)
    return Shape(rises, _places(middle[up]), _places(middle[down]), low, high)


def _evaluated(name: str, paid: Function, p: np.ndarray) -> np.ndarray:
    """g(p) as finite floats."""
    try:
        with np.errstate(all="ignore"):
            v = np.asarray(paid(p))
    except Exception as error:
        what = f"the reward {name} cannot be evaluated on an array of probabilities"
        raise InvalidObjective(f"{what}: {one_line(error)}.") from None
    if v.shape != p.shape or v.dtype.kind not in "fiub":
        raise InvalidObjective(
            f"the reward {name} gives {v.dtype} of shape {v.shape} for probabilities of shape {p.shape}; "
            "it must be a real function of each."
        )
    v = v.astype(float)
    if (wrong := ~np.isfinite(v)).any():
        where = f"it is {v[wrong][0]} at {p[wrong][0]:.10g}"
        raise InvalidObjective(f"the reward {name} is not finite on (0, 1): {where}.")
    return v


def _refined(
    name: str, paid: Function, p: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, values and rounding noise after bisection of the uneven intervals."""
    noise = _noise(name, paid, p)
    for _ in range(_ROUNDS):
        width, change = np.diff(p), np.diff(v)
        secant = change / width
        bent = np.abs(np.diff(secant))
        apart = np.maximum(np.append(bent, 0.0), np.append(0.0, bent)) * width
        large = np.abs(change) > np.maximum(
            20 * np.maximum(noise[1:], noise[:-1]), 1e-9 * np.maximum(np.abs(v[1:]), np.abs(v[:-1]))
        )
        uneven = large & (apart > 0.5 * np.abs(change)) & (width > 1e-12 * p[1:])
        at = np.flatnonzero(uneven)
        if not at.size or len(p) > 40 * len(GRID):
            break
        if at.size > _JOINED:
            at = at[np.argsort(-np.abs(change[at]))[:_JOINED]]
        middle = (p[at] + p[at + 1]) / 2
        joined = _evaluated(name, paid, middle)
        order = np.argsort(np.concatenate([p, middle]), kind="stable")
        noise = np.concatenate([noise, np.minimum(noise[at], noise[at + 1])])[order]
        p, v = np.concatenate([p, middle])[order], np.concatenate([v, joined])[order]
    return p, v, noise


def _noise(name: str, paid: Function, p: np.ndarray) -> np.ndarray:
    """Rounding noise of g near p: sixth differences over 1e-6 p, which smooth parts leave.

    Medians of neighbours on the grid, so that a jump, a kink or a narrow step is no noise.
    """
    h = 1e-6 * np.minimum(GRID, 1 - GRID)
    moved = [_evaluated(name, paid, GRID + k * h) for k in range(-3, 4)]
    spread = np.abs(np.diff(np.stack(moved), 6, axis=0)[0]) / 30
    padded = np.pad(spread, 5, mode="edge")
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, 11), axis=-1)
    return np.interp(p, GRID, smooth)


def _derivative(paid: Function, slope: Function | None, p: np.ndarray, h: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        if slope is not None:
            return np.asarray(slope(p), float) + 0 * p
        return (np.asarray(paid(p + h), float) - np.asarray(paid(p - h), float)) / (2 * h)


def _step(p: np.ndarray, spacing: np.ndarray, noise: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Half the span of a central difference: as short as noise and spacing of the points allow."""
    room = np.minimum(p, 1 - p)
    size = max(float(np.median(np.abs(v))), 1e-300)
    share = np.cbrt((noise / size + EPS) * p / room)
    return np.minimum(room * np.clip(share, 1e-6, 0.05), np.maximum(spacing / 20, 1e-9 * room))


def _towards_the_ends(
    paid: Function, factor: Function, slope: Function | None
) -> tuple[np.ndarray, np.ndarray]:
    """-factor g' at 1e-3, 1e-6, 1e-9 and at 1 less these."""
    step = np.array([1e-3, 1e-6, 1e-9])
    found = [
        -factor(p) * _derivative(paid, slope, p, step * np.array([1e-5, 1e-4, 1e-3]))
        for p in (step, 1 - step)
    ]
    return found[0], found[1]


def diverges(values: Sequence[float]) -> bool:
    """Whether values towards an end fall on: their last decrease is half of the one before, or more."""
    a, b, c = (float(x) for x in values)
    size = max(abs(a), abs(b), abs(c))
    return bool(np.isneginf(c)) or (b - c > 0.5 * abs(a - b) and b - c > 1e-4 * size and c < b)


def _least(bend: Any, p: np.ndarray, clear: np.ndarray, ends: Any, sign: float) -> float:
    """The infimum of sign * bend: least value at the points, looked at more closely, and at the ends."""
    gap = np.minimum(np.append(np.diff(p), np.inf), np.append(np.inf, np.diff(p)))
    tried = np.where(clear, sign * bend(p, gap), np.inf)
    tried = np.where(np.isnan(tried), np.inf, tried)
    k = int(tried.argmin())
    least = float(tried[k])
    inside = 0 < k < len(p) - 1 and clear[k - 1] and clear[k + 1]
    if inside:
        near = np.linspace(p[k - 1], p[k + 1], 203)[1:-1]
        least = min(least, float(np.nanmin(sign * bend(near, np.full(len(near), gap[k])))))
    falls = any(
        diverges(sign * end) and sign * end[-1] <= least + 1e-3 * abs(least) for end in ends
    )
    return -np.inf if falls else least


def _sudden(p: np.ndarray, v: np.ndarray, change: np.ndarray) -> np.ndarray:
    """Whether an interval makes a hundredth of what g changes within 1e-7 p of it, and is no trifle."""
    first, last = np.searchsorted(p, p[:-1] * (1 - 1e-7)), np.searchsorted(p, p[1:] * (1 + 1e-7))
    walked = np.concatenate([[0.0], np.cumsum(np.abs(change))])
    around = walked[np.minimum(last, len(p) - 1)] - walked[first]
    return (np.abs(change) > 0.01 * around) & (np.abs(change) > 1e-9 * np.abs(v).max())


def _spans(p: np.ndarray, rises: np.ndarray, falls: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Runs of rising intervals, joined across short flat parts; ends of the grid as those of (0, 1)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rises, [False]]).astype(int)))
    fallen = np.concatenate([[0], np.cumsum(falls)])
    runs: list[tuple[int, int]] = []
    for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and fallen[a] == fallen[runs[-1][1]] and p[a] - p[runs[-1][1]] < 1e-3:
            runs[-1] = runs[-1][0], b
        else:
            runs.append((a, b))
    ends = p.copy()
    ends[0], ends[-1] = 0.0, 1.0
    return tuple((float(ends[a]), float(ends[b])) for a, b in runs)


def _places(points: np.ndarray) -> tuple[float, ...]:
    """Places of jumps; two within 1e-9 are one, whose own value lies between."""
    apart = np.diff(points, prepend=-1.0) > 1e-9 * np.abs(points)
    return tuple(float(x) for x in points[apart])
