"""`dagame-bench` as a user meets it: every subcommand's quick run, its JSON, exit codes, bad input."""

import io
import json
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from dagame.bench import main
from dagame.bench.cli import BENCHMARKS, app
from dagame.bench.common import Result
from dagame.bench.tables import shown

FOLDER = Path(__file__).parents[2] / "benchmarks/results"
RESULTS = [
    FOLDER / f"{name}.json"
    for name in (
        *(f"bench_{b}" for b in BENCHMARKS if b != "estimators"),
        *("estimators", "estimator_gaps", "reward_throughput"),
    )
]

COMMON = {"benchmark", "quick", "seed", "seconds", "passed", "environment", "settings", "legend"}
WAYS = (
    "gradient by enumeration",
    "cvxpy on traces",
    "solver on traces",
    "solver on answers",
    "sampled game",
)

PLAIN = {"objective", "games", "solver", "way", "form", "reward", "method", "game"}
"""Columns that need no explanation."""


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
    for key, told in found["legend"].items():
        assert told["title"].startswith("--quick")
        columns = [k for k, v in found[key][0].items() if not isinstance(v, list | dict)]
        assert set(told["columns"]) <= set(columns)
        assert set(columns) - set(told["columns"]) <= PLAIN, "a column without a word"
    again = folder / "again.png"
    assert bench("draw", path, "--plot", again) == 0
    assert again.read_bytes() == plot.read_bytes()
    return found


def test_equivalence_agrees_with_the_referee_and_repeats(tmp_path, capsys):
    found = result(tmp_path, "equivalence", "--seed", 4)
    rows = {r["objective"]: r for r in found["rows"]}
    assert found["games"] == 3 * len(rows) >= 60
    assert sum(r["cvxpy better"] for r in found["rows"]) == 0
    assert all(r["solved"] == r["games"] for r in found["rows"])
    assert rows["coherence"]["solved by cvxpy"] == 3
    assert rows["coherence"]["largest difference"] < 1e-6
    assert rows["sharpening"]["no convex program"] == 3
    shown = capsys.readouterr().out
    assert "hard-coherence" in shown
    again = tmp_path / "again.json"
    assert bench("equivalence", "--quick", "--json", again, "--seed", 4) == 0
    assert json.loads(again.read_text())["rows"] == found["rows"]


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    return result(tmp_path_factory.mktemp("scaling"), "scaling")


def test_slopes_are_those_of_the_theory(scaled):
    slopes = scaled["slopes"]
    assert set(WAYS) <= set(slopes) == set(scaled["slopes_of"])
    assert slopes["gradient by enumeration"] == pytest.approx(1, abs=0.1)
    assert slopes["solver on traces"] == pytest.approx(1, abs=0.1)
    assert slopes["one pass to the answers"] == pytest.approx(1)
    assert abs(slopes["sampled game"]) < 0.15
    assert isinstance(slopes["solver on answers"], float)
    assert isinstance(slopes["cvxpy on traces"], float)


def test_scaling_keeps_to_its_gap_and_names_what_it_left_out(scaled):
    for row in scaled["rows"]:
        if row["seconds"] is None:
            assert row["note"]
        elif row["gap"] is not None:
            assert row["gap"] <= scaled["gap"] * 1.01
    sizes = sorted({r["|Y|"] for r in scaled["rows"]})
    assert sizes == [4**4, 4**6, 4**8]
    assert {r["order of operations"] for r in scaled["contexts"]} == {"m", "m^2"}
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
    assert rows["dagame"]["share to 1e-08"] == 1
    assert rows["cvxpy CLARABEL"]["share to 0.0001"] == 1
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
    assert tables["variance_optimal", 8]["plug_in's bias over it"] == pytest.approx(2.8, rel=0.05)
    assert found["slopes"]["minimax"] == pytest.approx(-2, abs=0.1)
    ends = {(r["game"], r["estimator"]): r["final gap, median"] for r in found["gaps"]}
    assert ends["coherence", "variance_optimal"] < ends["coherence", "naive"]
    assert "throughput" not in found


def test_throughput_alone(tmp_path):
    found = result(tmp_path, "estimators", "--part", "throughput")
    assert len(found["throughput"]) == 6
    assert all(r["completions a second"] > 0 for r in found["throughput"])
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
        (("draw", "none.json", "--plot", "x.png"), "none.json cannot be read"),
        (("draw", __file__, "--plot", "x.png"), "is no result of dagame-bench"),
        (("draw", "x.json", "--plot", "x.gif"), "x.json cannot be read"),
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


@pytest.mark.parametrize("width", [60, 80])
def test_no_table_loses_the_names_of_its_rows_in_a_narrow_terminal(width, scaled, capsys):
    """Each name stands whole in each block, and no line is longer than the terminal."""
    for path in (*RESULTS, None):
        content = scaled if path is None else json.loads(path.read_text())
        for section in Result.stored(content).sections:
            out = io.StringIO()
            section.print(Console(file=out, width=width))
            text = out.getvalue()
            assert max(map(len, text.splitlines())) <= width
            for row in section.rows:
                name = shown(row[section.columns[0]])
                assert text.count(name) >= len(section.blocks(width)), name
            for column in section.columns:
                assert all(word in text for word in column.split()), column


def test_the_full_runs_take_as_long_as_the_help_says():
    """Minutes of the help against the seconds of the stored runs, within a factor of 1.5."""
    took = {}
    for path in RESULTS:
        content = json.loads(path.read_text())
        took[content["benchmark"]] = took.get(content["benchmark"], 0) + content["seconds"] / 60
    assert set(took) == set(BENCHMARKS)
    for command in app.registered_commands:
        name = command.callback.__name__
        if name in took:
            said = re.search(r"about ([\d.]+) minutes", command.callback.__doc__)
            assert took[name] / 1.5 <= float(said[1]) <= 1.5 * took[name], name


def test_a_result_of_another_version_is_not_drawn(tmp_path, capsys):
    content = json.loads(RESULTS[0].read_text())
    content["rows"] = [{"objective": "reward"}]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(content))
    assert bench("draw", old, "--plot", tmp_path / "x.png") == 2
    assert "another version" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [old]
