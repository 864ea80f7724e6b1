"""The figures: what is drawn obeys its definition, and the files are fit for a paper."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

import dagame as dg

FIGURES = Path(__file__).parents[1] / "paper_figs"
SCRIPTS = sorted(FIGURES.glob("fig*/make.py"))
NAMES = [script.parent.name for script in SCRIPTS]
sys.path.insert(0, str(FIGURES))
paper = importlib.import_module("paper")


def module(name):
    [script] = [s for s in SCRIPTS if s.parent.name.startswith(name)]
    spec = importlib.util.spec_from_file_location(f"figure_{name}", script)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def data_of(name):
    [script] = [s for s in SCRIPTS if s.parent.name.startswith(name)]
    return paper.read_data(script.parent)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_drawn_from_its_data_with_embedded_outlines(name, tmp_path):
    figure, data = module(name), data_of(name)
    paper.save(figure.draw, data, tmp_path / "one")
    pdf = (tmp_path / "one.pdf").read_bytes()
    assert b"/Type3" not in pdf
    descriptors = re.findall(rb"/Type\s*/FontDescriptor", pdf)
    assert len(descriptors) == len(re.findall(rb"/FontFile2", pdf)) > 0
    width = float(re.search(rb"/MediaBox\s*\[\s*0 0 ([\d.]+)", pdf)[1]) / 72
    assert min(abs(width - w) for w in (paper.COLUMN, paper.PAGE)) < 1e-6
    assert b"CreationDate" not in pdf
    for suffix in (".pdf", ".png"):
        assert (FIGURES / name / f"{name}{suffix}").exists()


@pytest.mark.parametrize("name", NAMES[::6])
def test_a_figure_drawn_twice_is_the_same_to_the_byte(name, tmp_path):
    figure, data = module(name), data_of(name)
    for stem in ("one", "two"):
        paper.save(figure.draw, data, tmp_path / stem)
    for suffix in (".pdf", ".png"):
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_every_figure_has_its_caption():
    every = importlib.import_module("make_all")
    page = (FIGURES / "README.md").read_text()
    for script in SCRIPTS:
        assert every.caption(script) in page


def test_nothing_draws_without_data_or_options(tmp_path, monkeypatch):
    script = tmp_path / "fig99_try" / "make.py"
    script.parent.mkdir()
    calls = []

    def compute():
        calls.append(1)
        return {"x": np.array([1.0, np.nan, 2 / 3]), "n": np.int64(len(calls))}

    def draw(data):
        made = paper.figure(paper.COLUMN, 1)
        made.subplots().plot(data["n"], 0, "o")
        return made

    for options in ([], [], ["--data"]):
        monkeypatch.setattr(sys, "argv", ["make.py", *options])
        paper.main(str(script), compute, draw)
    assert len(calls) == 2
    assert paper.read_data(script.parent) == {"x": [1.0, None, 0.66666667], "n": 2}
    assert script.with_name("fig99_try.pdf").exists()


def test_colours_differ_in_lightness_from_their_neighbours():
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in paper.COLOURS])
    grey = rgb @ [0.299, 0.587, 0.114]
    assert np.abs(np.diff(grey[:3])).min() > 0.15
    shown = {(paper.LINES[k], paper.MARKERS[k]) for k in range(len(grey))}
    assert len(shown) == len(grey)


def certified(reference, objective, marginals, **options):
    game = dg.AlignmentGame(reference, objective, beta=1.0, **options)
    rounded = np.array(marginals)
    return float(dg.certify(game, rounded / rounded.sum(-1, keepdims=True)).gap)


def test_overview_runs_from_the_references_to_hard_coherence():
    figure, data = module("fig00"), data_of("fig00")
    hard = softmax(figure.WEIGHTS @ np.log(figure.REFERENCE))
    np.testing.assert_allclose(data["hard"], hard, atol=1e-7)
    np.testing.assert_allclose(data["paths"][0], figure.REFERENCE, atol=1e-7)
    np.testing.assert_allclose(data["paths"][-1], np.tile(hard, (3, 1)), atol=2e-3)
    strength = dg.Coherence(data["strengths"][30])
    options = {"weights": figure.WEIGHTS}
    assert certified(figure.REFERENCE, strength, data["paths"][30], **options) < 1e-8
    gaps = data["gaps"]
    assert gaps["Anderson"][8] < 1e-10 < gaps["mirror"][30] < gaps["best response"][4]


def test_dynamics_meet_at_the_equilibrium_but_best_response_swings():
    figure, data = module("fig01"), data_of("fig01")
    game = figure.game()
    assert certified(game.reference, game.objective, [data["equilibrium"]]) < 1e-8
    ends = {name: np.array(path[-3:]) for name, path in data["paths"].items()}
    swing = ends.pop("best_response")
    assert np.abs(swing[2] - swing[0]).max() < 1e-3 < 0.5 < np.abs(swing[2] - swing[1]).max()
    for name, end in ends.items():
        assert np.abs(end[2] - data["equilibrium"]).max() < 0.1, name
        assert data["gaps"][name][-1] < 0.05 * data["gaps"][name][0]


def test_best_response_multiplies_the_log_error_by_minus_the_strength():
    data = data_of("fig02")
    for strength, rounds in (("0.9", 30), ("1.1", 12)):
        path = np.array(data["paths"]["best_response"][strength])[: rounds + 1]
        fixed = np.array(data["paths"]["mirror"][strength][-1])
        error = np.log(path / fixed)
        error -= error.mean(-1, keepdims=True)
        wanted = error[0] * (-float(strength)) ** np.arange(rounds + 1)[:, None]
        np.testing.assert_allclose(error, wanted, atol=1e-5)


def test_every_consensus_tends_to_the_geometric_mean():
    figure, data = module("fig03"), data_of("fig03")
    geometric = softmax(np.log(figure.REFERENCE).mean(0))
    np.testing.assert_allclose(data["hard"], geometric, atol=1e-7)
    at = data["strengths"].index(1.0)
    for kind, path in data["paths"].items():
        np.testing.assert_allclose(path[-1], np.tile(geometric, (3, 1)), atol=5e-3)
        assert certified(figure.REFERENCE, dg.Coherence(1.0, kind), path[at]) < 1e-8


def test_sharpening_is_the_power_distribution_and_unbeaten():
    figure, data = module("fig04"), data_of("fig04")
    for strength, nu in zip(data["strengths"][:90:10], data["marginals"][:90:10], strict=True):
        power = softmax(np.log(figure.REFERENCE[0]) / (1 - strength))
        np.testing.assert_allclose(nu, power, atol=1e-6)
    assert np.all(np.array(data["best random"]) <= np.array(data["values"])[::10] + 1e-7)


@pytest.mark.parametrize("name", ["safety", "fairness"])
def test_multipliers_are_the_slope_of_a_concave_frontier(name):
    data = data_of("fig05")[name]
    bounds, values, price = (np.array(data[k]) for k in ("bounds", "values", "multipliers"))
    slope = np.diff(values) / np.diff(bounds)
    assert np.all(slope <= price[:-1] + 1e-5)
    assert np.all(slope >= price[1:] - 1e-5)
    assert np.all(np.diff(price) <= 1e-6)


def test_equivalence_counts_what_it_shows():
    rows = data_of("fig06")["rows"]
    assert {row["objective"] for row in rows} == {*dg.library.OBJECTIVES, *dg.library.KINKED}
    for row in rows:
        assert row["cvxpy better"] == 0
        assert len(row["differences"]) == row["solved by cvxpy"] <= row["games"]
        assert max(row["gaps"], default=0) <= 1e-9


def test_complexity_slopes_are_those_of_the_rows():
    data = data_of("fig07")
    assert set(data["slopes"]) == set(module("fig07").WAYS)
    for way, slope in data["slopes"].items():
        cost = data["slopes_of"][way]
        known = [(r["|Y|"], r[cost]) for r in data["rows"] if r["way"] == way and r[cost]]
        assert np.polyfit(*np.log(known).T, 1)[0] == pytest.approx(slope, abs=1e-6)
    assert data["slopes"]["gradient by enumeration"] == pytest.approx(1, abs=0.05)
    assert data["slopes"]["sampled game"] == pytest.approx(0, abs=0.05)


def test_bias_is_the_binomial_expectation():
    figure, data = module("fig08"), data_of("fig08")
    p, k = np.array(data["p"]), figure.GROUP
    for method in figure.METHODS:
        table = np.asarray(dg.estimators.reward_table(dg.ShannonDiversity(), k, method))
        expected = binom.pmf(np.arange(k), k - 1, p[:, None]) @ table
        bias = p * (expected + np.log(p))
        np.testing.assert_allclose(data["bias"][method], bias, atol=1e-6)
        assert np.abs(bias).max() == pytest.approx(data["sup-bias"][method][str(k)], rel=0.01)
    for name, wanted in (("diversity", 0.02), ("coherence", 0.15)):
        end = {e: gaps[1][-1] for e, gaps in data["training"][name]["gaps"].items()}
        assert end["variance_optimal"] < wanted
        assert end["variance_optimal"] < end["krichevsky_trofimov"] < end["plug_in"]


@pytest.mark.parametrize("name", ["fig06", "fig07", "fig09"])
def test_benchmarks_are_drawn_as_they_were_kept(name):
    """After a new run of a benchmark: python paper_figs/make_all.py --data fig06 fig07 fig09."""
    assert paper.plain(module(name).compute()) == data_of(name)


def test_atlas_shows_every_method_where_it_ends():
    figure, data = module("fig10"), data_of("fig10")
    assert set(figure.PHI) == set(data["methods"]) == set(dg.methods)
    page = (FIGURES.parent / "docs" / "methods.md").read_text()
    for name, end in data["methods"].items():
        [row] = re.findall(rf"^\| {re.escape(name)} \|.*$", page, re.MULTILINE)
        for column in figure.COLUMNS:
            assert f"| {end[column]:.3f} |" in row
    nu = figure.REFERENCE
    assert data["reference"]["accuracy"] == pytest.approx((nu @ figure.SUCCESS).mean())
