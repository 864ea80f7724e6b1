"""Solvers: one loop, and methods that are its step."""

from __future__ import annotations

from .anderson import Anderson
from .base import Solver
from .best_response import BestResponse
from .fictitious_play import Extragradient, FictitiousPlay, FrankWolfe
from .mirror import Mirror
from .newton import Newton
from .no_regret import FTRL, MultiplicativeWeights, OptimisticMultiplicativeWeights
from .registry import DYNAMICS, METHODS
from .run import run
from .solve import solve

__all__ = [
    "DYNAMICS",
    "FTRL",
    "METHODS",
    "Anderson",
    "BestResponse",
    "Extragradient",
    "FictitiousPlay",
    "FrankWolfe",
    "Mirror",
    "MultiplicativeWeights",
    "Newton",
    "OptimisticMultiplicativeWeights",
    "Solver",
    "run",
    "solve",
]
