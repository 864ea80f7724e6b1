"""What a bound rests on: targets inside the simplices, and values that are known to be reached."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import FalseCertificate
from ..numerics.arrays import LOG_ZERO, Array, log_normalise, namespace, to_numpy
from ..numerics.simplex import log_mix
from .game import AlignmentGame

_SHARES = (1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 0.1, 0.5, 1.0)
"""Shares of the reference in the targets that are tried for a policy with zeros."""

_POWERS = (0.25, 4.0, 64.0)
"""Exponents of the tilted references whose value every bound is compared with."""

_ROUNDING, _ROUNDING_SINGLE = 1e-10, 1e-4


class Target(NamedTuple):
    """A target q as log-marginals (*batch, m, n) and as a log-policy; `usable` (*batch,): see `targets`."""

    log_q: Array
    log_policy: Array
    usable: Array
    is_policy: bool


def targets(game: AlignmentGame, log_pi: Array, log_target: Array | None) -> list[Target]:
    """Where T4 is evaluated: at q, and where q has zeros at q mixed with the reference, in several shares.

    T4 asks for q in the interior: at a zero the gradient may be infinite or not exist, and nothing that
    an objective returns there bounds it. Zeros of the reference do not count, no policy has mass there;
    nor do answers that every finite policy avoids.
    """
    xp = namespace(log_pi)
    if log_target is None:
        log_q, policy = game.answer_map.log_push_forward(log_pi), log_pi
    else:
        log_q, policy = log_target, lifted(game, log_target)
    zero = game.answer_support & (log_q <= LOG_ZERO / 2)
    if game.forbidden is not None:
        zero = zero & ~game.forbidden
    bad = xp.any(zero, axis=(-2, -1))
    if game.transfer and policy is not None:
        zero = game.support & (policy <= LOG_ZERO / 2) & game.open_traces
        bad = bad | xp.any(zero, axis=(-2, -1))
    found = [Target(log_q, policy, ~bad, log_target is None)]
    if not bool(xp.any(bad)):
        return found
    answers, traces = game.log_reference_answers, game.log_reference
    if game.forbidden is not None:  # Phi may be -infinity with the least mass on those
        answers = _without(answers, game.forbidden)
        traces = _without(traces, ~game.open_traces)
    for share in _SHARES:
        mixed = log_mix(log_q, answers, share)
        both = None if policy is None else log_mix(policy, traces, share)
        found.append(Target(mixed, both, bad | ~bad, False))
    return found


def _without(log_p: Array, closed: Array) -> Array:
    """log p given that it is not on `closed`; p itself where nothing else is left."""
    xp = namespace(log_p)
    kept = xp.where(closed, LOG_ZERO, log_p)
    empty = xp.max(kept, axis=-1, keepdims=True) <= LOG_ZERO / 2
    kept = xp.where(empty, log_p, kept)
    return xp.where(kept > LOG_ZERO / 2, log_normalise(kept), LOG_ZERO)


def lifted(game: AlignmentGame, log_q: Array) -> Array | None:
    """The target as a policy, for the part of the KL that T6 moves into the objective; None: no need."""
    if not game.transfer:
        return None
    xp = namespace(log_q)
    ratio = xp.where(game.answer_support, log_q - game.log_reference_answers, 0.0)
    return game.masked(game.answer_map.lift(game.log_reference, ratio))


def confront(
    game: AlignmentGame, bound: Array, policies: list[Array], single: bool = False
) -> None:
    """Compare an upper bound (*batch,) of J* with J of policies that the theory knows nothing special of.

    These are the reference, the log-policies given (best responses to the rewards that made the bound) and,
    where an objective of one's own is among the terms, the reference's powers 1/4, 4 and 64. Policies outside
    a hard set have no finite J and do not count. `single`: the game was given in single precision.

    Raises:
        FalseCertificate: one of them is better than the bound by more than rounding error.
    """
    xp = namespace(bound)
    start = game.log_reference
    powers = _POWERS if any(part.own for _, part in game.objective.terms()) else ()
    tilted = [game.masked(log_normalise(game.masked(power * start))) for power in powers]
    most = game.reference_value
    for log_pi in [*policies, *tilted]:
        log_nu = game.answer_map.log_push_forward(log_pi)
        value = game.reached(log_nu, game.cost(log_pi))
        most = xp.where(value > most, value, most)
    refute(game, bound, most, single)


def refute(game: AlignmentGame, bound: Array, value: Array, single: bool = False) -> None:
    """Raise `FalseCertificate` where a value that some policy attains is above the bound of J*."""
    reached, most, xp = to_numpy(value), to_numpy(bound), namespace(game.log_reference)
    single = single or game.log_reference.dtype != xp.float64
    rounding = _ROUNDING_SINGLE if single else _ROUNDING
    with np.errstate(invalid="ignore"):
        size = game.beta + game.objective.magnitude + np.abs(reached) + np.abs(most)
        false = np.isfinite(reached) & (reached > most + rounding * size)
    if not false.any():
        return
    at = tuple(np.argwhere(false)[0].tolist())
    where = f" of game {list(at)}" if at else ""
    raise FalseCertificate(
        f"the bound J* <= {most[at]:.10g}{where} is false: a policy with J = {reached[at]:.10g} is known. "
        f"{game.objective!r} breaks a condition of the bound: its `reward` is not the gradient of its "
        "`value`, or it is not concave, or its `curvature` is larger than the true one."
    )
