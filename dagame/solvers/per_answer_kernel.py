"""The answers' side of `normalisers_kernel`: what `per_answer` does, in blocks that stay in the first cache.

An answer's y and t follow the move of c and k, are corrected and added to the dual function, its derivatives
and the bound of the gap in one pass. Loops are over few rows, which are taken out of their tables before, so
that each becomes vector instructions.
"""

from __future__ import annotations

import math

import numpy as np

from ..numerics.arrays import LOG_ZERO
from ..numerics.compiled_functions import (
    compiled,
    exp,
    from_bits,
    inlined,
    log,
    omega,
    refined_omega,
    rough_omega,
    size_bits,
)

BLOCK = 1 << 10
"""Numbers y of a block."""

GEOMETRIC, KL, HELLINGER = 0, 1, 2

_ROUNDING = 1e-8
"""Last change of log y after which what another correction leaves is rounding of the policy."""

_DEAD = 1e-300
"""Sums of weights below belong to answers that no context can give."""


@inlined
def _safe(total):
    """1 for answers that no context can give."""
    return total if total > _DEAD else 1.0


@compiled
def _loaded(table, w, common, lead, c, order, start, size, arguments, share):
    """Writes s + t/a of the omegas' arguments s, and the weights of the contexts that can give an answer."""
    per = 1 / order
    for x in range(len(w)):
        row, argument, part = table[x, start : start + size], arguments[x], share[x]
        first, weight = lead - c[x] * per, w[x]
        for j in range(size):
            given = row[j] > LOG_ZERO / 2 and common[j] > 0
            part[j] = weight if given else 0.0
            argument[j] = first - (row[j] if given else 0.0) * per


@compiled
def _grown(row, step, size, most):
    """A row y times e^step, |step| <= most; up to 1 by (2 + x)/(2 - x), to x^3/12."""
    if most <= 1:
        for j in range(size):
            row[j] *= (2 + step[j]) / (2 - step[j])
    else:
        for j in range(size):
            row[j] *= exp(min(max(step[j], -500.0), 500.0))


@compiled
def _started(geometric, kappa, lead, c, order, start, size, arguments, share, sums, y, t):
    """Writes t at the mean 0 of log r where kappa is small, and omegas within 30%."""
    total, mean, per = sums[0], sums[1], 1 / order
    total[:size] = 0.0
    mean[:size] = 0.0
    for x in range(len(y)):
        part, argument, first = share[x], arguments[x], lead - c[x] * per
        for j in range(size):
            total[j] += part[j]
            mean[j] += part[j] * (first - argument[j])
    for j in range(size):
        t[j] = -order * mean[j] / _safe(total[j])
    if not geometric:
        for j in range(size):
            t[j] += kappa * (1 - total[j]) - order * log(_safe(total[j]))
    for x in range(len(y)):
        row, argument = y[x, start : start + size], arguments[x]
        for j in range(size):
            row[j] = rough_omega(argument[j] - t[j] * per)


@compiled
def _followed(geometric, scale, moved, order, start, size, share, p, sums, y, t):
    """y and t to first order after c and k have moved by `moved` (m + 1)."""
    total, change, m, per = sums[0], sums[1], len(y), 1 / order
    dk = moved[m]
    total[:size] = 0.0
    change[:size] = 0.0
    for x in range(m):
        row, part, slope, dc = y[x, start : start + size], share[x], p[x], moved[x]
        for j in range(size):
            slope[j] = 1 / (1 + row[j])
        if geometric:
            for j in range(size):
                total[j] += part[j] * slope[j]
                change[j] += part[j] * slope[j] * dc
        else:
            for j in range(size):
                weight = part[j] * slope[j] * (scale / row[j])
                total[j] += weight
                change[j] += weight * dc
    for j in range(size):
        more = dk * (1 - total[j]) if geometric else 0.0
        dt = -(change[j] + more) / _safe(total[j])
        change[j] = dt * per
        t[j] += dt
    for x in range(m):
        slope, first, most = p[x], dk - moved[x] * per, np.int64(0)
        for j in range(size):
            slope[j] *= first - change[j]
            most = max(most, size_bits(slope[j]))
        _grown(y[x, start : start + size], slope, size, from_bits(most))


@compiled
def _residuals(far, order, start, size, arguments, off, log_y, y, t):
    """Writes log y and s - y - log y, after solving rows that are too far off by themselves."""
    per = 1 / order
    for x in range(len(y)):
        row, argument = y[x, start : start + size], arguments[x]
        residual, logs, worst = off[x], log_y[x], np.int64(0)
        for j in range(size):
            logs[j] = log(row[j])
        for j in range(size):
            residual[j] = argument[j] - t[j] * per - row[j] - logs[j]
            worst = max(worst, size_bits(residual[j]))
        if not from_bits(worst) <= far:
            for j in range(size):
                s = argument[j] - t[j] * per
                near = from_bits(worst) <= 2
                row[j] = refined_omega(row[j], residual[j]) if near else omega(s)
                logs[j] = s - row[j]
                residual[j] = 0.0


@compiled
def _corrected(
    geometric, lead, scale, order, steps, near, far, start, size, arguments, share, off, log_y, p, sums, y, t
):  # fmt: skip
    """y and t by Newton steps for all numbers of an answer, log y, and the last change of it."""
    known, mean, slope, m = sums[0], sums[1], sums[2], len(y)
    change = 0.0
    for _ in range(steps):
        _residuals(far, order, start, size, arguments, off, log_y, y, t)
        known[:size] = 0.0
        mean[:size] = 0.0
        slope[:size] = 0.0
        for x in range(m):
            row, part, bend = y[x, start : start + size], share[x], p[x]
            residual, logs = off[x], log_y[x]
            for j in range(size):
                bend[j] = 1 / (1 + row[j])
            if geometric:
                for j in range(size):
                    mean[j] += part[j] * (lead - logs[j])
                for j in range(size):
                    weight = part[j] * bend[j]
                    slope[j] += weight
                    known[j] += weight * residual[j]
            else:
                for j in range(size):
                    weight = part[j] * (scale / row[j])
                    mean[j] += weight
                    slope[j] += weight * bend[j]
                for j in range(size):
                    known[j] += part[j] * (scale / row[j]) * bend[j] * residual[j]
        for j in range(size):
            total = mean[j] if geometric else _safe(mean[j])
            known[j] = (known[j] - (total if geometric else total * log(total))) / _safe(slope[j])
            t[j] += order * known[j]
        change = 0.0
        for x in range(m):
            step, bend, logs, most = off[x], p[x], log_y[x], np.int64(0)
            for j in range(size):
                step[j] = bend[j] * (step[j] - known[j])
                most = max(most, size_bits(step[j]))
            for j in range(size):
                logs[j] += step[j]
            _grown(y[x, start : start + size], step, size, from_bits(most))
            change = change if from_bits(most) <= change else from_bits(most)
        if change <= near:
            break
    return change


@compiled
def _levels(coupling, kappa, lead, size, share, common, log_y, t, level):
    """log v - log r (Hellinger: - 2 log r) of each answer, LOG_ZERO where no context gives it."""
    level[:size] = 0.0
    if coupling == KL:
        for x in range(len(log_y)):
            part, logs = share[x], log_y[x]
            for j in range(size):
                level[j] += kappa * part[j] * (lead - logs[j])
    for j in range(size):
        level[j] = level[j] - t[j] if common[j] > 0 else LOG_ZERO


@compiled
def _dot(one, other, size):
    total = 0.0
    for j in range(size):
        total += one[j] * other[j]
    return total


@compiled
def _added(
    coupling, kappa, scale, w, order, start, size, share, p, mu, spare, sums, y, found, outer
):
    """Adds the answers to w S, the Hessian's diagonal, sum_z w v (a y)^2 and max_z a y of each context, and
    to the Hessian's products; the sum of e^level.
    """
    level, factor, m, overlap = sums[0], sums[1], len(y), 0.0
    factor[:size] = 0.0
    for j in range(size):
        level[j] = exp(level[j])
        overlap += level[j]
    for x in range(m):
        row, part, bend, mass_row = y[x, start : start + size], share[x], p[x], mu[x]
        paid, to_r, top = spare[0], 1 / w[x], np.int64(0)
        for j in range(size):
            mass_row[j] = part[j] * (scale / row[j])
        if coupling == GEOMETRIC:
            for j in range(size):
                bend[j] = part[j] / (1 + row[j])
        else:
            for j in range(size):
                bend[j] = mass_row[j] / (1 + row[j])
        for j in range(size):
            paid[j] = order * row[j] if part[j] > 0 else 0.0
            top = max(top, size_bits(paid[j]))
        mass, diagonal, square = 0.0, 0.0, 0.0
        for j in range(size):
            r = mass_row[j] * to_r
            v = level[j] * mass_row[j] * (r if coupling == HELLINGER else 1.0)
            mass += v
            diagonal += level[j] * bend[j] * (1 / order if coupling == KL else r)
            square += v * paid[j] * paid[j]
        for j in range(size):
            factor[j] += bend[j]
        found[0, x] += mass
        found[1, x] += diagonal
        found[2, x] += square
        found[3, x] = max(found[3, x], from_bits(top))
    sign = -1 / order if coupling == KL else kappa / 2 if coupling == HELLINGER else 1.0
    for j in range(size):
        factor[j] = sign * level[j] / _safe(factor[j])
    for x in range(m):
        scaled, bend, mass_row = spare[x], p[x], mu[x]
        for j in range(size):
            scaled[j] = factor[j] * bend[j]
        for other in range(x + 1):
            outer[x, other] += _dot(scaled, p[other], size)
        if coupling == GEOMETRIC:
            outer[m, x] += scaled[:size].sum()
        if coupling == KL:
            for j in range(size):
                scaled[j] = level[j] * mass_row[j]
            for other in range(x + 1):
                outer[x, other] += _dot(scaled, mu[other], size)
    if coupling == GEOMETRIC:
        outer[m, m] += factor[:size].sum()
    return overlap


@compiled
def _written(coupling, lead, scale, w, c, start, size, table, share, log_y, sums, y, found):
    """Writes log v over y, and adds w S."""
    level, factor, power = sums[0], sums[1], 2.0 if coupling == HELLINGER else 1.0
    for j in range(size):
        factor[j] = exp(level[j])
    for x in range(len(y)):
        row, given = y[x, start : start + size], table[x, start : start + size]
        part, logs, mass = share[x], log_y[x], 0.0
        for j in range(size):
            r = scale / row[j]
            mass += part[j] * factor[j] * (r * r if coupling == HELLINGER else r)
        found[0, x] += mass
        for j in range(size):
            alone = given[j] + c[x] if given[j] > LOG_ZERO / 2 else LOG_ZERO
            row[j] = power * (lead - logs[j]) + level[j] if part[j] > 0 else alone


@compiled
def point(
    coupling, scales, limits, table, w, common, at, moved, fresh, over, y, t, blocks, sums, found, outer
):  # fmt: skip
    """Brings the answers to c and k = `at` (m + 1), from where they were before `moved` or anew; the overlap
    and the last change of an answer's log y. Where it is `over`, to rounding, and writes log v over y.
    """
    (m, n), (kappa, order, _, _), (_, _, steps, near, far, _) = y.shape, scales, limits
    arguments, share, off, log_y, p = blocks[0], blocks[1], blocks[2], blocks[3], blocks[4]
    lead = at[m] + math.log(kappa / order)
    scale, geometric, near = math.exp(lead), coupling == GEOMETRIC, _ROUNDING if over else near
    found[:] = 0.0
    outer[:] = 0.0
    overlap, change = 0.0, np.int64(0)
    width = arguments.shape[1]
    for start in range(0, n, width):
        size = min(width, n - start)
        some, there = t[start : start + size], common[start : start + size]
        _loaded(table, w, there, lead, at, order, start, size, arguments, share)
        if fresh:
            _started(
                geometric, kappa, lead, at, order, start, size, arguments, share, sums, y, some
            )
        else:
            _followed(geometric, scale, moved, order, start, size, share, p, sums, y, some)
        last = _corrected(
            geometric, lead, scale, order, steps, near, far, start, size,
            arguments, share, off, log_y, p, sums, y, some,
        )  # fmt: skip
        change = max(change, size_bits(last))
        _levels(coupling, kappa, lead, size, share, there, log_y, some, sums[0])
        if over:
            _written(coupling, lead, scale, w, at, start, size, table, share, log_y, sums, y, found)
        else:
            overlap += _added(
                coupling, kappa, scale, w, order, start, size, share, p, log_y, off, sums, y, found, outer
            )  # fmt: skip
    return overlap, from_bits(change)
