"""What objectives state of themselves: defaults, limits, sums, tables of batches, what they exclude."""

import dataclasses
import inspect
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import InvalidObjective
from dagame.games.library import KINKED, OBJECTIVES, random_reference
from dagame.numerics.arrays import LOG_ZERO
from dagame.objectives.catalogue import CATALOGUE
from dagame.objectives.domain import Domain
from dagame.objectives.names import LABEL_FREE, LABELLED, by_name
from dagame.objectives.parameters import axes_of
from tests.games import SEEDS
from tests.kinds import ROWS, made, those

ALL = OBJECTIVES | KINKED
NU = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
W = np.array([0.4, 0.6])
GOAL = np.array([0.2, 0.2, 0.6])
SUCCESS = np.array([1.0, 0.0, 0.5])

ONE_STRENGTH = [name for name, kind in CATALOGUE.items() if kind.strengths is not None]


@pytest.mark.parametrize("name", ONE_STRENGTH)
def test_the_strength_is_a_factor_and_1_by_default(name):
    kind = CATALOGUE[name]
    parameters = kind.parameters(np.random.default_rng(2), 2, 3)

    def make(strength):
        return kind.build(strength, *parameters)

    value, u = make(1.0).value(NU, W), make(1.0).reward(NU, W)
    assert inspect.signature(getattr(dg, kind.public)).parameters["strength"].default == 1.0
    for factor in (0.0, 2.5):
        np.testing.assert_allclose(make(factor).value(NU, W), factor * value, atol=1e-15)
        np.testing.assert_allclose(make(factor).reward(NU, W), factor * u, atol=1e-15)
    for wrong in (-1e-9, np.inf, np.nan, "1", None):
        with pytest.raises(dg.DagameError, match="strength"):
            make(wrong)


@pytest.mark.parametrize("kind", sorted(ALL))
def test_an_objective_is_immutable_and_compared_by_identity(kind):
    phi = ALL[kind](np.random.default_rng(0), 2, 3)
    same = ALL[kind](np.random.default_rng(0), 2, 3)
    for _, part in (*phi.terms(), (1.0, phi)):
        assert hash(part) == hash(part)
        for field in dataclasses.fields(part):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(part, field.name, None)
    assert phi != same


@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
@given(SEEDS)
def test_l_and_mu_scale_with_a_positive_factor_and_swap_under_a_negative_one(kind, seed):
    phi = OBJECTIVES[kind](np.random.default_rng(seed), 2, 3)
    up, down, none = 3.0 * phi, -2.0 * phi, 0.0 * phi
    assert up.curvature_for(W) == pytest.approx(3 * phi.curvature_for(W))
    assert down.curvature == (-np.inf if phi.smoothness is None else -2 * phi.smoothness)
    assert (none.smoothness, none.curvature, none.curvature_for(W)) == (0, 0, 0)
    assert none.concave is True
    if phi.smoothness is None:
        assert up.smoothness is None
    else:
        assert up.smoothness == pytest.approx(3 * phi.smoothness)
        assert down.smoothness == pytest.approx(-2 * phi.curvature)
    assert up.concave is phi.concave


class Unknown(dg.Objective):
    """Says nothing of its sign."""

    def value(self, marginals, weights=None):
        return 0.0 * marginals[..., 0, 0]

    def reward(self, marginals, weights=None):
        return 0.0 * marginals


def test_when_a_sum_is_known_to_be_concave():
    concave, bent, unknown = dg.ShannonDiversity(1.0), dg.Sharpening(0.4), Unknown()
    assert (concave + bent).concave is True
    assert (bent + bent).concave is False
    assert (concave + unknown).concave is None
    assert (bent + unknown).concave is None
    assert (concave - dg.LogSuccess(SUCCESS)).concave is False
    assert (concave + 0 * bent).concave is True
    assert (concave - concave).concave is True
    assert (0.5 * concave - concave).concave is False


def test_a_sum_with_multipliers():
    hard, worst = dg.HardConstraint(dg.Cap([0], 0.3)), dg.WorstCase(np.array([GOAL, SUCCESS]))
    for phi in (hard, worst):
        assert phi.has_multipliers
        assert (dg.Reward(GOAL) + phi).has_multipliers
        with pytest.raises(dg.DagameError, match="negative factor"):
            dg.Reward(GOAL) - phi
    assert not (dg.Reward(GOAL) + dg.ShannonDiversity()).has_multipliers
    with pytest.raises(dg.DagameError, match="one term with multipliers"):
        hard + worst
    both = dg.ShannonDiversity(0.5) + 2.0 * worst
    grades = (W @ NU) @ np.array([GOAL, SUCCESS]).T
    expected = dg.ShannonDiversity(0.5).value(NU, W) + 2 * grades.min()
    assert float(both.value(NU, W)) == pytest.approx(float(expected), rel=1e-12)


@given(SEEDS, st.floats(0.2, 4.0))
def test_a_scaled_objective_is_the_same_game_at_another_beta(seed, factor):
    """max f Phi - beta KL = f max Phi - (beta / f) KL: same equilibrium, f times the value."""
    rng = np.random.default_rng(seed)
    reference = random_reference(rng, (2, 3))
    for phi in (dg.LogSuccess(SUCCESS, 0.7), dg.GiniDiversity(1.2), dg.MajorityVote(1.5)):
        one = dg.solve(dg.AlignmentGame(reference, factor * phi, beta=0.9, weights=W))
        other = dg.solve(dg.AlignmentGame(reference, phi, beta=0.9 / factor, weights=W))
        np.testing.assert_allclose(one.marginals, other.marginals, atol=1e-7)
        assert float(one.value) == pytest.approx(factor * float(other.value), rel=1e-9, abs=1e-12)


def axes_of_tables(phi):
    """The axes of its tables, the same for all of them; [] if it has none."""
    return next((axes for _, o in phi.terms() for _, axes in axes_of(o)), [])


def parameters_per_game(kind, lead, m, n):
    """Random parameters, each table with the batch `lead` and, where it may, one row per context."""
    rng = np.random.default_rng(0)
    first = kind.parameters(rng, m, n)
    axes = axes_of_tables(kind.build(0.5, *first))

    def stacked(place, one):
        rows = (m,) if np.ndim(one) < len(axes) else ()
        drawn = [kind.parameters(rng, m, n)[place] for _ in np.ndindex(*lead, *rows)]
        return np.reshape(drawn, (*lead, *rows, *np.shape(one)))

    return [stacked(k, p) if isinstance(p, np.ndarray) else p for k, p in enumerate(first)]


@pytest.mark.parametrize("lead", [(3,), (2, 3)])
@pytest.mark.parametrize("paid", [False, True])
@pytest.mark.parametrize("name", those(lambda phi: bool(axes_of_tables(phi)), ROWS))
def test_a_table_per_game_is_the_loop_of_single_games(name, paid, lead, rng):
    """Alone, and in a sum with rewards per game."""
    kind = CATALOGUE[name]
    parameters, r = parameters_per_game(kind, lead, 2, 3), rng.uniform(0.1, 1, (*lead, 2, 3))

    def make(pick):
        mine = [pick(p) if isinstance(p, np.ndarray) else p for p in parameters]
        phi = kind.build(1.0 if kind.concave else 0.5, *mine)
        return phi + dg.Reward(pick(r)) if paid else phi

    reference = random_reference(rng, (*lead, 2, 3))
    whole = dg.solve(dg.AlignmentGame(reference, make(lambda t: t), beta=0.7), throw=False)
    for at in np.ndindex(lead):
        phi = make(lambda t, at=at: t[at])
        each = dg.solve(dg.AlignmentGame(reference[at], phi, beta=0.7), throw=False)
        assert float(whole.value[at]) == pytest.approx(float(each.value), abs=1e-8)
    first = (0,) * len(lead)
    shared = dg.AlignmentGame(reference, make(lambda t: t[first][None]), beta=0.7)
    plain = dg.AlignmentGame(reference, make(lambda t: t[first]), beta=0.7)
    np.testing.assert_allclose(
        dg.solve(shared, throw=False).value, dg.solve(plain, throw=False).value
    )


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (2, 2, 3), (1, 2)])
def test_a_table_that_fits_no_game_is_refused(shape):
    with pytest.raises(dg.DagameError, match="does not fit"):
        dg.AlignmentGame(NU, dg.Reward(np.ones(shape)), beta=1.0)


@pytest.mark.parametrize("name", [*LABEL_FREE, *LABELLED])
def test_objectives_by_name_take_a_strength(name):
    correct = np.array([[1.0, 0.0, 1.0]])
    given = by_name(name, 0.7, correct)
    unit = by_name(name, correct=correct)
    np.testing.assert_allclose(given.value(NU, W), 0.7 * unit.value(NU, W), rtol=1e-12)
    if name in LABELLED:
        with pytest.raises(dg.DagameError, match="needs labels"):
            by_name(name)
    with pytest.raises(dg.DagameError, match="did you mean"):
        by_name(name + "x")


def test_names_of_the_command_line_are_what_they_say():
    p = NU[:, [0, 2]].sum(-1)
    correct = np.array([[1.0, 0.0, 1.0]])
    values = {
        "reward": (W * p).sum(),
        "log-success": (W * np.log(p)).sum(),
        "pass-at-4": (W * (1 - (1 - p) ** 4)).sum(),
        "majority-vote": (W * NU.max(-1)).sum(),
        "shannon": -(W * (NU * np.log(NU)).sum(-1)).sum(),
    }
    for name, value in values.items():
        assert float(by_name(name, 1.0, correct).value(NU, W)) == pytest.approx(float(value))


def test_signatures_state_their_defaults():
    """The defaults that the documentation names."""
    stated = {
        (dg.TargetMatching, "direction"): "reverse",
        (dg.Coherence, "consensus"): "arithmetic",
        (dg.PairwiseCoherence, "divergence"): "jensen_shannon",
        (dg.TsallisDiversity, "order"): 2.0,
    }
    for (function, name), value in stated.items():
        assert inspect.signature(function).parameters[name].default == value


def test_tsallis_orders():
    for order in (0.0, 1.0, -0.5, np.inf, np.nan, "2"):
        with pytest.raises(dg.DagameError, match="order"):
            dg.TsallisDiversity(1.0, order)
    half, third = dg.TsallisDiversity(2.0, 0.5), dg.TsallisDiversity(2.0, 3.0)
    assert (half.smoothness, half.curvature) == (None, 1.0)
    assert (third.smoothness, third.curvature) == (6.0, 0.0)
    near = dg.TsallisDiversity(1.0, 1 + 1e-7).value(NU, W)
    assert float(near) == pytest.approx(float(dg.ShannonDiversity().value(NU, W)), rel=1e-5)
    two = dg.TsallisDiversity(1.5, 2.0).value(NU, W)
    assert float(two) == pytest.approx(float(dg.GiniDiversity(1.5).value(NU, W)), rel=1e-12)


def test_renyi_orders():
    for order in (0.0, -0.5, 1.0 + 1e-9, 2.0, np.inf, np.nan, "0.5"):
        with pytest.raises(dg.DagameError, match="order"):
            dg.RenyiDiversity(1.0, order)
    shannon = float(dg.ShannonDiversity(2.0).value(NU, W))
    assert float(dg.RenyiDiversity(2.0, 1.0).value(NU, W)) == shannon
    for apart in (1e-3, 1e-7, 1e-12):
        near = dg.RenyiDiversity(2.0, 1 - apart)
        assert float(near.value(NU, W)) == pytest.approx(shannon, rel=apart)
        u, v = near.reward(NU, W), dg.ShannonDiversity(2.0).reward(NU, W)
        np.testing.assert_allclose(u - u[:, :1], v - v[:, :1], rtol=4 * apart + 1e-12)
    even = np.full((1, 5), 0.2)
    sure = np.array([[0.5, 0.5, 0.0, 0.0, 0.0]])
    for order in (1e-6, 0.3, 0.9):
        assert float(dg.RenyiDiversity(1.0, order).value(even)) == pytest.approx(np.log(5))
        assert float(dg.RenyiDiversity(1.0, order).value(sure)) == pytest.approx(np.log(2))


def test_renyi_entropies_above_order_1_have_convex_chords():
    """The definition, on 1 - e and many rare answers: what the refusal of such orders rests on."""
    for order in (1.05, 2.0, 4.0):
        n = 10**5 if order > 1.5 else 10**7

        def entropy(e, order=order, n=n):
            return np.log((1 - e) ** order + n * (e / n) ** order) / (1 - order)

        assert entropy(0.55) < (entropy(0.5) + entropy(0.6)) / 2


def test_success_lies_between_0_and_1_and_k_is_a_count():
    for wrong in ([1.0 + 1e-9, 0.0], [-1e-9, 1.0]):
        with pytest.raises(dg.DagameError, match=r"\[0, 1\]"):
            dg.LogSuccess(wrong)
    for k in (0, -1, 1.5, "2"):
        with pytest.raises(dg.DagameError, match="integer >= 1"):
            dg.PassAtK(SUCCESS, k)
    one = dg.PassAtK(SUCCESS, 1)
    assert one.smoothness == 0
    assert float(one.value(NU, W)) == pytest.approx(float(dg.Reward(SUCCESS).value(NU, W)))


def test_at_point_masses_votes_and_entropies_are_numbers():
    """All mass on one answer: log nu = 0 there and -infinity elsewhere."""
    sure = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(dg.MajorityVote(2.0).reward(sure, W), 2 * sure)
    assert dg.MajorityVote(2.0).value(sure, W) == 2
    assert dg.ShannonDiversity().value(sure, W) == 0
    assert dg.Sharpening().value(sure, W) == 0
    assert dg.Agreement().value(sure, W) == 0
    assert dg.SelfConsistency().value(sure, W) == pytest.approx(1)
    assert float(dg.Coherence().value(sure, W)) == pytest.approx(float((W * np.log(W)).sum()))
    for phi in (dg.MajorityVote(1.5), dg.Sharpening(2.0), dg.LogSuccess([1.0, 0.2, 0.5])):
        solution = dg.solve(dg.AlignmentGame(sure, phi, beta=0.7, weights=W))
        np.testing.assert_array_equal(solution.marginals, sure)
        assert float(solution.value) == pytest.approx(float(phi.value(sure, W)), abs=1e-12)


@pytest.mark.parametrize("kind", those(lambda phi: phi.has_hessian))
def test_the_hessian_is_finite_at_a_point_mass(kind):
    phi = made(kind, 0.5, 2, 3)
    with np.errstate(divide="ignore"):
        log_nu = np.maximum(np.log([[[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]]]), LOG_ZERO)
    hessian = phi.hessian_log(log_nu, W)
    for part in hessian:
        assert part is None or np.isfinite(part).all()


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("delta", [0.0, 0.1])
def test_parity_bounds_every_pair_of_contexts(delta, together):
    reference = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    phi = dg.HardConstraint(dg.Parity(delta, answers=[0, 1], together=together))
    nu = dg.solve(dg.AlignmentGame(reference, phi, beta=1.0)).marginals[:, :2]
    mass = nu.sum(-1, keepdims=True) if together else nu
    apart = np.abs(mass[:, None] - mass[None]).max()
    assert apart == pytest.approx(delta, abs=1e-7)
    one = dg.solve(dg.AlignmentGame(reference[:1], phi, beta=1.0))
    np.testing.assert_allclose(one.marginals, reference[:1], atol=1e-7)


@pytest.mark.parametrize("kind", [k for k in CATALOGUE.values() if k.strengths is not None])
def test_an_objective_is_shown_by_its_name_and_strength(kind):
    phi = kind.make(0.5, np.random.default_rng(0), 2, 3)
    shown = repr(phi)
    assert shown.startswith(f"{kind.public}(")
    assert re.search(r"\b0\.5[,)]", shown)
    assert len(shown) < 60
    assert "strength" not in shown


def test_options_are_shown_where_they_are_not_the_default():
    assert repr(dg.PairwiseCoherence()) == "PairwiseCoherence(1)"
    assert repr(dg.RenyiDiversity(2.0, 0.9)) == "RenyiDiversity(2, order=0.9)"
    assert repr(dg.TargetMatching(GOAL, 0.3, "forward")) == (
        "TargetMatching(0.3, direction='forward')"
    )

    class Mine(dg.WorstCase):
        pass

    assert repr(Mine(np.eye(3))) == "Mine(3 graders, 1)"


class Capped(dg.Objective):
    """0 where answer 0 has at most 0.3, which only its own domain says."""

    concave = True

    def value(self, marginals, weights):
        return 0 * (marginals[..., 0] * weights).sum(-1)

    def reward(self, marginals, weights):
        return 0 * marginals


def over(self, log_nu, weights):
    return np.maximum(np.exp(log_nu[..., 0]) - 0.3, 0).max(-1)


def test_a_domain_of_ones_own_is_asked_or_refused():
    """A method that nobody would call is no silent certificate of violation 0."""
    with pytest.raises(InvalidObjective, match=r"'violation'.*Domain before the other bases"):
        type("Mine", (Capped,), {"violation": over})
    with pytest.raises(InvalidObjective, match="'violation'"):
        type(
            "Mine", (Capped, Domain), {"violation": over}
        )  # the default of `Objective` comes first
    own = type("Mine", (Domain, Capped), {"violation": over})
    game = dg.AlignmentGame(np.array([[0.8, 0.2]]), own(), beta=1.0, check=False)
    assert own.hard
    assert float(dg.certify(game, game.reference).violation) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "mine",
    [
        {"linearise": lambda self, *_: None},
        {"domain": "mathematics"},
        {"reply": 1.0},
        {"separable_derivative": lambda self: np.log},
        {"success_derivative": lambda self: np.log},
    ],
)
def test_names_that_mean_something_else_are_refused(mine):
    (name,) = mine
    with pytest.raises(InvalidObjective, match=f"defines '{name}'"):
        type("Mine", (Capped,), mine)
