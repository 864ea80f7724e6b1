"""The HTML report of a samples file: one self-contained page, no scripts, no outside resource."""

from __future__ import annotations

import base64
import hashlib
import io
import shlex
import warnings
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from ..games.game import AlignmentGame
from ..known_errors import NO_GLYPH
from ..numerics.arrays import to_numpy
from ..samples.partition import name_text
from ..samples.verdict import curve
from ..show import plots
from ..show.progress import Progress, silent
from ..solvers import Mirror, run
from ..text import shortened, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..samples.equilibria import SampleEquilibria

_PANELS, _TABLE, _ROWS = 6, 200, 5
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; "
    "form-action 'none'"
)
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
) -> str:
    """The report of `Samples.solve` as HTML.

    A verdict, warnings, summary metrics and classes before and after, other strengths, distributions of
    the most changed classes, the trajectory of a three-answer class on its simplex, how answers were
    read, what samples of the most changed class are worth, the table of classes, their gaps, and
    where the page comes from.
    """
    say = progress or silent
    say("drawing the report")
    view = _View(equilibria)
    return render(
        "report.html.j2",
        title=title,
        verdict=equilibria.verdict,
        summary=equilibria.summary,
        intervals=equilibria.intervals,
        reading=equilibria.reading,
        calibration=equilibria.calibration,
        source=equilibria.samples.source,
        provenance=equilibria.provenance(),
        pictures=view.pictures(),
        gaps=view.gaps(),
        classes=view.table(),
        hidden=max(0, len(equilibria.classes) - _TABLE),
        worth=view.worth(),
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
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def picture(figure: Figure, caption: str) -> Picture:
    """A figure as a picture of a page, the same bytes each time.

    Text is drawn as outlines; where the font has no glyph for it, it is left to the reader's fonts.
    """
    import matplotlib
    from markupsafe import Markup

    def drawn(text_as: str) -> bytes:
        buffer = io.BytesIO()
        settings: Any = {"svg.hashsalt": "dagame", "svg.fonttype": text_as, "font.size": 10}
        with matplotlib.rc_context(settings):
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()

    with warnings.catch_warnings():
        warnings.filterwarnings("error", NO_GLYPH, UserWarning)
        try:
            image = drawn("path")
        except UserWarning:
            warnings.filterwarnings("ignore", NO_GLYPH, UserWarning)
            image = drawn("none")
    encoded = base64.b64encode(image).decode()
    return Picture(Markup(f"data:image/svg+xml;base64,{encoded}"), caption)


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

    def pictures(self) -> list[list[Picture]]:
        """Groups of pictures that belong beside each other."""
        overall = [p for p in (self._metrics(), self._strengths()) if p is not None]
        simplex = self._simplex()
        simplex = [] if simplex is None else [simplex]
        return [g for g in (overall, self._classes(), self._distributions(), simplex) if g]

    def _metrics(self) -> Picture | None:
        s = self.of.summary
        rows = [
            (label, s[before], s[after])
            for label, before, after in (
                ("accuracy", "accuracy_reference", "accuracy_equilibrium"),
                ("agreement of contexts", "agreement_reference", "agreement_equilibrium"),
                ("share without an answer", "no_answer", "no_answer_equilibrium"),
            )
            if s[before] is not None and s[after] is not None
        ]
        if not rows:
            return None
        return picture(plots.before_after(rows), "Means over classes, before and at equilibrium.")

    def _strengths(self) -> Picture | None:
        points = curve(self.of)
        lines = [
            (label, np.array([getattr(point, name) for point in points], dtype=float))
            for label, name in (
                ("accuracy", "accuracy"),
                ("agreement of contexts", "agreement"),
                ("share without an answer", "no_answer"),
            )
            if len(points) > 1 and all(getattr(point, name) is not None for point in points)
        ]
        if not any(np.ptp(values) > 1e-6 for _, values in lines):
            return None
        vote = self.of.summary["majority_accuracy"]
        level = None if vote is None else ("accuracy of a majority vote", vote)
        factors = np.array([point.factor for point in points])
        return picture(
            plots.strengths(factors, lines, level),
            "Means over classes at other strengths (all else as it is).",
        )

    def _classes(self) -> list[Picture]:
        made = []
        for name in ("accuracy", "agreement"):
            pair = self.classes.select(f"{name}_reference", f"{name}_equilibrium").drop_nulls()
            if len(pair):
                before, after = pair.to_numpy().T
                caption = f"The {name} of every class before and at equilibrium."
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
            what = "The most changed class" if rank == 0 else f"The most changed class but {rank}"
            caption = f"{what}: answer distributions before and after{note}."
            made.append(picture(plots.distributions([panel]), caption))
        return made

    def _simplex(self) -> Picture | None:
        sizes = self.partition.answers_per_class
        three = [int(c) for c in self.order if sizes[c] == 3]
        three = [c for c in three if self.classes["status"][c] == "solved"]
        if not three:
            return None
        index = three[0]
        b, k = self.place[index]
        bucket, solved = self.of.buckets[b], self.of.solutions[b].game
        if solved.objective.has_multipliers:
            return None
        objective = solved.objective.rows(np.asarray([k])).columns(
            np.arange(bucket.counts.shape[2]) < 3
        )
        game = AlignmentGame(bucket.reference[[k], :, :3], objective, beta=solved.beta)
        rounds = run(game, Mirror(), steps=40)
        assert rounds.marginals is not None
        path = type(rounds)(rounds.values, rounds.gaps, rounds.marginals[:, 0], dynamic="mirror")
        contexts = [name_text(name) or "all" for name in self.partition.context_names(index)]
        caption = (
            f"“{shortened(self.names[index], 80)}”: mirror steps of every context from "
            "the reference towards the equilibrium, on the simplex of its three answers."
        )
        return picture(plots.simplex(path, self.answers(index), contexts), caption)

    def gaps(self) -> Picture | None:
        """The gap of every class."""
        values = self.classes["gap"].drop_nulls().to_numpy()
        if not np.isfinite(values).any():
            return None
        caption = "The certificate: how much any policy could still gain in each class (log scale)."
        return picture(plots.gaps(values), caption)

    # -- tables -----------------------------------------------------------------------------------

    def table(self) -> list[dict[str, Any]]:
        """Rows of the most changed classes."""
        rows = self.classes[self.order[:_TABLE].tolist()].rows(named=True)
        return [
            {**row, "name": self.names[int(c)]} for c, row in zip(self.order, rows, strict=False)
        ]

    def worth(self) -> dict[str, Any] | None:
        """The best and the worst paid samples of the most changed class."""
        import polars as pl

        rows = self.of.rows
        best = int(self.order[0])
        weight = next(c for c in _WEIGHTS if c in rows.columns)
        stem = weight.removesuffix("weight_normalised")
        mine = rows.filter(pl.Series(self.partition.row_class == best)).drop_nulls(weight)
        if not len(mine):
            return None
        mine = mine.unique(subset=[f"{stem}answer", *self._context_columns()], maintain_order=True)
        mine = mine.sort(weight, descending=True, maintain_order=True)
        ends = mine if len(mine) <= 2 * _ROWS else pl.concat([mine.head(_ROWS), mine.tail(_ROWS)])
        listed = [
            {
                "context": name_text(row[c] for c in self._context_columns()),
                "answer": "(no answer)" if row[f"{stem}answer"] is None else row[f"{stem}answer"],
                "reward": row[f"{stem}reward"],
                "weight": row[weight],
            }
            for row in ends.rows(named=True)
        ]
        return {"name": self.names[best], "rows": listed}

    def _context_columns(self) -> list[str]:
        known = self.of.samples.frame.columns
        return [c for c in self.partition.contexts.columns if c in known]
