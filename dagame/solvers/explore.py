"""`explore`: a game under sliders."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import InvalidGame, OutputError
from ..games.game import AlignmentGame, require_game
from ..provenance import install

if TYPE_CHECKING:
    from .explorer import Explorer


def explore(game: AlignmentGame, index: int = 0, *, method: str = "auto") -> Explorer:
    """Sliders in Jupyter for beta and every number of the objective, above the equilibrium that they give.

    Each move of a slider solves the game again and shows answer marginals before and after, value and
    gap. Numbers are strengths, factors of terms, and parameters such as the order of `TsallisDiversity` or
    the limit of a `Cap`. What the theory refuses is said in place of the picture.

    Args:
        game: of any batch shape.
        index: which game of a batch is shown, counted along a flattened one.
        method: as in `solve`.

    Returns:
        A widget with `sliders` (by name, each with a `value` to set), `game` and `solution` as they stand.

    Raises:
        OutputError: ipywidgets is not installed; it comes with the extra `notebooks`.
        InvalidGame: the batch has no game of that index.
    """
    count = math.prod(require_game(game).batch_shape)
    if not 0 <= index < count:
        raise InvalidGame(f"game {index} is not among the {count} of the batch; count from 0.")
    try:
        from .explorer import Explorer
    except ModuleNotFoundError as error:
        raise OutputError(
            f"{error.name} is not installed: {install('notebooks')} brings what sliders need."
        ) from error
    return Explorer(game, index, method)
