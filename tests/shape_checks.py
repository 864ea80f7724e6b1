"""Shapes of arrays checked at every call: `pytest --shapes`, with jaxtyping and beartype installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROOMS = ("objectives", "games", "theory/paid.py")
"""Where the shapes of `dagame.numerics.shapes` stand in signatures."""


def modules() -> list[str]:
    """Those of `ROOMS`, but for kernels: numba compiles no function that is checked."""
    places = [ROOT / "dagame" / room for room in ROOMS]
    files = [file for place in places for file in (*place.rglob("*.py"), place) if file.is_file()]
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if file.stem != "__init__" and not file.stem.endswith("_kernel")
    ]


def install() -> Any:
    """Have every function of `ROOMS` checked from its import on; dagame must not be imported yet."""
    from jaxtyping import install_import_hook

    os.environ["DAGAME_SHAPES"] = "1"
    return install_import_hook(modules(), f"{__name__}.checked")


def checked(function: Any) -> Any:
    """beartype for the annotations that state a shape; others are not asked."""
    from beartype import beartype

    told = {k: a for k, a in function.__annotations__.items() if "jaxtyping" in str(a)}
    if not told:
        return function
    function.__annotations__ = told
    return beartype(function)
