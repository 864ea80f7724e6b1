"""Newton's method of newton.py for one game at a time, compiled by numba, for sums of a `SmoothForm`.

The same blocks, constraints and line search: the Hessian of -J in coordinates scaled by sqrt(nu) is
diag(beta w) + one m x m block per answer + one column of rank one per context, solved with the m
normalisations by a Schur complement.
"""

from __future__ import annotations

import math

import numpy as np

from ..numerics.arrays import LOG_ZERO
from ..numerics.compiled_functions import EPS, compiled, solved_system
from ..objectives.smooth_kernel import evaluated

_REACH = 20.0
"""As in newton.py."""

_AIM = 1e-4
"""Share of the tolerance to come to: one move more, as a gap is squared by it, and digits of the policy."""

_ROUGH = 1e-3
"""The tolerance of the ladder's rungs."""


@compiled
def _inverted(a, size):
    """Replaces a symmetric positive definite matrix by its inverse (Gauss-Jordan); False where it is none."""
    for k in range(size):
        pivot = a[k, k]
        if not pivot > 0:
            return False
        a[k, k], inverse = 1.0, 1 / pivot
        for j in range(size):
            a[k, j] *= inverse
        for i in range(size):
            if i != k:
                factor = a[i, k]
                a[i, k] = 0.0
                for j in range(size):
                    a[i, j] -= factor * a[k, j]
    return True


@compiled
def _direction(log_nu0, w, beta, flags, log_nu, root, u, blocks, columns, step, small, right):
    """Writes d nu / nu of Newton's move into `step`; blocks become their inverses. False: there is none."""
    (m, n), (coupled, ranked) = root.shape, flags
    size = 2 * m if ranked else m
    for x in range(size):
        right[x] = 0.0
        for y in range(size):
            small[x, y] = 0.0
    for x in range(m):
        mean = 0.0
        for z in range(n):
            g = w[x] * (u[x, z] - beta * (log_nu[x, z] - log_nu0[x, z]))
            step[x, z] = g if root[x, z] > 0 else 0.0
            mean += root[x, z] ** 2 * step[x, z]
        for z in range(n):
            step[x, z] = root[x, z] * (step[x, z] - mean)
        if ranked:
            small[m + x, m + x] = 1.0
    for z in range(n):
        block = blocks[z]
        for x in range(m):
            block[x, x] += beta * w[x]
            right[size + x] = step[x, z]
            if not coupled:
                block[x, x] = 1 / block[x, x]
        if coupled and not _inverted(block, m):
            return False
        for x in range(m):
            first, last = (0, m) if coupled else (x, x + 1)
            total = 0.0
            for y in range(first, last):
                total += block[x, y] * right[size + y]
                part = block[x, y] * root[y, z]
                small[x, y] += root[x, z] * part
                if ranked:
                    small[m + x, y] += columns[x, z] * part
                    part = block[x, y] * columns[y, z]
                    small[x, m + y] += root[x, z] * part
                    small[m + x, m + y] += columns[x, z] * part
            step[x, z] = total
            right[x] += root[x, z] * total
            if ranked:
                right[m + x] += columns[x, z] * total
    if not solved_system(small, right, size):
        return False
    for z in range(n):
        for x in range(m):
            first, last = (0, m) if coupled else (x, x + 1)
            for y in range(first, last):
                pull = root[y, z] * right[y]
                if ranked:
                    pull += columns[y, z] * right[m + y]
                step[x, z] -= blocks[z, x, y] * pull
            step[x, z] = step[x, z] / root[x, z] if root[x, z] > 0 else 0.0
    return True


@compiled
def _normalised(log_nu0, log_nu):
    """Makes rows of sum 1, LOG_ZERO where the reference is 0."""
    m, n = log_nu.shape
    for x in range(m):
        top, total = -math.inf, 0.0
        for z in range(n):
            if log_nu0[x, z] > LOG_ZERO / 2:
                top = max(top, log_nu[x, z])
        for z in range(n):
            if log_nu0[x, z] > LOG_ZERO / 2:
                total += math.exp(log_nu[x, z] - top)
        top += math.log(total)
        for z in range(n):
            given = log_nu0[x, z] > LOG_ZERO / 2
            log_nu[x, z] = max(log_nu[x, z] - top, LOG_ZERO) if given else LOG_ZERO


@compiled
def _copied(given, table):
    """Writes one table into another."""
    m, n = given.shape
    for x in range(m):
        for z in range(n):
            table[x, z] = given[x, z]


@compiled
def _even(log_nu0, log_nu):
    """Writes the mean of the reference and the uniform distribution on its support."""
    m, n = log_nu0.shape
    for x in range(m):
        count = 0
        for z in range(n):
            count += log_nu0[x, z] > LOG_ZERO / 2
        for z in range(n):
            if log_nu0[x, z] > LOG_ZERO / 2:
                log_nu[x, z] = math.log((math.exp(log_nu0[x, z]) + 1 / count) / 2)
    _normalised(log_nu0, log_nu)


@compiled
def _climbed(
    log_nu0, reward, w, beta, scale, terms, flags, tol, rounds, log_nu, tables, wide, record
):
    """Newton's moves from log_nu, which becomes the iterate of least gap; whether that is within the relative
    tolerance, and after how many.
    """
    kept, nu, root, u, step, columns, best = tables
    blocks, small, right, log_q = wide
    m, n = nu.shape
    least, size_at_least, at, level, length = math.inf, beta, 0, -math.inf, 1.0
    _copied(log_nu, best)
    for move in range(rounds + 1):
        value, gap, size = evaluated(
            log_nu0, reward, w, beta, scale, terms, log_nu, nu, root, u, blocks, columns, log_q
        )
        for round_ in range(move, len(record)):
            record[round_, 0], record[round_, 1] = value, gap
        near = least <= tol * size_at_least
        if gap < least and math.isfinite(value):
            if near and gap > least / 4:
                break  # at rounding error
            least, size_at_least, at = gap, max(abs(value), beta), move
            _copied(log_nu, best)
        elif near:
            break
        if least <= _AIM * tol * size_at_least:
            break
        if value >= level - 64 * EPS * (beta + abs(value) + size):
            level, length = value, 1.0
            _copied(log_nu, kept)
            if not _direction(
                log_nu0, w, beta, flags, log_nu, root, u, blocks, columns, step, small, right
            ):
                break
        else:
            length /= 2
        for x in range(m):
            for z in range(n):
                log_nu[x, z] = kept[x, z] + min(max(length * step[x, z], -_REACH), _REACH)
        _normalised(log_nu0, log_nu)
    _copied(best, log_nu)
    return least <= tol * size_at_least, at


@compiled
def solve_games(
    log_reference, reward, weights, terms, flags, numbers, found, steps, solved, record
):
    """Writes log-policies `found` (B, m, n), moves and whether solved (B,) of games (B, m, n).

    reward (B, m, n), or (1, 0, 0) for none; weights (B, m); terms the kinds, factors and orders (T,); flags
    whether contexts are coupled and whether there are columns; numbers beta, the relative tolerance, the
    first rung of the ladder of strengths, whether to start from `_even`, and the moves of a rung. record
    (B, R, 2) takes values and gaps of the rounds at the last rung, which repeats. What is not solved is the
    reference.
    """
    (games, m, n), (beta, tol, first, even, rounds) = found.shape, numbers
    parts = np.empty((7, m, n))
    tables = parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]
    wide = np.empty((n, m, m)), np.empty((2 * m, 2 * m)), np.empty(3 * m), np.empty(n)
    for b in range(games):
        given, log_nu, w, seen = log_reference[b], found[b], weights[b], record[b]
        paid = reward[min(b, reward.shape[0] - 1)]
        scale, climbs, done = 1.0, False, False
        steps[b] = 0
        _copied(given, log_nu)
        if even:
            _even(given, log_nu)
        while True:
            last = scale >= 1
            done, more = _climbed(
                given,
                paid,
                w,
                beta,
                scale,
                terms,
                flags,
                tol if last else _ROUGH,
                rounds,
                log_nu,
                tables,
                wide,
                seen,
            )
            steps[b] += more
            if last and (done or climbs or first >= 1):
                break
            scale, climbs = (first, True) if last else (min(4 * scale, 1.0), climbs)
            if last:
                steps[b] = 0
                _even(given, log_nu)
        solved[b] = done
        if not done:
            _copied(given, log_nu)
