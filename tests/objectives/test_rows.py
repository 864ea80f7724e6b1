"""Rows of the theory at strength 1, their facts, forms that add, and tables that move in every axis."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import dagame as dg
from dagame.numerics.arrays import LOG_ZERO
from dagame.objectives.catalogue import CATALOGUE
from dagame.objectives.forms import DualForm, ExponentialForm, Hessian
from dagame.objectives.objective import Objective, Scaled
from dagame.objectives.parameters import bound_to, of_game, of_games, taken
from tests.games import SEEDS

NAMES = pytest.mark.parametrize("name", CATALOGUE)
SMOOTH = [k for k, kind in CATALOGUE.items() if not (kind.multipliers or kind.kinked)]
W = np.array([0.4, 0.6])


def made(name, strength=0.7, seed=1, m=2, n=4):
    return CATALOGUE[name].make(strength, np.random.default_rng(seed), m, n)


def a_log_nu(seed=0, m=2, n=4, batch=1):
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(n), (batch, m)) * 0.9 + 0.1 / n)


# -- facts ------------------------------------------------------------------------------------------


@NAMES
def test_stated_facts_are_those_of_the_methods(name):
    phi, log_nu = made(name), a_log_nu()
    for one in (phi, 2.0 * phi, phi + dg.ShannonDiversity()):
        hessian = one.hessian_log(log_nu, W)
        assert one.has_hessian == (hessian is not None)
        if hessian is not None:
            assert one.low_rank == (hessian.low_rank is not None)
    outside = np.log(np.array([[[0.97, 0.01, 0.01, 0.01], [0.01, 0.01, 0.01, 0.97]]]))
    value = float(phi.value_log(outside, W)[0])
    assert not (value <= LOG_ZERO / 2 and not phi.hard)
    lacking = np.where(np.arange(4) == 1, LOG_ZERO, log_nu)
    lacking[:, 0] = log_nu[:, 0]
    shut = phi.domain.forbidden(lacking, W)
    if phi.answerwise:
        assert phi.common_support == (shut is not None)


@pytest.mark.parametrize("name", SMOOTH)
@given(SEEDS)
def test_answerwise_and_affine_rewards_are_so(name, seed):
    """u of one answer from its column alone, and the mean of u at two columns u at their mean."""
    phi = made(name, n=5)
    one, other = np.exp(a_log_nu(seed, n=5)), np.exp(a_log_nu(seed + 1, n=5))
    if phi.answerwise:
        mixed = np.where(np.arange(5) < 2, one, other)
        u, v = (phi.reward_log(np.log(p), W)[..., :2] for p in (one, mixed))
        np.testing.assert_allclose(u, v, rtol=1e-9, atol=1e-12)
    ends = [phi.reward_log(np.log(p), W) for p in (one, other)]
    middle = phi.reward_log(np.log((one + other) / 2), W)
    affine = np.allclose(middle, (ends[0] + ends[1]) / 2, rtol=1e-10, atol=1e-12)
    if phi.answerwise and phi.affine:
        assert affine
    elif phi.answerwise:
        assert not affine


@NAMES
def test_what_compares_contexts_pays_nothing_for_one(name):
    phi = made(name, m=1)
    if phi.between_contexts:
        u = phi.reward_log(a_log_nu(m=1), np.ones(1))
        assert np.ptp(u) < 1e-12


def test_a_sum_acts_on_traces_or_needs_a_map_as_its_terms_do():
    traces = dg.Reward([1.0, 0.0]) + 0.5 * dg.TraceCoherence()
    with pytest.raises(dg.DagameError, match="acts on traces"):
        dg.AlignmentGame([[0.5, 0.5]], traces, beta=1.0, answers=[0, 1])
    hard = dg.Reward([1.0, 0.0]) + dg.HardCoherence()
    with pytest.raises(dg.DagameError, match="deterministic"):
        dg.AlignmentGame([[0.5, 0.5]], hard, beta=1.0, answers=np.full((2, 2), 0.5))


# -- strength ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [k for k, kind in CATALOGUE.items() if kind.strengths])
def test_a_strength_is_a_factor_of_the_row_and_0_leaves_the_reference(name):
    reference = np.exp(a_log_nu(3))
    with_zero = np.array([[0.5, 0.2, 0.3, 0.0], [0.1, 0.2, 0.3, 0.4]])
    for table in (reference[0], with_zero):
        nothing = dg.solve(dg.AlignmentGame(table, made(name, 0.0), beta=0.3, weights=W))
        np.testing.assert_allclose(nothing.policy, table, atol=1e-12)
        assert float(nothing.value) == pytest.approx(0.0, abs=1e-12)
    one, four = (
        dg.AlignmentGame(reference, made(name, s), beta=b) for s, b in ((0.2, 0.5), (0.8, 2))
    )
    if not (one.provable and four.provable):
        return
    a, b = dg.solve(one, tol=1e-12, throw=False), dg.solve(four, tol=1e-12, throw=False)
    np.testing.assert_allclose(a.policy, b.policy, atol=1e-5)
    np.testing.assert_allclose(4 * a.value, b.value, rtol=1e-9)


KINDS_OF = {
    dg.Coherence: ("consensus", ("arithmetic", "geometric", "euclidean")),
    dg.PairwiseCoherence: (
        "divergence",
        ("kl", "jeffreys", "hellinger", "jensen_shannon", "euclidean"),
    ),
}


@pytest.mark.parametrize(
    ("base", "option", "kind"), [(b, o, k) for b, (o, ks) in KINDS_OF.items() for k in ks]
)
def test_kinds_of_coherence_are_instances_and_subclasses_are_too(base, option, kind):
    class Mine(base):
        """Pays a constant besides, which changes nothing."""

        def reward_log(self, log_nu, weights):
            return super().reward_log(log_nu, weights) + 1.0

    phi, mine = base(1.5, kind), Mine(1.5, **{option: kind})
    assert isinstance(phi, base)
    assert isinstance(mine, base)
    assert mine.own
    assert not phi.own
    assert getattr(mine, option) == kind
    nu = np.exp(a_log_nu())
    np.testing.assert_allclose(mine.value(nu, W), phi.value(nu, W))
    np.testing.assert_allclose(mine.reward(nu, W), phi.reward(nu, W) + 1)
    game, other = (dg.AlignmentGame(nu, o, beta=1.0, weights=W) for o in (phi, mine))
    np.testing.assert_allclose(dg.solve(game).policy, dg.solve(other).policy, atol=1e-6)
    with pytest.raises(dg.DagameError, match=base.__name__):
        base(-1.0, kind)
    with pytest.raises(dg.DagameError, match=option):
        base(1.0, "no such kind")


def test_target_matching_is_a_class_whose_messages_have_its_name():
    for direction in ("reverse", "forward"):
        phi = dg.TargetMatching([0.5, 0.25, 0.25], 2.0, direction)
        assert isinstance(phi, dg.TargetMatching)
        assert repr(phi).startswith("TargetMatching(2")
        with pytest.raises(dg.DagameError, match=r"TargetMatching\.target has shape"):
            dg.AlignmentGame([[0.5, 0.5]], phi, beta=1.0)
    with pytest.raises(dg.DagameError, match="TargetMatching: strength"):
        dg.TargetMatching([0.5, 0.5], -1.0)


@NAMES
def test_copies_and_pickles_are_the_same_objective(name):
    if name == "bregman":
        pytest.skip("a generator is made of functions that no pickle holds")
    phi, nu = made(name), np.exp(a_log_nu())
    for same in (copy.copy(phi), copy.deepcopy(phi), pickle.loads(pickle.dumps(phi))):
        assert repr(same) == repr(phi)
        np.testing.assert_array_equal(same.reward(nu, W), phi.reward(nu, W))


# -- forms ------------------------------------------------------------------------------------------


def test_forms_add_and_scale_as_their_objectives_do(rng):
    r, s = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    form: Any = 2.0 * ExponentialForm(r, 1.0) + 0.5 * ExponentialForm(s, 3.0, "equal")
    np.testing.assert_array_equal(form.reward, 2 * r + 0.5 * s)
    assert (form.entropy, form.coupling) == (3.5, "equal")
    diagonal, blocks = rng.random((1, 2, 3)), rng.random((1, 3, 2, 2))
    column = rng.random((1, 2, 3, 1))
    total: Any = 3.0 * Hessian(diagonal, column) + Hessian(blocks)
    for z in range(3):
        expected = 3 * np.diag(diagonal[0, :, z]) + blocks[0, z]
        np.testing.assert_allclose(total.blocks[0, z], expected)
    np.testing.assert_allclose(
        total.low_rank @ np.swapaxes(total.low_rank, -1, -2),
        3 * column @ np.swapaxes(column, -1, -2),
    )
    dual: Any = 2.0 * DualForm(
        rng.random((1, 2, 2, 3)), np.array([1.0, 2.0]), np.array([True, False])
    )
    np.testing.assert_array_equal(dual.bound, [2.0, 4.0])


# -- tables -----------------------------------------------------------------------------------------


class Spread(dg.Objective):
    """-sum_x w_x nu_x' C nu_x for a matrix C of distances between answers, positive semidefinite."""

    concave = True
    tables = {"cost": "n n"}  # noqa: RUF012

    def __init__(self, cost):
        self.cost = np.asarray(cost, float)

    def _moved(self, nu):
        return (np.asarray(self.cost)[..., None, :, :] @ nu[..., None])[..., 0]

    def value(self, marginals, weights):
        return -((marginals * self._moved(marginals)).sum(-1) * weights).sum(-1)

    def reward(self, marginals, weights):
        return -2 * self._moved(marginals)


def _costs(rng, size, n):
    root = rng.normal(size=(size, n, n))
    return root @ np.swapaxes(root, -1, -2) / n


def test_a_square_table_binds_batches_and_is_cut_in_both_axes(rng):
    cost, reference = _costs(rng, 6, 4), rng.dirichlet(np.ones(4), (2, 3, 3))
    reference[..., 1, 0] = 0
    reference /= reference.sum(-1, keepdims=True)
    many = dg.AlignmentGame(reference, Spread(cost.reshape(2, 3, 4, 4)), beta=0.5)
    whole = dg.solve(many)
    for at in np.ndindex(2, 3):
        one = dg.AlignmentGame(reference[at], Spread(cost.reshape(2, 3, 4, 4)[at]), beta=0.5)
        np.testing.assert_allclose(dg.solve(one).policy, whole.policy[at], atol=1e-6)
    phi = Spread(cost)
    keep = np.array([True, False, True, True])
    np.testing.assert_array_equal(phi.columns(keep).cost, cost[:, keep][:, :, keep])
    np.testing.assert_array_equal(of_games(phi, np.array([4, 1])).cost, cost[[4, 1]])
    np.testing.assert_array_equal(of_game(phi, 5).cost, cost[5])
    np.testing.assert_array_equal(of_game(Spread(cost[0]), 5).cost, cost[0])
    single = bound_to(phi, np.zeros((1, 4), np.float32)).cost
    assert single.dtype == np.float32
    ((_, _), (_, part)) = (dg.ShannonDiversity() + 2.0 * phi).columns(keep).terms()
    assert isinstance(part, Spread)
    np.testing.assert_array_equal(part.cost, cost[:, keep][:, :, keep])


def test_permuting_a_square_table_permutes_the_equilibrium(rng):
    cost, reference, order = _costs(rng, 1, 5)[0], rng.dirichlet(np.ones(5), 2), rng.permutation(5)
    moved = taken(Spread(cost), "n", order)
    one = dg.solve(dg.AlignmentGame(reference, Spread(cost), beta=0.5))
    two = dg.solve(dg.AlignmentGame(reference[:, order], moved, beta=0.5))
    np.testing.assert_allclose(one.policy[:, order], two.policy, atol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (4, 3), (3, 4), (5, 5), (2, 4, 4), (4, 1)])
def test_a_square_table_that_fits_no_game_is_refused(shape):
    with pytest.raises(dg.DagameError, match=r"Spread\.cost has shape"):
        dg.AlignmentGame(np.full((3, 2, 4), 0.25), Spread(np.zeros(shape)), beta=1.0)


def test_names_alone_are_tables_of_contexts_and_answers():
    class Named(dg.Objective):
        tables = ("r",)

        def __init__(self, r):
            self.r = r

    phi = Named(np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(phi.columns(np.array([True, False, True])).r, [[0, 2], [3, 5]])
    np.testing.assert_array_equal(taken(phi, "m", np.array([1, 0])).r, [[3, 4, 5], [0, 1, 2]])


def test_tables_of_the_package_follow_the_name_they_were_given_under(rng):
    phi = dg.LogSuccess(rng.random((6, 2, 3)), 2.0)
    part = of_games(phi, np.array([3]))
    np.testing.assert_array_equal(part.success, phi.success[3:4])
    nu = np.exp(a_log_nu(n=3))
    np.testing.assert_array_equal(
        part.reward(nu, W), dg.LogSuccess(phi.success[3:4], 2.0).reward(nu, W)
    )


def test_a_subclass_may_add_a_table_of_its_own(rng):
    class Paid(dg.LogSuccess):
        """Pays r besides."""

        tables = {**dg.LogSuccess.tables, "r": "m n"}  # noqa: RUF012

        def __init__(self, success, r):
            super().__init__(success, 0.5)
            object.__setattr__(self, "r", r)

        def value_log(self, log_nu, weights):
            paid = (np.exp(log_nu) * self.r).sum(-1)
            return super().value_log(log_nu, weights) + (paid * weights).sum(-1)

        def reward_log(self, log_nu, weights):
            return super().reward_log(log_nu, weights) + self.r

        def closed_form(self, log_nu0, weights, beta):
            return None

    success, r = rng.random((5, 2, 3)), rng.normal(size=(5, 2, 3))
    reference = rng.dirichlet(np.ones(3), (5, 2))
    whole = dg.solve(dg.AlignmentGame(reference, Paid(success, r), beta=0.7))
    for k in range(5):
        known = dg.LogSuccess(success[k], 0.5) + dg.Reward(r[k])
        one = dg.solve(dg.AlignmentGame(reference[k], known, beta=0.7))
        np.testing.assert_allclose(whole.policy[k], one.policy, atol=1e-5)


def test_an_objective_has_few_methods_of_its_own():
    assert issubclass(Scaled, Objective)
    own = [name for name in vars(Objective) if not name.startswith("_")]
    assert len(own) <= 20
