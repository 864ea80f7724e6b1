"""Hypothesis strategies: random games with tiny and zero masses, random policies on their support."""

import numpy as np
from hypothesis import strategies as st

from dagame.library import OBJECTIVES, random_game_of


@st.composite
def games(draw, kinds=tuple(OBJECTIVES), traces=False, channel=False, batch=(), zeros=0.15):
    """One random game (or a batch) of a random kind of objective."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, n = draw(st.integers(1, 4)), draw(st.integers(2, 7))
    kind = draw(st.sampled_from(sorted(kinds)))
    return random_game_of(
        kind,
        rng,
        m,
        n,
        batch=batch,
        traces=n + draw(st.integers(1, 6)) if traces or channel else None,
        channel=channel,
        zeros=0.0 if traces or channel else zeros,
    )


def a_policy(game, rng):
    """A random policy of a game, zero off the reference's support."""
    p = rng.dirichlet(np.full(game.traces, 0.7), (*game.batch_shape, game.contexts))
    p = np.where(game.support, p + 1e-9, 0)
    return p / p.sum(-1, keepdims=True)


SEEDS = st.integers(0, 2**32 - 1)
