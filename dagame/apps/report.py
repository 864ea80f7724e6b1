"""The HTML report of a samples file: one self-contained page, no scripts, no outside resource."""

from __future__ import annotations

import base64
import hashlib
import io
import shlex
import warnings
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..games.game import AlignmentGame
from ..known_errors import NO_GLYPH
from ..numerics.arrays import to_numpy
from ..objectives.parameters import of_games
from ..samples.partition import name_text
from ..samples.verdict import curve, held_out_curve
from ..show import plots
from ..show.progress import Progress, silent
from ..solvers import Mirror, run
from ..text import shortened, visible
from .next_command import steps_after

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..games.solution import History
    from ..samples.equilibria import SampleEquilibria

_PANELS, _TABLE, _ROWS = 6, 200, 5
_WIDTH = 4.9
"""Inches of a picture, whose type is then legible on a telephone too."""
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; "
    "form-action 'none'"
)
_MOVED = 0.005
_WEIGHTS = ("dagame_weight_normalised", "weight_normalised")


@dataclass(frozen=True)
class Picture:
    """An SVG as a data URI, with its caption (also its text for screen readers)."""

    uri: str
    caption: str


def samples_report(
    equilibria: SampleEquilibria,
    title: str = "Equilibria of sampled answers",
    progress: Progress | None = None,
    *,
    rows: Path | None = None,
) -> str:
    """The report of `Samples.solve` as HTML.

    A verdict and warnings; how answers were read; the means before and after, on samples left out and at
    other strengths; the questions that gained and lost most, and their answers; what samples are worth; what
    to do next, with the commands; where the page comes from. `rows` is the file of the weighted samples.
    """
    (progress or silent)("drawing the report")
    view = _View(equilibria)
    own = ("verdict", "summary", "intervals", "reading", "calibration")
    return render(
        "report.html.j2",
        title=title,
        **{name: getattr(equilibria, name) for name in own},
        held=equilibria.held_out,
        source=equilibria.samples.source,
        provenance=equilibria.provenance(),
        pictures=view.pictures(),
        questions=view.questions(),
        panels=view.panels(),
        gaps=view.gaps(),
        classes=view.table(),
        hidden=max(0, len(equilibria.classes) - _TABLE),
        worth=view.worth(),
        steps=steps_after(equilibria, rows),
    )


def render(template: str, **content: Any) -> str:
    """A template of the package filled in: text is escaped, cut and made `visible`.

    The page may load nothing and run nothing: its policy (Content-Security-Policy) allows pictures
    within the page and the one style sheet whose hash it names.
    """
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    style = files("dagame.apps").joinpath("templates/page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment = Environment(
        loader=PackageLoader("dagame.apps"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: visible(v) if isinstance(v, str) and not isinstance(v, Markup) else v,
    )
    environment.filters["number"] = _number
    environment.filters["shell"] = shlex.join
    policy = Markup(_POLICY.format(digest=digest))
    return environment.get_template(template).render(style=Markup(style), policy=policy, **content)


def _number(value: Any, digits: int = 4) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:z.{digits}f}"  # a zero has no sign
    return f"{value:,}" if isinstance(value, int) else str(value)


def picture(figure: Figure, caption: str) -> Picture:
    """A figure as a picture of a page, the same bytes each time.

    Text is drawn as outlines; where the font has no glyph for it, it is left to the reader's fonts.
    """
    from markupsafe import Markup

    with warnings.catch_warnings():
        warnings.filterwarnings("error", NO_GLYPH, UserWarning)
        try:
            image = _svg(figure, "path")
        except UserWarning:
            warnings.filterwarnings("ignore", NO_GLYPH, UserWarning)
            image = _svg(figure, "none")
    encoded = base64.b64encode(image).decode()
    return Picture(Markup(f"data:image/svg+xml;base64,{encoded}"), caption)


def _svg(figure: Figure, text_as: str) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    settings: Any = {"svg.hashsalt": "dagame", "svg.fonttype": text_as, "font.size": 10}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _sized(figure: Figure, height: float, caption: str) -> Picture:
    figure.set_size_inches(_WIDTH, height)
    return picture(figure, caption)


class _View:
    """Looks classes up in the buckets of a solved samples file."""

    def __init__(self, equilibria: SampleEquilibria) -> None:
        self.of, self.classes = equilibria, equilibria.classes
        self.partition = equilibria.samples.partition
        self.names = [name_text(name) for name in self.partition.class_names]
        self.place = {
            int(c): (b, k)
            for b, bucket in enumerate(equilibria.buckets)
            for k, c in enumerate(bucket.classes)
        }
        moved = self.classes["moved"].fill_null(-1.0).to_numpy()
        feasible = (self.classes["status"] != "infeasible").to_numpy()
        self.order = np.argsort(-np.where(feasible, moved, -2), kind="stable")

    def answers(self, index: int) -> list[str]:
        return ["(no answer)" if a is None else a for a in self.partition.answer_keys(index)]

    def tables(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Marginals before and after (m, n), correctness (n,), without the padding."""
        b, k = self.place[index]
        bucket, solution = self.of.buckets[b], self.of.solutions[b]
        n = int(bucket.answer_mask[k].sum())
        correct = None if bucket.correct is None else bucket.correct[k, :n]
        return bucket.reference[k, :, :n], to_numpy(solution.marginals)[k, :, :n], correct

    # -- pictures ---------------------------------------------------------------------------------

    def pictures(self) -> list[Picture]:
        """The means at other strengths, and every question before and after."""
        strengths = self._strengths()
        return [*([] if strengths is None else [strengths]), *self._classes()]

    def panels(self) -> list[Picture]:
        """The answers of the most changed questions, and the path of one with three answers."""
        simplex = self._simplex()
        return [*self._distributions(), *([] if simplex is None else [simplex])]

    def _strengths(self) -> Picture | None:
        points = curve(self.of)
        held = held_out_curve(self.of, points)
        lines = []
        for name in ("accuracy", "agreement"):
            inside = [getattr(point, name) for point in points]
            if len(points) > 1 and None not in inside:
                lines.append((f"{name}, these samples", np.array(inside)))
            outside = [getattr(one, name) for one in held]
            if held and None not in outside:
                lines.append((f"{name}, left out", np.array([one.after for one in outside])))
        if not any(np.ptp(values) > 1e-6 for _, values in lines):
            return None
        vote = self.of.summary["majority_accuracy"]
        level = None if vote is None else ("accuracy of a majority vote", vote)
        figure = plots.strengths(np.array([point.factor for point in points]), lines, level)
        caption = "Means over questions at other strengths (all else as it is)"
        known = ", in these samples and on samples left out of the fit" if held else ""
        return _sized(figure, 3.5, f"{caption}{known}.")

    def _classes(self) -> list[Picture]:
        made = []
        for name in ("accuracy", "agreement"):
            pair = self.classes.select(f"{name}_reference", f"{name}_equilibrium").drop_nulls()
            if len(pair):
                before, after = pair.to_numpy().T
                caption = (
                    f"The {name} of every question before and at equilibrium, in these samples."
                )
                made.append(picture(plots.class_scatter([(name, before, after)]), caption))
        return made

    def _distributions(self) -> list[Picture]:
        made = []
        for rank, index in enumerate(map(int, self.order[:_PANELS])):
            if self.classes["status"][index] == "infeasible":
                continue
            before, after, correct = self.tables(index)
            panel = (self.names[index], self.answers(index), before, after, correct)
            right = correct is not None and (correct > 0.5).any()
            note = "; the correct answer is green with a tick" if right else ""
            what = f"Of the questions that changed most, number {rank + 1}"
            caption = f"{what}: its answers before and after{note}."
            made.append(_sized(plots.distributions([panel]), 3.0, caption))
        return made

    def _simplex(self) -> Picture | None:
        sizes, status = self.partition.answers_per_class, self.classes["status"]
        three = [int(c) for c in self.order if sizes[c] == 3 and status[int(c)] == "solved"]
        path = self._mirror_path(three[0]) if three else None
        if path is None:
            return None
        index = three[0]
        contexts = [name_text(name) or "all" for name in self.partition.context_names(index)]
        caption = (
            f"“{shortened(self.names[index], 80)}”: every phrasing on its way from the samples "
            "to the equilibrium; a corner is an answer, given always."
        )
        return _sized(plots.simplex(path, self.answers(index), contexts), 4.2, caption)

    def _mirror_path(self, index: int) -> History | None:
        """40 mirror steps of a question of three answers; None where the objective has multipliers."""
        b, k = self.place[index]
        bucket, solved = self.of.buckets[b], self.of.solutions[b].game
        if solved.objective.has_multipliers:
            return None
        three = np.arange(bucket.counts.shape[2]) < 3
        objective = of_games(solved.objective, np.asarray([k])).columns(three)
        game = AlignmentGame(bucket.reference[[k], :, :3], objective, beta=solved.beta)
        rounds = run(game, Mirror(), steps=40)
        assert rounds.marginals is not None
        return type(rounds)(rounds.values, rounds.gaps, rounds.marginals[:, 0], dynamic="mirror")

    def gaps(self) -> str:
        """The certificate in a line; "" where no question is feasible."""
        values = self.classes["gap"].drop_nulls().to_numpy()
        values = values[np.isfinite(values)]
        if not len(values):
            return ""
        within = int((values <= 1e-9).sum())
        return (
            f"no policy can gain more than {values.max():.1e} in any question (the largest gap; "
            f"{within:,} of {len(values):,} are at most 1e-9)"
        )

    # -- tables -----------------------------------------------------------------------------------

    def questions(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """The questions that gained and lost most, and those that end worst: in accuracy, else agreement."""
        name = "agreement" if self.of.summary["accuracy_reference"] is None else "accuracy"
        before, after = (
            self.classes[f"{name}_{side}"].cast(float).fill_null(np.nan).to_numpy()
            for side in ("reference", "equilibrium")
        )
        gain = after - before
        known = np.flatnonzero(
            np.isfinite(gain) & (self.classes["status"] != "infeasible").to_numpy()
        )
        order = known[np.argsort(-gain[known], kind="stable")]
        worst = known[np.argsort(after[known], kind="stable")]
        groups = (
            (f"Best: gained most {name}", [c for c in order[:_ROWS] if gain[c] > _MOVED]),
            (f"Worst: lost most {name}", [c for c in order[::-1][:_ROWS] if gain[c] < -_MOVED]),
            (f"Least {name} at equilibrium", [c for c in worst[:_ROWS] if after[c] < 0.5]),
        )
        return [(head, [self._question(int(c)) for c in of]) for head, of in groups if of]

    def _question(self, index: int) -> dict[str, Any]:
        """A question with its commonest answer before and after, and whether that is right."""
        before, after, correct = self.tables(index)
        answers, row = self.answers(index), self.classes.row(index, named=True)
        said = []
        for table in (before, after):
            z = int(table.mean(0).argmax())
            known = correct is not None and not np.isnan(correct[z])
            right = bool(correct[z] > 0.5) if known and correct is not None else None
            said.append({"text": answers[z], "share": float(table.mean(0)[z]), "right": right})
        return {**row, "name": self.names[index], "said": said}

    def table(self) -> list[dict[str, Any]]:
        """Rows of the most changed classes."""
        rows = self.classes[self.order[:_TABLE].tolist()].rows(named=True)
        return [
            {**row, "name": self.names[int(c)]} for c, row in zip(self.order, rows, strict=False)
        ]

    def worth(self) -> dict[str, Any] | None:
        """The best and the worst paid samples of the most changed class."""
        import polars as pl

        rows, best = self.of.rows, int(self.order[0])
        weight = next(c for c in _WEIGHTS if c in rows.columns)
        stem = weight.removesuffix("weight_normalised")
        mine = rows.filter(pl.Series(self.partition.row_class == best)).drop_nulls(weight)
        if not len(mine):
            return None
        mine = mine.unique(subset=[f"{stem}answer", *self._context_columns()], maintain_order=True)
        mine = mine.sort(weight, descending=True, maintain_order=True)
        ends = mine if len(mine) <= 2 * _ROWS else pl.concat([mine.head(_ROWS), mine.tail(_ROWS)])
        listed = [self._worth_row(best, row, stem) for row in ends.rows(named=True)]
        return {"name": self.names[best], "rows": listed}

    def _worth_row(self, index: int, row: dict[str, Any], stem: str) -> dict[str, Any]:
        answer = row[f"{stem}answer"]
        return {
            "context": name_text(row[c] for c in self._context_columns()),
            "right": self._right(index, answer),
            "answer": "(no answer)" if answer is None else answer,
            "reward": row[f"{stem}reward"],
            "weight": row[f"{stem}weight_normalised"],
        }

    def _right(self, index: int, answer: str | None) -> bool | None:
        """Whether an answer of a question is right; None where that is not known."""
        correct = self.tables(index)[2]
        if correct is None:
            return None
        value = correct[self.partition.answer_keys(index).index(answer)]
        return None if np.isnan(value) else bool(value > 0.5)

    def _context_columns(self) -> list[str]:
        known = self.of.samples.frame.columns
        return [c for c in self.partition.contexts.columns if c in known]
