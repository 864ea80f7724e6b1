"""Rewards from samples: what to pay an answer that N of the other samples gave (docs/theory/samples.md)."""

from .counts import CountRewards, count_rewards
from .exact import polynomial
from .frontier import Frontier, frontier
from .kl import KL_KINDS, kl_weight
from .programs import MINIMAX_LIMIT, least_sup_bias
from .registry import METHODS
from .tables import BASELINES, RewardTable, reward_table

__all__ = [
    "BASELINES",
    "KL_KINDS",
    "METHODS",
    "MINIMAX_LIMIT",
    "CountRewards",
    "Frontier",
    "RewardTable",
    "count_rewards",
    "frontier",
    "kl_weight",
    "least_sup_bias",
    "polynomial",
    "reward_table",
]
