"""Shapes of arrays checked at every call: `pytest --shapes`, with jaxtyping and beartype installed."""

from __future__ import annotations

import os
from typing import Any

ROOMS = ["dagame.objectives", "dagame.games", "dagame.theory.paid"]
"""Where the shapes of `dagame.numerics.shapes` stand in signatures; compiled kernels stand elsewhere."""


def install() -> Any:
    """Have every function of `ROOMS` checked from its import on; dagame must not be imported yet."""
    from jaxtyping import install_import_hook

    os.environ["DAGAME_SHAPES"] = "1"
    return install_import_hook(ROOMS, f"{__name__}.checked")


def checked(function: Any) -> Any:
    """beartype for the annotations that state a shape; others are not asked."""
    from beartype import beartype

    told = {k: a for k, a in function.__annotations__.items() if "jaxtyping" in str(a)}
    if not told:
        return function
    function.__annotations__ = told
    return beartype(function)
