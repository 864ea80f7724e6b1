"""`dagame-bench` as a user meets it: every subcommand's quick run, its JSON, exit codes, bad input."""

import json
import sys

import pytest

from dagame.bench import main

COMMON = {"benchmark", "quick", "seed", "seconds", "passed", "environment", "settings"}
WAYS = (
    "direct_enumeration",
    "cvxpy_traces",
    "solver_traces",
    "solver_answers",
    "sampled_game",
)


def bench(*arguments):
    """The exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["dagame-bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
    return left.value.code or 0


def result(folder, name, *more):
    """The JSON of a quick run that was also drawn."""
    path, plot = folder / f"{name}.json", folder / f"{name}.png"
    assert bench(name, "--quick", "--json", path, "--plot", plot, *more) == 0
    found = json.loads(path.read_text())
    assert set(found) >= COMMON
    assert found["benchmark"] == name
    assert found["quick"] is True
    assert found["environment"]["numpy"] == found["provenance"]["versions"]["numpy"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    return found


def test_equivalence_agrees_with_the_referee_and_repeats(tmp_path, capsys):
    found = result(tmp_path, "equivalence", "--seed", 4)
    rows = {r["objective"]: r for r in found["rows"]}
    assert found["games"] == 3 * len(rows) >= 60
    assert sum(r["beaten"] for r in found["rows"]) == 0
    assert all(r["solved"] == r["games"] for r in found["rows"])
    assert rows["coherence"]["refereed"] == 3
    assert rows["coherence"]["largest |dJ|"] < 1e-6
    assert rows["sharpening"]["no form"] == 3
    shown = capsys.readouterr().out
    assert "hard-coherence" in shown
    again = result(tmp_path, "equivalence", "--seed", 4)
    assert again["rows"] == found["rows"]


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    return result(tmp_path_factory.mktemp("scaling"), "scaling")


def test_slopes_are_those_of_the_theory(scaled):
    slopes = scaled["slopes"]
    assert set(WAYS) <= set(slopes) == set(scaled["slopes_of"])
    assert slopes["direct_enumeration"] == pytest.approx(1, abs=0.1)
    assert slopes["solver_traces"] == pytest.approx(1, abs=0.1)
    assert slopes["answers_pass"] == pytest.approx(1)
    assert abs(slopes["sampled_game"]) < 0.15
    assert isinstance(slopes["solver_answers"], float)
    assert isinstance(slopes["cvxpy_traces"], float)


def test_scaling_keeps_to_its_gap_and_names_what_it_left_out(scaled):
    for row in scaled["rows"]:
        if row["seconds"] is None:
            assert row["note"]
        elif row["gap"] is not None:
            assert row["gap"] <= scaled["gap"] * 1.01
    sizes = sorted({r["|Y|"] for r in scaled["rows"]})
    assert sizes == [4**t for t in range(4, 9)]
    assert {r["order"] for r in scaled["contexts"]} == {"m", "m^2"}
    assert len(scaled["calls"]) == 5


def test_roof_has_a_row_for_each_size_with_its_gap(tmp_path):
    found = result(tmp_path, "roof")
    assert len(found["rows"]) == 4 * 3
    for row in found["rows"]:
        assert row["gap"] <= 1e-10
        assert row["copies"] > 1
        refereed = row["games"] == 1
        assert (row["cvxpy"] is not None) == refereed
        assert not refereed or row["gap of cvxpy"] < 1e-3


def test_solvers_reach_certified_gaps(tmp_path):
    found = result(tmp_path, "solvers")
    rows = {r["solver"]: r for r in found["rows"]}
    assert rows["dagame"]["to 1e-08"] == 1
    assert rows["cvxpy CLARABEL"]["to 0.0001"] == 1
    assert set(found["profiles"]) == {"0.0001", "1e-08"}
    for curves in found["profiles"].values():
        for curve in curves.values():
            assert curve == sorted(curve)
            assert 0 <= curve[0] <= curve[-1] <= 1
    assert set(found["skipped"]) <= {"jaxopt MirrorDescent"}


def test_estimators_hold_the_theory_s_figures(tmp_path):
    found = result(tmp_path, "estimators", "--part", "tables", "--part", "gaps")
    tables = {(r["method"], r["K"]): r for r in found["tables"]}
    assert tables["plug_in", 8]["sup-bias"] == pytest.approx(0.524 / 8, rel=1e-2)
    assert tables["variance_optimal", 8]["plug-in's over it"] == pytest.approx(2.8, rel=0.05)
    assert found["slopes"]["minimax"] == pytest.approx(-2, abs=0.1)
    ends = {(r["game"], r["estimator"]): r["final gap, median"] for r in found["gaps"]}
    assert ends["coherence", "variance_optimal"] < ends["coherence", "naive"]
    assert "throughput" not in found


def test_throughput_alone(tmp_path):
    found = result(tmp_path, "estimators", "--part", "throughput")
    assert len(found["throughput"]) == 6
    assert all(r["a second"] > 0 for r in found["throughput"])
    assert "tables" not in found


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_lm_predicts_and_trains(tmp_path):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    names = ("coherence", "self-consistency (EMPO)", "expected reward (RLVR)")
    methods = [part for name in names for part in ("--method", name)]
    found = result(tmp_path, "lm", *methods, "--steps", 1, "--problems", 2)
    runs = {r["method"]: r for r in found["runs"]}
    assert list(runs) == list(names)
    reference = found["reference"]
    for run in runs.values():
        assert 0 <= run["after"]["accuracy"] <= 1
        assert run["after"]["accuracy"] != reference["accuracy"] or run["after"]["kl"] > 0
    expected = runs["expected reward (RLVR)"]
    assert expected["labels"] is True
    assert expected["predicted"]["accuracy"] > reference["accuracy"]
    assert runs["coherence"]["predicted"]["gap"] <= 1e-8
    assert runs["coherence"]["after"]["gap"] is not None
    assert expected["after"]["gap"] > 0
    assert runs["coherence"]["predicted"]["agreement"] > reference["agreement"]
    assert "not certified" in runs["self-consistency (EMPO)"]["predicted"]["found by"]
    assert runs["self-consistency (EMPO)"]["predicted"]["gap"] is None
    assert runs["self-consistency (EMPO)"]["after"]["gap note"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scaling", "--quick", "--plot", "x.bmp"), "name a .png, .pdf or .svg"),
        (("equivalence", "--quick", "--json", "none/x.json"), "does not exist"),
        (("estimators", "--part", "tabels"), "choose tables, gaps, throughput"),
        (("lm", "--method", "GRPPO"), "choose one of coherence"),
        (("solvers", "--seed", "-1"), "--seed"),
        (("scale",), "No such command"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert bench(*arguments) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.replace("│", " ").split())
    assert list(tmp_path.iterdir()) == []


def test_json_on_stdout_stands_alone(capsys):
    assert bench("estimators", "--quick", "--part", "tables", "--json", "-") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["benchmark"] == "estimators"
    assert "variance_optimal" in err
