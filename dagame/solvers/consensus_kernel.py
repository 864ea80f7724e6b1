"""`consensus._newton` for one game at a time, compiled by numba: each game stays in cache to its answer.

The same moves and tests in the same order (consensus.py), so that results differ by rounding only. The
kernel holds no lock of Python's, so that callers may give it consecutive games in threads of their own; two
calls at once of numba's own parallel loops would abort the process.
"""

from __future__ import annotations

import math

import numpy as np

from ..numerics.arrays import LOG_ZERO
from ..numerics.compiled_functions import EPS, TINY, compiled, exp, log, solved_system

_BLOCK = 1 << 13
"""Entries of the contexts' shares that a pass holds at a time, so that they stay in cache."""

_SMALL = 1e-3
"""Up to here the series of `_gap` have all digits."""


@compiled
def _divergence(p, q):
    """KL(p || q) as `numerics.simplex.log_kl` sums it."""
    total = 0.0
    for x in range(len(p)):
        d = math.log(p[x]) - math.log(q[x])
        if abs(d) < 0.5:
            total += p[x] * abs(d + math.expm1(-d))
        else:
            total += p[x] * (d - 1) + q[x]
    return total


@compiled
def _plain_table(log_reference, ratio, a, live, log_sums):
    """Writes a = e^{ratio log nu0}, the logs of its rows' sums, and which answers some context can give."""
    m, n = a.shape
    live[:] = False
    for x in range(m):
        total = 0.0
        for z in range(n):
            value = log_reference[x, z]
            given = value > LOG_ZERO / 2
            a[x, z] = exp(ratio * value) if given else 0.0
            live[z] |= given
            total += a[x, z]
        log_sums[x] = math.log(total)


@compiled
def _scaled_table(log_reference, reward, ratio, total, a, live, log_sums, shift, level):
    """The same for e^{ratio log nu0 + r/total}, without the largest factor e^shift of each row, then e^level
    of each column; the sums are those before the latter.
    """
    m, n = a.shape
    live[:] = False
    level[:] = LOG_ZERO
    for x in range(m):
        shift[x] = LOG_ZERO
        for z in range(n):
            value, given = log_reference[x, z], log_reference[x, z] > LOG_ZERO / 2
            value = ratio * value + (reward[x, z] / total if reward.shape[0] else 0.0)
            a[x, z] = value if given else LOG_ZERO
            live[z] |= given
            shift[x] = max(shift[x], a[x, z])
        sum_ = 0.0
        for z in range(n):
            a[x, z] = a[x, z] - shift[x] if a[x, z] > LOG_ZERO / 2 else LOG_ZERO
            level[z] = max(level[z], a[x, z])
            sum_ += exp(a[x, z])
        log_sums[x] = math.log(sum_)
    for z in range(n):
        level[z] = level[z] if live[z] else 0.0
    for x in range(m):
        for z in range(n):
            a[x, z] = exp(a[x, z] - level[z])


@compiled
def _masses(a, y, level, live, power, mass, log_q):
    """Writes G/e^level and k log G, 1 and LOG_ZERO where no context has an answer; the largest of k log G."""
    m, n = a.shape
    mass[:] = 0.0
    for x in range(m):
        for z in range(n):
            mass[z] += y[x] * a[x, z]
    top = -math.inf
    for z in range(n):
        mass[z] = mass[z] if live[z] else 1.0
        log_q[z] = power * (level[z] + log(mass[z])) if live[z] else LOG_ZERO
        top = max(top, log_q[z])
    return top


@compiled
def _products(a, y, mass, log_q, top, q, parts, product):
    """Writes q before its division by the sum that is returned, log q, and sum_z q b b' of the shares b into
    the lower triangle of `product`.
    """
    m, n = a.shape
    width, total = max(64, _BLOCK // m), 0.0
    product[:] = 0.0
    for start in range(0, n, width):
        size = min(width, n - start)
        for j in range(size):
            log_q[start + j] -= top
            q[start + j] = exp(log_q[start + j])
            total += q[start + j]
        for x in range(m):
            for j in range(size):
                parts[x, j] = y[x] * a[x, start + j] / mass[start + j]
        for x in range(m):
            for j in range(size):
                parts[m, j] = q[start + j] * parts[x, j]
            for other in range(x + 1):
                dot = 0.0
                for j in range(size):
                    dot += parts[m, j] * parts[other, j]
                product[x, other] += dot
    return total


@compiled
def _gap(a, factors, mass, q, change, strength, free):
    """`consensus._gap`, with factors y off: near the equilibrium in series, which have all digits there."""
    m, n = a.shape
    change[:] = 0.0
    for x in range(m):
        for z in range(n):
            change[z] += factors[x] * a[x, z]
    total, largest, ratio = 0.0, 0.0, strength / free
    for z in range(n):
        change[z] /= mass[z]
        largest = max(largest, abs(change[z]))
    if largest * max(1.0, ratio) < _SMALL:
        for z in range(n):
            c = change[z]
            t = ratio * c * (1 - c * (1 / 2 - c * (1 / 3 - c * (1 / 4 - c / 5))))
            excess = t * t / 2 * (1 + t / 3 * (1 + t / 4 * (1 + t / 5)))
            total += q[z] * (1 + c) * excess
    else:
        for z in range(n):
            t = ratio * math.log1p(change[z])
            total += q[z] * (1 + change[z]) * (math.expm1(t) - t)
    return free * total


@compiled
def _shares(product, mass_of_q, shares):
    """Divides sum_z q b b' by the sum of q; its rows' sums, at least the least normal float."""
    m = len(shares)
    for x in range(m):
        shares[x] = 0.0
        for other in range(x + 1):
            product[x, other] /= mass_of_q
    for x in range(m):
        for other in range(m):
            shares[x] += product[max(x, other), min(x, other)]
        shares[x] = max(shares[x], TINY)


@compiled
def _hessian(w, shares, product, power, hessian):
    """The dual function's Hessian, with the w w' that forbids the move along (1, ..., 1)."""
    m = len(w)
    for x in range(m):
        for other in range(m):
            entry = product[max(x, other), min(x, other)]
            hessian[x, other] = (
                (power - 1) * entry - power * shares[x] * shares[other] + w[x] * w[other]
            )
        hessian[x, x] += shares[x]


@compiled
def _newton(w, a, live, shift, level, columns, rows, squares, parts, scales, limits):
    """Newton's moves of one game; whether solved and after how many. Then log q and log S are left in
    columns[1] and rows[4].
    """
    (m, n), (beta, strength, total, free, tol) = a.shape, scales
    rounds, far, shortest, aim = limits
    mass, log_q, q, change = columns[0], columns[1], columns[2], columns[3]
    theta, kept, move, safe, log_sums, shares, y, off = (
        rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7],
    )  # fmt: skip
    product, hessian = squares[0], squares[1]
    power = total / (total - strength)
    length, lowest = 1.0, math.inf
    for step in range(rounds + 1):
        for x in range(m):
            y[x] = w[x] * math.exp(-theta[x])
        top = _masses(a, y, level, live, power, mass, log_q)
        mass_of_q = _products(a, y, mass, log_q, top, q, parts, product)
        log_mass = math.log(mass_of_q)
        norm = (top + log_mass) / power
        _shares(product, mass_of_q, shares)
        value, dual, size = 0.0, norm, 0.0
        for x in range(m):
            log_sums[x] = theta[x] + math.log(shares[x] / w[x]) + norm
            value += total * w[x] * (log_sums[x] + shift[x])
            dual += w[x] * theta[x]
            size = max(size, abs(theta[x]))
        if not math.isfinite(value):
            break
        apart = _divergence(w, shares)
        allowed = tol * max(abs(value), beta)
        if total * apart <= allowed:
            for x in range(m):
                off[x] = y[x] * (w[x] / shares[x] - 1)
            gap = _gap(a, off, mass, q, change, strength, free) / mass_of_q
            squared, least = 0.0, math.inf
            for z in range(n):
                squared += q[z] * (log_q[z] - log_mass) ** 2
                least = min(least, mass[z])
            rounding = (total * EPS / 2) ** 2 / free * (1 + squared / mass_of_q)
            if gap <= max(aim * allowed, rounding) and gap + rounding <= allowed and least > TINY:
                for z in range(n):
                    log_q[z] -= log_mass
                return True, step
            if gap <= rounding:
                break
        if length == 0 or dual <= lowest + 8 * EPS * (1 + abs(norm) + size):
            lowest, length = dual, 1.0
            for x in range(m):
                kept[x], move[x] = theta[x], shares[x] - w[x]
                safe[x] = math.log(shares[x] / w[x]) / power
            if apart > far:
                length = 0.0
            else:
                _hessian(w, shares, product, power, hessian)
                if not solved_system(hessian, move, m):
                    break
        else:
            length = length / 4 if length > shortest else 0.0
        for x in range(m):
            theta[x] = kept[x] + (length * move[x] if length > 0 else safe[x])
    return False, 0


@compiled
def solve_games(log_reference, reward, weights, scaled, scales, limits, found, steps, solved):
    """Writes the log-policies `found` (B, m, n), the moves and whether solved (B,) of games (B, m, n).

    reward (B, m, n), or (1, 0, 0) for none; weights (B, m); where `scaled`, largest entries are taken out
    of the exponents. scales are those of consensus.py: beta, c, N, beta - rho and the relative tolerance;
    limits its rounds, _FAR, _SHORT and _AIM. What is not solved is the reference.
    """
    (games, m, n), (beta, strength, total, _, _) = found.shape, scales
    columns, rows, squares = np.empty((4, n)), np.empty((8, m)), np.empty((2, m, m))
    parts, live = np.empty((m + 1, max(64, _BLOCK // m))), np.empty(n, dtype=np.bool_)
    shift, level = np.zeros(m), np.zeros(n)
    for b in range(games):
        a, given, w = found[b], log_reference[b], weights[b]
        paid = reward[min(b, reward.shape[0] - 1)]
        if scaled:
            _scaled_table(given, paid, beta / total, total, a, live, rows[0], shift, level)
        else:
            _plain_table(given, beta / total, a, live, rows[0])
        solved[b], steps[b] = _newton(
            w, a, live, shift, level, columns, rows, squares, parts, scales, limits
        )
        if not solved[b]:
            for x in range(m):
                for z in range(n):
                    a[x, z] = given[x, z]
            continue
        log_q, log_sums = columns[1], rows[4]
        for x in range(m):
            for z in range(n):
                log_nu = beta / total * given[x, z] + strength / total * log_q[z]
                log_nu += (paid[x, z] / total if paid.shape[0] else 0.0) - shift[x] - log_sums[x]
                a[x, z] = log_nu if given[x, z] > LOG_ZERO / 2 else LOG_ZERO
