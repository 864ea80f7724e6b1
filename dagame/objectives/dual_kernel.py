"""`dual.solve_dual` for one game at a time, compiled by numba: the barrier method of numerics/barrier.py.

The same moves and tests in the same order, so that multipliers differ by rounding only.
"""

from __future__ import annotations

import math

import numpy as np

from ..numerics.arrays import LOG_ZERO
from ..numerics.barrier import FLAT, LESS, LONGEST, NEAR, RUNAWAY, UNEVEN
from ..numerics.compiled_functions import compiled, solved_system


@compiled
def _oracle(rows, used, bound, log_nu0, w, beta, y, nu, means, centred, gradient, hessian):
    """The dual function at y; writes its gradient and Hessian. used (m, r) lists the rows of each context,
    -1 behind the last.
    """
    r, m, n = rows.shape
    value = 0.0
    for i in range(r):
        value += y[i] * bound[i]
        gradient[i] = bound[i]
        for j in range(r):
            hessian[i, j] = 0.0
    for x in range(m):
        top, total = -math.inf, 0.0
        for z in range(n):
            nu[z] = 0.0
        for k in range(r):
            i = used[x, k]
            if i < 0:
                break
            for z in range(n):
                nu[z] += y[i] * rows[i, x, z]
        for z in range(n):
            given = log_nu0[x, z] > LOG_ZERO / 2
            nu[z] = log_nu0[x, z] + nu[z] / beta if given else -math.inf
            top = max(top, nu[z])
        for z in range(n):
            nu[z] = math.exp(nu[z] - top)
            total += nu[z]
        value += beta * w[x] * (top + math.log(total))
        for z in range(n):
            nu[z] /= total
        for k in range(r):
            i = used[x, k]
            if i < 0:
                break
            means[i] = 0.0
            for z in range(n):
                means[i] += rows[i, x, z] * nu[z]
            gradient[i] += w[x] * means[i]
            for z in range(n):
                centred[i, z] = rows[i, x, z] - means[i]
                centred[r, z] = centred[i, z] * nu[z] * w[x] / beta
            for before in range(k + 1):
                j = used[x, before]
                dot = 0.0
                for z in range(n):
                    dot += centred[r, z] * centred[j, z]
                hessian[i, j] += dot
    for i in range(r):
        for j in range(i):
            hessian[j, i] = hessian[i, j]
    return value


@compiled
def _system(a, b, work):
    """Writes a^-1 b into b as `arrays.solve` does: what is singular is lifted, or gives no step."""
    r = len(b)
    for i in range(r):
        work[r, i] = b[i]
        for j in range(r):
            work[i, j] = a[i, j]
    if solved_system(work, b, r):
        return
    for i in range(r):
        work[r + 1, i] = 1 / math.sqrt(a[i, i]) if a[i, i] > 0 else 0.0
    for i in range(r):
        b[i] = work[r, i] * work[r + 1, i]
        for j in range(r):
            work[i, j] = a[i, j] * work[r + 1, i] * work[r + 1, j] + (1e-12 if i == j else 0.0)
    usable = solved_system(work, b, r)
    for i in range(r):
        b[i] = b[i] * work[r + 1, i] if usable else 0.0


@compiled
def _newton_step(bend, slope, y, simplex, move, work):
    """Writes `barrier._newton_step`."""
    r, pivot = len(y), 0
    for i in range(r):
        move[i] = -slope[i]
        pivot = i if y[i] > y[pivot] else pivot
    if simplex:
        corner = bend[pivot, pivot]
        for i in range(r):
            move[i] = slope[pivot] - slope[i] if i != pivot else 0.0
            work[r, i] = bend[pivot, i]
        for i in range(r):
            for j in range(r):
                if i == pivot or j == pivot:
                    bend[i, j] = 1.0 if i == j else 0.0
                else:
                    bend[i, j] += corner - work[r, i] - work[r, j]
    _system(bend, move, work)
    if simplex:
        move[pivot] = 0.0
        for i in range(r):
            if i != pivot:
                move[pivot] -= move[i]


@compiled
def _move_slopes(z, y, move, positive, t, change):
    """Moves z as `barrier._slopes` does."""
    steepest = LONGEST
    for i in range(len(z)):
        if positive[i]:
            change[i] = (t - z[i] * move[i]) / y[i] - z[i]
            steepest = max(steepest, -change[i] / z[i])
    for i in range(len(z)):
        if positive[i]:
            z[i] += LONGEST / steepest * change[i]


@compiled
def _minimised(rows, used, bound, positive, log_nu0, w, numbers, y, vectors, squares, centred, nu):
    """Moves y to the least value of the dual function, as `barrier.barrier_minimise` does."""
    r, (simplex, beta, accuracy, rounds) = len(rows), numbers
    gradient, move, new, means, slope = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    z, change = vectors[5], vectors[6]
    hessian, bend, work = squares[0], squares[1], squares[2]
    value = _oracle(rows, used, bound, log_nu0, w, beta, y, nu, means, centred, gradient, hessian)
    t = 0.0
    for i in range(r):
        if positive[i]:
            t = max(1.0, abs(value))
    for i in range(r):
        z[i] = t / y[i] if positive[i] else 0.0
    polished = False
    for _ in range(rounds):
        free, runaway = 1.0, False
        for i in range(r):
            runaway |= abs(y[i]) > RUNAWAY
            for j in range(r):
                free = max(free, 1 + abs(hessian[i, j]))
        for i in range(r):
            inverse = 1 / y[i] if positive[i] else 0.0
            slope[i] = gradient[i] - t * inverse
            own = z[i] * inverse
            flat = not (positive[i] and y[i] < FLAT)
            for j in range(r):
                bend[i, j] = hessian[i, j]
            bend[i, i] += own + 1e-14 * (free if flat else hessian[i, i] + own)
        _newton_step(bend, slope, y, simplex, move, work)
        decrement = 0.0
        for i in range(r):
            decrement -= slope[i] * move[i]
        limit = accuracy * max(abs(value), 1.0)
        near = decrement <= (NEAR * t if t > limit else 1e-8 * limit)
        last = near and t <= limit
        if runaway or (last and polished):
            break
        polished = last
        _move_slopes(z, y, move, positive, t, change)
        shrink = LONGEST
        for i in range(r):
            if positive[i]:
                shrink = max(shrink, -move[i] / y[i])
        length, slack, before = LONGEST / shrink, 1e-13 * max(abs(value), 1.0), value
        good = False
        for _ in range(60):
            gain = before
            for i in range(r):
                new[i] = y[i] + length * move[i]
                if positive[i] and new[i] / y[i] > 0:
                    gain += t * math.log(new[i] / y[i])
            value = _oracle(
                rows, used, bound, log_nu0, w, beta, new, nu, means, centred, gradient, hessian
            )
            gain -= value
            good = gain >= 0.1 * length * decrement - slack and math.isfinite(value)
            if good:
                break
            length /= 2
        if good:
            for i in range(r):
                y[i] = new[i]
        else:
            value = _oracle(
                rows, used, bound, log_nu0, w, beta, y, nu, means, centred, gradient, hessian
            )
        if near and t > limit:
            t = max(LESS * t, 0.99 * limit)
        for i in range(r):
            if positive[i]:
                z[i] = min(max(z[i], t / y[i] / UNEVEN), t / y[i] * UNEVEN)
    if simplex:
        total = 0.0
        for i in range(r):
            total += y[i]
        for i in range(r):
            y[i] /= total


@compiled
def _listed(rows, used):
    """Writes which rows have an entry in each context, -1 behind the last."""
    r, m, n = rows.shape
    for x in range(m):
        count = 0
        for i in range(r):
            some = False
            for z in range(n):
                some |= rows[i, x, z] != 0
            used[x, i] = -1
            if some:
                used[x, count] = i
                count += 1


@compiled
def minimise(rows, bound, positive, log_reference, weights, simplex, beta, accuracy, rounds, y):
    """Moves y (B, r) from where it starts to the multipliers of games (B, m, n).

    rows (B, r, m, n) or (1, r, m, n), bound and positive (B, r) or (1, r), weights (B, m).
    """
    (_, r, m, n), games = rows.shape, len(y)
    vectors, squares = np.empty((7, r)), np.empty((3, r + 2, max(r, 1)))
    centred, nu, used = np.empty((r + 1, n)), np.empty(n), np.empty((m, r), dtype=np.int64)
    numbers = simplex, beta, accuracy, rounds
    for b in range(games):
        table, limit = rows[min(b, len(rows) - 1)], bound[min(b, len(bound) - 1)]
        signed = positive[min(b, len(positive) - 1)]
        if b < len(rows):
            _listed(table, used)
        _minimised(
            table,
            used,
            limit,
            signed,
            log_reference[b],
            weights[b],
            numbers,
            y[b],
            vectors,
            squares,
            centred,
            nu,
        )
