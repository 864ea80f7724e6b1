"""The classifier and the atlas of published rewards (theory, section 7b)."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame._methods import atlas, where_it_ends

P = sympy.Symbol("p")

KNOWN = [
    (-sympy.log(P), "answer", True),
    (1 - P, "answer", True),
    (P, "answer", False),
    (P ** sympy.Rational(-1, 2), "answer", True),
    (1 - sympy.Abs(P - sympy.Rational(1, 4)), "answer", False),
    (sympy.Integer(1), "success", True),
    (1 / P, "success", True),
    (1 / sympy.sqrt(P * (1 - P)), "success", False),
    (4 * (1 - P) ** 3, "success", True),
    ((1 - (1 - P) ** 4) / P, "success", True),
]


@pytest.mark.parametrize(("reward", "of", "concave"), KNOWN)
def test_concavity_and_objective(reward, of, concave):
    made = dg.classify(reward, of=of)
    assert made.concave is concave
    assert bool(made.increasing) is not concave
    payment, p = made.payment, np.linspace(0.05, 0.95, 19)
    h = 1e-6
    slope = (payment.antiderivative(p + h) - payment.antiderivative(p - h)) / (2 * h)
    np.testing.assert_allclose(slope, payment.paid(p), rtol=1e-6, atol=1e-6)
    assert "g(p)" in str(made)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_callable_integrates_like_its_formula(a, b):
    symbolic = dg.classify(-sympy.log(P)).payment.antiderivative
    numeric = dg.classify(lambda p: -np.log(p)).payment.antiderivative
    a, b = np.array([a]), np.array([b])
    np.testing.assert_allclose(numeric(a) - numeric(b), symbolic(a) - symbolic(b), atol=1e-10)


def test_the_equilibrium_before_any_training():
    reference = np.array([[0.5, 0.3, 0.2]])
    ours = dg.classify(-sympy.log(P)).equilibrium(reference, beta=1.0, strength=0.7)
    known = dg.solve(dg.AlignmentGame(reference, dg.ShannonDiversity(0.7), beta=1.0))
    np.testing.assert_allclose(ours.marginals, known.marginals, atol=1e-6)
    ours = dg.classify(1 / P, of="success").equilibrium(reference, beta=1.0, success=[1, 0, 0.5])
    known = dg.solve(dg.AlignmentGame(reference, dg.LogSuccess([1, 0, 0.5]), beta=1.0))
    np.testing.assert_allclose(ours.value, known.value, atol=1e-9)


def test_curvature_is_a_bound_and_decides():
    made = dg.classify(P)
    assert -1.01 <= made.curvature <= -1.0
    assert made.equilibrium([[0.6, 0.4]], beta=1.0, strength=0.9).gap < 1e-9
    with pytest.raises(dg.DagameError, match="T6"):
        made.equilibrium([[0.6, 0.4]], beta=1.0, strength=1.1)
    assert dg.classify(1 / sympy.sqrt(P * (1 - P)), of="success").curvature == -np.inf


def test_gapo_with_two_answers_is_constant_on_the_simplex():
    """The rare exception: not concave on the orthant, constant for two answers."""
    made = dg.classify(1 - sympy.Abs(P - sympy.Rational(1, 2)))
    phi = made.as_objective()
    values = [phi.value(np.array([[p, 1 - p]])) for p in np.linspace(0.01, 0.99, 9)]
    np.testing.assert_allclose(values, values[0])


@pytest.mark.parametrize(
    ("reward", "options", "message"),
    [
        (P * sympy.Symbol("q"), {}, "2 symbols"),
        (3, {}, "give a sympy expression"),
        (P, {"of": "token"}, 'choose "answer"'),
        (lambda p: np.where(p > 0.5, np.nan, 1), {}, "not finite"),
    ],
)
def test_what_is_no_reward(reward, options, message):
    with pytest.raises(dg.DagameError, match=message):
        dg.classify(reward, **options)


def test_a_success_reward_needs_to_know_success():
    with pytest.raises(dg.DagameError, match="success="):
        dg.classify(P, of="success").as_objective()


@pytest.mark.parametrize("name", dg.methods)
def test_the_atlas_says_what_holds(name):
    """The stated concavity, against the objective's own and random chords; where it ends is certified."""
    method = dg.methods[name]
    phi = method.objective(np.array([0, 1.0, 0, 1.0]), 1.0)
    assert (phi.concave is True) == method.concave
    rng = np.random.default_rng(0)
    bend = max(
        (phi.value(p) + phi.value(q)) / 2 - phi.value((p + q) / 2)
        for p, q in (rng.dirichlet(np.ones(4) * 0.4, (2, 2)) + 1e-9 for _ in range(500))
    )
    assert (bend <= 1e-9) == method.concave
    end = where_it_ends(method)
    assert (end["gap"] is None) == (name == "GRPO with std division")
    if end["gap"] is not None:
        assert end["gap"] < 1e-9


def test_the_atlas_is_a_table():
    lines = atlas().splitlines()
    assert len(lines) == len(dg.methods) + 2
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
