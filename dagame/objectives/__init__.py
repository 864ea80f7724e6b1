"""Answer-level objectives: one file per section of the theory; `by_name` for the command line."""

from __future__ import annotations

from .bregman import BregmanCoherence, Generator, TraceCoherence
from .coherence import Coherence
from .constraints import HardConstraint
from .diversity import GiniDiversity, RenyiDiversity, ShannonDiversity, TsallisDiversity
from .forms import ExponentialForm
from .hard_coherence import HardCoherence
from .matching import TargetMatching
from .nonconcave import Agreement, MajorityVote, SelfConsistency, Sharpening
from .objective import Combination, Objective
from .pairwise import PairwiseCoherence
from .reward import Reward
from .sets import Cap, ConstraintSet, Floor, Intersection, Moment, Parity, Polytope, Quota
from .soft import SoftConstraint
from .success import LogSuccess, PassAtK
from .transport import PushPull
from .worst_case import WorstCase

__all__ = [
    "Agreement",
    "BregmanCoherence",
    "Cap",
    "Coherence",
    "Combination",
    "ConstraintSet",
    "ExponentialForm",
    "Floor",
    "Generator",
    "GiniDiversity",
    "HardCoherence",
    "HardConstraint",
    "Intersection",
    "LogSuccess",
    "MajorityVote",
    "Moment",
    "Objective",
    "PairwiseCoherence",
    "Parity",
    "PassAtK",
    "Polytope",
    "PushPull",
    "Quota",
    "RenyiDiversity",
    "Reward",
    "SelfConsistency",
    "ShannonDiversity",
    "Sharpening",
    "SoftConstraint",
    "TargetMatching",
    "TraceCoherence",
    "TsallisDiversity",
    "WorstCase",
]
