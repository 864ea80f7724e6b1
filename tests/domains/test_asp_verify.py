"""The row of `dagame verify`: it holds, sees keys that are wrong, and says when clingo is missing."""

import pytest

import dagame as dg
from dagame.domains.asp import worker
from dagame.theory import checks

ROW = "answer sets"


@pytest.fixture(autouse=True)
def _this_row_alone(monkeypatch):
    monkeypatch.setattr(
        "dagame.theory.verify.CHECKS", [c for c in checks.CHECKS if c.theorem == ROW]
    )
    monkeypatch.setattr("dagame.theory.verify.reference_games", dict)
    yield
    worker.close()


def verdict(games=30):
    report = dg.verify(seed=1, games=games)
    return next((c for c in report.checks if c.theorem == ROW), None), report


def test_keys_are_invariant_and_tell_near_misses_apart():
    pytest.importorskip("clingo", reason="clingo is not installed (pip install -e '.[asp]')")
    found, report = verdict()
    assert found is not None
    assert found.passed
    assert found.cases >= 30
    assert not report.skipped
    assert found.page == "theory/answer-sets"


@pytest.mark.parametrize(
    "wrong",
    [lambda text: text, lambda text: "same", lambda text: None, lambda text: len(text.split())],
    ids=["the text itself", "one key for all", "no key", "its length"],
)
def test_wrong_keys_are_seen(monkeypatch, wrong):
    monkeypatch.setattr(checks.answer_sets, "require_clingo", lambda: None)
    monkeypatch.setattr(checks.answer_sets, "semantic_key", lambda seconds: wrong)
    found, report = verdict()
    assert found is not None
    assert not found.passed
    assert not report.passed


def test_without_clingo_the_row_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.setattr(worker, "find_spec", lambda name: None)
    found, report = verdict()
    assert found is None
    ((row, why),) = report.skipped
    assert row == ROW
    assert why.startswith("clingo is not installed, which reading answer-set programs needs: pip")
    assert "[asp]" in "".join(str(report).split())
