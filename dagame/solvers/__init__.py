"""Solvers: one loop, and methods that are its step."""

from __future__ import annotations

from ._solve import solve
from .anderson import Anderson
from .best_response import BestResponse
from .mirror import Mirror
from .run import run

__all__ = ["Anderson", "BestResponse", "Mirror", "run", "solve"]
