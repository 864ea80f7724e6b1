"""Pictures on axes of one's own; figures that show themselves; probability axes."""

import inspect

import numpy as np
import pytest
from matplotlib.backend_bases import FigureCanvasBase, FigureManagerBase
from matplotlib.figure import Figure

import dagame as dg
from dagame.errors import OutputError
from dagame.show import plots

RNG = np.random.default_rng(0)


def solved(contexts, answers):
    reference = RNG.dirichlet(np.ones(answers), contexts)
    return dg.solve(dg.AlignmentGame(reference, dg.Coherence(2.0), beta=1.0))


TRIANGLE, BARS, MAPS = solved(2, 3), solved(1, 5), solved(3, 5)
RUN, RUNS = dg.run(TRIANGLE.game, "mirror", 5), dg.run(MAPS.game, "mirror", 5)
ROWS = [("accuracy", 0.2, 0.9), ("agreement", 0.5, 1.0)]
DOTS = [(name, RNG.random(9), RNG.random(9)) for name in ("accuracy", "agreement")]
CLASSES = [(f"class {k}", list("abc"), RUN.marginals[0], RUN.marginals[-1], None) for k in range(3)]
LINES = [("a", np.ones(3))]
PICTURES = {
    "triangle": (1, TRIANGLE.plot),
    "bars": (1, BARS.plot),
    "maps": (2, MAPS.plot),
    "run": (2, RUN.plot),
    "rounds": (2, RUNS.plot),
    "gaps of a run": (1, dg.solve(MAPS.game, "mirror").history.plot),
    "simplex": (1, lambda **o: plots.simplex(RUN, **o)),
    "history": (1, lambda **o: plots.history([RUN, RUNS], **o)),
    "distributions": (3, lambda **o: plots.distributions(CLASSES, **o)),
    "before and after": (1, lambda **o: plots.before_after(ROWS, **o)),
    "scatter": (2, lambda **o: plots.class_scatter(DOTS, **o)),
    "gaps": (1, lambda **o: plots.gaps(RNG.random(9), 1e-3, **o)),
    "path": (1, dg.path(MAPS.game, [0.5, 1.0]).plot),
    "strengths": (1, lambda **o: plots.strengths(np.arange(1, 4), LINES, None, **o)),
}
KINDS = pytest.mark.parametrize("name", PICTURES)


def test_every_function_that_returns_a_figure_is_tried():
    drawn = [f for f in map(plots.__dict__.get, plots.__all__) if inspect.isfunction(f)]
    takes = {f.__name__ for f in drawn if "ax" in inspect.signature(f).parameters}
    tried = {"simplex", "history", "distributions", "before_after", "class_scatter", "gaps"}
    assert takes == {*tried, "strengths", "equilibrium", "trajectory"}
    assert {f.__name__ for f in drawn} - takes == {"figure", "heat_map", "paths", "triangle"}


def drawn(axes):
    """Artists of axes and of those inside them."""
    inner = [a for child in axes.child_axes for a in drawn(child)]
    return [*axes.lines, *axes.patches, *axes.images, *axes.collections, *inner]


@KINDS
def test_a_picture_is_drawn_on_given_axes_and_nowhere_else(name):
    count, plot = PICTURES[name]
    figure = Figure(layout="constrained")
    mine, other = figure.subplots(1, 2)
    assert plot(ax=mine, title="A title") is figure
    assert drawn(mine)
    assert not drawn(other)
    figure.clear()
    several = figure.subplots(1, count, squeeze=False)
    assert plot(ax=several) is figure
    assert all(drawn(axes) for axes in several.flat)
    figure.canvas.draw()
    with pytest.raises(dg.DagameError, match=f"{count} panel"):
        plot(ax=figure.subplots(1, count + 2))


@KINDS
def test_titles_are_shown_and_legends_can_be_left_out(name):
    _, plot = PICTURES[name]
    texts = plot(title="A title").findobj(lambda a: hasattr(a, "get_text"))
    assert any(text.get_text().startswith("A title") for text in texts)
    options = {} if name in ("scatter", "gaps") else {"legend": False}
    assert not any(axes.get_legend() for axes in plot(**options).axes)


def test_a_solution_without_rounds_has_none_to_draw():
    assert not len(MAPS.history)
    with pytest.raises(dg.DagameError, match="consensus played no rounds"):
        MAPS.history.plot()


def test_two_equilibria_on_one_triangle():
    axes = Figure().subplots()
    TRIANGLE.plot(ax=axes)
    names, lines = len(axes.texts), len(axes.lines)
    dg.solve(TRIANGLE.game.with_objective(dg.HardCoherence())).plot(ax=axes)
    assert len(axes.texts) == names
    assert lines < len(axes.lines) < 2 * lines
    assert len(axes.get_legend().get_texts()) == 2


def test_the_lines_of_the_triangle_are_labelled_where_they_end():
    axes = TRIANGLE.plot().axes[0]
    labels = [t for t in axes.texts if t.get_text() in (".25", ".5", ".75")]
    assert len(labels) == 9
    shares = np.linalg.inv(np.vstack([plots.CORNERS.T, np.ones(3)]))
    for text in labels:
        at = shares @ [*text.get_position(), 1]
        assert np.abs(at - float(text.get_text())).min() < 0.06


@pytest.mark.parametrize("name", ["bars", "distributions", "before and after", "scatter"])
def test_probability_axes_end_at_one(name):
    for axes in PICTURES[name][1]().axes:
        if axes.get_visible():
            assert axes.get_xlim() == (0, 1)
            assert max(axes.get_xticks()) <= 1


def test_one_context_keeps_the_order_of_its_answers_and_names_them():
    axes = BARS.plot(list("edcba")).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == list("abcde")
    assert axes.get_ylabel() == "answer"
    widths = [bar.get_width() for bar in axes.patches[:5]]
    np.testing.assert_allclose(widths[::-1], BARS.game.reference[0])


class Manager(FigureManagerBase):
    """Stands where a window system has one, and remembers what it showed."""

    shown: list = []  # noqa: RUF012

    @classmethod
    def pyplot_show(cls, *, block=None):
        from matplotlib import pyplot

        managers = [pyplot.figure(k).canvas.manager for k in pyplot.get_fignums()]
        cls.shown.extend(manager.canvas.figure for manager in managers)


class FigureCanvas(FigureCanvasBase):
    """The canvas of a backend that this file is."""

    manager_class = Manager


def test_a_figure_shows_itself_in_a_window_or_says_why_not():
    from matplotlib import get_backend, pyplot

    before, figure = get_backend(), TRIANGLE.plot()
    try:
        pyplot.switch_backend("agg")
        with pytest.raises(OutputError, match=r"savefig\('picture.png'\)"):
            figure.show()
        assert not pyplot.get_fignums()
        pyplot.switch_backend(f"module://{__name__}")
        figure.show()
        assert any(shown is figure for shown in Manager.shown)
        figure._repr_png_()
    finally:
        pyplot.close("all")
        pyplot.switch_backend(before)
