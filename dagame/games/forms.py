"""A game on tables in another form: on answers, in one flat batch, in double precision, and so on."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from functools import cache, cached_property
from typing import Any, Self

from ..numerics.arrays import LOG_ZERO, Array, float64, log_normalise, namespace
from ..objectives.objective import Objective
from ..objectives.parameters import bound_to, flattened, of_games
from .answer_map import AnswerMap
from .play import DistributionalGame


@cache
def _computed_once(kind: type) -> frozenset[str]:
    """The names of a class's cached properties."""
    names = {name for part in kind.__mro__ for name in vars(part)}
    return frozenset(n for n in names if isinstance(getattr(kind, n, None), cached_property))


class GameForms(DistributionalGame):
    """Forms of a game that is made of a reference, an objective, beta, weights and an answer map."""

    log_reference: Array
    log_reference_answers: Array
    objective: Objective
    beta: float
    weights: Array
    answer_map: AnswerMap
    batch_shape: tuple[int, ...]
    contexts: int
    n: int
    unit: Self
    forbidden: Array | None

    def masked(self, log_p: Array) -> Array:
        """See `AlignmentGame`."""
        raise NotImplementedError

    def on_answers(self) -> Self:
        """The game whose traces are the answers (T3: same optimum); deterministic maps only."""
        if self.answer_map.kind == "identity":
            return self
        self.answer_map.require_deterministic("the game on answers")
        return self.replaced(
            log_reference=self.log_reference_answers, answer_map=AnswerMap.identity(self.n)
        )

    @cached_property
    def solved_form(self) -> Self:
        """The flat game that is solved, in units of beta: on answers where the map allows it, forbidden
        answers left out.
        """
        inner = (self.on_answers() if self.answer_map.deterministic else self).flat().unit
        if inner.answer_map.kind != "identity" or inner.forbidden is None:
            return inner
        return inner.without(inner.forbidden)

    def reached(self, log_nu: Array, cost: Array | float) -> Array:
        """J (*batch,), minus infinity outside a hard set and where it is not a finite number."""
        value = self.objective.value_log(log_nu, self.weights) - cost
        inside = self.objective.domain.violation(log_nu, self.weights) == 0
        xp = namespace(value)
        return xp.where(inside & xp.isfinite(value), value, -xp.inf)

    @cached_property
    def reference_value(self) -> Array:
        """J of the reference itself, which every bound has to exceed."""
        return self.reached(self.log_reference_answers, 0.0)

    def flat(self) -> Self:
        """The game with one leading batch dimension."""
        lead = self.batch_shape
        if len(lead) == 1:
            return self
        xp, w = namespace(self.log_reference), self.weights
        shape = (math.prod(lead), *self.log_reference.shape[-2:])
        return self.replaced(
            log_reference=xp.reshape(self.log_reference, shape),
            objective=flattened(self.objective, lead),
            answer_map=self.answer_map.flat(lead),
            weights=w if w.ndim == 1 else xp.reshape(w, (-1, self.contexts)),
        )

    def rows(self, index: Array) -> Self:
        """The games `index` of a flat batch."""
        xp, w = namespace(self.log_reference), self.weights
        return self.replaced(
            log_reference=xp.take(self.log_reference, index, axis=0),
            objective=of_games(self.objective, index),
            answer_map=self.answer_map.rows(index),
            weights=w if w.ndim == 1 else xp.take(w, index, axis=0),
        )

    def without(self, forbidden: Array) -> Self:
        """The game without some of its answers (*batch, m, n), bool; identity maps only.

        A context that loses all keeps its reference, as no policy is finite there.
        """
        xp = namespace(self.log_reference)
        kept = xp.where(forbidden, LOG_ZERO, self.log_reference)
        empty = xp.max(kept, axis=-1, keepdims=True) < LOG_ZERO / 2
        kept = xp.where(empty, self.log_reference, kept)
        kept = xp.where(kept > LOG_ZERO / 2, log_normalise(kept), LOG_ZERO)
        return self.replaced(log_reference=kept)

    def in_float64(self) -> Self:
        """The game in double precision, reference and weights of sum 1 to its rounding."""
        xp = namespace(self.log_reference)
        if self.log_reference.dtype == xp.float64:
            return self
        reference, weights = float64(self.log_reference), float64(self.weights)
        return self.replaced(
            log_reference=self.masked(log_normalise(reference)),
            weights=weights / xp.sum(weights, axis=-1, keepdims=True),
            objective=bound_to(self.objective, reference),
            answer_map=self.answer_map.bind(reference),
        )

    def detached(self, objective: Objective) -> Self:
        """The game of torch tensors out of their autograd graph, with `objective` out of its own."""
        return self.replaced(
            log_reference=self.log_reference.detach(),
            weights=self.weights.detach(),
            objective=objective,
        )

    def replaced(self, **fields: Any) -> Self:
        """The game with other fields, none of them checked; what it computes once is computed anew."""
        changed, computed = object.__new__(type(self)), _computed_once(type(self))
        state = {name: value for name, value in vars(self).items() if name not in computed}
        vars(changed).update(state, **fields)
        return changed

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(
            f"a game does not change, so {name} cannot be set; make another one, as with "
            "game.with_objective(objective, beta=...)."
        )

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"a game does not change, so {name} cannot be deleted.")
