"""A difference of concave objectives between two concave ones: tangents below it, chords above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..numerics.arrays import Array
from .objective import Objective
from .reward import Reward
from .weighted import Weighted


def minorant(objective: Objective, log_nu: Array, weights: Array) -> Objective | None:
    """A concave objective below this one and equal to it at nu: convex terms are replaced by their tangents.

    A term -Phi, Phi concave, is at least -(c + <u, nu>), u = grad Phi and c = Phi - <u, nu> at the marginals
    given; as nu has sum 1 that is the reward -(u + c). None where a convex term states no `chord`, or a
    term is neither concave nor convex.
    """

    def tangent(part: Objective) -> Array:
        constant, u = part.reply.linearise(log_nu, weights)
        return u + constant[..., None, None]

    return _replaced(objective, tangent)


def majorant(objective: Objective) -> Objective | None:
    """A concave objective above this one: convex terms are replaced by their chords between point masses."""
    return _replaced(objective, lambda part: part.chord())


def _replaced(objective: Objective, line: Callable[[Objective], Array]) -> Objective | None:
    total: Objective | None = None
    for factor, part in _signed(objective):
        if factor < 0 and (part.concave is not True or part.chord() is None):
            return None
        if factor > 0 and part.concave is not True:
            return None
        term = factor * (part if factor > 0 else Reward(line(part)))
        total = term if total is None else total + term
    return total


def _signed(objective: Objective, factor: float = 1.0) -> Iterator[tuple[float, Objective]]:
    """The terms that it is made of, sums opened where they are not concave as they stand."""
    if isinstance(objective, Weighted) and not (factor > 0 and objective.concave is True):
        for share, part in objective.live:
            yield from _signed(part, factor * share)
    else:
        yield factor, objective
