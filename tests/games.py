"""The strategies of `dagame.testing`, and seeds."""

from hypothesis import strategies as st

from dagame.testing import a_policy, games

__all__ = ["SEEDS", "a_policy", "games"]

SEEDS = st.integers(0, 2**32 - 1)
