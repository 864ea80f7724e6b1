"""What `value` and `reward` of an objective are given: arrays of floating numbers, and context weights."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from ..errors import InvalidGame
from ..numerics.arrays import Array, as_floating, like


def with_weights(function: Any) -> Any:
    """A user's `value` or `reward`, which may now be called with lists and without weights."""
    if not inspect.isfunction(function):
        return function
    signature = inspect.signature(function)
    try:
        signature.bind(None, None, None)
    except TypeError:  # takes no weights: an error when a game is made
        return function

    @functools.wraps(function)
    def filled(self: Any, *given: Any, **named: Any) -> Any:
        if named:
            given = signature.bind(self, *given, **named).args[1:]
        marginals, weights, *more = (*given, None)[: max(2, len(given))]
        return function(self, *prepared(marginals, weights), *more)

    return filled


def prepared(marginals: Array, weights: Array | None) -> tuple[Array, Array]:
    """Marginals as an array, weights uniform where there are none."""
    nu = as_floating(marginals, "marginals")
    if nu.ndim < 2:
        raise InvalidGame(
            f"marginals have shape {tuple(nu.shape)}; give (*batch, contexts, answers), for one "
            "context marginals[None, :]."
        )
    m = nu.shape[-2]
    w = like([1.0 / m] * m if weights is None else weights, nu)
    return nu, w
