"""Shapes of arrays as types: what stands in signatures, and is checked where DAGAME_SHAPES=1.

`*batch` any leading dimensions, m contexts, n answers, traces; a letter twice in a signature is one number.
`pytest --shapes` checks them with jaxtyping and beartype at every call; without, they are `Array`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or os.environ.get("DAGAME_SHAPES") != "1":
    Table = Policy = Weights = PerContext = Shared = Numbers = Mask = Any
else:
    from jaxtyping import Bool, Float

    Table = Float[Any, "*batch m n"]
    Policy = Float[Any, "*batch m traces"]
    Weights = Float[Any, "*#batch m"]
    PerContext = Float[Any, "*batch m"]
    Shared = Float[Any, "*batch n"]
    Numbers = Float[Any, "*batch"]
    Mask = Bool[Any, "*#batch #m n"]
