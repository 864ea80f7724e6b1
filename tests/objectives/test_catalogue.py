"""The catalogue names every objective, its rows say what is true of what they make, and pages follow it."""

import inspect
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from textbook import line_of

import dagame as dg
from dagame.games.library import COMMON_SUPPORT, KINKED, OBJECTIVES
from dagame.objectives.catalogue import CATALOGUE
from dagame.objectives.names import LABEL_FREE, LABELLED

KINDS = pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
NU = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
W = np.array([0.4, 0.6])


def made(kind, strength=0.5, m=2, n=3):
    return kind.make(strength, np.random.default_rng(3), m, n)


def _public_objectives():
    """Names of `dg` that are called to make an objective."""
    for name in dg.__all__:
        value = getattr(dg, name)
        home = getattr(value, "__module__", "")
        if home.startswith("dagame.objectives.") and not home.endswith((".sets", ".objective")):
            yield name


def test_every_public_objective_is_in_the_catalogue():
    assert {kind.public for kind in CATALOGUE.values()} == set(_public_objectives())
    assert {"Reward", "Coherence", "HardConstraint"} <= set(_public_objectives())


def test_random_games_and_the_command_line_have_every_kind():
    random = set(OBJECTIVES | KINKED) - {"sum", "difference", "worst-case-sum"}
    assert set(CATALOGUE) - random == {"majority-vote", "trace-coherence"}
    commands = [kind.command for kind in CATALOGUE.values() if kind.command]
    assert sorted(commands) == sorted({*LABEL_FREE, *LABELLED})


@KINDS
def test_a_row_says_what_is_true_of_what_it_makes(kind):
    phi = made(kind)
    assert phi.concave is kind.concave
    assert phi.has_multipliers is kind.multipliers
    assert isinstance(phi, dg.Objective)
    stated = inspect.signature(getattr(dg, kind.public)).parameters.get("strength")
    assert (stated is not None) == (kind.strengths is not None)
    if stated is not None:
        assert stated.default == 1.0
        assert made(kind, 0.0).concave is True
    if kind.on_traces:
        with pytest.raises(dg.DagameError, match="acts on traces"):
            dg.AlignmentGame(NU, phi, beta=1.0, answers=[0, 1, 2])
    else:
        dg.AlignmentGame(NU, phi, beta=1.0, answers=[0, 1, 2])


@KINDS
def test_the_support_that_a_row_says_is_needed(kind):
    """Phi of marginals, and the game of a reference, where one context lacks answer 1."""
    lacking = np.array([[0.5, 0.0, 0.5], [0.1, 0.2, 0.7]])
    value = float(made(kind).value(lacking, W))
    if kind.support == "full":
        assert value == -np.inf
        assert dg.solve(dg.AlignmentGame(lacking, made(kind), beta=1.0), throw=False).status is (
            dg.Status.INFEASIBLE
        )
    elif kind.support == "common":
        assert value == -np.inf
        found = dg.solve(dg.AlignmentGame(lacking, made(kind), beta=1.0, weights=W))
        assert not found.marginals[:, 1].any()
    elif not kind.multipliers:
        assert np.isfinite(value)
    assert (kind.name in COMMON_SUPPORT) == (kind.support != "any")


@KINDS
def test_the_referee_states_what_is_differentiable(kind):
    known = all(line_of(part) is not None for _, part in made(kind).terms())
    assert known == (not (kind.multipliers or kind.kinked or kind.on_traces))


@KINDS
def test_a_row_with_labels_takes_them_alone(kind):
    if kind.labels:
        correct = np.array([[1.0, 0.0, 1.0]])
        value = float(kind.build(1.0, correct).value(NU, W))
        more = float(kind.build(1.0, np.ones((1, 3))).value(NU, W))
        assert value < more
    elif kind.command:
        assert isinstance(kind.build(0.5), dg.Objective)


@KINDS
def test_random_strengths_fit_games_of_beta_1(kind):
    if kind.strengths is None or kind.on_traces or kind.kinked:
        return
    low, high = kind.strengths
    for strength in (low, high):
        game = dg.AlignmentGame(NU, made(kind, strength), beta=1.0, weights=W)
        assert game.provable
    if not kind.concave:
        assert not dg.AlignmentGame(NU, made(kind, 10.0), beta=1.0, weights=W).provable


def test_the_page_of_objectives_is_made_from_the_catalogue():
    docs = Path(dg.__file__).parents[1] / "docs"
    page = runpy.run_path(str(docs / "hooks.py"))["filled"](
        (docs / "reference" / "objectives.md").read_text(encoding="utf-8")
    )
    for kind in CATALOGUE.values():
        row = next(line for line in page.splitlines() if line.startswith(f"| {kind.name} | "))
        assert f"[dagame.{kind.public}]" in row
        assert (f"`{kind.command}`" in row) == bool(kind.command)
        assert row.endswith(f" | {kind.support} |")
    entries = re.findall(r"^::: dagame\.(\w+)$", page, re.MULTILINE)
    sets = [n for n, v in vars(dg).items() if getattr(v, "__module__", "").endswith(".sets")]
    assert sorted(entries) == sorted(["Objective", *_public_objectives(), *sets])
