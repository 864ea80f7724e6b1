"""The classifier and the atlas of published rewards (docs/theory/classifier.md)."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.theory.atlas import atlas, where_it_ends

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


# -- jumps, steep rises, ends -------------------------------------------------------------------------

HALF, QUARTER = sympy.Rational(1, 2), sympy.Rational(1, 4)

RISING = {
    "majority": lambda p: (p > 0.5) * 1.0,
    "sign": lambda p: np.sign(p - 0.25),
    "rounded": lambda p: np.round(4 * p) / 4,
    "steep": lambda p: np.tanh(1e6 * (p - 1 / 3)),
    "noisy constant that jumps": lambda p: ((1 - (1 - p) ** 4) / p < 3) * 1.0,
    "Piecewise": sympy.Piecewise((0, P < HALF), (1, True)),
    "Heaviside": sympy.Heaviside(P - HALF),
    "symbolic sign": sympy.sign(P - QUARTER),
    "floor": sympy.floor(4 * P),
    "symbolic steep": sympy.tanh(10**6 * (P - sympy.Rational(1, 3))),
    "bell": -P + sympy.exp(-(((P - HALF) * 10**5) ** 2)) / 10,
    "narrower bell": -P + 0.1 * sympy.exp(-(((P - 0.3) / 1e-8) ** 2)),
}


@pytest.mark.parametrize("of", ["answer", "success"])
@pytest.mark.parametrize("name", RISING)
def test_what_rises_somewhere_is_not_concave(name, of):
    made = dg.classify(RISING[name], of=of)
    assert made.concave is False
    assert made.as_objective(success=[1, 0]).concave is False
    assert made.curvature < -1000
    if "steep" not in name and "bell" not in name:
        assert made.curvature == -np.inf
        assert made.jumps_up
        assert "by a jump at" in str(made)


def test_paid_for_the_majority_has_no_certificate():
    """J of a known policy is above the bound that was once called a proof."""
    with pytest.raises(dg.DagameError, match="not concave"):
        dg.classify(RISING["majority"]).equilibrium([[0.4, 0.35, 0.25]], beta=1.0, strength=4.0)


@pytest.mark.parametrize("reward", [
    lambda p: (p < 1 / 3) * 2.0, sympy.Piecewise((2, sympy.Rational(1, 3) > P), (0, True)),
    -sympy.Heaviside(P - HALF), -sympy.sign(P - QUARTER), -sympy.floor(4 * P),
])  # fmt: skip
def test_a_jump_down_is_concave_without_a_smoothness_constant(reward):
    made = dg.classify(reward)
    assert made.concave
    assert made.smoothness is None
    assert made.jumps
    assert not made.jumps_up
    p = np.array([0.1, 0.3, 0.6, 0.9])
    exact = [
        float(np.trapezoid(made.payment.paid(x), x))
        for x in (np.linspace(0.1, q, 400_001) for q in p)
    ]
    found = made.payment.antiderivative(p)
    np.testing.assert_allclose(found - found[0], exact, atol=2e-5)


def test_what_is_proved_and_what_was_tried():
    proved = [-sympy.log(P), P ** -HALF, (1 - (1 - P) ** 4) / P, sympy.exp(-3 * P), -sympy.tanh(5 * P),
              P * sympy.log(1 - P), sympy.log(2 - P), -(P ** sympy.Float(0.3)),
              sympy.Min(1 - P, HALF)]  # fmt: skip
    for reward in proved:
        made = dg.classify(reward)
        assert (made.known, made.as_objective().concave) == ("proved", True)
    for reward in (lambda p: -np.log(p), sympy.cos(P)):
        made = dg.classify(reward)
        assert (made.concave, made.known) == (True, "on the points tried")
        assert made.as_objective().concavity_known == "on the points tried"
        assert "on the points tried" in str(made)
        found = made.equilibrium([[0.5, 0.3, 0.2]], beta=1.0)
        assert found.certificate.conditional
    assert (
        not dg.classify(-sympy.log(P))
        .equilibrium([[0.5, 0.3, 0.2]], beta=1.0)
        .certificate.conditional
    )


@pytest.mark.parametrize(("power", "rational"), [(2, 2), (1.5, sympy.Rational(3, 2))])
def test_rewards_that_fall_like_powers_of_the_logarithm_have_no_curvature(power, rational):
    for reward in (lambda p: -(np.abs(np.log(p)) ** power), -(sympy.Abs(sympy.log(P)) ** rational)):
        made = dg.classify(reward)
        assert made.curvature == -np.inf
        assert "no strength is certified" in str(made)


EXACT = {
    sympy.log(1 - P): (0.0, np.inf, lambda p: -p - (1 - p) * np.log(1 - p)),
    sympy.log(2 - P): (0.0, 1.0, lambda p: -p - (2 - p) * np.log(2 - p)),
    1 / (2 - P): (-1.0, 0.0, lambda p: -np.log(2 - p)),
    1 / (3 - 2 * P): (-2.0, 0.0, lambda p: -np.log(3 - 2 * p) / 2),
    P * sympy.log(1 - P): (
        0.0,
        np.inf,
        lambda p: (p**2 - 1) / 2 * np.log(1 - p) - p**2 / 4 - p / 2,
    ),
    (1 - P) ** -2: (-np.inf, 0.0, lambda p: 1 / (1 - p)),
    1 / (8 * (1 + P)): (0.0, 1 / 32, lambda p: np.log(1 + p) / 8),
    P**2 - P: (-1.0, 0.125, lambda p: p**3 / 3 - p**2 / 2),
}


@pytest.mark.parametrize("reward", EXACT, ids=str)
def test_constants_and_antiderivatives_by_hand(reward):
    low, high, integral = EXACT[reward]
    made = dg.classify(reward)
    assert made.curvature == pytest.approx(low, abs=1e-12)
    assert (np.inf if made.smoothness is None else made.smoothness) == pytest.approx(
        high, abs=1e-12
    )
    p = np.array([1e-6, 0.2, 0.7, 0.999])
    found = made.payment.antiderivative(p)
    np.testing.assert_allclose(found - found[0], integral(p) - integral(p[0]), atol=1e-9)
    if np.isfinite(low):
        solution = made.equilibrium([[0.5, 0.3, 0.2]], beta=1.0, strength=0.4)
        assert solution.gap < 1e-9


def test_a_dilogarithm_is_integrated_numerically():
    import mpmath

    made = dg.classify(-sympy.log(1 - P) / P, of="success")
    assert made.objective is None
    p = np.array([0.1, 0.5, 0.99])
    found = made.payment.antiderivative(p)
    exact = [float(mpmath.polylog(2, x)) for x in p]
    np.testing.assert_allclose(found - found[0], np.array(exact) - exact[0], atol=1e-9)


@pytest.mark.parametrize("reward", [
    lambda p: 1 if p > 0.5 else 0, lambda p: "a", lambda p: p + 1j, lambda p: np.zeros(3), sympy.sqrt(P - 2),
    sympy.floor(1 / P), sympy.floor(sympy.sin(90 * P)), lambda p: 1 / 0, sympy.zeta(P), lambda p: None,
])  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_sentence(reward):
    with pytest.raises(dg.DagameError) as caught:
        dg.classify(reward)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_numbers_are_exact_or_called_about():
    assert "increases on (0, 1)" in str(dg.classify(P))
    assert "strength < beta." in str(dg.classify(P))
    assert "beta / 0.125." in str(dg.classify(1 / (2 - P), of="success"))
    assert "beta / about 0.1356" in str(dg.classify(-P * sympy.log(P)))
    assert "beta / about 1.002" in str(dg.classify(lambda p: p))
