"""Answer-level objectives: one file per section of the theory; `by_name` for the command line."""

from __future__ import annotations

from .base import ExponentialForm, Objective
from .coherence import ArithmeticCoherence, Coherence, HardCoherence
from .combination import Combination
from .diversity import GiniDiversity, ShannonDiversity
from .matching import ReverseMatching, TargetMatching
from .reward import Reward

__all__ = [
    "ArithmeticCoherence",
    "Coherence",
    "Combination",
    "ExponentialForm",
    "GiniDiversity",
    "HardCoherence",
    "Objective",
    "ReverseMatching",
    "Reward",
    "ShannonDiversity",
    "TargetMatching",
]
