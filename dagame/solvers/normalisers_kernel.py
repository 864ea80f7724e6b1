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
    HELLINGER,
    corrected,
    levels,
    loaded,
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
def _start(coupling, kappa, table, w, common, rest, at):
    """Writes which answers are coupled, the log-masses of a context outside, and the first c and k."""
    (m, n), geometric = table.shape, coupling == GEOMETRIC
    for z in range(n):
        given = 0
        for x in range(m):
            given += table[x, z] > LOG_ZERO / 2
        common[z] = 1.0 if given == m or (given > 0 and not geometric) else 0.0
    k = 0.0
    rest[:] = LOG_ZERO
    if geometric:
        overlap = 0.0
        for z in range(n):
            mean = 0.0
            for x in range(m):
                mean += w[x] * table[x, z]
            overlap += exp(mean) * common[z]
        k = -math.log(overlap) / (1 + kappa)
        k = min(k if math.isfinite(k) else 0.0, math.log1p(10 / kappa))
        for x in range(m):
            mass = 0.0
            for z in range(n):
                mass += exp(table[x, z]) * (1 - common[z])
            rest[x] = math.log(mass) if mass > 0 else LOG_ZERO
    for x in range(m):
        at[x] = -kappa * math.exp(k)
    at[m] = k


@compiled
def _ended(coupling, scales, limits, table, w, rest, common, at, y, t, blocks, sums, found):
    """Writes the log-policy over y, after one more correction; whether it is finite."""
    (m, n), (kappa, order, _, _), (_, _, steps, near, far, _) = y.shape, scales, limits
    arguments, share, off, log_y, p = blocks[0], blocks[1], blocks[2], blocks[3], blocks[4]
    lead = at[m] + math.log(kappa / order)
    scale, width, finite = math.exp(lead), arguments.shape[1], True
    power, level, factor = 2.0 if coupling == HELLINGER else 1.0, sums[0], sums[1]
    found[:] = 0.0
    for start in range(0, n, width):
        size = min(width, n - start)
        some, there = t[start : start + size], common[start : start + size]
        loaded(table, w, there, lead, at, order, start, size, arguments, share)
        corrected(
            coupling == GEOMETRIC, lead, scale, order, steps, near, far, start, size,
            arguments, share, off, log_y, p, sums, y, some,
        )  # fmt: skip
        levels(coupling, kappa, lead, size, share, there, log_y, some, level)
        for j in range(size):
            factor[j] = exp(level[j])
        for x in range(m):
            row, part, mass = y[x, start : start + size], share[x], 0.0
            given, logs = table[x, start : start + size], log_y[x]
            for j in range(size):
                r = scale / row[j]
                v = factor[j] * (r * r if coupling == HELLINGER else r)
                mass += v if part[j] > 0 else 0.0
            found[0, x] += mass
            for j in range(size):
                alone = given[j] + at[x] if given[j] > LOG_ZERO / 2 else LOG_ZERO
                row[j] = power * (lead - logs[j]) + level[j] if part[j] > 0 else alone
    for x in range(m):
        log_mass = math.log(found[0, x] + math.exp(at[x] + rest[x]))
        finite &= math.isfinite(log_mass)
        for z in range(n):
            value = y[x, z]
            y[x, z] = value - log_mass if value > LOG_ZERO / 2 else LOG_ZERO
    return finite


@compiled
def _newton(coupling, table, w, shift, scales, limits, y, columns, rows, squares, blocks, sums):
    """Newton's moves of one game; whether solved and after how many. Then y is its log-policy."""
    (m, _), (kappa, _, unit, tol), (rounds, aim, _, _, _, _) = y.shape, scales, limits
    common, t, geometric = columns[0], columns[1], coupling == GEOMETRIC
    at, kept, moved, gradient, move, rest = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    found, size = rows[6:10], m + 1 if geometric else m
    outer, hessian = squares[0], squares[1, :size, :size]
    _start(coupling, kappa, table, w, common, rest, at)
    dual, gap, change, length = math.inf, math.inf, 0.0, 1.0
    moved[:] = 0.0
    fresh, steps, done = True, 0, False
    while True:
        overlap, last = point(
            coupling, scales, limits, table, w, common, at, moved, fresh, y, t, blocks, sums, found, outer
        )  # fmt: skip
        new, near = _judged(
            coupling, scales, limits, w, rest, at, overlap, last, found, outer, gradient[:size], hessian
        )  # fmt: skip
        largest = 0.0
        for x in range(m):
            largest = max(largest, abs(kept[x]))
        slack = 16 * EPS * (1 + abs(dual) + largest) + 4 * (change * change + last * last)
        fresh = not math.isfinite(new)
        if steps == 0 or (not fresh and (new <= dual + slack or near < gap / 4)):
            dual, gap, change, length = new, near, last, 1.0
            for i in range(m + 1):
                kept[i] = at[i]
            allowed = tol * max(abs(dual + shift), unit)
            done = gap <= aim * allowed
            if done or not math.isfinite(dual) or steps == rounds:
                break
            for i in range(size):
                move[i] = -gradient[i]
            if not solved_system(hessian, move, size):
                break
        elif steps == rounds:
            break
        else:
            length /= 4
        steps += 1
        dk = length * move[m] if geometric else 0.0
        bend = kappa * math.exp(kept[m]) * (math.expm1(dk) - dk) if geometric else 0.0
        for x in range(m + 1):
            moved[x] = -at[x]
            at[x] = kept[x] + dk if x == m else kept[x] + length * move[x] - bend
            moved[x] += at[x]
    if not (math.isfinite(dual) and gap <= tol * max(abs(dual + shift), unit)):
        return False, steps
    away = fresh
    for x in range(m + 1):
        moved[x] = kept[x] - at[x]
        away = away or moved[x] != 0
        at[x] = kept[x]
    if away:
        point(
            coupling,
            scales,
            limits,
            table,
            w,
            common,
            at,
            moved,
            fresh,
            y,
            t,
            blocks,
            sums,
            found,
            outer,
        )
    return _ended(
        coupling, scales, limits, table, w, rest, common, at, y, t, blocks, sums, found
    ), steps


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
