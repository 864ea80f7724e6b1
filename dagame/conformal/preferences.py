"""Preferences without labels: the equilibrium's rewards order the answers, reliability weighs the pairs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..errors import InvalidGame
from .reliability import pair_weights


class PreferencePairs(NamedTuple):
    """Pairs of answers, the strongest of each context first.

    place (P, d): index of the context in the leading d dimensions of the rewards; chosen, rejected (P,):
    answers, u(chosen) > u(rejected); margin (P,): u(chosen) - u(rejected); weight (P,).
    """

    place: np.ndarray
    chosen: np.ndarray
    rejected: np.ndarray
    margin: np.ndarray
    weight: np.ndarray


def preference_pairs(
    rewards: Any,
    reliability: Any = None,
    *,
    mask: Any = None,
    least_margin: float = 1e-9,
    most: int | None = None,
) -> PreferencePairs:
    """Every pair of answers z, z' of a context whose rewards differ: z is chosen where u(z) > u(z').

    The reward table u = grad Phi(nu*) of the equilibrium says which of two answers the game would have
    more of; no label is read. The weight is (r(z) + r(z'))/2, or 1 without a reliability.

    Args:
        rewards: u of the equilibrium (*batch, n), one row for each context.
        reliability: r of every answer, (*batch, n) or what broadcasts to it, such as (B, 1, n) for
            answers of a question in all its contexts.
        mask: which answers were sampled in the context (*batch, n).
        least_margin: smaller differences are ties, which are no pairs.
        most: at most so many pairs of each context, those of the largest margins.

    Raises:
        InvalidGame: shapes that do not fit; a reward of an answer in the mask that is not finite.
    """
    u = np.asarray(rewards, dtype=float)
    if u.ndim < 1:
        raise InvalidGame("rewards are one number; give a row of them for each context.")
    try:
        inside = np.broadcast_to(True if mask is None else np.asarray(mask, dtype=bool), u.shape)
        r = np.broadcast_to(1.0 if reliability is None else np.asarray(reliability, float), u.shape)
    except ValueError:
        raise InvalidGame(
            f"reliability or mask do not broadcast to the rewards' shape {u.shape}."
        ) from None
    if not np.isfinite(u[inside]).all():
        raise InvalidGame("a reward is not finite; mask answers that were never sampled.")
    parts = [
        _of_context(u[p], r[p], inside[p], least_margin, most) for p in np.ndindex(*u.shape[:-1])
    ]
    places = [
        np.tile(p, (len(part[0]), 1))
        for p, part in zip(np.ndindex(*u.shape[:-1]), parts, strict=True)
    ]
    depth = u.ndim - 1
    place = np.concatenate([np.zeros((0, depth), int), *places]).astype(int)
    columns = (np.concatenate([part[k] for part in parts] or [np.zeros(0)]) for k in range(4))
    chosen, rejected, margin, weight = columns
    return PreferencePairs(place, chosen.astype(int), rejected.astype(int), margin, weight)


def _of_context(
    u: np.ndarray, r: np.ndarray, inside: np.ndarray, least_margin: float, most: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """chosen, rejected, margin and weight of one context, by falling margin."""
    known = np.flatnonzero(inside)
    gain = u[known][:, None] - u[known][None, :]
    better, worse = np.nonzero(gain > least_margin)
    margin = gain[better, worse]
    order = np.lexsort((worse, better, -margin))[:most]
    z, other = known[better[order]], known[worse[order]]
    return z, other, margin[order], pair_weights(r[z], r[other])
