"""Solvers: one loop, and methods that are its step."""

from __future__ import annotations

from ._solve import solve
from .anderson import Anderson
from .best_response import BestResponse
from .fictitious_play import Extragradient, FictitiousPlay, FrankWolfe
from .mirror import Mirror
from .newton import Newton
from .no_regret import FTRL, MultiplicativeWeights, OptimisticMultiplicativeWeights
from .run import run

__all__ = [
    "FTRL",
    "Anderson",
    "BestResponse",
    "Extragradient",
    "FictitiousPlay",
    "FrankWolfe",
    "Mirror",
    "MultiplicativeWeights",
    "Newton",
    "OptimisticMultiplicativeWeights",
    "run",
    "solve",
]
