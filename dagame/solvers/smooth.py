"""Sums of smooth functions of a `SmoothForm`, small games above all: Newton's method in compiled code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..games.game import AlignmentGame
from ..games.solution import Status
from ..numerics.arrays import LOG_ZERO, like
from ..numerics.fast import Kernel, row_table
from ..objectives.forms import SMOOTH, SmoothForm
from .loop import LoopResult
from .newton import strengths

_ROUNDS = 40
"""Moves at each strength; a game that needs more is left to others."""

_CONTEXTS = 32
"""With more contexts numpy's linear systems are faster."""

_ALONE = {"entropy", "tsallis", "renyi"}
"""The functions that do not couple contexts."""


def _load() -> Callable[..., None]:
    """The kernel, called once."""
    from .newton_kernel import solve_games

    function: Any = solve_games
    given = np.zeros((1, 1, 1)), np.zeros((1, 0, 0)), np.ones((1, 1))
    found = np.zeros((1, 1, 1)), np.zeros(1, np.int64), np.zeros(1, bool), np.zeros((1, 1, 2))
    function(
        *given, *_numbers(SmoothForm((("entropy", 1.0, 1.0),)), 1.0, 1e-10, 1.0, False), *found
    )
    return function


KERNEL = Kernel(_load, 4.0, _CONTEXTS)
"""`newton_kernel.solve_games`."""


def smooth_solve(game: AlignmentGame, tol: float) -> LoopResult | None:
    """Newton's method in compiled code, or None where that is not at hand or the objective has no such form.

    All games are left as stalled, for the caller to judge by their gap; those that the method has not solved
    keep the reference.
    """
    form = game.objective.smooth_form()
    if form is None or game.answer_map.kind != "identity" or game.transfer:
        return None
    table = game.log_reference
    if any(factor < 0 for _, factor, _ in form.terms) or not form.terms:
        return None
    if not KERNEL.ready(table):
        KERNEL.without(table)
        return None
    if game.forbidden is not None:
        table = np.where(game.forbidden, LOG_ZERO, table)
    shape, plain = table.shape, isinstance(form.reward, float)
    reward = np.zeros((1, 0, 0)) if plain else row_table(like(form.reward, table), shape)
    given = row_table(table, shape), reward, row_table(game.weights, shape[:-1])
    log_nu, record = np.empty(shape), np.full((shape[0], _ROUNDS + 1, 2), np.nan)
    steps, solved = np.zeros(shape[0], dtype=np.int64), np.zeros(shape[0], bool)
    even = game.smoothness is None  # rewards that are huge at rare answers
    numbers = _numbers(form, game.beta, tol, strengths(game)[0], even)
    KERNEL.run(given, numbers, (log_nu, steps, solved, record))
    statuses = Status.STALLED.times(shape[0])
    values, gaps = record[:, : int(steps.max()) + 1].transpose(2, 1, 0)
    return LoopResult(log_nu, steps, statuses, list(values), list(gaps))


def _numbers(
    form: SmoothForm, beta: float, tol: float, first: float, even: bool
) -> tuple[object, ...]:
    """The kernel's arguments besides tables."""
    names, factors, orders = zip(*form.terms, strict=True)
    kinds = np.array([SMOOTH.index(name) for name in names])
    terms = kinds, np.array(factors, float), np.array(orders, float)
    flags = not _ALONE.issuperset(names), "renyi" in names
    return terms, flags, (beta, tol, first, even, _ROUNDS)
