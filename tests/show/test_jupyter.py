"""What results show in Jupyter: tables, pictures, data frames, names to complete."""

import dataclasses
import io
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

import dagame as dg
from dagame.show import plots
from dagame.show.tables import Column, indexed, shaded_html, table_html
from dagame.theory.checks import Check

REFERENCE = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])


REPORT = dg.VerificationReport(
    (Check("T1", "a < b", 1e-16, 1e-9, 10, "here"), Check("T9", "false", np.nan, 1e-9, 1, "there")),
    seed=0,
    games=1,
)


def solved(shape, strength=2.0, rng=None):
    rng = rng or np.random.default_rng(0)
    *batch, n = shape
    reference = rng.dirichlet(np.ones(n), tuple(batch))
    return dg.solve(dg.AlignmentGame(reference, dg.Coherence(strength), beta=1.0))


def cells(page):
    """Cell texts of every table row, as a parser of XML reads them."""
    rows = ET.fromstring(f"<div>{page}</div>").iter("tr")
    return [["".join(cell.itertext()) for cell in row] for row in rows]


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(figure._repr_png_())).convert("L"), dtype=float)


# -- tables ---------------------------------------------------------------------------------------


def test_every_result_has_a_well_formed_table():
    solution = solved((2, 3))
    for thing in (
        solution.game,
        solution,
        solution.certificate,
        dg.run(solution.game, "mirror", 3),
        REPORT,
        dg.library.shannon,
    ):
        assert len(cells(thing._repr_html_())) >= 2


def test_a_batch_shows_its_worst_game():
    solution = solved((4, 2, 3))
    worst = f"largest {solution.gap.max():.3g}"
    for thing in (solution, solution.certificate):
        assert ["gap", worst] in cells(thing._repr_html_())
    assert ["games", "4"] in cells(solution.game._repr_html_())


def test_a_report_has_a_row_per_check_and_names_violations():
    rows = cells(REPORT._repr_html_())
    assert [row[2] for row in rows[1:]] == ["holds", "VIOLATED"]
    assert "VIOLATED" in str(REPORT)
    assert "VIOLATED" in repr(REPORT)
    assert not REPORT.passed


def test_shaded_tables_hold_the_marginals():
    solution = solved((2, 5))
    for page, table in (
        (solution._repr_html_(), solution.marginals),
        (solution.game._repr_html_(), solution.game.reference),
    ):
        rows = [row[1:] for row in cells(page) if row[0].startswith("context ")]
        np.testing.assert_allclose(np.array(rows, float), table, rtol=1e-3)


def test_large_tables_are_left_out_and_dark_cells_are_likely_answers():
    assert shaded_html("", np.full((2, 40), 1 / 40)) == ""
    page = shaded_html("", np.array([[1.0, 0.0]]))
    assert re.findall(r"37,99,168,([0-9.]+)", page) == ["0.60", "0.00"]


def test_hostile_text_stays_text():
    evil = "<script>alert(1)</script>"
    page = table_html([Column(evil, True)], [[evil]]) + shaded_html(evil, REFERENCE)
    assert "<script" not in page
    assert cells(page)[1] == [evil]


def test_text_forms_stay_short():
    solution = solved((3, 2, 4))
    history = dg.run(solution.game, "mirror", 2)
    for thing in (solution, solution.certificate, history, dg.library.gini, REPORT):
        assert repr(thing) == str(thing)
        assert "array(" not in repr(thing).replace("r=array(", "")


def test_a_conditional_certificate_says_so():
    class First(dg.Objective):
        def value(self, marginals, weights=None):
            return (np.log1p(marginals[..., 0]) * weights).sum(-1)

        def reward(self, marginals, weights=None):
            u = np.zeros_like(marginals)
            u[..., 0] = 1 / (1 + marginals[..., 0])
            return u

    certificate = dg.solve(dg.AlignmentGame(REFERENCE, First(), beta=1.0)).certificate
    assert ["holds if", "the objective is concave"] in cells(certificate._repr_html_())


# -- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 3), (1, 3), (1, 6), (4, 6), (3, 50), (2, 4, 7), (3, 2, 3)])
def test_solutions_and_histories_draw(shape):
    solution = solved(shape)
    for figure in (solution.plot(), dg.run(solution.game, "mirror", 30).plot()):
        image = pixels(figure)
        assert image.std() > 1
        assert min(image.shape) > 100


def test_a_point_lies_where_its_probabilities_say():
    history = dg.run(solved((2, 3)).game, "mirror", 4)
    axes = history.plot().axes[1]
    lines = [line.get_xydata() for line in axes.get_lines()]
    corner = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
    for x in range(2):
        want = sum(history.marginals[:, x, [z]] * corner[z] for z in range(3))
        assert any(at.shape == want.shape and np.allclose(at, want) for at in lines)


def test_the_heat_maps_show_the_largest_answers():
    solution = solved((3, 50))
    before, after = (axes.get_images()[0].get_array() for axes in solution.plot().axes[:2])
    mass = np.maximum(solution.game.reference, solution.marginals).mean(0)
    kept = np.sort(np.argsort(-mass)[:24])
    np.testing.assert_allclose(before, solution.game.reference[:, kept])
    np.testing.assert_allclose(after, solution.marginals[:, kept])


def test_one_game_of_a_batch_is_drawn():
    solution = solved((3, 2, 5))
    image = solution.plot(game=2).axes[1].get_images()[0].get_array()
    np.testing.assert_allclose(image, solution.marginals[2])
    history = dg.run(solution.game, "mirror", 5)
    np.testing.assert_array_equal(
        history.plot(game=1).axes[0].get_lines()[0].get_ydata(), history.gaps[:, 1]
    )
    with pytest.raises(dg.DagameError, match="count from 0"):
        solution.plot(game=3)


def test_names_are_drawn_and_must_fit():
    figure = solved((2, 3)).plot(["$x_1$", "b", "c"], ["plain", "polite"])
    shown = {t.get_text() for t in figure.axes[0].texts}
    assert {r"\$x_1\$", "b", "c"} <= shown
    pixels(figure)
    with pytest.raises(dg.DagameError, match="2 names for 3 answers"):
        solved((2, 3)).plot(["a", "b"])


def test_a_history_without_marginals_still_shows_its_gaps():
    history = dg.solve(dg.AlignmentGame(REFERENCE, dg.Coherence(5.0), beta=1.0), "mirror").history
    line = history.plot().axes[0].get_lines()[0].get_ydata()
    np.testing.assert_allclose(line, np.maximum(history.gaps, 1e-18))


def test_torch_results_draw_and_export():
    torch = pytest.importorskip("torch")
    game = dg.AlignmentGame(torch.tensor(REFERENCE), dg.Coherence(2.0), beta=1.0)
    solution = dg.solve(game)
    assert len(cells(solution._repr_html_())) > 5
    pixels(solution.plot())
    want = dg.solve(dg.AlignmentGame(REFERENCE, dg.Coherence(2.0), beta=1.0)).to_polars()
    assert np.allclose(solution.to_polars().to_numpy(), want.to_numpy(), atol=1e-9)


def test_no_window_system_is_loaded():
    code = (
        "import sys, numpy as np, dagame as dg;"
        "s = dg.solve(dg.AlignmentGame(np.full((2, 3), 1 / 3), dg.Coherence(), beta=1.0));"
        "s._repr_html_(); light = 'matplotlib' not in sys.modules;"
        "s.plot()._repr_png_(); print(light, 'matplotlib.pyplot' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["True", "False"]


# -- data frames ----------------------------------------------------------------------------------


def test_frames_of_a_batch_hold_every_entry():
    solution = solved((3, 2, 4))
    frame = solution.to_polars()
    assert frame.columns[:3] == ["game", "context", "answer"]
    for row in frame.sample(10, seed=0).iter_rows(named=True):
        at = row["game"], row["context"], row["answer"]
        assert row["reference"] == pytest.approx(solution.game.reference[at], abs=1e-14)
        assert row["equilibrium"] == solution.marginals[at]
        assert row["target"] == solution.target[at]
        assert row["reward"] == solution.rewards[at]
    assert solution.certificate.to_polars()["gap"].to_list() == solution.gap.tolist()


def test_frames_of_a_history():
    history = dg.run(solved((2, 2, 4)).game, "mirror", 3)
    frame = history.to_polars()
    assert frame.columns[:4] == ["game", "round", "context", "answer"]
    assert len(frame) == history.marginals.size
    for row in frame.iter_rows(named=True):
        at = row["round"], row["game"]
        assert (row["value"], row["gap"]) == (history.values[at], history.gaps[at])
        assert row["probability"] == history.marginals[*at, row["context"], row["answer"]]
    rounds = dataclasses.replace(history, marginals=None).to_polars()
    assert rounds.columns == ["game", "round", "value", "gap"]
    assert len(rounds) == history.gaps.size


def test_pandas_and_polars_agree():
    pytest.importorskip("pandas")
    solution = solved((2, 4))
    for thing in (solution, solution.certificate, dg.run(solution.game)):
        polars = thing.to_polars()
        pandas = thing.to_pandas()
        assert list(pandas.columns) == polars.columns
        assert pandas.to_dict("list") == polars.to_dict(as_series=False)


def test_index_columns_of_several_batch_axes():
    columns = indexed((2, 3, 4), ["answer"])
    assert list(columns) == ["game_0", "game_1", "answer"]
    table = np.arange(24).reshape(2, 3, 4)
    assert (table[tuple(columns.values())] == np.arange(24)).all()


# -- names ----------------------------------------------------------------------------------------


def test_reference_games_are_attributes():
    names = set(dir(dg.library))
    assert set(dg.library.reference_games()) <= names
    assert {"named", "safety", "random_game"} <= names
    assert dg.library.gini.value == dg.library.named("gini").value
    with pytest.raises(AttributeError, match="nonsense"):
        dg.library.nonsense  # noqa: B018
    assert {"Coherence", "by_name"} & set(dir(dg.objectives)) == {"Coherence"}
    assert {"certificate", "tiny"} <= set(dir(dg.lm))


def test_figures_have_the_colours_of_the_package():
    axes = plots.figure(3, 3).subplots()
    lines = axes.plot(np.eye(2))
    assert [line.get_color() for line in lines] == list(plots.CYCLE[:2])
