"""dagame: solve, certify and train Distributional Alignment Games.

The framework is that of Mohri, Schneider and Wu, arXiv 2604.27166. Importing the package loads
numpy and array-api-compat only; torch, cvxpy, matplotlib, polars and transformers load when used.
"""

from __future__ import annotations

from ._verify import VerificationReport, verify
from .answer_map import AnswerMap
from .answers import Samples
from .certificate import Certificate, certify
from .errors import DagameError
from .game import AlignmentGame, DistributionalGame
from .objectives import (
    Coherence,
    GiniDiversity,
    HardCoherence,
    Objective,
    Reward,
    ShannonDiversity,
    TargetMatching,
)
from .solution import History, Solution, Status
from .solvers import run, solve

__version__ = "0.1.0"

__all__ = [
    "AlignmentGame",
    "AnswerMap",
    "Certificate",
    "Coherence",
    "DagameError",
    "DistributionalGame",
    "GiniDiversity",
    "HardCoherence",
    "History",
    "Objective",
    "Reward",
    "Samples",
    "ShannonDiversity",
    "Solution",
    "Status",
    "TargetMatching",
    "VerificationReport",
    "certify",
    "run",
    "solve",
    "verify",
]
