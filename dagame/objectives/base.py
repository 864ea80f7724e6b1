"""The names of this package's inner interface under their old address; import them from where they are."""

from __future__ import annotations

from .forms import DualForm, ExponentialForm, Hessian
from .objective import Objective
from .pairing import geometric_mean_log, mean_log, pairing, per_context, sunk, weighted
from .parameters import as_table, check_strength, largest

__all__ = [
    "DualForm",
    "ExponentialForm",
    "Hessian",
    "Objective",
    "as_table",
    "check_strength",
    "geometric_mean_log",
    "largest",
    "mean_log",
    "pairing",
    "per_context",
    "sunk",
    "weighted",
]
