"""Sliders: what they offer, what they show when moved, what they say where the theory refuses."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

import dagame as dg
from dagame.objectives.catalogue import CATALOGUE
from dagame.objectives.parameters import bound_to
from dagame.solvers.knobs import knobs, turned

REFERENCE = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1]])
NU = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
W = np.array([0.4, 0.6])


def game(objective, beta=1.0):
    names = {"answer_names": ["yes", "no", "none"], "context_names": ["plain", "polite"]}
    return dg.AlignmentGame(REFERENCE, objective, beta=beta, **names)


def test_a_moved_slider_shows_the_game_at_its_value():
    view = dg.explore(game(dg.Coherence(2.0)))
    assert list(view.sliders) == ["beta", "strength"]
    first = view._picture.value
    for beta, strength in ((0.5, 2.0), (0.5, 7.0), (30.0, 0.1)):
        view.sliders["beta"].value, view.sliders["strength"].value = beta, strength
        want = dg.solve(game(dg.Coherence(strength), beta))
        np.testing.assert_allclose(view.solution.marginals, want.marginals, atol=1e-9)
        assert view.game.beta == beta
        assert f">{float(want.value):.6g}<" in view._facts.value
        assert "solved" in view._facts.value
    assert view._picture.value != first
    assert np.asarray(Image.open(io.BytesIO(view._picture.value)).convert("L")).std() > 1
    assert view.game.answer_names == ("yes", "no", "none")


def test_sums_have_a_slider_for_each_number():
    limits = dg.Cap([2], 0.3) & dg.Floor([0], 0.05) & dg.Cap([1], 0.9)
    phi = dg.Reward([0, 0, 1]) + dg.Coherence(2.0) + dg.HardConstraint(limits)
    view = dg.explore(game(phi))
    view.sliders["limit of Cap of HardConstraint"].value = 0.12
    view.sliders["limit of Cap 2 of HardConstraint"].value = 0.5
    view.sliders["factor of Reward"].value = 3.0
    view.sliders["strength of Coherence"].value = 1.0
    other = dg.HardConstraint(dg.Cap([2], 0.12) & dg.Floor([0], 0.05) & dg.Cap([1], 0.5))
    want = dg.solve(game(3.0 * dg.Reward([0, 0, 1]) + dg.Coherence(1.0) + other))
    np.testing.assert_allclose(view.solution.marginals, want.marginals, atol=1e-7)


@pytest.mark.parametrize("kind", CATALOGUE.values(), ids=CATALOGUE)
def test_every_number_of_every_kind_can_be_turned(kind):
    phi = bound_to(kind.make(0.5, np.random.default_rng(3), 2, 3), NU)
    for knob in knobs(phi):
        assert knob.low <= knob.value <= knob.high
        same = turned(phi, {knob.name: knob.value})
        np.testing.assert_array_equal(same.value(NU, W), phi.value(NU, W))
        np.testing.assert_array_equal(same.reward(NU, W), phi.reward(NU, W))
        new = knob.high if knob.scale == "count" else (knob.low + knob.value) / 2
        other = turned(phi, {knob.name: new})
        assert [k.value for k in knobs(other) if k.name == knob.name] == [new]
    if kind.strengths is not None and kind.public not in ("Reward",):
        assert any(knob.name.startswith("strength") for knob in knobs(phi))


def test_an_objective_of_ones_own_has_its_numbers_too():
    class Diminishing(dg.Objective):
        concave = True

        def __init__(self, e):
            self.e, self.label = e, "none"

        def value(self, nu, weights):
            return (np.log(self.e + nu[..., 0]) * weights).sum(-1)

        def reward(self, nu, weights):
            u = np.zeros_like(nu)
            u[..., 0] = 1 / (self.e + nu[..., 0])
            return u

    view = dg.explore(game(Diminishing(0.05)))
    assert list(view.sliders) == ["beta", "factor", "e"]
    view.sliders["e"].value, view.sliders["factor"].value = 0.5, 2.0
    want = dg.solve(game(2.0 * Diminishing(0.5)))
    np.testing.assert_allclose(view.solution.marginals, want.marginals, atol=1e-9)


def test_what_the_theory_refuses_is_said_and_goes_away_again():
    view = dg.explore(game(dg.Sharpening(0.5) + dg.Reward([0, 0, 1])))
    view.sliders["strength of Sharpening"].value = 20.0
    assert view.solution is None
    assert "raise beta or lower the strength" in view.problem
    assert "raise beta" in view._facts.value
    assert not view._picture.value
    view.sliders["strength of Sharpening"].value = 0.25
    assert view.problem == ""
    assert view.solution.solved


def test_pages_that_cannot_move_it_get_the_picture():
    bundle = dg.explore(game(dg.Coherence(2.0)))._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["image/png"].startswith(b"\x89PNG")


def test_one_game_of_a_batch():
    rng = np.random.default_rng(0)
    batch = dg.AlignmentGame(rng.dirichlet(np.ones(3), (4, 2)), dg.Coherence(1.0), beta=1.0)
    view = dg.explore(batch, 2)
    assert f">{float(dg.solve(batch).value[2]):.6g}<" in view._facts.value
    with pytest.raises(dg.DagameError, match="game 4 is not among the 4"):
        dg.explore(batch, 4)


def test_without_ipywidgets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.delitem(sys.modules, "dagame.solvers.explorer", raising=False)
    with pytest.raises(dg.DagameError, match=r"ipywidgets is not installed: .*notebooks"):
        dg.explore(game(dg.Coherence(2.0)))
