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
"""

from __future__ import annotations

import math
from typing import NamedTuple

import array_api_compat

from ..errors import NotConverged
from .arrays import Array, logsumexp, namespace, solve, to_numpy

_ROUNDS = 300

_EASY = 20.0
"""Costs that span at most so many eps need no larger eps first."""


class Transport(NamedTuple):
    """The optimal coupling of nu (*batch, n) with k points of mass 1/k.

    first f (*batch, n), defined where nu is 0 too, and second g (*batch, k), of mean 0, so that the cost
    W = <f, nu>; rows K (*batch, n, k), each of sum 1: the plan is nu_i K_ij.
    """

    first: Array
    second: Array
    rows: Array


class _State(NamedTuple):
    """g, the rows K, k K'nu (1 where a column has its mass), the sum of |K'nu - rho|, the dual's value."""

    second: Array
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
    fixed_nu, fixed_cost = _detached(log_nu), _detached(cost)
    fixed_nu = fixed_nu - logsumexp(fixed_nu, keepdims=True)
    xp = namespace(fixed_nu)
    lead = _lead(log_nu, cost)
    second = xp.zeros(
        (*lead, cost.shape[-1]), dtype=fixed_nu.dtype, device=array_api_compat.device(fixed_nu)
    )
    nu = xp.broadcast_to(xp.exp(fixed_nu), (*lead, fixed_nu.shape[-1]))
    for size in _ladder(fixed_cost, epsilon):
        second, off = _climb(nu, fixed_cost, size, second, last=size == epsilon)
    _require(off, fixed_cost, epsilon)
    if _in_graph(log_nu, cost):
        second = _attached(log_nu, cost, epsilon, second)
    second = second - xp.mean(second, axis=-1, keepdims=True)
    first, rows = _first(cost, epsilon, second)
    return Transport(first, second, rows)


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


def _at(nu: Array, cost: Array, epsilon: float, second: Array) -> _State:
    xp, k = namespace(nu), cost.shape[-1]
    tilted = (second[..., None, :] - cost) / epsilon
    top = xp.max(tilted, axis=-1, keepdims=True)
    rows = xp.exp(tilted - top)
    total = xp.sum(rows, axis=-1, keepdims=True)
    rows = rows / total
    columns = k * (nu[..., None, :] @ rows)[..., 0, :]
    first = (top + xp.log(total))[..., 0]
    value = xp.mean(second, axis=-1) - epsilon * xp.sum(nu * first, axis=-1)
    return _State(second, rows, columns, xp.sum(xp.abs(columns - 1), axis=-1) / k, value)


def _schur(nu: Array, rows: Array) -> Array:
    """diag(K'nu) - K'diag(nu)K, positive semidefinite with S 1 = 0, and the gauge 1 1'/k^2 added."""
    xp, k = namespace(rows), rows.shape[-1]
    paid = nu[..., None] * rows
    columns = xp.sum(paid, axis=-2)
    eye = xp.eye(k, dtype=rows.dtype, device=array_api_compat.device(rows))
    return columns[..., None] * eye - xp.matrix_transpose(rows) @ paid + 1 / k**2


def _climb(
    nu: Array, cost: Array, epsilon: float, second: Array, last: bool
) -> tuple[Array, Array]:
    """g where the columns are right to rounding error (to 1e-3 on the way), and what they still miss."""
    xp, k = namespace(nu), cost.shape[-1]
    precision = xp.finfo(nu.dtype)
    enough = 4 * precision.eps if last else 1e-3
    now = _at(nu, cost, epsilon, second)
    done, length = now.off <= enough, 1 + 0 * now.off
    for _ in range(_ROUNDS):
        if bool(xp.all(done)):
            break
        missing = (1 - now.columns) / k
        step = epsilon * solve(_schur(nu, now.rows), missing[..., None])[..., 0]
        next_ = _at(nu, cost, epsilon, now.second + length[..., None] * step)
        rise = length * xp.sum(missing * step, axis=-1)
        took = (next_.off < now.off / 2) | (next_.value > now.value + rise / 4)
        length = xp.where(took, xp.clip(4 * length, None, 1.0), length / 4)
        slow = ~(took | done)
        if bool(xp.any(slow)):
            move = epsilon * xp.log(xp.clip(now.columns, precision.smallest_normal, None))
            sinkhorn = _at(nu, cost, epsilon, now.second - move)
            next_ = _better(slow, sinkhorn, next_)
        stuck = ~(next_.off < now.off / 2) & (now.off < math.sqrt(precision.eps))
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


def _require(off: Array, cost: Array, epsilon: float) -> None:
    xp = namespace(off)
    limit = 1e-8 if off.dtype == xp.float64 else 1e-4
    if not bool(xp.all(off <= limit)):
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
