"""Entropic transport against POT, its definition and differences; the bound of its curvature."""

import numpy as np
import pytest
from hypothesis import given, settings

import dagame as dg
from dagame.numerics.arrays import LOG_ZERO, log, logsumexp
from dagame.numerics.simplex import kl
from dagame.numerics.transport import (
    curvature_factor,
    entropic_transport,
    largest_curvature,
    projective_diameter,
    pulled,
    transport_cost,
)
from tests.games import SEEDS

pytestmark = pytest.mark.usefixtures("arrays_and_kernel")


def pot():
    return pytest.importorskip("ot", reason="POT, of the dev extra, is not installed")


def instance(seed, most=30):
    """Masses with an exact zero and a tiny one where there is room, costs in [0, 1], eps from 0.05 to 2."""
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(2, most)), int(rng.integers(1, 9))
    nu = rng.dirichlet(np.full(n, 0.7)) * 0.9 + 0.1 / n
    if n > 3:
        nu[1], nu[2] = 0.0, 1e-12
    return nu / nu.sum(), rng.random((n, k)), float(np.exp(rng.uniform(np.log(0.05), np.log(2))))


def cost_of(nu, costs, eps):
    return float(transport_cost(log(nu), entropic_transport(log(nu), costs, eps)))


# -- the transport ----------------------------------------------------------------------------------


@given(SEEDS)
def test_the_plan_is_a_coupling_whose_cost_is_that_of_the_dual(seed):
    nu, costs, eps = instance(seed)
    found, k = entropic_transport(log(nu), costs, eps), costs.shape[1]
    plan = nu[:, None] * found.rows
    np.testing.assert_allclose(plan.sum(1), nu, atol=1e-14)
    np.testing.assert_allclose(plan.sum(0), 1 / k, atol=1e-13)
    product = nu[:, None] / k + 0 * plan
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(plan > 0, plan * np.log(plan / product), 0.0).sum()
    primal = (costs * plan).sum() + eps * information
    dual = nu @ found.first + found.second.mean()
    assert cost_of(nu, costs, eps) == pytest.approx(primal, abs=1e-12)
    assert dual == pytest.approx(primal, abs=1e-12)


@settings(max_examples=15)
@given(SEEDS)
def test_potentials_and_plan_are_those_of_pot(seed):
    """At eps from 0.2 on, as POT's rounds are thousands below."""
    ot = pot()
    nu, costs, eps = instance(seed)
    k, eps = costs.shape[1], max(eps, 0.2)
    nu = (nu + 1e-3) / (nu + 1e-3).sum()
    plan, found = ot.sinkhorn(
        nu,
        np.full(k, 1 / k),
        costs,
        eps,
        method="sinkhorn_log",
        log=True,
        stopThr=1e-12,
        numItermax=20_000,
        warn=False,
    )
    gradient = eps * (np.asarray(found["log_u"]) - np.log(nu))
    mine = entropic_transport(np.log(nu), costs, eps)
    np.testing.assert_allclose(nu[:, None] * mine.rows, plan, atol=1e-8)
    np.testing.assert_allclose(
        mine.first - mine.first @ nu, gradient - gradient @ nu, rtol=1e-8, atol=1e-8
    )


@given(SEEDS)
def test_the_first_potential_is_the_gradient_by_differences(seed):
    """Central differences of order 4 along random directions of sum 0, where no mass is small."""
    nu, costs, eps = instance(seed)
    nu = 0.5 * nu + 0.5 / len(nu)
    d = np.random.default_rng(seed).normal(size=len(nu))
    d = (d - d.mean()) / len(nu)
    h = 5e-4
    w = {j: cost_of(nu + j * h * d, costs, eps) for j in (-2, -1, 1, 2)}
    slope = (8 * (w[1] - w[-1]) - (w[2] - w[-2])) / (12 * h)
    assert slope == pytest.approx(entropic_transport(log(nu), costs, eps).first @ d, abs=1e-8)


@given(SEEDS)
def test_an_answer_of_mass_zero_has_the_potential_of_a_vanishing_mass(seed):
    nu, costs, eps = instance(seed)
    some = np.where(np.arange(len(nu)) == 0, 1e-14, nu)
    zero = np.where(np.arange(len(nu)) == 0, 0.0, nu)
    one, other = (entropic_transport(log(p / p.sum()), costs, eps).first for p in (some, zero))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_small_epsilon_is_exact_transport():
    """W_eps lies in [W, W + eps log k], as the divergence from nu x rho is at most log k."""
    ot = pot()
    for seed in range(20):
        nu, costs, _ = instance(seed)
        k = costs.shape[1]
        exact = float(ot.emd2(nu, np.full(k, 1 / k), costs))
        for eps in (0.1, 0.01, 0.001, 0.0003):
            above = cost_of(nu, costs, eps) - exact
            assert -1e-10 <= above <= eps * np.log(k) + 1e-10


def test_one_reference_point_costs_the_mean():
    nu, costs, eps = instance(5)
    assert cost_of(nu, costs[:, :1], eps) == pytest.approx(nu @ costs[:, 0], abs=1e-14)


def test_costs_beyond_reach_are_an_error():
    with pytest.raises(dg.DagameError, match="raise epsilon"):
        entropic_transport(log(np.array([0.5, 0.5])), np.array([[np.nan, 1.0], [0.0, 1.0]]), 1.0)


# -- curvature --------------------------------------------------------------------------------------


def test_the_diameter_by_its_definition():
    for seed in range(10):
        _, costs, eps = instance(seed, most=8)
        c = costs / eps
        every = (
            c[:, None, :, None] + c[None, :, None, :] - c[:, None, None, :] - c[None, :, :, None]
        )
        assert projective_diameter(costs, eps) == pytest.approx(every.max(), rel=1e-12)


def test_curvature_is_within_its_bound():
    """0 <= B(p, q) <= eps sinh^2(D/4) KL(p || q); on 1,000 instances in benchmarks/transport.py."""
    for seed in range(60):
        nu, costs, eps = instance(seed, most=9)
        rng, most = np.random.default_rng(seed + 1), largest_curvature(costs, eps)
        q = 0.9 * nu + 0.1 / len(nu)
        p = rng.dirichlet(np.full(len(q), 0.5))
        p = p if seed % 2 else 0.99 * q + 0.01 * p
        slope = entropic_transport(log(q), costs, eps).first
        b = cost_of(p, costs, eps) - cost_of(q, costs, eps) - slope @ (p - q)
        assert -1e-13 <= b <= most * kl(p, q) + 1e-13, seed


@given(SEEDS)
def test_the_hessian_is_eps_times_s_over_one_minus_s_squared(seed):
    """Relative to KL its largest eigenvalue is eps s^2/(1 - s^2), s the second singular value of the plan."""
    nu, costs, eps = instance(seed)
    nu = 0.5 * nu + 0.5 / len(nu)
    found, k = entropic_transport(log(nu), costs, eps), costs.shape[1]
    factor = np.sqrt(nu)[:, None] * curvature_factor(log(nu), found, eps)
    largest = np.linalg.svd(factor, compute_uv=False)[0] ** 2
    plan = np.sqrt(nu)[:, None] * found.rows * np.sqrt(k)
    second = 0.0 if k == 1 else np.linalg.svd(plan, compute_uv=False)[1] ** 2
    assert largest == pytest.approx(eps * second / (1 - second), rel=1e-6, abs=1e-13)
    assert largest <= largest_curvature(costs, eps) * (1 + 1e-9) + 1e-13


def test_the_bound_is_attained():
    """Two answers, two points, costs 0 and c: the even plan has s = tanh(D/4)."""
    costs, eps = np.array([[0.0, 1.0], [1.0, 0.0]]), 0.3
    nu = np.array([0.5, 0.5])
    factor = np.sqrt(nu)[:, None] * curvature_factor(
        log(nu), entropic_transport(log(nu), costs, eps), eps
    )
    assert np.linalg.svd(factor, compute_uv=False)[0] ** 2 == pytest.approx(
        largest_curvature(costs, eps), rel=1e-12
    )


# -- implicit gradients -------------------------------------------------------------------------------


def test_potentials_are_differentiable_in_masses_and_costs():
    torch = pytest.importorskip("torch")
    nu, costs, _ = instance(12, most=7)
    log_nu = torch.tensor(np.where(nu > 0, log(nu), LOG_ZERO)).clip(min=-8).requires_grad_()
    table = torch.tensor(costs).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, c: entropic_transport(a, c, 0.4).first, (log_nu, table), atol=1e-7
    )


@settings(max_examples=15)
@given(SEEDS)
def test_a_pulled_policy_is_the_reply_to_its_own_potentials(seed):
    nu0, costs, eps = instance(seed, most=12)
    tilt = float(np.exp(np.random.default_rng(seed).uniform(-3, 3)))
    line = pulled(log(nu0), costs, eps, tilt)
    nu = np.exp(line - logsumexp(line))
    first = entropic_transport(log(nu), costs, eps).first
    reply = log(nu0) - tilt * first
    np.testing.assert_allclose(nu, np.exp(reply - logsumexp(reply)), atol=1e-9)
