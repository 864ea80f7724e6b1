"""`verify` passes, and sees what is wrong."""

import numpy as np
import pytest
from commandline import dagame

import dagame as dg
from dagame.games import library


def test_every_theorem_holds():
    report = dg.verify(seed=5, games=12)
    assert report.passed, str(report)
    assert {c.theorem for c in report.checks} >= {"T1", "T2", "T3", "T4", "T5", "T6", "gradient"}
    assert all(c.cases > 0 for c in report.checks)
    assert report.as_dict()["passed"]
    assert "<table>" in report._repr_html_()


def test_the_command_of_the_readme_passes():
    """As a newcomer types it: its own number of games, seed 0, of which one is hard for transport."""
    done = dagame("verify")
    assert done.returncode == 0, done.stderr
    assert "VIOLATED" not in done.stdout


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (lambda self, log_nu, weights: -2 * log_nu, {"gradient", "curvature", "T4"}),
        (lambda self, log_nu, weights: +self.strength * log_nu, {"gradient", "curvature", "T4"}),
    ],
)
def test_a_wrong_gradient_is_seen(monkeypatch, wrong, seen):
    made = {"shannon": lambda rng, m, n: dg.ShannonDiversity(0.7)}
    monkeypatch.setattr("dagame.theory.verify.OBJECTIVES", made)
    monkeypatch.setattr("dagame.theory.verify.reference_games", dict)  # they take their time
    monkeypatch.setattr(dg.ShannonDiversity.unit, "reward_log", wrong)
    report = dg.verify(games=1)
    assert not report.passed
    assert seen <= {c.theorem for c in report.checks if not c.passed}


def test_random_families_are_seeded():
    one, other = (library.random_game(np.random.default_rng(3), batch=(2,)) for _ in range(2))
    np.testing.assert_array_equal(one.reference, other.reference)
    np.testing.assert_array_equal(one.weights, other.weights)


def test_the_conditions_of_an_objective_of_ones_own_are_those_of_its_certificates():
    class Squares(dg.Objective):
        def value(self, nu, weights):
            return -(weights * (nu**2).sum(-1)).sum(-1)

        def reward(self, nu, weights):
            return -2 * nu

    report = dg.verify(games=6, objective=Squares())
    game = dg.AlignmentGame(np.full((1, 2), 0.5), Squares(), beta=1.0)
    proof = dg.certify(game, game.reference)
    told = report.as_dict()["conditions"]
    kinds = [c.split(":")[1] for c in map(str, proof.conditions)]
    assert [row["condition"].split(":")[1] for row in told] == kinds
    assert [row["needs"] for row in told] == [c.needs for c in proof.conditions]
    assert "no violation on" in told[1]["condition"]
    assert told[1]["needs"] == "the objective is concave"
    assert "stands on" in str(report)
    assert dg.verify(games=1, objective=dg.GiniDiversity()).conditions == ("concave: proved",)
