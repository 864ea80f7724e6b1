"""Old import paths, for one release: importing one warns and gives the module where it lives now."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "_methods": "theory.atlas",
    "answers": "samples",
    "answers.canonical": "samples.keys.canonical",
    "answers.equilibria": "samples.equilibria",
    "answers.extract": "samples.keys.extract",
    "arrays": "numerics.arrays",
    "demo": "apps.demo",
    "gpu": "scale",
    "library": "games.library",
    "lm.verl": "lm.trainers.verl.advantages",
    "lm.verl_plugin": "lm.trainers.verl.plugin",
    "plots": "show.plots",
    "report": "apps.report",
    "sample_file": "apps.sample_file",
    "sampled": "estimators.sampled",
    "streaming": "scale.streaming",
}
"""Old and new paths below `dagame`: those that the README or the documentation ever showed."""


def new_path(name: str) -> str | None:
    """Where a module lives now, whole names; None where it has not moved."""
    old = name.removeprefix(f"{__package__}.")
    room = max((k for k in MOVED if f"{old}.".startswith(f"{k}.")), key=len, default=None)
    return None if room is None else f"{__package__}.{MOVED[room]}{old[len(room) :]}"


class _Alias(Loader):
    """Puts the module of the new path under the old one."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        old, new = module.__name__, str(new_path(module.__name__))
        warnings.warn(
            f"{old} is {new} now; the old path goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[old] = importlib.import_module(new)


class Finder(MetaPathFinder):
    """Finds the modules of `MOVED`; asked first, lest a file be loaded a second time under an old room."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The alias of an old path, None for every other name."""
        ours = fullname.startswith(f"{__package__}.")
        return ModuleSpec(fullname, _Alias()) if ours and new_path(fullname) else None
