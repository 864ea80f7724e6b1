"""The command line as a user meets it: outputs, exit codes, one sentence for each error."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from commandline import dagame

from dagame.apps.sample_file import sample_file
from dagame.objectives.catalogue import CATALOGUE
from dagame.objectives.names import NAMES

EXTRACT = r"Answer: (\S+)"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return sample_file(tmp_path_factory.mktemp("samples") / "s.jsonl", 1, questions=8, samples=10)


def solving(samples, *more):
    return dagame(
        "solve", samples, "--class", "question", "--context", "format", "--extract", EXTRACT, *more
    )


def test_solve_writes_what_it_says(samples, tmp_path):
    out, summary = tmp_path / "new" / "out", tmp_path / "s.json"
    done = solving(samples, "--correct", "correct", "--out", out, "--json", summary)
    assert done.returncode == 0, done.stderr
    assert "8 solved" in done.stdout
    found = json.loads(summary.read_text())
    assert set(found) == {"verdict", "summary", "held_out", "reading", "classes", "provenance"}
    assert found["summary"]["conditions"]
    assert found["provenance"]["versions"]["polars"] == pl.__version__
    assert found["provenance"]["command"][:2] == ["dagame", "solve"]
    assert len(found["classes"]) == 8
    assert found["summary"]["max_gap"] <= 1e-11
    rows = pl.read_parquet(out / "samples.parquet")
    assert len(rows) == 240
    assert {"answer", "reward", "weight", "weight_normalised", "completion"} <= set(rows.columns)
    page = (out / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)
    assert "<script" not in page
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "samples.parquet"]


def test_the_example_is_solved_in_a_fresh_place(tmp_path):
    done = dagame("solve", "--example", "--strength", "10", "--json", "s.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "Agreement would rise from 0.56 to 0.68 (0.64 to 0.72) and accuracy"
    )
    assert "to 0.90 and 0.86 on those fitted" in " ".join(done.stdout.split())
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["summary"]["accuracy_equilibrium"] == pytest.approx(0.8551, abs=1e-4)
    assert found["summary"]["intervals"]["accuracy_gain"][0] > 0.15
    held = found["held_out"]["accuracy"]
    assert 0.7 < held["interval"][0] < held["after"] < held["interval"][1] < 0.82
    assert found["held_out"]["seed"] == 0
    assert found["reading"]["rows"] == 10770
    assert len(found["reading"]["examples"]) == 10
    origin = found["provenance"]
    assert origin["command"][-6:] == ["solve", "--example", "--strength", "10", "--json", "s.json"]
    assert origin["versions"]["polars"] == pl.__version__
    assert origin["source"].endswith("dates.jsonl.gz")
    assert (origin["extract"], origin["canonical"]) == ("the column answer", "number")


def test_the_example_takes_other_columns_but_no_other_file(samples, tmp_path):
    done = dagame("solve", samples, "--example")
    assert done.returncode == 2
    assert (
        done.stderr == "dagame: --example brings its own file; leave the file or --example out.\n"
    )
    more = ("--gold", "gold", "--context", "model", "--no-answer", "drop", "--json", "-")
    found = json.loads(dagame("solve", "--example", *more).stdout)
    assert found["summary"]["majority_accuracy"] == pytest.approx(0.8742, abs=0.01)
    assert found["summary"]["no_answer"] == 0


def test_warnings_are_shown_and_with_strict_are_exit_code_3(samples, tmp_path):
    bad = ["solve", samples, "--class", "question", "--extract", r"= \d+. Answer: (\d+)"]
    done = dagame(*bad, "--correct", "correct", "--json", tmp_path / "s.json", "--strict")
    assert done.returncode == 3
    told = json.loads((tmp_path / "s.json").read_text())["reading"]["warnings"]
    assert [w["kind"] for w in told] == ["unread", "no answer right", "no policy moves"]
    shown = " ".join(done.stdout.split())
    assert all(" ".join(w["sentence"].split()) in shown for w in told)
    assert dagame(*bad, "--correct", "correct").returncode == 0
    assert solving(samples, "--strict").returncode == 0


def test_json_to_stdout_is_all_that_stdout_holds(samples, tmp_path):
    done = solving(samples, "--json", "-", "--out", tmp_path, "--no-report")
    assert json.loads(done.stdout)["summary"]["classes"] == 8
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("objective", NAMES)
def test_every_objective(samples, objective):
    convex = any(k.command == objective and not (k.concave or k.kinked) for k in CATALOGUE.values())
    more = ("--strength", "0.1") if convex else ()
    done = solving(samples, "--objective", objective, "--correct", "correct", "--json", "-", *more)
    found = json.loads(done.stdout)["summary"]
    assert done.returncode == 0
    assert found["solved"] + len(found["infeasible"]) == 8


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--objective", "cohrence"], "did you mean 'coherence'"),
        (["--objective", "reward"], "needs labels"),
        (["--beta", "0"], "beta is 0"),
        (["--strength", "-2"], "strength is -2"),
        (["--completion", "text"], "no column 'text'"),
        (["--extract", "Answer: .*"], "has no group"),
        (["--extract", "("], "does not compile"),
        (["--extract", r"(\d{90})"], "no sample has an answer"),
        (["--canonical", "nospac"], "did you mean 'nospace'"),
        (["--method", "newtn"], "did you mean 'newton'"),
        (["--json", "/proc/nowhere/x.json"], "cannot be written"),
        (["--json", "."], "is a folder"),
        (["--device", "tpu"], "choose auto, cpu or cuda"),
        (["--out", "/proc/nowhere"], "cannot be made"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(samples, more, message):
    done = solving(samples, *more)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("dagame: ")
    assert done.stderr.count("\n") == 1


def test_torch_gives_what_numpy_gives(samples, tmp_path):
    one, other = (solving(samples, "--json", "-", *more) for more in ([], ["--device", "cpu"]))
    a, b = (json.loads(done.stdout)["summary"] for done in (one, other))
    assert b["mean_value"] == pytest.approx(a["mean_value"], abs=1e-10)
    assert b["max_gap"] < 1e-11
    assert solving(samples, "--device", "auto", "--out", tmp_path).returncode == 0


def test_outputs_are_checked_before_the_work(samples, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("kept")
    done = dagame("solve", "missing.jsonl", "--class", "q", "--out", blocked)
    assert "is a file; name a folder" in done.stderr
    assert blocked.read_text() == "kept"


def test_missing_options_are_usage_errors(samples):
    done = dagame("solve", samples)
    assert done.returncode == 2
    assert "--class" in done.stderr


def test_verify(tmp_path):
    arguments = "--objective", "dagame:GiniDiversity", "--games", 9  # without the reference games
    done = dagame("verify", *arguments, "--json", tmp_path / "v.json")
    assert done.returncode == 0, done.stdout
    found = json.loads((tmp_path / "v.json").read_text())
    assert found["passed"] is True
    assert found["provenance"]["versions"]["numpy"]
    assert "T5 holds" in done.stdout


def test_the_version():
    assert re.fullmatch(r"dagame \d+\.\d+\.\d+\n", dagame("--version").stdout)


def test_a_violation_is_exit_code_1(monkeypatch, tmp_path):
    code = (
        "import sys, dagame as dg, dagame.apps.cli\n"
        "from dagame.theory import verify as _verify\n"
        "dg.ShannonDiversity.reward_log = lambda self, nu, w: -2 * self.strength * nu\n"
        "_verify.CHECKS = [c for c in _verify.CHECKS if c.theorem == 'gradient']\n"
        "_verify.reference_games = dict\n"
        "sys.argv = ['dagame', 'verify', '--games', '20']\n"
        "dagame.apps.cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "VIOLATED" in done.stdout


GAME24 = Path(__file__).parents[2] / ".." / "shared" / "data" / "game24" / "gpt4_samples.jsonl"


@pytest.mark.skipif(not GAME24.exists(), reason="the GPT-4 Game of 24 samples are not at hand")
@pytest.mark.parametrize("objective", ["coherence", "shannon", "gini", "hard-coherence"])
def test_game_of_24(objective):
    done = dagame(
        *("solve", GAME24, "--class", "problem", "--context", "prompt_format"),
        *("--correct", "correct", "--extract", r"Answer:\s*([^=\n]*)", "--canonical", "nospace"),
        *("--objective", objective, "--json", "-"),
    )
    found = json.loads(done.stdout)["summary"]
    assert found["max_gap"] <= 1e-10
    assert (found["classes"], found["contexts"], found["samples"]) == (100, 200, 20000)
    infeasible = ["903", "907", "958", "999"] if objective == "hard-coherence" else []
    assert found["infeasible"] == infeasible
    assert found["solved"] == 100 - len(infeasible)
