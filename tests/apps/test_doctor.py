"""`dagame doctor` and `provenance`: versions, verdicts, checks that fail when something is broken."""

import io
import json
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec

import pytest

from dagame.apps import doctor
from dagame.apps.doctor import (
    CHECKS,
    Check,
    Diagnosis,
    Package,
    diagnose,
    packages,
    tables,
    verdict,
)
from dagame.provenance import in_words, provenance


@pytest.mark.parametrize(
    ("here", "said"),
    [
        ("1.19.9", "outside the bound"),
        ("1.20", "older than tested"),
        ("1.21", "tested"),
        ("1.30.0", "between tested"),
        ("2.0.1+cpu", "tested"),
        ("2.0.2", "newer than tested"),
        ("2.1.0rc1", "newer than tested"),
        ("3.0", "outside the bound"),
        (None, "missing"),
    ],
)
def test_verdicts(here, said):
    assert verdict(here, ">=1.20,<3", "1.21.0", "2.0.1", "") == said


def test_what_an_extra_brings_need_not_be_there():
    assert verdict(None, ">=1", "1", "2", "lm") == "not installed (lm)"
    assert verdict("1.5", ">=1", None, None, "") == "never tested"


def test_packages_are_those_that_are_installed():
    found = {p.name: p for p in packages()}
    assert found["numpy"].installed == version("numpy")
    assert found["numpy"].bound.startswith(">=")
    assert {"polars", "cvxpy", "torch", "trl"} <= set(found)
    assert found["trl"].extra == "lm"
    assert not {"pytest", "jupyterlab"} & set(found)


@pytest.fixture(scope="module")
def whole():
    pytest.importorskip("resource")
    from commandline import dagame, dagame_lm

    run = dagame_lm if find_spec("trl") else dagame
    return run("doctor", "--json", "-", columns=80)


def test_every_check_passes_here(whole):
    found = json.loads(whole.stdout)
    assert {c["name"]: c["detail"] for c in found["checks"] if c["ok"] is False} == {}
    assert found["passed"], whole.stderr
    assert whole.returncode == 0
    assert max(map(len, whole.stderr.splitlines())) <= 80
    assert [c["name"] for c in found["checks"]] == list(CHECKS)
    skipped = {c["name"] for c in found["checks"] if c["ok"] is None}
    assert skipped <= {"GPU"} or find_spec("torch") is None


def test_the_tables_fit_eighty_columns():
    from rich.console import Console

    found = tuple(packages())
    checks = (Check("reference games", False, "[not markup] " * 20), Check("GPU", None, "x" * 200))
    shown = Console(file=io.StringIO(), width=80)
    shown.print(*tables(Diagnosis(found, checks, {})))
    text = shown.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert all(p.name in text and (p.installed or "–") in text for p in found)
    assert text.count("x") >= 200
    assert "[not markup]" in text
    assert "FAILED" in text


BROKEN = {
    "reference games": ("dagame.games.certificate.certify", lambda *_: 0),
    "answers": (
        "dagame.samples.keys.reader.AnswerReader.__call__",
        lambda _, texts: ["1"] * len(texts),
    ),
    "files": ("polars.DataFrame.write_parquet", lambda *_: None),
    "trainer": ("dagame.lm.trainers.trl.settings._made", lambda options: int("no such field")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_fails(name, monkeypatch):
    if name == "trainer":
        pytest.importorskip("trl")
    monkeypatch.setattr(*BROKEN[name])
    monkeypatch.setattr(doctor, "CHECKS", {name: CHECKS[name]})
    found = diagnose()
    assert [c.ok for c in found.checks] == [False]
    assert found.checks[0].detail
    assert not found.passed


def test_a_wrong_referee_fails(monkeypatch):
    import dagame.solvers

    real = dagame.solvers.solve

    def wrong(game, method="auto", **options):
        half = (
            game
            if method == "auto"
            else type(game)(game.reference[::-1], game.objective, beta=game.beta)
        )
        return real(half, **options)

    monkeypatch.setattr(dagame.solvers, "solve", wrong)
    assert CHECKS["convex referee"]()[0] is False


def test_one_failure_or_one_old_package_fails_the_whole():
    old = Package("numpy", "1.0", ">=2", "2.0", "2.1", "", "outside the bound")
    fine, new = Check("a", True, ""), Package("x", "9", ">=2", "2", "3", "", "newer than tested")
    assert Diagnosis((new,), (fine, Check("b", None, "")), {}).passed
    assert not Diagnosis((old,), (fine,), {}).passed
    assert not Diagnosis((new,), (fine, Check("b", False, "")), {}).passed


# -- provenance -----------------------------------------------------------------------------------


def test_provenance_names_what_was_loaded():
    import polars  # noqa: F401

    found = provenance()
    assert found["versions"]["numpy"] == version("numpy")
    assert found["versions"]["polars"] == version("polars")
    assert found["python"] == sys.version.split()[0]
    assert json.loads(json.dumps(found)) == found
    code = "from dagame.provenance import provenance; print(*provenance()['versions'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["array-api-compat", "numpy"]


def test_provenance_of_a_checkout_has_its_commit():
    found = provenance()["commit"]
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=os.path.dirname(__file__), capture_output=True, text=True
    )
    if git.returncode:
        assert found is None
    else:
        assert git.stdout.startswith(found.removesuffix("-dirty"))


def test_commands_of_others_stay_private_and_dates_can_be_fixed(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    monkeypatch.setattr(sys, "argv", ["/opt/bin/launcher.py", "-f", "secret.json"])
    found = provenance()
    assert found["date"] == "1970-01-01T00:00:00+00:00"
    assert found["command"] == ["launcher.py"]
    for program in ("/x/bin/dagame", "/x/site-packages/dagame/__main__.py"):
        monkeypatch.setattr(sys, "argv", [program, "solve", "a.jsonl"])
        assert provenance()["command"] == ["dagame", "solve", "a.jsonl"]
    monkeypatch.setattr(sys, "argv", ["/x/dagame/bench/__main__.py", "lm"])
    assert provenance()["command"] == ["dagame-bench", "lm"]
    assert in_words(provenance()).endswith("by dagame-bench lm")
