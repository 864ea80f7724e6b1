"""Every field of a certificate from the formulas of T4 and T6 (docs/theory/game.md), in plain numpy."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import FalseCertificate
from dagame.games.attainable import refute
from tests.games import SEEDS, a_policy, games
from tests.kinds import made, those

TRACES = np.array([0, 0, 1, 2])
REFERENCE = np.array([[0.1, 0.3, 0.4, 0.2], [0.35, 0.05, 0.2, 0.4]])
POLICY = np.array([[0.3, 0.1, 0.4, 0.2], [0.05, 0.25, 0.3, 0.4]])
TARGET = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
WEIGHTS = np.array([0.3, 0.7])
BETA = 0.8

GINI = dg.GiniDiversity(1.7)


def smooth(phi):
    """Finite and differentiable on answers, and bounded by T4 or T6 at this beta."""
    if phi.has_multipliers or phi.on_traces or phi.value(TARGET, WEIGHTS) == -np.inf:
        return False
    return phi.concave is True or phi.curvature_for(WEIGHTS) > -BETA


def a_game(objective, **how):
    how = {"beta": BETA, "weights": WEIGHTS, "answers": TRACES, **how}
    return dg.AlignmentGame(REFERENCE, objective, **how)


def kl(p, q):
    """sum_x w_x KL(p_x || q_x)."""
    safe = np.where(p > 0, p, 1)
    return (np.where(p > 0, p * np.log(safe / q), 0).sum(-1) * WEIGHTS).sum()


def pushed(pi):
    return np.stack([pi[:, z == TRACES].sum(-1) for z in range(3)], -1)


@pytest.mark.parametrize("target", [None, TARGET])
@pytest.mark.parametrize("name", those(smooth))
def test_every_field_is_what_the_theory_says(name, target):
    """T4; where mu < 0, T6: the same for Phi~ = Phi - rho KL(pi||pi0) on traces, and beta - rho."""
    nu, phi = pushed(POLICY), made(name, 1.7, 2, 3)
    phi = phi if smooth(phi) else made(name, 0.7, 2, 3)
    game = a_game(phi)
    rho = max(0.0, -phi.curvature_for(WEIGHTS))
    q = nu if target is None else target
    nu0 = pushed(REFERENCE)
    on_traces = POLICY if target is None else REFERENCE * (q / nu0)[:, TRACES]
    slope = phi.reward(q, WEIGHTS)[:, TRACES] - rho * np.log(on_traces / REFERENCE)
    constant = phi.value(q, WEIGHTS) - rho * kl(on_traces, REFERENCE)
    constant -= ((slope * on_traces).sum(-1) * WEIGHTS).sum()
    free = BETA - rho
    total = np.log((REFERENCE * np.exp(slope / free)).sum(-1))
    bound = constant + free * (total * WEIGHTS).sum()
    value = phi.value(nu, WEIGHTS) - BETA * kl(POLICY, REFERENCE)
    payoff = constant + ((slope * POLICY).sum(-1) * WEIGHTS).sum() - free * kl(POLICY, REFERENCE)

    found = dg.certify(game, POLICY, target)
    near = {"rel": 1e-10, "abs": 1e-12}
    assert float(found.value) == pytest.approx(value, **near)
    assert float(found.upper_bound) == pytest.approx(bound, **near)
    assert float(found.gap) == pytest.approx(bound - value, **near)
    assert float(found.policy_regret) == pytest.approx(bound - payoff, **near)
    assert float(found.target_regret) == pytest.approx(payoff - value, **near)
    assert float(found.distance_bound) == pytest.approx((bound - value) / free, **near)
    assert float(found.tv_bound) == pytest.approx(min(1.0, ((bound - value) / free / 2) ** 0.5))
    assert found.violation == 0
    assert found.conditional is False
    assert found.policy_regret >= 0
    linear = phi.smoothness == 0 and phi.concave is True
    assert (target is None or linear) == (found.target_regret == 0)


def test_the_gap_is_relative_to_a_value_above_beta():
    for scale, size in ((100.0, 100.0), (0.01, BETA)):
        phi = dg.Reward([scale, scale, scale]) + dg.GiniDiversity(1e-3)
        found = dg.certify(a_game(phi), REFERENCE)
        assert found.gap > 0
        assert found.relative_gap == pytest.approx(float(found.gap) / size, rel=1e-2)


def test_a_bound_on_total_variation_is_never_above_one():
    far = dg.certify(a_game(dg.Reward([50.0, 0.0, 0.0])), POLICY)
    assert far.distance_bound > 2
    assert far.tv_bound == 1


def test_a_large_gap_is_a_number_and_not_infinity():
    """Rewards of 1e8: D = beta sum_x w_x log sum_z nu0_x e^{u/beta} = 1e8 + beta sum_x w_x log nu0_x(0)."""
    found, nu = dg.certify(a_game(dg.Reward([1e8, 0.0, -1e8])), POLICY), pushed(POLICY)
    value = 1e8 * ((nu[:, 0] - nu[:, 2]) * WEIGHTS).sum() - BETA * kl(POLICY, REFERENCE)
    bound = 1e8 + BETA * (np.log(pushed(REFERENCE)[:, 0]) * WEIGHTS).sum()
    assert float(found.value) == pytest.approx(value, rel=1e-14)
    assert float(found.upper_bound) == pytest.approx(bound, rel=1e-14)
    assert float(found.gap) == pytest.approx(bound - value, rel=1e-14)


@pytest.mark.parametrize("strength", [0.3, 3.0])
def test_where_no_theorem_applies_the_known_optimum_bounds(strength):
    """MajorityVote: J* = max over the answer z rewarded of beta log sum nu0 e^{strength 1_z / beta}."""
    phi, nu0 = dg.MajorityVote(strength), pushed(REFERENCE)
    tilted = 1 + nu0 * (np.exp(strength / BETA) - 1)
    best = (BETA * np.log(tilted).max(-1) * WEIGHTS).sum()
    value = strength * (pushed(POLICY).max(-1) * WEIGHTS).sum() - BETA * kl(POLICY, REFERENCE)
    found = dg.certify(a_game(phi), POLICY)
    assert float(found.value) == pytest.approx(value, rel=1e-12)
    assert float(found.upper_bound) == pytest.approx(best, rel=1e-12)
    assert float(found.gap) == pytest.approx(best - value, rel=1e-12)
    assert found.policy_regret == found.gap
    assert found.target_regret == 0
    assert found.violation == 0
    assert found.distance_bound == np.inf
    assert found.tv_bound == 1
    assert found.conditional is False
    with pytest.raises(dg.DagameError, match="raise beta or lower"):
        dg.certify(a_game(phi, answers=np.eye(3)[TRACES]), POLICY)


def test_a_policy_off_a_hard_set_is_moved_onto_it_and_its_distance_reported():
    """nu(1) <= 0.25 in each context; off it the excess over the cap, inside it 0."""
    game = a_game(dg.HardConstraint(dg.Cap([1], 0.25)))
    found = dg.certify(game, POLICY)
    assert float(found.violation) == pytest.approx(0.4 - 0.25)
    assert np.isfinite(found.value)
    shrunk = np.where(pushed(POLICY)[:, [1]] > 0.25, [[1, 0, 1]] * 2, 0)
    moved = POLICY * np.where(
        shrunk[:, TRACES] > 0, 0.75 / (1 - pushed(POLICY)[:, [1]]), 0.25 / pushed(POLICY)[:, [1]]
    )
    assert float(found.value) == pytest.approx(-BETA * kl(moved, REFERENCE), rel=1e-6)
    solution = dg.solve(game)
    assert found.value <= solution.value <= found.upper_bound + 1e-9
    assert float(dg.certify(game, solution.policy).violation) <= 1e-9


@given(games(traces=True), SEEDS)
def test_no_violation_without_a_hard_set(game, seed):
    policy = a_policy(game, np.random.default_rng(seed))
    found = dg.certify(game, policy)
    hard = any(
        isinstance(o, dg.HardConstraint | dg.HardCoherence) for _, o in game.objective.terms()
    )
    assert hard or found.violation == 0


@given(st.sampled_from([dg.ShannonDiversity(1.0), dg.TsallisDiversity(1.0, 0.5)]), SEEDS)
def test_a_policy_that_never_gives_an_answer_is_certified_near_by(phi, seed):
    """T4 needs q in the interior: D is the least over the marginal mixed with the reference."""
    rng, game = np.random.default_rng(seed), a_game(phi)
    policy = np.where(rng.integers(3) == TRACES, 0.0, rng.dirichlet(np.ones(4), 2) + 1e-6)
    policy = policy / policy.sum(-1, keepdims=True)
    found, best = dg.certify(game, policy), dg.solve(game)
    assert found.upper_bound >= best.value - 1e-12
    for share in (1e-6, 1e-2, 0.5, 1.0):
        mixed = (1 - share) * pushed(policy) + share * pushed(REFERENCE)
        near = dg.certify(game, policy, mixed)
        assert found.gap <= near.gap * (1 + 1e-9)
    assert float(found.gap) == pytest.approx(float(found.policy_regret + found.target_regret))


def test_a_trace_that_is_never_given_is_certified_near_by_where_t6_moves_its_cost():
    """Its answer is given by another trace: log pi is -infinity there, log nu is not."""
    game = a_game(dg.Sharpening(0.5))
    policy = np.array([[0.0, 0.4, 0.4, 0.2], [0.05, 0.25, 0.3, 0.4]])
    found = dg.certify(game, policy)
    assert dg.solve(game).value <= found.upper_bound + 1e-12
    assert found.gap < 1


@pytest.mark.parametrize(
    "phi", [dg.Coherence(2.0), dg.PairwiseCoherence(1.0), dg.GiniDiversity(1.0)]
)
def test_no_gap_is_below_zero_by_rounding(phi):
    reference = np.random.default_rng(0).dirichlet(np.ones(3), (100, 2))
    game = dg.AlignmentGame(reference, phi, beta=1.0)
    found = dg.solve(game)
    for certificate in (
        dg.certify(game, found.policy),
        dg.certify(game, found.policy, found.target),
    ):
        assert (certificate.gap >= 0).all()


class Squares(dg.Objective):
    """sum p^2, convex: B(p, q) = |p - q|^2 >= mu KL for no finite mu <= 0 but by a bound on p."""

    concave = False

    def value(self, marginals, weights):
        return ((marginals**2).sum(-1) * weights).sum(-1)

    def reward(self, marginals, weights):
        return 2 * marginals


class Bounded(Squares):
    curvature = -2.0


@pytest.mark.parametrize(
    ("phi", "message"),
    [(Squares(), "state `curvature`"), (Bounded(), "its curvature is mu = -2, and beta = 0.8")],
)
def test_what_no_theorem_covers_says_what_would(phi, message):
    with pytest.raises(dg.DagameError, match=message):
        dg.certify(a_game(phi), POLICY)


def test_an_objective_of_unknown_sign_is_certified_on_a_condition():
    class Mine(dg.Objective):
        def value(self, marginals, weights=None):
            return 0.0 * marginals[..., 0, 0]

        def reward(self, marginals, weights=None):
            return 0.0 * marginals

    assert dg.certify(a_game(Mine()), POLICY).conditional is True


def test_a_certificate_is_immutable_shown_and_exported():
    batch = dg.AlignmentGame([REFERENCE, REFERENCE], GINI, beta=BETA, answers=TRACES)
    found = dg.certify(batch, np.array([POLICY, REFERENCE]))
    single = dg.certify(a_game(GINI, weights=None), REFERENCE)
    assert found.gap.shape == (2,)
    assert float(found.gap[1]) == pytest.approx(float(single.gap), rel=1e-12)
    columns = found._columns()
    names = [f.name for f in dataclasses.fields(found) if f.name not in ("conditions", "beta")]
    assert set(names) <= set(columns)
    assert "conditions" not in columns
    for name in names:
        np.testing.assert_array_equal(columns[name], getattr(found, name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.gap = 0
    assert hash(found) != hash(dataclasses.replace(found))


def test_beyond_t6_the_mode_bounds_sharpening():
    """strength >= beta: J* = beta sum_x w_x log max_z nu0_x(z), which is negative (T6)."""
    phi, best = dg.Sharpening(1.5), BETA * (np.log(pushed(REFERENCE).max(-1)) * WEIGHTS).sum()
    found = dg.certify(a_game(phi), POLICY)
    nu = pushed(POLICY)
    value = 1.5 * ((nu * np.log(nu)).sum(-1) * WEIGHTS).sum() - BETA * kl(POLICY, REFERENCE)
    assert float(found.upper_bound) == pytest.approx(best, rel=1e-12)
    assert float(found.gap) == pytest.approx(best - value, rel=1e-12)
    assert float(found.upper_bound - found.value) == pytest.approx(float(found.gap), rel=1e-12)


def test_multipliers_are_named():
    with pytest.raises(TypeError):
        dg.certify(a_game(GINI), POLICY, TARGET, None)
    named = dg.certify(game=a_game(GINI), policy=POLICY, target=TARGET)
    assert named.gap == dg.certify(a_game(GINI), POLICY, TARGET).gap


def test_multipliers_that_are_given_are_priced():
    """A cap that does not bind, at price y: the bound rises by y (limit - nu(0)) in all."""
    phi = dg.HardConstraint(dg.Cap([0], 0.5))
    game = dg.AlignmentGame([[0.2, 0.3, 0.5]], phi, beta=1.0)
    policy, y = np.array([[0.2, 0.3, 0.5]]), 0.4
    found = dg.certify(game, policy, multipliers=np.array([y]))
    dual = y * 0.5 + np.log(0.2 * np.exp(-y) + 0.8)
    assert found.upper_bound == pytest.approx(dual, abs=1e-14)
    assert found.target_regret == pytest.approx(y * (0.5 - 0.2), abs=1e-14)


def test_one_trace_and_a_point_mass_have_a_certificate():
    one = dg.AlignmentGame([[1.0], [1.0]], dg.Coherence(), beta=1.0)
    assert dg.certify(one, np.ones((2, 1))).gap == pytest.approx(0, abs=1e-15)
    game = dg.AlignmentGame([[0.5, 0.5], [0.5, 0.5]], dg.Coherence(), beta=1.0)
    found = dg.certify(game, np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert found.value == pytest.approx(-np.log(2))
    assert found.violation == 0


def test_what_the_multipliers_charge_within_the_tolerance_of_a_set_is_in_the_bound():
    """A cap that is exceeded by less than its tolerance: J is above J*, and the bound is not below J."""
    reference, over = np.array([[0.6, 0.3, 0.1]]), 8e-9
    capped = dg.Reward([1.0, 0.0, 0.0]) + dg.HardConstraint(dg.Cap([0], 0.25))
    game = dg.AlignmentGame(reference, capped, beta=0.5)
    best = dg.solve(game)
    policy = best.policy + np.array([[over, -over, 0.0]])
    found = dg.certify(game, policy, best.marginals)
    assert float(found.value) > float(best.value) + over / 2
    assert float(found.upper_bound) >= float(found.value)
    assert float(found.gap) == pytest.approx(0, abs=over / 100)


def test_a_local_optimum_beyond_t6_has_the_gap_between_its_value_and_the_bound_of_the_chords():
    rng = np.random.default_rng(3)
    phi = dg.PushPull(rng.random((3, 2)), rng.random((3, 2)), epsilon=0.15, push=1.5)
    game = dg.AlignmentGame(rng.dirichlet(np.ones(3), 1), phi, beta=0.05)
    assert not game.provable
    found = dg.certify(game, dg.solve(game).policy)
    tried = rng.dirichlet(np.ones(3), (500, 1))
    many = dg.AlignmentGame(game.reference + 0 * tried, phi, beta=game.beta)
    assert (many.value(tried) <= float(found.upper_bound)).all()
    assert 0 <= float(found.policy_regret) < 1e-8 < float(found.gap)
    for parts in (found.upper_bound - found.value, found.policy_regret + found.target_regret):
        np.testing.assert_allclose(found.gap, parts, rtol=1e-12)


def test_a_false_bound_is_refused_to_the_rounding_of_the_games_own_precision():
    bound, value = np.array(1.0), np.array(1.0 + 1e-6)
    for dtype, refused in ((np.float64, True), (np.float32, False)):
        game = dg.AlignmentGame(REFERENCE.astype(dtype), GINI, beta=BETA)
        if refused:
            with pytest.raises(FalseCertificate, match="is false"):
                refute(game, bound, value)
        else:
            refute(game, bound, value)


def test_games_of_a_batch_without_forbidden_answers_are_bounded_as_alone():
    reference = np.array([[[0.4, 0.3, 0.2, 0.1], [0.1, 0.4, 0.3, 0.2]],
                          [[0.1, 0.2, 0.3, 0.4], [0.3, 0.3, 0.2, 0.2]]])  # fmt: skip
    policy = np.array([[[0.6, 0.4, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0]],
                       [[0.0, 0.5, 0.5, 0.0], [0.2, 0.4, 0.4, 0.0]]])  # fmt: skip
    phi = dg.Coherence(1.0) + dg.TargetMatching([0.5, 0.3, 0.2, 0.0])
    together = dg.certify(dg.AlignmentGame(reference, phi, beta=BETA), policy)
    alone = [dg.certify(dg.AlignmentGame(r, phi, beta=BETA), p)
             for r, p in zip(reference, policy, strict=True)]  # fmt: skip
    np.testing.assert_allclose(together.gap, [float(a.gap) for a in alone], rtol=1e-12)
    np.testing.assert_allclose(together.upper_bound, [float(a.upper_bound) for a in alone])
    assert (together.gap < 5).all()
