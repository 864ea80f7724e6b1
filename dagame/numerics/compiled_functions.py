"""What kernels that numba compiles are made of: exp and log as vector instructions, a linear system, a root.

Only files named `..._kernel` import this one, as it loads numba. Numba keeps what it has compiled for as long
as the file of the function that is called stays as it is: who changes a file that such a one imports deletes
`__pycache__` (an installation writes all files anew).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

TINY = float(np.finfo(np.float64).smallest_normal)
EPS = float(np.finfo(np.float64).eps)

compiled = njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
"""Sums may be taken in any order; infinities and NaN stay what they are. No lock of Python's is held."""

inlined = njit(forceinline=True, error_model="numpy", fastmath={"contract"})
"""For the functions of a number below, some of which depend on the order; exp and log become vector
instructions as the C library's do not.
"""

_LOG_2_HIGH, _LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
"""log 2 in two parts: k times the first, of 32 bits, is exact."""

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD


@inlined
def _power_of_two(k):
    """2^k for a 64-bit k from -1022 to 1023."""
    return np.int64((k + 1023) << 52).view(np.float64)


@inlined
def exp(x):
    """e^x to 1 unit in the last place: x = k log 2 + r, |r| <= log 2 / 2, and Taylor's polynomial of e^r."""
    x = min(max(x, -746.0), 710.0)
    k = np.int32(np.floor(x * 1.4426950408889634 + 0.5))
    turns = np.float64(k)
    r = (x - turns * _LOG_2_HIGH) - turns * _LOG_2_LOW
    p = 1 / 6227020800.0
    p = p * r + 1 / 479001600.0
    p = p * r + 1 / 39916800.0
    p = p * r + 1 / 3628800.0
    p = p * r + 1 / 362880.0
    p = p * r + 1 / 40320.0
    p = p * r + 1 / 5040.0
    p = p * r + 1 / 720.0
    p = p * r + 1 / 120.0
    p = p * r + 1 / 24.0
    p = p * r + 1 / 6.0
    p = p * r + 0.5
    p = p * r * r + r + 1.0
    half = k >> 1  # in two factors, as 2^k alone may be subnormal or too large
    return p * _power_of_two(np.int64(half)) * _power_of_two(np.int64(k - half))


@inlined
def log(x):
    """log x of a finite x > 0 to 1 unit in the last place.

    x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt 2, and the polynomial of Sun's fdlibm.
    """
    small = x < TINY
    scaled = x * 18014398509481984.0 if small else x  # 2^54
    bits = np.float64(scaled).view(np.int64)
    k = np.int32((bits - _SQRT_HALF_BITS) >> 52)
    f = np.int64(bits - (np.int64(k) << 52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 1.531383769920937332e-01 + z * 1.479819860511658591e-01
    r = 1.818357216161805012e-01 + z * r
    r = 2.222219843214978396e-01 + z * r
    r = 2.857142874366239149e-01 + z * r
    r = 3.999999999940941908e-01 + z * r
    r = z * (6.666666666666735130e-01 + z * r)
    half = 0.5 * f * f
    turns = np.float64(k) - (54.0 if small else 0.0)
    return turns * _LOG_2_HIGH - ((half - (s * (half + r) + turns * _LOG_2_LOW)) - f)


@inlined
def rough_omega(s):
    """Wright's omega within 30%."""
    e, high = exp(min(s, 1.0)), max(s, 1.0)
    return e / (1 + e) if s < 1.0 else high - log(high) * high / (1 + high)


@inlined
def refined_omega(y, off):
    """`scalar.refined_omega`."""
    more = 1 + y
    q = 2 * more * (more + off * (2 / 3))
    return y * (1 + off * (q - off) / (more * (q - 2 * off)))


@inlined
def omega(s):
    """Wright's omega to rounding."""
    inside = max(s, -40.0)
    y = rough_omega(inside)
    y = refined_omega(y, inside - y - log(y))
    y = refined_omega(y, inside - y - log(y))
    return y if s >= -40.0 else exp(s)


@compiled
def solved_system(a, b, size):
    """Writes a^-1 b into b by Gauss with the largest pivots; False where one is 0."""
    for k in range(size):
        pivot = k
        for i in range(k + 1, size):
            if abs(a[i, k]) > abs(a[pivot, k]):
                pivot = i
        if not abs(a[pivot, k]) > 0:
            return False
        if pivot != k:
            for j in range(size):
                a[k, j], a[pivot, j] = a[pivot, j], a[k, j]
            b[k], b[pivot] = b[pivot], b[k]
        for i in range(k + 1, size):
            factor = a[i, k] / a[k, k]
            for j in range(k + 1, size):
                a[i, j] -= factor * a[k, j]
            b[i] -= factor * b[k]
    for k in range(size - 1, -1, -1):
        for j in range(k + 1, size):
            b[k] -= a[k, j] * b[j]
        b[k] /= a[k, k]
        if not math.isfinite(b[k]):
            return False
    return True


@inlined
def size_bits(x):
    """The bits of |x|, whose order is that of the sizes, NaN the largest: integers' maxima are vectorised."""
    return np.float64(abs(x)).view(np.int64)


@inlined
def from_bits(bits):
    """The float of these bits."""
    return np.int64(bits).view(np.float64)
