"""`transport._climb` for one row of masses at a time, compiled by numba: the same steps."""

from __future__ import annotations

import math

import numpy as np

from .compiled_functions import EPS, TINY, compiled, solved_system

LIMIT = 1e-8
"""`transport._limit` in double precision; a climb that rounding stops below it has ended."""


@compiled
def _at(log_nu, cost, epsilon, second, tilt, nu, rows, columns):
    """Writes nu, K and k K'nu of `transport._at`; the sum of |K'nu - rho| and the dual's value."""
    n, k = cost.shape
    top, paid, total = -math.inf, 0.0, 0.0
    for i in range(n):
        most, sum_ = -math.inf, 0.0
        for j in range(k):
            rows[i, j] = (second[j] - cost[i, j]) / epsilon
            most = max(most, rows[i, j])
        for j in range(k):
            rows[i, j] = math.exp(rows[i, j] - most)
            sum_ += rows[i, j]
        for j in range(k):
            rows[i, j] /= sum_
        first = epsilon * (most + math.log(sum_))
        if tilt > 0:
            nu[i] = log_nu[i] + tilt * first
            top = max(top, nu[i])
        else:
            nu[i] = math.exp(log_nu[i])
            paid += nu[i] * first
    if tilt > 0:
        for i in range(n):
            nu[i] = math.exp(nu[i] - top)
            total += nu[i]
        for i in range(n):
            nu[i] /= total
        paid = (top + math.log(total)) / tilt
    off, value = 0.0, -paid
    for j in range(k):
        columns[j] = 0.0
        for i in range(n):
            columns[j] += k * nu[i] * rows[i, j]
        off += abs(columns[j] - 1) / k
        value += second[j] / k
    return off, value


@compiled
def _newton(nu, rows, columns, epsilon, tilt, matrix, step):
    """Writes Newton's step of g; False where there is none."""
    n, k = rows.shape
    for j in range(k):
        step[j] = epsilon * (1 - columns[j]) / k
        for other in range(j + 1):
            outer = 0.0
            for i in range(n):
                outer += nu[i] * rows[i, j] * rows[i, other]
            outer = (1 - tilt) * outer + tilt * columns[j] * columns[other] / k**2
            entry = (columns[j] / k if j == other else 0.0) - outer + 1 / k**2
            matrix[j, other], matrix[other, j] = entry, entry
    return solved_system(matrix, step, k)


@compiled
def _climbed(log_nu, cost, epsilon, tilt, last, rounds, second, tables, matrix, vectors):
    """Moves g to where the columns are right to rounding error (to 1e-3 on the way); what they still miss."""
    nu, rows, new_nu, new_rows = tables
    columns, new, new_columns, step = vectors
    k = len(second)
    enough = 4 * EPS if last else 1e-3
    off, value = _at(log_nu, cost, epsilon, second, tilt, nu, rows, columns)
    length = 1.0
    for _ in range(rounds):
        if off <= enough:
            break
        found = _newton(nu, rows, columns, epsilon, tilt * epsilon, matrix, step)
        rise = 0.0
        for j in range(k):
            step[j] = step[j] if found else 0.0
            rise += length * (1 - columns[j]) / k * step[j]
            new[j] = second[j] + length * step[j]
        new_off, new_value = _at(log_nu, cost, epsilon, new, tilt, new_nu, new_rows, new_columns)
        took = new_off < off / 2 or new_value > value + rise / 4
        length = min(4 * length, 1.0) if took else length / 4
        if not took:
            for j in range(k):
                new[j] = second[j] - epsilon * math.log(max(columns[j], TINY))
            new_off, new_value = _at(
                log_nu, cost, epsilon, new, tilt, new_nu, new_rows, new_columns
            )
        stuck = not new_off < off / 2 and off <= LIMIT
        if took or new_off < off:
            off, value = new_off, new_value
            for j in range(k):
                second[j], columns[j] = new[j], new_columns[j]
            nu, rows, new_nu, new_rows = new_nu, new_rows, nu, rows
        if stuck and last:
            break
    return off


@compiled
def climb(log_nu, cost, sizes, tilt, rounds, second, off):
    """Writes g (R, k) and what the columns miss (R,), of log_nu (R, n) and costs (R, n, k) or (1, n, k).

    sizes are those of `transport._ladder`.
    """
    (games, n), k = log_nu.shape, second.shape[1]
    nus, plans, matrix = np.empty((2, n)), np.empty((2, n, k)), np.empty((k, k))
    parts = np.empty((4, k))
    vectors = parts[0], parts[1], parts[2], parts[3]
    for b in range(games):
        tables = nus[0], plans[0], nus[1], plans[1]
        table = cost[min(b, len(cost) - 1)]
        for j in range(k):
            second[b, j] = 0.0
        for place in range(len(sizes)):
            last = place == len(sizes) - 1
            off[b] = _climbed(
                log_nu[b],
                table,
                sizes[place],
                tilt,
                last,
                rounds,
                second[b],
                tables,
                matrix,
                vectors,
            )
