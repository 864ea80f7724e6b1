"""Answer-level objectives: one file per section of the theory; `by_name` for the command line."""

from __future__ import annotations

from .base import ExponentialForm, Objective
from .bregman import BregmanCoherence, Generator, TraceCoherence
from .coherence import ArithmeticCoherence, Coherence, EuclideanCoherence, GeometricCoherence
from .combination import Combination
from .constraints import HardConstraint
from .diversity import GiniDiversity, ShannonDiversity, TsallisDiversity
from .hard_coherence import HardCoherence
from .matching import ForwardMatching, ReverseMatching, TargetMatching
from .nonconcave import Agreement, MajorityVote, SelfConsistency, Sharpening
from .pairwise import PairwiseCoherence
from .reward import Reward
from .sets import Cap, ConstraintSet, Floor, Intersection, Moment, Parity, Polytope, Quota
from .soft import SoftConstraint
from .success import LogSuccess, PassAtK
from .worst_case import WorstCase

__all__ = [
    "Agreement",
    "ArithmeticCoherence",
    "BregmanCoherence",
    "Cap",
    "Coherence",
    "Combination",
    "ConstraintSet",
    "EuclideanCoherence",
    "ExponentialForm",
    "Floor",
    "ForwardMatching",
    "Generator",
    "GeometricCoherence",
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
    "Quota",
    "ReverseMatching",
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
