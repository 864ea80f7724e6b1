"""Entropic optimal transport to points of equal mass, in the log domain: potentials, plan, curvature.

W_eps(nu; rho) = min over couplings P of (nu, rho) of <C, P> + eps KL(P || nu x rho), rho = 1/k on k points.
Its dual in the second potential g alone, with the first at its best, f(g)_i = -eps log mean_j
e^{(g_j - C_ij)/eps}, is the concave <f(g), nu> + mean g, whose gradient rho - K'nu is what the plan's
columns miss, K = e^{(f + g - C)/eps} / k the plan's rows, each divided by its mass.

Sinkhorn's step g <- g + eps log(rho / K'nu) always rises and crawls where eps is small; Newton's,
eps S^-1 (rho - K'nu) with S = diag(K'nu) - K'diag(nu)K, is quadratic near the end and may fall before. Each
round tries Newton's, which is kept where it rises by a quarter of what its slope promises or halves what the
columns miss; else its length is quartered, and Sinkhorn's is taken. Costs that span many eps begin at the
optimum of a larger eps.

A policy that answers to the potentials, nu ∝ nu0 e^{-tilt f(g)}, moves with g: the dual is then the concave
mean g - 1/tilt log sum nu0 e^{-tilt f(g)} of the same gradient, and the equilibrium of a pull is found
without rounds on policies (docs/theory/transport.md#equilibrium-of-a-pull).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import array_api_compat
import numpy as np

from ..errors import NotConverged
from .arrays import Array, logsumexp, namespace, solve, to_numpy
from .fast import Kernel, row_table

_ROUNDS = 300

_EASY = 20.0
"""Costs that span at most so many eps need no larger eps first."""


def _load() -> Callable[..., None]:
    """The kernel, called once."""
    from .transport_kernel import climb

    function: Callable[..., None] = climb
    one = np.zeros((1, 1))
    function(one, one[None], np.ones(1), 0.0, _ROUNDS, one.copy(), np.zeros(1))
    return function


KERNEL = Kernel(_load, 4.0)
"""`transport_kernel.climb`."""


class Transport(NamedTuple):
    """The optimal coupling of nu (*batch, n) with k points of mass 1/k.

    first f (*batch, n), defined where nu is 0 too, and second g (*batch, k), of mean 0, so that the cost
    W = <f, nu>; rows K (*batch, n, k), each of sum 1: the plan is nu_i K_ij.
    """

    first: Array
    second: Array
    rows: Array


class _State(NamedTuple):
    """g, nu, the rows K, k K'nu (1 where a column has its mass), the sum of |K'nu - rho|, the dual."""

    second: Array
    nu: Array
    rows: Array
    columns: Array
    off: Array
    value: Array


def entropic_transport(log_nu: Array, cost: Array, epsilon: float) -> Transport:
    """The potentials and rows of W_eps(nu; 1/k): log_nu (*batch, n), cost (*batch, n, k) or (n, k).

    Masses may be exact zeros (LOG_ZERO); they are divided by their sum. Tensors in an autograd graph get
    potentials in it, by the implicit function theorem.

    Raises:
        NotConverged: the columns miss their mass by more than 1e-8 (1e-4 in single precision), as eps is
            too small beside the costs.
    """
    second, off = _solved(_detached(log_nu), _detached(cost), epsilon, 0.0)
    _require(off, cost, epsilon)
    if _in_graph(log_nu, cost):
        second = _attached(log_nu, cost, epsilon, second)
    second = second - namespace(second).sum(second, axis=-1, keepdims=True) / second.shape[-1]
    first, rows = _first(cost, epsilon, second)
    return Transport(first, second, rows)


def pulled(log_nu0: Array, cost: Array, epsilon: float, tilt: float) -> Array | None:
    """log nu0 - tilt f (*batch, n), not normalised, at the potentials f of its own transport.

    The maximum of -W_eps(nu; 1/k) - 1/tilt KL(nu || nu0). None where a plan's columns miss their mass.
    """
    second, off = _solved(log_nu0, cost, epsilon, tilt)
    if not bool(namespace(off).all(off <= _limit(off))):
        return None
    return log_nu0 - tilt * _first(cost, epsilon, second)[0]


def _solved(log_nu: Array, cost: Array, epsilon: float, tilt: float) -> tuple[Array, Array]:
    """g (*batch, k), and what the columns still miss (*batch,)."""
    log_nu = log_nu - logsumexp(log_nu, keepdims=True)
    lead, k = _lead(log_nu, cost), cost.shape[-1]
    log_nu = namespace(log_nu).broadcast_to(log_nu, (*lead, log_nu.shape[-1]))
    sizes = _ladder(cost, epsilon)
    flat = namespace(log_nu).reshape(log_nu, (-1, log_nu.shape[-1]))
    if KERNEL.ready(flat):
        second, off = _in_kernel(flat, cost, sizes, tilt, lead)
        if (off <= _limit(off)).all():
            return second, off
    KERNEL.without(flat)
    device = array_api_compat.device(log_nu)
    second = off = namespace(log_nu).zeros((*lead, k), dtype=log_nu.dtype, device=device)
    for size in sizes:
        second, off = _climb(log_nu, cost, size, second, tilt, last=size == epsilon)
    return second, off


def _in_kernel(
    log_nu: np.ndarray, cost: np.ndarray, sizes: list[float], tilt: float, lead: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The same steps in compiled code, row by row; log_nu (R, n)."""
    n, k = cost.shape[-2:]
    costs = cost.reshape((1, n, k)) if cost.size == n * k else np.broadcast_to(cost, (*lead, n, k))
    costs = costs.reshape((-1, n, k))
    second, off = np.empty((len(log_nu), k)), np.empty(len(log_nu))
    given = row_table(log_nu, log_nu.shape), row_table(costs, costs.shape)
    KERNEL.run(given, (np.array(sizes), float(tilt), _ROUNDS), (second, off))
    return second.reshape((*lead, k)), off.reshape(lead)


def transport_cost(log_nu: Array, found: Transport) -> Array:
    """W = <f, nu> (*batch,)."""
    xp = namespace(log_nu)
    mass = xp.exp(log_nu - logsumexp(log_nu, keepdims=True))
    return xp.sum(mass * found.first, axis=-1)


def curvature_factor(log_nu: Array, found: Transport, epsilon: float) -> Array:
    """U (*batch, n, k) with W'' = U U' along changes of nu of sum 0: W'' = eps K S^+ K'."""
    xp = namespace(log_nu)
    nu = xp.exp(log_nu - logsumexp(log_nu, keepdims=True))
    k = found.rows.shape[-1]
    values, vectors = xp.linalg.eigh(_schur(nu, found.rows))
    # the constant direction, of eigenvalue 0 in S and 1/k with the gauge, moves no plan
    tangent = vectors - xp.mean(vectors, axis=-2, keepdims=True)
    least = k * xp.finfo(nu.dtype).eps
    scale = xp.where(values > least, 1 / xp.sqrt(xp.where(values > least, values, 1.0)), 0.0)
    return math.sqrt(epsilon) * (found.rows @ (tangent * scale[..., None, :]))


def projective_diameter(cost: Array, epsilon: float) -> float:
    """D = max (C_il + C_jm - C_im - C_jl)/eps, the Hilbert diameter of e^{-C/eps}; the largest of a batch.

    O(n k min(n, k)) for a table (n, k).
    """
    table = to_numpy(cost).astype(float)
    if table.shape[-2] < table.shape[-1]:
        table = table.swapaxes(-1, -2)
    widest = 0.0
    for j in range(table.shape[-1]):
        apart = table - table[..., j : j + 1]
        widest = max(widest, float((apart.max(axis=-2) - apart.min(axis=-2)).max()))
    return widest / epsilon


def largest_curvature(cost: Array, epsilon: float) -> float:
    """eps sinh^2(D/4), which the curvature of W_eps relative to KL never exceeds; inf if too large."""
    quarter = projective_diameter(cost, epsilon) / 4
    return epsilon * math.sinh(quarter) ** 2 if quarter < 350 else math.inf


def _lead(log_nu: Array, cost: Array) -> tuple[int, ...]:
    """The common batch shape."""
    one, other = tuple(log_nu.shape[:-1]), tuple(cost.shape[:-2])
    size = max(len(one), len(other))
    one, other = (1,) * (size - len(one)) + one, (1,) * (size - len(other)) + other
    return tuple(max(a, b) for a, b in zip(one, other, strict=True))


def _ladder(cost: Array, epsilon: float) -> list[float]:
    """Sizes of eps from where the costs are easy down to eps, by factors of 4."""
    xp = namespace(cost)
    span = float(xp.max(cost) - xp.min(cost))
    wide = max(1.0, span / (_EASY * epsilon)) if math.isfinite(span) else 1.0
    rungs = math.ceil(math.log(wide, 4))
    return [epsilon * 4.0**j for j in range(rungs, -1, -1)]


def _first(cost: Array, epsilon: float, second: Array) -> tuple[Array, Array]:
    """f(g) and K."""
    xp = namespace(cost, second)
    tilted = (second[..., None, :] - cost) / epsilon
    total = logsumexp(tilted, keepdims=True)
    first = -epsilon * (total[..., 0] - math.log(cost.shape[-1]))
    return first, xp.exp(tilted - total)


def _at(log_nu: Array, cost: Array, epsilon: float, second: Array, tilt: float) -> _State:
    xp, k = namespace(log_nu), cost.shape[-1]
    tilted = (second[..., None, :] - cost) / epsilon
    top = xp.max(tilted, axis=-1, keepdims=True)
    rows = xp.exp(tilted - top)
    total = xp.sum(rows, axis=-1, keepdims=True)
    rows = rows / total
    first = epsilon * (top + xp.log(total))[..., 0]
    if tilt:
        log_sum = logsumexp(log_nu + tilt * first, keepdims=True)
        nu, paid = xp.exp(log_nu + tilt * first - log_sum), log_sum[..., 0] / tilt
    else:
        nu = xp.exp(log_nu)
        paid = xp.sum(nu * first, axis=-1)
    columns = k * (nu[..., None, :] @ rows)[..., 0, :]
    value = xp.mean(second, axis=-1) - paid
    return _State(second, nu, rows, columns, xp.sum(xp.abs(columns - 1), axis=-1) / k, value)


def _schur(nu: Array, rows: Array, tilt: float = 0.0) -> Array:
    """diag(K'nu) - K'diag(nu)K and tilt times the covariance of K, with the gauge 1 1'/k^2 added."""
    xp, k = namespace(rows), rows.shape[-1]
    paid = nu[..., None] * rows
    columns = xp.sum(paid, axis=-2)
    eye = xp.eye(k, dtype=rows.dtype, device=array_api_compat.device(rows))
    outer = xp.matrix_transpose(rows) @ paid
    if tilt:
        outer = (1 - tilt) * outer + tilt * columns[..., :, None] * columns[..., None, :]
    return columns[..., None] * eye - outer + 1 / k**2


def _climb(
    log_nu: Array, cost: Array, epsilon: float, second: Array, tilt: float, last: bool
) -> tuple[Array, Array]:
    """g where the columns are right to rounding error (to 1e-3 on the way), and what they still miss."""
    xp, k = namespace(log_nu), cost.shape[-1]
    precision = xp.finfo(log_nu.dtype)
    enough = 4 * precision.eps if last else 1e-3
    now = _at(log_nu, cost, epsilon, second, tilt)
    done, length = now.off <= enough, 1 + 0 * now.off
    for _ in range(_ROUNDS):
        if bool(xp.all(done)):
            break
        missing = (1 - now.columns) / k
        step = epsilon * solve(_schur(now.nu, now.rows, tilt * epsilon), missing[..., None])[..., 0]
        next_ = _at(log_nu, cost, epsilon, now.second + length[..., None] * step, tilt)
        rise = length * xp.sum(missing * step, axis=-1)
        took = (next_.off < now.off / 2) | (next_.value > now.value + rise / 4)
        length = xp.where(took, xp.clip(4 * length, None, 1.0), length / 4)
        slow = ~(took | done)
        if bool(xp.any(slow)):
            move = epsilon * xp.log(xp.clip(now.columns, precision.smallest_normal, None))
            sinkhorn = _at(log_nu, cost, epsilon, now.second - move, tilt)
            next_ = _better(slow, sinkhorn, next_)
        stuck = ~(next_.off < now.off / 2) & (now.off <= _limit(now.off))
        now = _better(~done & (took | (next_.off < now.off)), next_, now)
        done = done | (now.off <= enough) | (stuck & last)
    return now.second, now.off


def _better(condition: Array, yes: _State, no: _State) -> _State:
    if bool(namespace(condition).all(condition)):
        return yes
    return _State(*(_pick(condition, a, b) for a, b in zip(yes, no, strict=True)))


def _pick(condition: Array, yes: Array, no: Array) -> Array:
    xp = namespace(yes)
    return xp.where(
        xp.reshape(condition, (*condition.shape, *(1,) * (yes.ndim - condition.ndim))), yes, no
    )


def _limit(off: Array) -> float:
    return 1e-8 if off.dtype == namespace(off).float64 else 1e-4


def _require(off: Array, cost: Array, epsilon: float) -> None:
    xp = namespace(off)
    if not bool(xp.all(off <= _limit(off))):
        span = float(xp.max(cost) - xp.min(cost)) / epsilon
        raise NotConverged(
            f"entropic transport: the plan's columns miss {float(xp.max(off)):.2g} of their mass after "
            f"{_ROUNDS} rounds, as the costs span {span:.3g} epsilon; raise epsilon, or look for NaN."
        )


# -- torch: the potentials as functions of the masses and costs ----------------------------------------


def _detached(x: Array) -> Array:
    return x.detach() if array_api_compat.is_torch_array(x) else x


def _in_graph(*arrays: Array) -> bool:
    return any(getattr(a, "requires_grad", False) for a in arrays)


def _attached(log_nu: Array, cost: Array, epsilon: float, second: Array) -> Array:
    """g with its gradient: one Newton step of no length, dg = eps S^-1 d(rho - K'nu), S out of the graph."""
    xp = namespace(second)
    log_nu = log_nu - logsumexp(log_nu, keepdims=True)
    _, rows = _first(cost, epsilon, second)
    columns = xp.sum(xp.exp(log_nu)[..., None] * rows, axis=-2)
    missing = columns.detach() - columns
    matrix = _schur(xp.exp(_detached(log_nu)), rows.detach())
    return second + epsilon * solve(matrix, missing[..., None])[..., 0]
