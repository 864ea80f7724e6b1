"""Names of a game's answers and contexts, and how a game shows itself.

Names are given, or taken from a data frame (columns are answers, the index or a column of text the
contexts), or from an answer map of texts. A batch shares them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..errors import InvalidGame, nearest
from ..numerics.arrays import float64, is_array, to_numpy
from ..objectives.objective import Objective
from ..show.names import is_text, names_of, unlabelled
from ..show.tables import counted, facts_html, shaded_html
from ..text import shortened
from .answer_map import AnswerMap
from .forms import GameForms

_OBJECTIVE = 200

_MACHINERY = frozenset(
    [
        "answer_support",
        "check_policy",
        "cost",
        "detached",
        "evaluate",
        "flat",
        "forbidden",
        "free_beta",
        "in_float64",
        "linearise",
        "log_best_response",
        "log_reference",
        "log_reference_answers",
        "masked",
        "mirror_step",
        "multipliers",
        "open_traces",
        "provable",
        "replaced",
        "rewards_at",
        "rows",
        "smoothness",
        "support",
        "transfer",
        "unit",
        "value_log",
        "without",
    ]
)
"""What solvers and certificates call of a game, which `dir` leaves out."""


class Arguments(NamedTuple):
    """A game's reference and answer map as numbers, and the names that came with them or were given."""

    reference: Any
    answers: Any
    answer_names: list[str] | None
    context_names: Iterable[object] | None


def taken_apart(
    reference: Any,
    answers: Any,
    answer_names: Iterable[object] | None,
    context_names: Iterable[object] | None,
) -> Arguments:
    """What a game is given, labels apart from numbers; names that are given come first.

    The answers of a map of texts are numbered as in `answer_names`, else as they occur.

    Raises:
        InvalidGame: a text is not among the names, or the reference is an objective.
    """
    if isinstance(reference, Objective):
        raise InvalidGame(
            "the reference is an objective; it stands second: AlignmentGame(reference, objective, beta=...)."
        )
    table, columns, rows = unlabelled(reference)
    names = None if answer_names is None else list(map(str, answer_names))
    if answers is None and names is None and columns is not None:
        names = list(columns)
    texts = None if answers is None or isinstance(answers, AnswerMap) else _texts(answers)
    if texts is not None:
        names = list(dict.fromkeys(texts.flat)) if names is None else names
        place = {name: k for k, name in enumerate(names)}
        unknown = next((text for text in texts.flat if text not in place), None)
        if unknown is not None:
            raise InvalidGame(
                f"answers holds {unknown!r}, which answer_names lacks; {nearest(unknown, names)}"
            )
        codes = np.reshape([place[text] for text in texts.flat], texts.shape)
        answers = AnswerMap.index(codes, len(names))
    return Arguments(table, answers, names, rows if context_names is None else context_names)


def _texts(answers: Any) -> np.ndarray | None:
    """An answer map of texts as an array of them; None for numbers."""
    if is_array(answers) and not isinstance(answers, np.ndarray):
        return None
    try:
        table = np.asarray(answers)
    except ValueError:  # rows differ in length, which the map reports
        return None
    return table.astype(str).astype(object) if is_text(table) else None


def distinct(given: Iterable[object] | None, count: int, what: str) -> tuple[str, ...] | None:
    """`names_of` a game, no two alike."""
    names = names_of(given, count, what)
    if names is None or len(set(names)) == count:
        return names
    twice = next(name for k, name in enumerate(names) if name in names[:k])
    raise InvalidGame(
        f"two {what} are named {twice!r}, and tables could not tell them apart; give different names, "
        "or a plain array for a data frame."
    )


class NamedGame(GameForms):
    """A game that knows what its answers and contexts are called and shows itself."""

    answer_names: tuple[str, ...] | None = None
    """Names of the n answers, or None."""

    context_names: tuple[str, ...] | None = None
    """Names of the m contexts, or None."""

    def __dir__(self) -> list[str]:
        """What a user of the game needs; solvers call more."""
        return sorted(set(super().__dir__()) - _MACHINERY)

    def __repr__(self) -> str:
        batch = f"{'x'.join(map(str, self.batch_shape))} games of " if self.batch_shape else ""
        traces = ""
        if self.answer_map.kind != "identity":
            traces = f", {counted(self.answer_map.traces, 'trace')}"
        return (
            f"AlignmentGame({batch}{counted(self.contexts, 'context')}, {counted(self.n, 'answer')}"
            f"{traces}, {shortened(repr(self.objective), _OBJECTIVE)}, beta={self.beta:g})"
        )

    def _repr_html_(self) -> str:
        rows = [
            ("contexts x answers", f"{self.contexts} x {self.n}"),
            ("objective", shortened(repr(self.objective), _OBJECTIVE)),
            ("beta", f"{self.beta:g}"),
        ]
        if self.answer_map.kind != "identity":
            rows.insert(1, ("traces", f"{self.answer_map.traces:,} ({self.answer_map.kind})"))
        if self.batch_shape:
            rows.insert(0, ("games", f"{math.prod(self.batch_shape):,}"))
            return facts_html(rows)
        table = np.exp(to_numpy(float64(self.log_reference_answers)))
        title = "answer marginals of the reference"
        return facts_html(rows) + shaded_html(title, table, self.answer_names, self.context_names)
