"""`dagame ...` as a user runs it, in a process forked after its imports; one parent a test process."""

from __future__ import annotations

import atexit
import subprocess
from collections.abc import Sequence
from functools import cache
from typing import Any

from forks import SOLVING, TRAINING, Forks


def dagame(*arguments: Any, columns: int = 120, **options: Any) -> subprocess.CompletedProcess[Any]:
    """Exit code and streams of a command; options as of `Forks.ran`."""
    return _run(SOLVING, arguments, columns, options)


def dagame_lm(
    *arguments: Any, columns: int = 120, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """The same of a command that loads a model."""
    return _run(TRAINING, arguments, columns, options)


@cache
def parent(modules: Sequence[str]) -> Forks:
    """Lives as long as this process."""
    made = Forks(modules)
    atexit.register(made.__exit__)
    return made


def _run(modules: Sequence[str], arguments: Any, columns: int, options: dict[str, Any]) -> Any:
    env = {"COLUMNS": str(columns), **options.pop("env", {})}
    return parent(modules).ran(arguments, env=env, **options)
