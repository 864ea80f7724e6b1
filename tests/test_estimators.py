"""Estimators against exact enumeration of all K-samples and the figures of the theory (section 7)."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.estimators import METHODS, leave_two_out, polynomial, reward_table, rewards

NU = np.array([0.55, 0.3, 0.15])


def every_group(nu, k):
    """All K-samples (n^K, K) and their probabilities."""
    groups = np.array(list(itertools.product(range(len(nu)), repeat=k)))
    return groups, nu[groups].prod(-1)


def update(nu, groups, chance, paid):
    """E of the mean over samples of paid_i * grad log nu(y_i), softmax logits: (n,)."""
    score = np.eye(len(nu))[groups] - nu
    return (chance[:, None, None] * paid[..., None] * score).sum((0, 1)) / groups.shape[1]


def gradient(nu, slope):
    """grad of sum f(nu) by the logits."""
    u = np.asarray(slope(nu))
    return nu * (u - nu @ u)


POLYNOMIAL = [
    (dg.GiniDiversity(1.3), 4),
    (dg.TsallisDiversity(0.7, 3.0), 5),
    (dg.GiniDiversity(1.0) + 0.5 * dg.TsallisDiversity(1.0, 4.0), 5),
]


@pytest.mark.parametrize(("phi", "k"), POLYNOMIAL)
@pytest.mark.parametrize("baseline", [None, "leave_one_out", "leave_two_out"])
def test_polynomial_rewards_are_exactly_unbiased(phi, k, baseline):
    groups, chance = every_group(NU, k)
    table = reward_table(phi, k, "u_statistic", baseline)
    paid = rewards(groups, table)
    if baseline == "leave_one_out":
        paid = paid - (paid.sum(-1, keepdims=True) - paid) / (k - 1)
    if baseline == "leave_two_out":
        paid = paid - leave_two_out(groups, reward_table(phi, k - 1, "u_statistic"))
    found = update(NU, groups, chance, paid)
    np.testing.assert_allclose(found, gradient(NU, phi.separable_derivative()), atol=1e-12)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("u_statistic",)])
def test_leave_two_out_changes_no_expected_update(method):
    phi, k = dg.ShannonDiversity(1.0), 4
    groups, chance = every_group(NU, k)
    paid = rewards(groups, reward_table(phi, k, method))
    centred = paid - leave_two_out(groups, reward_table(phi, k - 1, method))
    np.testing.assert_allclose(
        update(NU, groups, chance, centred), update(NU, groups, chance, paid), atol=1e-12
    )


@pytest.mark.parametrize("k", [3, 4, 6])
def test_naive_baselines_shrink_gini(k):
    phi = dg.GiniDiversity(1.0)
    groups, chance = every_group(NU, k)
    paid = rewards(groups, reward_table(phi, k, "u_statistic"))
    true = gradient(NU, phi.separable_derivative())
    mean = paid.mean(-1, keepdims=True)
    others = (paid.sum(-1, keepdims=True) - paid) / (k - 1)
    shrunk = update(NU, groups, chance, paid - others)
    np.testing.assert_allclose(shrunk, (1 - 1 / (k - 1)) * true, atol=1e-12)
    np.testing.assert_allclose(
        update(NU, groups, chance, paid - mean), (1 - 2 / k) * true, atol=1e-12
    )
    own = rewards(groups, reward_table(phi, k, "plug_in"))
    both = update(NU, groups, chance, own - own.mean(-1, keepdims=True))
    np.testing.assert_allclose(both, (1 - 1 / k) * (1 - 2 / k) * true, atol=1e-12)


@pytest.mark.parametrize(("p", "factor"), [(0.55, 0.728), (0.9, 0.587), (0.97, 0.452)])
def test_the_entropy_update_shrinks_unevenly(p, factor):
    nu, phi = np.array([p, 1 - p]), dg.ShannonDiversity(1.0)
    groups, chance = every_group(nu, 8)
    paid = rewards(groups, reward_table(phi, 8, "plug_in"))
    found = update(nu, groups, chance, paid - paid.mean(-1, keepdims=True))
    true = gradient(nu, phi.separable_derivative())
    assert found[0] / true[0] == pytest.approx(factor, abs=6e-4)


def test_division_by_the_deviation_forgets_the_objective():
    """Any group with exactly two distinct answers gets the same advantages from three rewards."""
    groups = np.array([g for g in itertools.product(range(2), repeat=5) if len(set(g)) == 2])
    count = (groups[:, :, None] == groups[:, None, :]).sum(-1) / 5
    seen = []
    for paid in (-np.log(count), -2 * count, 1 / count):
        sigma = paid.std(-1, keepdims=True)
        centred = paid - paid.mean(-1, keepdims=True)
        seen.append(np.divide(centred, sigma, out=np.zeros_like(centred), where=sigma > 1e-12))
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-9)
    np.testing.assert_allclose(seen[0], seen[2], atol=1e-9)


@pytest.mark.parametrize(
    ("k", "scaled"), [(4, 0.487), (8, 0.524), (16, 0.549), (32, 0.563), (64, 0.571)]
)
def test_sup_bias_of_the_plug_in(k, scaled):
    assert reward_table(dg.ShannonDiversity(), k, "plug_in").sup_bias * k == pytest.approx(
        scaled, abs=1e-3
    )


@pytest.mark.parametrize("k", [4, 8, 16, 32])
def test_minimax_is_of_order_one_over_k_squared(k):
    table = reward_table(dg.ShannonDiversity(), k, "minimax")
    assert 0.31 <= table.sup_bias * k**2 <= 0.33


@pytest.mark.parametrize(("k", "gain"), [(8, 2.7), (16, 8.0), (32, 12.0), (64, 15.0)])
def test_variance_optimal_trades_little_noise_for_much_bias(k, gain):
    phi = dg.ShannonDiversity()
    best, plain = reward_table(phi, k), reward_table(phi, k, "plug_in")
    assert best.worst_rmse <= 1.105 * plain.worst_rmse
    assert plain.sup_bias / best.sup_bias >= gain
    assert np.abs(best.entries).max() < 7


@given(st.integers(2, 30), st.floats(0.001, 1.0))
def test_expected_inverse_count(k, p):
    """E[1/(1 + Binomial(K-1, p))] = (1 - (1-p)^K) / (K p), by a table's own expectation."""
    table = reward_table(dg.ShannonDiversity(), k, "plug_in")
    inverse = type(table)(1 / (1 + np.arange(k)), table.derivative, "inverse")
    assert inverse.expected(p) == pytest.approx((1 - (1 - p) ** k) / (k * p), rel=1e-9)


def test_polynomials_are_recognised():
    gini = polynomial(dg.GiniDiversity(2.0).separable_derivative(), 5)
    np.testing.assert_allclose(gini, [0, -4], atol=1e-10)
    assert polynomial(dg.ShannonDiversity().separable_derivative(), 8) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reward_table(dg.Coherence(), 4), "not a sum of one function"),
        (lambda: reward_table(dg.ShannonDiversity(), 1), "group_size is 1"),
        (lambda: reward_table(dg.ShannonDiversity(), 4, "plugin"), "did you mean 'plug_in'"),
        (lambda: reward_table(dg.ShannonDiversity(), 4, "u_statistic"), "no polynomial"),
        (lambda: reward_table(dg.ShannonDiversity(), 64, "minimax"), "variance_optimal"),
        (lambda: reward_table(dg.ShannonDiversity(), 4, baseline="mean"), "choose one of"),
        (
            lambda: reward_table(dg.ShannonDiversity(), 4, "minimax", "leave_one_out"),
            "no exact correction",
        ),
        (lambda: reward_table(dg.ShannonDiversity(), 4, rmse_factor=0.5), "number >= 1"),
        (
            lambda: rewards([[0, 1]], reward_table(dg.GiniDiversity(), 3, "plug_in")),
            r"give \(groups, 3\)",
        ),
    ],
)
def test_what_cannot_be_estimated(call, message):
    with pytest.raises(dg.DagameError, match=message):
        call()
