"""Solvers: one loop, and methods that are its step; `registry` lists them."""

from __future__ import annotations

from . import registry
from .base import Solver
from .explore import explore
from .path import Path, path
from .registry import *
from .run import run
from .solve import solve

__all__ = ["Path", "Solver", "explore", "path", "run", "solve"]
__all__ += registry.__all__
