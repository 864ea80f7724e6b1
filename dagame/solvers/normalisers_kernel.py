"""`normalisers._newton` for one game at a time, compiled by numba.

The same moves and tests in the same order (normalisers.py, per_answer.py), so that results differ by rounding
and by where inner Newton steps end only. A round passes over the answers once (per_answer_kernel.py); no
table is held besides the y of the answers, which become the policy in place.
"""

from __future__ import annotations

import math

import numpy as np

from ..numerics.arrays import LOG_ZERO
from ..numerics.compiled_functions import EPS, compiled, exp, solved_system
from .per_answer_kernel import (
    BLOCK,
    GEOMETRIC,
    point,
)


@compiled
def _judged(
    coupling, scales, limits, w, rest, at, overlap, change, found, outer, gradient, hessian
):
    """`normalisers._judged`: the dual function and the bound of the gap; the derivatives are written."""
    m, kappa, last = len(w), scales[0], limits[5]
    geometric, mass, total, largest, least = coupling == GEOMETRIC, 0.0, 0.0, 0.0, math.inf
    for x in range(m):
        free = w[x] * math.exp(at[x] + rest[x])
        found[0, x] += free
        found[1, x] += free
        mass += found[0, x]
        total += w[x] * at[x]
    dual = math.log(mass) - total
    size = len(gradient)
    scale = kappa * math.exp(at[m]) if geometric else 1.0
    paid = scale * overlap / mass
    for i in range(size):
        for j in range(i + 1):
            hessian[i, j] = scale * outer[i, j] / mass
    for x in range(m):
        gradient[x] = found[0, x] / mass
        hessian[x, x] += found[1, x] / mass
        largest, least = max(largest, gradient[x] / w[x]), min(least, gradient[x] / w[x])
    if geometric:
        gradient[m] = paid
        dual -= kappa * (at[m] + 1)
    for i in range(size):
        for j in range(i + 1):
            hessian[i, j] -= gradient[i] * gradient[j]
            if i < m:
                hessian[i, j] += w[i] * w[j]
            hessian[j, i] = hessian[i, j]
    gap, sure = 0.0, change <= last
    for x in range(m):
        share = gradient[x] / w[x]
        error = abs(kappa * share / paid - 1) if geometric else largest / least - 1
        error += change * change + 64 * EPS
        gap += error * error * w[x] * found[2, x] / found[0, x]
        sure &= error * found[3, x] <= 1
    for x in range(m):
        gradient[x] -= w[x]
    if geometric:
        gradient[m] -= kappa
    return dual, gap if sure else math.inf


@compiled
def _start(coupling, kappa, table, w, common, t, rest, at):
    """Writes which answers are coupled, the log-masses of a context outside, and the first c and k."""
    (m, n), geometric = table.shape, coupling == GEOMETRIC
    common[:] = 0.0
    t[:] = 0.0
    for x in range(m):
        row, weight = table[x], w[x]
        for z in range(n):
            common[z] += 1.0 if row[z] > LOG_ZERO / 2 else 0.0
            t[z] += weight * row[z]
    overlap, least = 0.0, m if geometric else 1
    for z in range(n):
        common[z] = 1.0 if common[z] >= least else 0.0
        overlap += exp(t[z]) * common[z]
    k = 0.0
    rest[:] = LOG_ZERO
    if geometric:
        k = -math.log(overlap) / (1 + kappa)
        k = min(k if math.isfinite(k) else 0.0, math.log1p(10 / kappa))
        for x in range(m):
            row, mass = table[x], 0.0
            for z in range(n):
                mass += exp(row[z]) * (1 - common[z])
            rest[x] = math.log(mass) if mass > 0 else LOG_ZERO
    for x in range(m):
        at[x] = -kappa * math.exp(k)
    at[m] = k


@compiled
def _moved(geometric, kappa, kept, move, length, at, moved):
    """Goes so far along Newton's move from the kept c and k, and writes what that is from where one was."""
    m = len(at) - 1
    dk = length * move[m] if geometric else 0.0
    bend = kappa * math.exp(kept[m]) * (math.expm1(dk) - dk) if geometric else 0.0
    for x in range(m + 1):
        moved[x] = -at[x]
        at[x] = kept[x] + dk if x == m else kept[x] + length * move[x] - bend
        moved[x] += at[x]


@compiled
def _normalised(w, at, rest, found, y):
    """Divides the masses of the contexts by their sums; whether these are finite."""
    finite = True
    for x in range(len(y)):
        row, log_mass = y[x], math.log(found[0, x] / w[x] + math.exp(at[x] + rest[x]))
        finite &= math.isfinite(log_mass)
        for z in range(len(row)):
            row[z] = row[z] - log_mass if row[z] > LOG_ZERO / 2 else LOG_ZERO
    return finite


@compiled
def _newton(coupling, table, w, shift, scales, limits, y, columns, rows, squares, blocks, sums):
    """Newton's moves of one game; whether solved and after how many. Then y is its log-policy."""
    (m, _), (kappa, _, unit, tol), (rounds, aim, _, _, _, _) = y.shape, scales, limits
    common, t, geometric = columns[0], columns[1], coupling == GEOMETRIC
    at, kept, moved, gradient, move, rest = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    found, size = rows[6:10], m + 1 if geometric else m
    outer, hessian = squares[0], squares[1, :size, :size]
    _start(coupling, kappa, table, w, common, t, rest, at)
    dual, gap, change, length = math.inf, math.inf, 0.0, 1.0
    steps, fresh, over = (
        0,
        m > 0,
        m < 0,
    )  # constants would be types of their own, and compile all twice
    while True:
        overlap, last = point(
            coupling, scales, limits, table, w, common, at, moved, fresh, over,
            y, t, blocks, sums, found, outer,
        )  # fmt: skip
        if over:
            return _normalised(w, at, rest, found, y), steps
        new, near = _judged(
            coupling, scales, limits, w, rest, at, overlap, last, found, outer, gradient[:size], hessian
        )  # fmt: skip
        largest = 0.0
        for x in range(m):
            largest = max(largest, abs(kept[x]))
        slack = 16 * EPS * (1 + abs(dual) + largest) + 4 * (change * change + last * last)
        fresh, over = not math.isfinite(new), steps == rounds
        if steps == 0 or (not fresh and (new <= dual + slack or near < gap / 4)):
            dual, gap, change, length = new, near, last, 1.0
            for i in range(m + 1):
                kept[i] = at[i]
                move[i] = -gradient[i]
            enough = gap <= aim * tol * max(abs(dual + shift), unit)
            over |= enough or fresh or not solved_system(hessian, move, size)
        else:
            length /= 4
        if over:
            if not (math.isfinite(dual) and gap <= tol * max(abs(dual + shift), unit)):
                return False, steps
            length = 0.0
        steps += 0 if over else 1
        _moved(geometric, kappa, kept, move, length, at, moved)


@compiled
def solve_games(logits, weights, shift, coupling, scales, limits, found, steps, solved):
    """Writes the log-policies `found` (B, m, n), the moves and whether solved (B,) of games (B, m, n).

    logits (B, m, n), weights (B, m) and shift (B,) are those of `normalisers._Problem`, LOG_ZERO where a
    context lacks an answer; scales kappa, a, the game's beta in their units and the relative tolerance;
    limits the rounds, _AIM, and those of per_answer.py. What is not solved holds no policy.
    """
    games, m, n = found.shape
    width = min(n, max(64, BLOCK // m))
    columns, rows, squares = np.zeros((2, n)), np.zeros((10, m + 1)), np.zeros((2, m + 1, m + 1))
    blocks, sums = np.zeros((5, m, width)), np.zeros((3, width))
    for b in range(games):
        rows[:] = 0.0
        solved[b], steps[b] = _newton(
            coupling, logits[b], weights[b], shift[b], scales, limits, found[b],
            columns, rows, squares, blocks, sums,
        )  # fmt: skip
