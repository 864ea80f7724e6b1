"""The functions of `forms.SMOOTH` compiled by numba: values, rewards and Hessians of sums of them.

The formulas are those of the objectives, which have them on arrays.
"""

from __future__ import annotations

import math

import numpy as np

from ..numerics.arrays import LOG_ZERO
from ..numerics.compiled_functions import TINY, compiled, exp
from .forms import SMOOTH

_ENTROPY, _TSALLIS, _RENYI, _ARITHMETIC, _EUCLIDEAN, _BREGMAN, _JENSEN_SHANNON = range(len(SMOOTH))

_FAINTEST = -1400.0
"""The log of the least probability whose square root fits float64; smaller ones are raised to it."""

_CAP = 600.0
"""As in `arrays.exp_capped`."""


@compiled
def _power(log_p, exponent):
    """p^exponent, capped."""
    return math.exp(min(exponent * log_p, _CAP))


@compiled
def _excess(log_p, t):
    """(p^{t-1} - 1)/(t - 1), log p at t = 1."""
    return log_p if t == 1 else math.expm1(min((t - 1) * log_p, _CAP)) / (t - 1)


@compiled
def _means(log_nu, nu, w, log_q):
    """Writes log sum_x w_x nu_x of each answer."""
    m, n = nu.shape
    for z in range(n):
        top = log_nu[0, z]
        for x in range(1, m):
            top = max(top, log_nu[x, z])
        total = 0.0
        if top > LOG_ZERO / 2:
            for x in range(m):
                total += w[x] * math.exp(log_nu[x, z] - top)
            log_q[z] = top + math.log(total)
        else:
            log_q[z] = LOG_ZERO


@compiled
def _of_pairs(factor, log_nu, nu, w, u, blocks):
    """The term of Jensen-Shannon divergences of pairs: its value; adds rewards and blocks."""
    m, n = log_nu.shape
    value = 0.0
    for z in range(n):
        for one in range(m):
            for two in range(one):
                first = log_nu[one, z] >= log_nu[two, z]
                x, y = (one, two) if first else (two, one)
                if not log_nu[x, z] > LOG_ZERO / 2:
                    continue
                apart = max(log_nu[y, z] - log_nu[x, z], -700.0)  # log nu_y/nu_x, at most 0
                root = math.exp(apart / 2)
                share, paid = 1 / (1 + root * root), factor * w[x] * w[y]
                off = math.log(2.0) - math.log1p(root * root)  # log(2 nu_x/(nu_x + nu_y))
                u[x, z] -= factor * w[y] * off
                value -= paid * nu[x, z] * off
                blocks[z, x, x] += paid * root * root * share
                if log_nu[y, z] > LOG_ZERO / 2:
                    u[y, z] -= factor * w[x] * (off + apart)
                    value -= paid * nu[y, z] * (off + apart)
                    blocks[z, y, y] += paid * share
                    blocks[z, x, y] -= paid * root * share
                    blocks[z, y, x] -= paid * root * share
    return value


@compiled
def _separate(kind, factor, t, log_nu, nu, root, w, u, blocks, columns):
    """The value of a term without coupling of contexts; adds rewards, diagonals and columns."""
    m, n = nu.shape
    value = 0.0
    for x in range(m):
        log_sum = 0.0
        if kind == _RENYI:
            for z in range(n):
                if nu[x, z] > 0:
                    log_sum += nu[x, z] * math.expm1(min((t - 1) * log_nu[x, z], _CAP))
            log_sum = math.log1p(log_sum)
            value += factor * w[x] * log_sum / (1 - t)
        total = 0.0
        for z in range(n):
            log_p = log_nu[x, z]
            if not log_p > LOG_ZERO / 2:
                continue
            if kind == _ENTROPY:
                total -= nu[x, z] * log_p
                u[x, z] -= factor * log_p
                blocks[z, x, x] += factor * w[x]
            elif kind == _TSALLIS:
                power = _power(log_p, t - 1)
                total += nu[x, z] * power
                u[x, z] -= factor * t / (t - 1) * power
                blocks[z, x, x] += factor * t * w[x] * power
            else:
                apart = (t - 1) * log_p - log_sum
                power = math.exp(min(apart, _CAP))
                u[x, z] += factor * t / (1 - t) * math.expm1(min(apart, _CAP))
                blocks[z, x, x] += factor * t * w[x] * power
                columns[x, z] += t * math.sqrt(factor * w[x] / (1 - t)) * power * root[x, z]
        if kind == _ENTROPY:
            value += factor * w[x] * total
        elif kind == _TSALLIS:
            value += factor * w[x] * (1 - total) / (t - 1)
    return value


@compiled
def _to_mean(kind, factor, t, log_nu, nu, root, w, log_q, u, blocks):
    """The value of a divergence from the mean; adds rewards and blocks."""
    m, n = nu.shape
    value, part = 0.0, np.zeros(m)
    for z in range(n):
        q, mean_first, joint = 0.0, 0.0, 1.0
        if kind == _EUCLIDEAN:
            joint = 2.0
            for x in range(m):
                q += w[x] * nu[x, z]
        elif not log_q[z] > LOG_ZERO / 2:
            continue
        elif kind == _BREGMAN:
            q, mean_first = math.exp(log_q[z]), _excess(log_q[z], t)
            joint = _power(log_q[z], t - 1)
        for x in range(m):
            log_p = log_nu[x, z]
            if not log_p > LOG_ZERO / 2:
                if kind == _EUCLIDEAN:
                    value -= factor * w[x] * q * q
                elif kind == _BREGMAN:
                    value += factor * w[x] * q * mean_first / t
                continue
            if kind == _ARITHMETIC:
                off, bend = log_p - log_q[z], 1.0
                value -= factor * w[x] * nu[x, z] * off
            elif kind == _EUCLIDEAN:
                off, bend = 2 * (nu[x, z] - q), 2 * nu[x, z]
                value -= factor * w[x] * (nu[x, z] - q) ** 2
            else:
                first = _excess(log_p, t)
                off, bend = first - mean_first, _power(log_p, t - 1)
                value -= factor * w[x] * (nu[x, z] * first - q * mean_first) / t
            u[x, z] -= factor * off
            blocks[z, x, x] += factor * w[x] * bend
        for x in range(m):  # the root of nu, or of nu/q
            part[x] = w[x] * root[x, z]
            if kind != _EUCLIDEAN:
                part[x] = w[x] * math.exp((log_nu[x, z] - log_q[z]) / 2)
        for x in range(m):
            for y in range(m):
                blocks[z, x, y] -= factor * joint * part[x] * part[y]
    return value


@compiled
def evaluated(log_nu0, reward, w, beta, scale, terms, log_nu, nu, root, u, blocks, columns, log_q):
    """J and the gap (T4) at log_nu, rewards u and the Hessian's parts; scale multiplies the objective."""
    (m, n), (kinds, factors, orders) = log_nu.shape, terms
    value, size, gap = 0.0, 0.0, 0.0
    for x in range(m):
        for z in range(n):
            nu[x, z] = exp(log_nu[x, z])
        for z in range(n):
            u[x, z], columns[x, z] = 0.0, 0.0
            for y in range(m):
                blocks[z, x, y] = 0.0
            live = log_nu[x, z] > LOG_ZERO / 2
            root[x, z] = math.sqrt(nu[x, z])
            if live and not nu[x, z] > TINY:
                root[x, z] = math.exp(max(log_nu[x, z], _FAINTEST) / 2)
            if reward.shape[0]:
                u[x, z] = scale * reward[x, z]
                value += w[x] * u[x, z] * nu[x, z]
    averaged = False
    for k in range(len(kinds)):
        factor = scale * factors[k]
        if kinds[k] <= _RENYI:
            value += _separate(kinds[k], factor, orders[k], log_nu, nu, root, w, u, blocks, columns)
        elif kinds[k] == _JENSEN_SHANNON:
            value += _of_pairs(factor, log_nu, nu, w, u, blocks)
        else:
            if not averaged and kinds[k] != _EUCLIDEAN:
                _means(log_nu, nu, w, log_q)
                averaged = True
            value += _to_mean(kinds[k], factor, orders[k], log_nu, nu, root, w, log_q, u, blocks)
    for x in range(m):
        top, total = -math.inf, 0.0
        for z in range(n):
            top = max(top, log_nu0[x, z] + u[x, z] / beta)
        for z in range(n):
            total += exp(log_nu0[x, z] + u[x, z] / beta - top)
        top += math.log(total)
        for z in range(n):
            if not log_nu0[x, z] > LOG_ZERO / 2:
                continue
            apart = log_nu[x, z] - log_nu0[x, z]
            value -= beta * w[x] * nu[x, z] * apart
            size += w[x] * nu[x, z] * abs(u[x, z])
            d = apart - u[x, z] / beta + top
            if abs(d) < 0.5:
                gap += beta * w[x] * nu[x, z] * abs(d + math.expm1(-d))
            else:
                gap += beta * w[x] * (nu[x, z] * (d - 1) + math.exp(log_nu[x, z] - d))
    return value, gap, size
