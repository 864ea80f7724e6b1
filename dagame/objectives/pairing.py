"""Sums over contexts and answers that objectives are made of: the pairing <u, nu>, means, consensus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..numerics.arrays import LOG_ZERO, Array, logsumexp, namespace
from ..numerics.shapes import Numbers, PerContext, Shared, Table, Weights


def pairing(u: Array, log_nu: Table, weights: Weights) -> Numbers:
    """<u, nu> = sum_x w_x sum_z u_x(z) nu_x(z), shape (*batch,)."""
    xp = namespace(log_nu)
    return weighted(xp.sum(xp.exp(log_nu) * u, axis=-1), weights)


def weighted(per_context: PerContext, weights: Weights) -> Numbers:
    """sum_x w_x f_x: (*batch, m) -> (*batch,)."""
    return namespace(per_context).sum(per_context * weights, axis=-1)


def minus_infinity_where(value: Array, infinite: Array) -> Array:
    """`value`, and LOG_ZERO, which stands for -infinity, where Phi is -infinity."""
    return namespace(value).where(infinite, LOG_ZERO, value)


def mean_log(log_nu: Table, weights: Weights) -> Shared:
    """log sum_x w_x nu_x, the arithmetic consensus: (*batch, m, n) -> (*batch, n)."""
    return logsumexp(log_nu + namespace(weights).log(weights)[..., None], axis=-2)


def geometric_mean_log(log_nu: Table, weights: Weights) -> Shared:
    """sum_x w_x log nu_x (*batch, n), LOG_ZERO where a context lacks the answer."""
    xp = namespace(log_nu)
    common = xp.all(log_nu > LOG_ZERO / 2, axis=-2)
    return xp.where(common, xp.sum(log_nu * weights[..., None], axis=-2), LOG_ZERO)


def per_context(columns: Array) -> Array:
    """One vector per context (*batch, m, n) as low-rank columns (*batch, m, n, m)."""
    xp = namespace(columns)
    eye = xp.eye(columns.shape[-2], dtype=columns.dtype, device=columns.device)
    return columns[..., None] * eye[:, None, :]


def outside_common_support(log_nu: Array) -> Array:
    """Answers (*batch, 1, n) that some context lacks."""
    return namespace(log_nu).any(log_nu < LOG_ZERO / 2, axis=-2, keepdims=True)


def total(values: Iterable[Any]) -> Any:
    """A sum that starts from the first element, so that arrays keep their namespace."""
    found = None
    for value in values:
        found = value if found is None else found + value
    return 0.0 if found is None else found


def times(factor: float, term: Any) -> Any:
    """factor * term, without a pass over arrays where the factor is 1."""
    return term if factor == 1 else factor * term
