"""Answer-level objectives: one file per section of the theory, all listed in `catalogue`."""

from __future__ import annotations

from . import catalogue, sets
from .bregman import Generator
from .catalogue import *
from .forms import ExponentialForm
from .objective import Combination, Objective
from .sets import *
from .sets import ConstraintSet, Intersection

__all__ = [
    "Combination",
    "ConstraintSet",
    "ExponentialForm",
    "Generator",
    "Intersection",
    "Objective",
]
__all__ += catalogue.__all__
__all__ += sets.__all__
