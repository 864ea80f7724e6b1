"""Games with zeros: values against definitions and cvxpy, bounds against all that is known to be attained."""

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import FalseCertificate
from dagame.numerics.simplex import kl as dg_kl
from dagame.objectives import projection
from dagame.solvers import Extragradient
from tests.games import SEEDS
from tests.kinds import BESIDES, ROWS, made, those

HALF = np.array([[0.5, 0.5, 0.0]])


def soft(reference, chosen, strength=0.5, **how):
    return dg.AlignmentGame(
        np.asarray(reference), dg.SoftConstraint(chosen, strength), beta=1.0, **how
    )


# -- soft sets: the target is free on all answers ----------------------------------------------------


def test_exact_parity_is_arithmetic_coherence_also_with_zeros():
    reference = np.array([[0.25, 0.5, 0.25], [0.5, 0.0, 0.5]])
    best = dg.solve(dg.AlignmentGame(reference, dg.Coherence(0.5), beta=1.0), tol=1e-14)
    found = dg.solve(soft(reference, dg.Parity(0.0)))
    assert float(best.value) == pytest.approx(-0.0916324, abs=1e-7)
    assert float(found.value) == pytest.approx(float(best.value), abs=1e-12)
    np.testing.assert_allclose(found.policy, best.policy, atol=1e-7)


@pytest.mark.parametrize("across", [False, True])
def test_of_one_context_a_set_across_contexts_is_the_same_set(across):
    chosen = dg.Floor([2], 0.28, across=across) & dg.Cap([1], 0.45, across=across)
    found = dg.solve(soft(HALF, chosen)).certificate
    assert float(found.value) == pytest.approx(np.log(0.5 / 0.36) * -0.5, abs=1e-12)
    assert found.gap <= 1e-12


def test_a_floor_and_the_cap_on_the_rest_are_one_set():
    reference = [[0.5, 0.5, 0.0], [0.3, 0.3, 0.4]]
    for chosen in (dg.Floor([2], 0.6, across=True), dg.Cap([0, 1], 0.4, across=True)):
        assert float(dg.solve(soft(reference, chosen, 1.0)).value) == pytest.approx(
            -0.3396588, abs=1e-7
        )


@pytest.mark.parametrize("mass", [0.0, 1e-300, 1e-30, 1e-17, 1e-12])
def test_a_floor_on_what_is_hardly_ever_given(mass):
    """By hand: q = (1/4, 1/4, 1/2), KL = log 2, but for what the faint answer takes up."""
    reference = [[0.5, 0.5 - mass, mass]]
    for chosen in (dg.Polytope([[0, 0, -1.0]], [-0.5]), dg.Floor([2], 0.5)):
        found = dg.solve(soft(reference, chosen, 1.0))
        assert float(found.value) == pytest.approx(-np.log(2), abs=4e-6 if mass > 1e-13 else 2e-8)
        assert found.certificate.gap <= 1e-10


def _sets(rng, n):
    z, y = (int(v) for v in rng.integers(n, size=2))
    f = np.arange(n) * 1.0
    return [
        dg.Parity(float(rng.choice([0.0, 0.1]))),
        dg.Floor([z], float(rng.uniform(0.05, 0.8)), across=True),
        dg.Cap([z], float(rng.uniform(0.1, 0.9)), across=True),
        dg.Quota([z], float(rng.uniform(0.05, 0.9)), across=True),
        dg.Floor([z], 0.28, across=True) & dg.Cap([y], 0.45, across=True),
        dg.Moment(f, float(rng.uniform(0.2, n - 1)), across=bool(rng.integers(2))),
        dg.Parity(0.2) & dg.Floor([z], 0.4),
    ]


def least_divergence(nu, w, chosen):
    """min_{q in C} sum w KL(nu || q) by cvxpy, q over all answers: None where the solver is not sure."""
    q = cp.Variable(nu.shape, nonneg=True)
    rows = chosen.rows(*nu.shape, w)
    meets = [cp.sum(q, axis=1) == 1]
    for g, h, equal in zip(rows.matrix, rows.bound, rows.equal, strict=True):
        total = cp.sum(cp.multiply(g, q))
        meets.append(total == h if equal else total <= h)
    at = np.nonzero(nu)
    mass = (w[:, None] * nu)[at]
    problem = cp.Problem(cp.Maximize(mass @ cp.log(q[at])), meets)
    problem.solve(solver="CLARABEL")
    if problem.status != "optimal":
        return None
    return float(mass @ np.log(nu[at]) - problem.value)


@settings(max_examples=20)
@given(SEEDS)
def test_the_projection_with_zeros_against_cvxpy(seed):
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 4)), int(rng.integers(2, 5))
    nu = rng.multinomial(int(rng.choice([2, 4, 8])), rng.dirichlet(np.ones(n), m)) / 1.0
    nu, w = nu / nu.sum(-1, keepdims=True), rng.dirichlet(np.ones(m)) * 0.9 + 0.1 / m
    chosen = _sets(rng, n)[int(rng.integers(7))]
    phi = dg.SoftConstraint(chosen)
    if projection.compiled(chosen, m, n, w).empty[0]:
        return
    log_nu = np.log(np.where(nu > 0, nu, 1)) + np.where(nu > 0, 0, -1e30)
    q = np.exp(phi.projection_log(log_nu, w))
    rows = chosen.rows(m, n, w)
    slack = (rows.matrix * q).sum((1, 2)) - rows.bound
    assert (slack <= 1e-9).all()
    assert (np.abs(slack[rows.equal]) <= 1e-9).all()
    np.testing.assert_allclose(q.sum(-1), 1, atol=1e-12)
    value = -float(phi.value(nu, w))
    least = least_divergence(nu, w, chosen)
    if least is not None and np.isfinite(value):
        assert value == pytest.approx(least, abs=1e-6)
    c, u = phi.reply.linearise(log_nu, w)
    for _ in range(20):  # the dual's bound is one of Phi everywhere
        other = rng.dirichlet(np.full(n, 0.5), m)
        bound = float(c + (w[:, None] * np.where(other > 0, u * other, 0)).sum())
        assert float(phi.value(other, w)) <= bound + 1e-9


def test_the_projection_has_a_gap_of_its_own():
    """Primal and dual values of the divergence meet at rounding error, at zeros and at tiny masses."""
    rng = np.random.default_rng(0)
    chosen, w = dg.Parity(0.05) & dg.Floor([4], 0.3), np.array([0.2, 0.3, 0.5])
    nu = np.where(rng.random((50, 3, 5)) < 0.4, rng.choice([0.0, 1e-300, 1e-18], (50, 3, 5)), 1.0)
    nu[..., 0] += 0.5
    log_nu = np.log(np.where(nu > 0, nu, 1.0)) + np.where(nu > 0, 0, -1e30)
    log_nu = np.where(nu > 0, log_nu - np.log(nu.sum(-1, keepdims=True)), log_nu)
    found = projection.project(log_nu, w, chosen)
    assert found.found.all()
    p = np.exp(log_nu)
    primal = (w[:, None] * np.where(p > 0, p * (log_nu - found.log_q), 0)).sum((-1, -2))
    dual = (w[:, None] * np.where(p > 0, p * found.log_price, 0)).sum((-1, -2)) + found.constant
    np.testing.assert_allclose(primal, dual, atol=1e-14)


def test_floors_that_leave_no_room_take_the_other_answers_out():
    for chosen in (
        dg.Floor([0], 0.5) & dg.Floor([1], 0.5),
        dg.Floor([0], 0.5, across=True) & dg.Floor([1], 0.5, across=True),
    ):
        game = dg.AlignmentGame([[0.2, 0.3, 0.5]], dg.SoftConstraint(chosen), beta=1.0)
        found = dg.solve(game)
        assert found.policy[0, 2] == 0
        assert np.isfinite(found.value)
        assert dg.certify(game, np.array([[0.2, 0.3, 0.5]])).value == -np.inf


# -- bounds at policies and targets with zeros -------------------------------------------------------

REFERENCE = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])


def mild(name, strength=1.0, beta=1.0):
    """Of this strength times beta, or of 0.6 where it is too convex otherwise: T4 or T6 applies."""
    phi = made(name, strength * beta, 2, 3)
    return made(name, 0.6 * beta, 2, 3) if -np.inf < phi.curvature < -0.8 * beta else phi


def bounded(phi):
    """By T4 or T6, on answers; of the sums those with a hard set."""
    bent = phi.concave or phi.curvature > -np.inf
    return bent and not phi.on_traces and (phi.hard or len(phi.terms()) == 1)


BOUNDED = those(bounded, ROWS | BESIDES)


@pytest.mark.parametrize("name", BOUNDED)
@settings(max_examples=15)
@given(SEEDS)
def test_a_bound_at_a_policy_with_zeros_is_a_bound(name, seed):
    rng, game = np.random.default_rng(seed), dg.AlignmentGame(REFERENCE, mild(name), beta=1.0)
    best = dg.solve(game)
    policy, target = (
        np.where(rng.random((2, 3)) < 0.4, 0, rng.random((2, 3))) + np.eye(3)[0] / 1e3 for _ in "pq"
    )
    policy, target = (p / p.sum(-1, keepdims=True) for p in (policy, target))
    for found in (dg.certify(game, policy), dg.certify(game, policy, target)):
        assert found.upper_bound >= best.value - 1e-9
        if found.violation == 0 and np.isfinite(found.value):
            kl = (best.game.weights * dg_kl(policy, best.policy)).sum()
            assert found.distance_bound >= kl - 1e-9


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("pairwise-jensen-shannon", [[0.7, 0.3, 0.0], [0.2, 0.5, 0.3]]),
        ("geometric", [[0.7, 0.3, 0.0], [0.3, 0.7, 0.0]]),
        ("pairwise-hellinger", [[0.7, 0.3, 0.0], [0.3, 0.7, 0.0]]),
        ("soft-floor", [[0.7, 0.3, 0.0], [0.2, 0.5, 0.3]]),
    ],
)
def test_policies_whose_bound_was_below_the_optimum(name, policy):
    game = dg.AlignmentGame(REFERENCE, mild(name), beta=1.0)
    assert dg.certify(game, np.array(policy)).upper_bound >= dg.solve(game).value


class Entropy(dg.Objective):
    """-sum p log p with the reward a textbook gives: infinite at 0."""

    @property
    def concave(self):
        return True

    def value(self, marginals, weights=None):
        p = np.where(marginals > 0, marginals, 1.0)
        return -((p * np.log(p)).sum(-1) * weights).sum(-1)

    def reward(self, marginals, weights=None):
        with np.errstate(divide="ignore"):
            return -np.log(marginals)


@settings(max_examples=25)
@given(SEEDS)
def test_an_entropy_of_ones_own_is_bounded_like_the_packages(seed):
    rng = np.random.default_rng(seed)
    reference = rng.dirichlet(np.ones(4), 2)
    mine = dg.AlignmentGame(reference, Entropy(), beta=0.7)
    theirs = dg.AlignmentGame(reference, dg.ShannonDiversity(1.0), beta=0.7)
    policy = np.where(rng.random((2, 4)) < 0.4, 0, rng.random((2, 4))) + np.eye(4)[0] / 1e3
    policy = policy / policy.sum(-1, keepdims=True)
    bound = dg.certify(mine, policy).upper_bound
    assert bound >= dg.solve(theirs).value - 1e-12
    np.testing.assert_allclose(bound, dg.certify(theirs, policy).upper_bound, rtol=1e-9)


# -- bounds are confronted with what is attained -----------------------------------------------------


class Stated(dg.Objective):
    """value f(nu_0), reward g(nu_0) on answer 0, of unknown sign."""

    def __init__(self, f, g):
        self.f, self.g = f, g

    def value(self, marginals, weights=None):
        return (self.f(marginals[..., 0]) * weights).sum(-1)

    def reward(self, marginals, weights=None):
        return np.concatenate([self.g(marginals[..., :1]), 0 * marginals[..., 1:]], -1)


@pytest.mark.parametrize(
    ("f", "g"),
    [
        (lambda p: 2 * np.log(1 + p), lambda p: -2 / (1 + p)),
        (lambda p: 2 * np.log(1 + p), lambda p: 0 * p),
        (lambda p: 4.0 * (p > 0.5), lambda p: 0 * p),
    ],
    ids=["opposite sign", "zero", "a jump"],
)
def test_a_false_bound_is_an_error_that_says_which_condition_fails(f, g):
    kind = Stated(f, g)
    try:
        game = dg.AlignmentGame([[0.4, 0.35, 0.25]], kind, beta=1.0)
    except dg.errors.InvalidObjective:
        return  # refused when the game was made, which is better
    with pytest.raises(
        FalseCertificate, match="its `reward` is not the gradient of its `value`, or"
    ):
        dg.solve(game)


def test_true_objectives_are_not_refuted():
    kind = Stated(lambda p: 2 * np.log(1 + p), lambda p: 2 / (1 + p))
    found = dg.solve(dg.AlignmentGame([[0.4, 0.35, 0.25]], kind, beta=1.0))
    assert found.certificate.gap <= 1e-10


# -- hard sets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "objective",
    [
        dg.HardConstraint(dg.Cap([0], 0.2)) + dg.Coherence(3.0),
        dg.HardConstraint(dg.Floor([2], 0.5)) + dg.GiniDiversity(2.0),
        dg.HardConstraint(dg.Floor([0], 0.5) & dg.Floor([1], 0.5) & dg.Parity(0.3)),
        dg.HardConstraint(dg.Quota([0], 0.3) & dg.Moment([0, 1.0, 2], 0.7)),
        dg.HardConstraint(dg.Cap([0], 0.5) & dg.Cap([1, 2], 0.5)),
        dg.HardConstraint(dg.Cap([0], 0.5) & dg.Cap([1, 2], 0.5)) + dg.GiniDiversity(2.0),
        dg.HardConstraint(dg.Cap([0], 0.3)) + dg.SelfConsistency(0.5),
    ],
    ids=lambda o: repr(o)[:40],
)
def test_hard_sets_are_solved_with_no_value_above_its_bound(objective):
    reference = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    found = dg.solve(dg.AlignmentGame(reference, objective, beta=1.0))
    proof = found.certificate
    assert found.solved
    assert proof.value <= proof.upper_bound
    assert proof.gap <= 1e-6 * max(1, abs(float(proof.value)))


def test_a_hard_set_times_zero_constrains_nothing():
    phi = 0 * dg.HardConstraint(dg.Cap([0], 0.1)) + dg.Reward([1.0, 0, 0])
    found = dg.solve(dg.AlignmentGame([[0.5, 0.3, 0.2]], phi, beta=1.0))
    best = dg.solve(dg.AlignmentGame([[0.5, 0.3, 0.2]], dg.Reward([1.0, 0, 0]), beta=1.0))
    np.testing.assert_allclose(found.policy, best.policy)
    alone = dg.solve(
        dg.AlignmentGame([[0.5, 0.3, 0.2]], 0 * dg.HardConstraint(dg.Cap([0], 0.1)), beta=1.0)
    )
    np.testing.assert_allclose(alone.policy, [[0.5, 0.3, 0.2]])


@pytest.mark.parametrize(
    ("objective", "reference", "note"),
    [
        (
            dg.HardConstraint(dg.Cap([1], 0.05) & dg.Floor([1], 0.2)),
            [[0.5, 0.5]],
            "clash of cap 0.05",
        ),
        (dg.Coherence(1.0, "geometric"), [[1.0, 0], [0, 1.0]], "no answer is possible in every"),
        (dg.LogSuccess([0, 1.0]), [[1.0, 0], [0, 1.0]], "lack what the objective needs"),
        (
            dg.TargetMatching([1.0, 0]),
            [[1.0, 0], [0, 1.0]],
            "context 1 has only answers that",
        ),
        (
            dg.TargetMatching([1.0, 0]) + 2 * dg.HardConstraint(dg.Floor([1], 0.2, across=True)),
            [[0, 1.0], [0.8, 0.2], [1.0, 0]],
            "context 0 has only answers that",
        ),
    ],
)
def test_an_infeasible_game_says_why(objective, reference, note):
    found = dg.solve(dg.AlignmentGame(reference, objective, beta=1.0))
    assert found.status is dg.Status.INFEASIBLE
    assert "no answer is possible" not in str(found.status)
    assert note in found.notes[0]
    assert note in str(found)


@pytest.mark.parametrize(
    "extra",
    [
        dg.WorstCase([[1.0, 0, 0], [0, 1.0, 0]], 2.0),
        dg.HardCoherence(),
        dg.HardConstraint(dg.Cap([0], 0.4)),
        dg.HardConstraint(dg.Parity(0.1)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("needs", [dg.TargetMatching([0.5, 0, 0.5], direction="forward")])
def test_a_term_that_no_policy_satisfies_makes_any_sum_infeasible(needs, extra):
    lacking = [[0.5, 0.5, 0.0], [0.3, 0.3, 0.4]]
    found = dg.solve(dg.AlignmentGame(lacking, needs + extra, beta=1.0), throw=False)
    assert found.status is dg.Status.INFEASIBLE
    assert "lack what the objective needs" in found.notes[0]
    full = dg.AlignmentGame([[0.4, 0.5, 0.1], [0.3, 0.3, 0.4]], needs + extra, beta=1.0)
    assert dg.solve(full).status is dg.Status.SOLVED


@pytest.mark.parametrize("seed", range(6))
def test_hard_coherence_in_a_sum_leaves_what_some_context_lacks(seed):
    rng = np.random.default_rng(seed)
    reference = np.array([[1.0, 0, 0], [0.2, 0.2, 0.6], [0.2, 0.8, 0]])
    reference[1] = rng.dirichlet(np.ones(3))
    objective = dg.HardCoherence() + rng.uniform(1, 20) * dg.RenyiDiversity(1.0, 0.5)
    found = dg.solve(dg.AlignmentGame(reference, objective, beta=1.0))
    np.testing.assert_allclose(found.policy, [[1.0, 0, 0]] * 3, atol=1e-12)
    forced = -np.log(reference[:, 0]).mean()
    assert float(found.value) == pytest.approx(-forced, abs=1e-12)
    assert 0 <= float(found.gap) <= 1e-12


# -- a game times a constant is the same game --------------------------------------------------------

SCALES = [1e-9, 1e-6, 1e-3, 0.03, 7.0, 1e3, 1e9]


def times(name, c):
    """c times an objective of any kind: by its strength, or as a sum with rewards where it has none."""
    if made(name, 1.0, 2, 3).hard and name in ROWS:
        return made(name, c, 2, 3) + dg.Reward([c, 0, 0])
    return mild(name, 2.0, c)


@pytest.mark.parametrize("name", those(lambda phi: not phi.on_traces))
def test_a_game_times_a_constant_takes_the_same_path(name):
    reference = np.array([[0.65, 0.35 - 1e-6, 1e-6], [0.3, 0.3, 0.4]])
    one = dg.solve(dg.AlignmentGame(reference, times(name, 1.0), beta=1.0))
    far = dg.certify(one.game, reference)
    begun_by_a_cone_solver = one.method.startswith("convex")  # which drops numbers of 1e-9
    for c in SCALES[1:] if begun_by_a_cone_solver else SCALES:
        other = dg.solve(dg.AlignmentGame(reference, times(name, c), beta=c))
        assert other.statuses == one.statuses
        assert int(other.steps) == int(one.steps)
        assert other.method == one.method
        for ours, theirs in (
            (other.certificate, one.certificate),
            (dg.certify(other.game, reference), far),
        ):
            for part in ("value", "upper_bound", "gap", "policy_regret", "target_regret"):
                scaled = float(getattr(ours, part)) / c
                assert scaled == pytest.approx(float(getattr(theirs, part)), rel=1e-8, abs=1e-12)
            assert ours.tv_bound == pytest.approx(theirs.tv_bound, rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(other.rewards / c, one.rewards, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(other.policy, one.policy, rtol=1e-6, atol=1e-9)
        assert float(other.value) == pytest.approx(c * float(one.value), rel=1e-9, abs=1e-12 * c)
        np.testing.assert_allclose(
            other.history.values, c * one.history.values, rtol=1e-6, atol=1e-9 * c
        )


def test_solved_bounds_the_distance_whatever_the_scale():
    for beta in (1e-9, 1e-6, 1e-3, 1.0, 1e6):
        game = dg.AlignmentGame(REFERENCE, dg.Coherence(10 * beta), beta=beta)
        proof = dg.solve(game).certificate
        assert proof.distance_bound <= 1e-9
        assert proof.relative_gap <= 1e-10


# -- channels and dynamics ---------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
@pytest.mark.parametrize(
    "make",
    [
        dg.Sharpening,
        lambda s: -s * dg.ShannonDiversity(),
        lambda s: -s * dg.TargetMatching([0.5, 0.3, 0.2]),
    ],
)
def test_negative_curvature_through_a_channel(make, share):
    rng = np.random.default_rng(3)
    for _ in range(3):
        reference, channel = rng.dirichlet(np.ones(6), 2), rng.dirichlet(np.full(3, 0.5), 6)
        game = dg.AlignmentGame(reference, make(share), beta=1.0, answers=channel)
        assert dg.solve(game).certificate.gap <= 1e-9
        values = dg.run(game, "mirror", 40).values
        assert (np.diff(values) >= -1e-13).all()


def test_anderson_does_not_cycle():
    reference = [[0.004165, 1e-6, 0.810296, 0.185538]]
    game = dg.AlignmentGame(reference, dg.PassAtK([1, 0, 0, 0], 6, 3.8), beta=1.0)
    found = dg.solve(game, "anderson")
    assert float(found.value) == pytest.approx(float(dg.solve(game, "mirror").value), abs=1e-9)


def test_extragradient_is_slower_than_mirror_and_tolerates_less():
    game = dg.AlignmentGame([[0.5, 0.3, 0.2]], dg.ShannonDiversity(10.0), beta=1.0)
    assert (
        dg.run(game, "mirror", 1).gaps[-1]
        < 1e-12
        < 0.1
        < dg.run(game, "extragradient", 20).gaps[-1]
    )
    assert dg.run(game, Extragradient(1.1 / 11), 60).gaps[-1] > 1


# -- implicit gradients at labels of 0 and 1 ---------------------------------------------------------


@settings(max_examples=5)
@given(st.sampled_from([lambda c: dg.PassAtK(c, 4), lambda c: dg.LogSuccess(0.9 * c)]))
def test_gradients_by_success_tables_at_0_and_1(make):
    import torch

    from dagame.scale import equilibrium

    c = torch.tensor([1.0, 0, 0], dtype=torch.float64, requires_grad=True)
    reference = np.array([[0.5, 0.3, 0.2]])
    equilibrium(torch.tensor(reference), make(c), beta=1.0)[0, 0].backward()

    def at(table):
        return float(
            dg.solve(dg.AlignmentGame(reference, make(table), beta=1.0), tol=1e-13).marginals[0, 0]
        )

    start, h = np.array([1.0, 0, 0]), 1e-5
    for i in range(3):
        inward = np.eye(3)[i] * (-h if i == 0 else h)
        slope = (-3 * at(start) + 4 * at(start + inward) - at(start + 2 * inward)) / (2 * inward[i])
        assert float(c.grad[i]) == pytest.approx(slope, abs=1e-6)
