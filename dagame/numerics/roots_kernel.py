"""`scalar.increasing_root` row by row, compiled by numba: masses of sum 1 in one number of each row.

A pass of a root reads its row once. Omegas are kept from one pass to the next, as `scalar.Omegas` does.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .arrays import LOG_ZERO
from .compiled_functions import EPS, TINY, compiled, exp, log, omega, refined_omega

_PASSES = 100

_LOWEST = -80.0
"""What smaller arguments of omegas are taken for where only their sum is asked for."""

_LEAST = 1e-30
"""Omegas below have the logarithm of their argument."""

_BLOCK = 512
"""Numbers of a block."""

_largest_of = njit(cache=True, nogil=True, fastmath={"nnan", "nsz", "reassoc"})


@_largest_of
def _largest(values, size):
    """The largest of the first `size` values, none of which is NaN."""
    top = -1e300
    for j in range(size):
        top = values[j] if values[j] > top else top
    return top


@compiled
def _next(t, low, high, value, slope):
    """`increasing_root`: the next t, the bracket, and whether that is found."""
    low, high = t if value <= 0 else low, t if value >= 0 else high
    steep = slope > 8 * TINY * abs(value)
    newton = t - value / slope if steep else t
    new = newton if steep and low < newton < high else (low + high) / 2
    return new, low, high, abs(new - t) <= 4 * EPS * (1 + abs(new)) or value == 0


@compiled
def _moved_omegas(s, shift, moved, fresh, y):
    """y = omega(s + shift), after the shift has moved by `moved` or anew."""
    if fresh or not abs(moved) <= 1:
        for z in range(len(s)):
            y[z] = omega(max(s[z] + shift, _LOWEST))
        return
    for z in range(len(s)):
        value = y[z]
        x = moved / (1 + value)
        value *= (2 + x) / (2 - x)
        off = max(s[z] + shift, _LOWEST) - value - log(value)
        y[z] = refined_omega(value, off)


@compiled
def _log_omegas(s, shift, moved, y):
    """Writes log omega(s + shift) over y."""
    _moved_omegas(s, shift, moved, False, y)
    for z in range(len(s)):
        y[z] = log(y[z]) if y[z] > _LEAST else s[z] + shift


@compiled
def damped_rows(log_p, a, found):
    """Writes log nu with log nu + a nu = log p + t, sum nu = 1: nu = omega(log(a p) + t)/a, t in [0, a]."""
    for row in range(len(found)):
        s, y, shift = log_p[row], found[row], math.log(a)
        t, low, high, last, done = 0.0, 0.0, a, 0.0, False
        for step in range(_PASSES):
            _moved_omegas(s, shift + t, t - last, step == 0, y)
            total, slope, last = 0.0, 0.0, t
            for z in range(len(s)):
                total += y[z]
                slope += y[z] / (1 + y[z])
            t, low, high, done = _next(t, low, high, math.log(total / a), slope / total)
            if done:
                break
        _log_omegas(s, shift + t, t - last, y)
        for z in range(len(s)):
            y[z] -= shift


@compiled
def raised_rows(log_p, target, log_target, beta, found):
    """Writes log nu with log nu - g/nu = log p + c, g = target/beta, and sum nu = 1, c in [-1/beta, 0].

    nu = g/omega(log(g/p) - c), and p e^c where g is 0. Targets of one row are for all.
    """
    n = found.shape[1]
    s, gain, alone = np.empty(n), np.empty(n), np.empty(n)
    for row in range(len(found)):
        p, y = log_p[row], found[row]
        rho, log_rho = target[min(row, len(target) - 1)], log_target[min(row, len(target) - 1)]
        shift = math.log(beta)
        for z in range(n):
            paid = log_rho[z] > LOG_ZERO / 2
            s[z] = log_rho[z] - shift - p[z] if paid else 0.0
            gain[z] = rho[z] / beta if paid else 0.0
            alone[z] = 0.0 if paid else exp(p[z])
        c, low, high, last, done = -1 / beta, -1 / beta, 0.0, 0.0, False
        for step in range(_PASSES):
            _moved_omegas(s, -c, last - c, step == 0, y)
            total, slope, last, free = 0.0, 0.0, c, math.exp(c)
            for z in range(n):
                nu, rest = gain[z] / y[z], alone[z] * free
                total += nu + rest
                slope += nu / (1 + y[z]) + rest
            c, low, high, done = _next(c, low, high, math.log(total), slope / total)
            if done:
                break
        _log_omegas(s, -c, last - c, y)
        for z in range(n):
            paid = log_rho[z] > LOG_ZERO / 2
            y[z] = log_rho[z] - shift - y[z] if paid else p[z] + c


@compiled
def _tilted(log_p, c, s, spare):
    """Of nu ∝ p e^{s c}: the logs of its sum and of the means of c and 1 - c, and the variance of c."""
    top, total, mean, rest, square = -1e300, 0.0, 0.0, 0.0, 0.0
    for start in range(0, len(c), _BLOCK):
        size = min(_BLOCK, len(c) - start)
        for j in range(size):
            spare[j] = log_p[start + j] + s * c[start + j]
        highest = _largest(spare, size)
        if highest > top:
            scale, top = math.exp(top - highest), highest
            total, mean, rest, square = total * scale, mean * scale, rest * scale, square * scale
        for j in range(size):
            e = exp(spare[j] - top)
            part = c[start + j] * e
            total += e
            mean += part
            rest += (1 - c[start + j]) * e
            square += c[start + j] * part
    variance = max(square / total - (mean / total) ** 2, 0.0)
    mean, rest = max(mean / total, TINY), max(rest / total, TINY)
    return top + math.log(total), math.log(mean), math.log(rest), variance


@compiled
def tilted_rows(log_p, success, k, beta, found):
    """Writes log nu of nu ∝ p e^{s c} at the s of `PassAtK` of k samples, of `LogSuccess` for k = 0.

    beta s = F'(mean of c): s - k/beta rest^{k-1} is increasing in s, t + log mean + log beta in t = log s.
    """
    spare, n = np.empty(_BLOCK), found.shape[1]
    for row in range(len(found)):
        p, c = log_p[row], success[min(row, len(success) - 1)]
        top, done, s = k / beta, False, 0.0
        low, high = 0.0, top
        if k == 0:
            _, log_mean, _, _ = _tilted(p, c, 0.0, spare)
            low = -math.log(beta)
            high = low - min(max(log_mean, -690.0), 0.0)
        t = (low + high) / 2
        for _ in range(_PASSES):
            s = math.exp(t) if k == 0 else t
            _, log_mean, log_rest, variance = _tilted(p, c, s, spare)
            if k == 0:
                value = t + log_mean + math.log(beta)
                slope = 1 + math.exp(min(t - log_mean, 600.0)) * variance
            else:
                value = s - top * math.exp((k - 1) * log_rest)
                bend = (k - 1) * math.exp(max(k - 2, 0) * log_rest) * variance if k > 1 else 0.0
                slope = 1 + top * bend
            t, low, high, done = _next(t, low, high, value, slope)
            if done:
                break
        s = math.exp(t) if k == 0 else t
        log_sum, _, _, _ = _tilted(p, c, s, spare)
        for z in range(n):
            found[row, z] = p[z] + s * c[z] - log_sum
