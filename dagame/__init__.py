"""dagame: solve, certify and train Distributional Alignment Games.

The framework is that of Mohri, Schneider and Wu, arXiv 2604.27166. Importing the package loads
numpy and array-api-compat only; torch, cvxpy, matplotlib, polars and transformers load when used.
"""

from __future__ import annotations

import sys as _sys
from typing import TYPE_CHECKING as _CHECKED

from . import _moved
from .errors import DagameError
from .games import library
from .games.answer_map import AnswerMap
from .games.certificate import Certificate, certify
from .games.game import AlignmentGame
from .games.play import DistributionalGame
from .games.solution import History, Solution, Status
from .objectives import Objective
from .objectives import catalogue as _catalogue
from .objectives import sets as _sets
from .objectives.catalogue import *
from .objectives.sets import *
from .solvers import Path, explore, path, run, solve

if _CHECKED:
    from . import conformal, domains, estimators, lm, testing
    from .samples import Samples
    from .theory.atlas import methods
    from .theory.classify import Classification, classify
    from .theory.verify import VerificationReport, verify

__version__ = "0.1.0"

__all__ = [
    "AlignmentGame",
    "AnswerMap",
    "Certificate",
    "Classification",
    "DagameError",
    "DistributionalGame",
    "History",
    "Objective",
    "Path",
    "Samples",
    "Solution",
    "Status",
    "VerificationReport",
    "certify",
    "classify",
    "conformal",
    "domains",
    "estimators",
    "explore",
    "library",
    "lm",
    "methods",
    "path",
    "run",
    "solve",
    "testing",
    "verify",
]
__all__ += _catalogue.__all__
__all__ += _sets.__all__


_LATER = {
    "Samples": "samples",
    "methods": "theory.atlas",
    "Classification": "theory.classify",
    "classify": "theory.classify",
    "VerificationReport": "theory.verify",
    "verify": "theory.verify",
}
"""Public names of rooms that are loaded when one is asked for, as the public rooms are themselves."""

_sys.meta_path.insert(0, _moved.Finder())


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)


def __getattr__(name: str) -> object:
    """A room of the package, such as `dagame.show`, or what it exports, loaded when it is asked for."""
    from importlib import import_module, util

    if name in _LATER:
        globals()[name] = found = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        return found
    moved = _moved.new_path(f"{__name__}.{name}")
    if not name.startswith("_") and moved is None and util.find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    from .errors import nearest

    hint = "" if name.startswith("_") else nearest(name, __all__)
    if moved is not None:
        hint = f"it is {moved} now."
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {hint}".rstrip("; "))
