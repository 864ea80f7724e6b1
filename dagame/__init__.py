"""dagame: solve, certify and train Distributional Alignment Games.

The framework is that of Mohri, Schneider and Wu, arXiv 2604.27166. Importing the package loads
numpy and array-api-compat only; torch, cvxpy, matplotlib, polars and transformers load when used.
"""

from __future__ import annotations

from . import estimators, library, lm, testing
from ._classify import Classification, classify
from ._methods import methods
from ._verify import VerificationReport, verify
from .answer_map import AnswerMap
from .certificate import Certificate, certify
from .errors import DagameError
from .game import AlignmentGame
from .objectives import (
    Agreement,
    BregmanCoherence,
    Cap,
    Coherence,
    Floor,
    GiniDiversity,
    HardCoherence,
    HardConstraint,
    LogSuccess,
    MajorityVote,
    Moment,
    Objective,
    PairwiseCoherence,
    Parity,
    PassAtK,
    Polytope,
    Quota,
    RenyiDiversity,
    Reward,
    SelfConsistency,
    ShannonDiversity,
    Sharpening,
    SoftConstraint,
    TargetMatching,
    TraceCoherence,
    TsallisDiversity,
    WorstCase,
)
from .play import DistributionalGame
from .samples import Samples
from .solution import History, Solution, Status
from .solvers import run, solve

__version__ = "0.1.0"

__all__ = [
    "Agreement",
    "AlignmentGame",
    "AnswerMap",
    "BregmanCoherence",
    "Cap",
    "Certificate",
    "Classification",
    "Coherence",
    "DagameError",
    "DistributionalGame",
    "Floor",
    "GiniDiversity",
    "HardCoherence",
    "HardConstraint",
    "History",
    "LogSuccess",
    "MajorityVote",
    "Moment",
    "Objective",
    "PairwiseCoherence",
    "Parity",
    "PassAtK",
    "Polytope",
    "Quota",
    "RenyiDiversity",
    "Reward",
    "Samples",
    "SelfConsistency",
    "ShannonDiversity",
    "Sharpening",
    "SoftConstraint",
    "Solution",
    "Status",
    "TargetMatching",
    "TraceCoherence",
    "TsallisDiversity",
    "VerificationReport",
    "WorstCase",
    "certify",
    "classify",
    "estimators",
    "library",
    "lm",
    "methods",
    "run",
    "solve",
    "testing",
    "verify",
]


def __dir__() -> list[str]:
    """The public names."""
    return __all__
