"""The widget of `explore`: sliders for beta and the objective's numbers above the equilibrium."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets
import numpy as np

from ..errors import DagameError
from ..games.game import AlignmentGame
from ..games.solution import Solution
from ..numerics.arrays import to_numpy
from ..show.tables import facts_html, number
from .knobs import Knob, knobs, turned
from .solve import solve

_STYLE: Any = {"description_width": "initial"}
_LAYOUT: Any = {"width": "36em"}


class Explorer(widgets.VBox):
    """Sliders, and under them value, gap, status and picture of the game at their values.

    `sliders`: the widgets by name, "beta" and the objective's numbers; setting one's `value` solves anew.
    `solution`: of the game as it stands, None where it cannot be solved; `problem` then says why.
    `game`: the game as it stands.
    """

    def __init__(self, game: AlignmentGame, chosen: int = 0, method: str = "auto") -> None:
        """See `explore`."""
        self._given, self._chosen, self._method = game, chosen, method
        self.game: AlignmentGame = game
        self.solution: Solution | None = None
        self.problem = ""
        self._picture, self._facts = widgets.Image(format="png"), widgets.HTML()
        beta = Knob("beta", game.beta, game.beta / 100, game.beta * 100, "log", float)
        offered = [beta, *knobs(game.objective)]
        self.sliders = {knob.name: _slider(knob) for knob in offered}
        self._first = {name: slider.value for name, slider in self.sliders.items()}
        for slider in self.sliders.values():
            slider.observe(self._moved, names="value")
        super().__init__([*self.sliders.values(), self._facts, self._picture])
        self._show()

    def _moved(self, change: Any) -> None:
        """A slider has another value."""
        self._show()

    def _show(self) -> None:
        """Solve the game at the sliders' values and show what came out."""
        try:
            values = {name: slider.value for name, slider in self.sliders.items()}
            moved = {name: v for name, v in values.items() if v != self._first[name]}
            beta = moved.pop("beta", self._given.beta)
            objective = turned(self._given.objective, moved)
            self.game = self._given.with_objective(objective, beta=beta)
            self.solution, self.problem = solve(self.game, self._method, throw=False), ""
        except DagameError as error:
            self.solution, self.problem = None, str(error)
            self._facts.value = f"<p>{html.escape(self.problem)}</p>"
            self._picture.value = b""
            return
        k = self._chosen
        value, gap = (
            number(np.ravel(to_numpy(t))[k], digits)
            for t, digits in ((self.solution.value, 6), (self.solution.gap, 3))
        )
        status = str(np.ravel(self.solution.statuses)[k])
        self._facts.value = facts_html([("value", value), ("gap", gap), ("status", status)])
        picture: Any = self.solution.plot(game=k)
        self._picture.value = picture._repr_png_()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and for pages that cannot move it the picture as it stands."""
        bundle: Any = super()._repr_mimebundle_(**options)
        data: Any = bundle[0] if isinstance(bundle, tuple) else bundle
        if data is not None and self._picture.value:
            data["image/png"] = bytes(self._picture.value)
        return bundle


def _slider(knob: Knob) -> Any:
    """A slider whose picture follows when it is let go."""
    options = {"description": knob.name, "continuous_update": False}
    options |= {"style": _STYLE, "layout": _LAYOUT, "value": knob.value}
    if knob.scale == "count":
        return widgets.IntSlider(min=int(knob.low), max=int(knob.high), **options)
    if knob.scale == "log":
        low, high = np.log10([knob.low, knob.high])
        return widgets.FloatLogSlider(base=10, min=low, max=high, step=0.02, **options)
    return widgets.FloatSlider(min=knob.low, max=knob.high, step=0.01, **options)
