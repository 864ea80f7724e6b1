"""Reward tables against exact enumeration of all K-samples and the figures of docs/theory/samples.md."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.errors import InvalidDistribution
from dagame.estimators import (
    METHODS,
    RewardTable,
    frontier,
    least_sup_bias,
    polynomial,
    reward_table,
)
from dagame.estimators.tables import automatic_method

NU = np.array([0.55, 0.3, 0.15])


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGAME_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def every_group(nu, k):
    """All K-samples (n^K, K) and their probabilities."""
    groups = np.array(list(itertools.product(range(len(nu)), repeat=k)))
    return groups, nu[groups].prod(-1)


def paid_by(groups, table):
    """g(N_i) of every sample (groups, K)."""
    return table.entries[(groups[:, :, None] == groups[:, None, :]).sum(-1) - 1]


def centred(paid, baseline):
    if baseline == "group_mean":
        return paid - paid.mean(-1, keepdims=True)
    if baseline == "leave_one_out":
        return paid - (paid.sum(-1, keepdims=True) - paid) / (paid.shape[1] - 1)
    return paid


def update(nu, groups, chance, paid):
    """E of the mean over samples of paid_i * grad log nu(y_i), softmax logits: (n,)."""
    score = np.eye(len(nu))[groups] - nu
    return (chance[:, None, None] * paid[..., None] * score).sum((0, 1)) / groups.shape[1]


def gradient(nu, u):
    """grad by the logits of an objective with rewards u (n,)."""
    return nu * (u - nu @ u)


POLYNOMIAL = [
    (dg.GiniDiversity(1.3), 4),
    (dg.TsallisDiversity(0.7, 3.0), 5),
    (dg.GiniDiversity(1.0) + 0.5 * dg.TsallisDiversity(1.0, 4.0), 5),
]


@pytest.mark.parametrize(("phi", "k"), POLYNOMIAL)
@pytest.mark.parametrize("baseline", [None, "leave_one_out", "group_mean"])
def test_polynomial_rewards_are_exactly_unbiased(phi, k, baseline):
    groups, chance = every_group(NU, k)
    table = reward_table(phi, k, "u_statistic", baseline)
    found = update(NU, groups, chance, centred(paid_by(groups, table), baseline))
    np.testing.assert_allclose(found, gradient(NU, phi.counted_form().slope(NU)), atol=1e-12)
    assert table.sup_bias < 1e-12


def test_u_statistics_are_those_of_the_theory():
    """p^j <- C(N, j)/C(K-1, j), times (K-1)/(K-1-j) under leave-one-out centring; Gini is -2 N/(K-1)."""
    n, k = np.arange(6), 6
    gini = reward_table(dg.GiniDiversity(), k, "u_statistic")
    np.testing.assert_allclose(gini.entries, -2 * n / (k - 1), atol=1e-12)
    cubic = reward_table(dg.TsallisDiversity(1.0, 3.0), k, "u_statistic", "leave_one_out")
    expected = -1.5 * n * (n - 1) / ((k - 1) * (k - 2)) * (k - 1) / (k - 3)
    np.testing.assert_allclose(cubic.entries[:-1], expected[:-1], atol=1e-12)


@pytest.mark.parametrize("baseline", [None, "leave_one_out", "group_mean"])
@pytest.mark.parametrize("method", [m for m in METHODS if m != "u_statistic"])
def test_the_expected_update_pays_the_effective_reward(method, baseline):
    """Of every table and baseline, by enumeration; so `sup_bias` is the bias of the update."""
    k = 5
    groups, chance = every_group(NU, k)
    table = reward_table(dg.ShannonDiversity(0.7), k, method, baseline)
    found = update(NU, groups, chance, centred(paid_by(groups, table), baseline))
    np.testing.assert_allclose(found, gradient(NU, table.effective(NU)), atol=1e-12)


def test_the_effective_reward_is_that_of_the_theory():
    """e - p e'/(K-1) and (1-1/K) e - p e'/K, with e' by central differences."""
    p, k, h = np.linspace(0.05, 0.95, 19), 7, 1e-5
    for baseline, own, shared in (("leave_one_out", 1, k - 1), ("group_mean", 1 - 1 / k, k)):
        t = reward_table(dg.ShannonDiversity(), k, "plug_in", baseline)
        slope = (t.expected(p + h) - t.expected(p - h)) / (2 * h)
        np.testing.assert_allclose(
            t.effective(p), own * t.expected(p) - p * slope / shared, atol=1e-8
        )


@pytest.mark.parametrize("k", [3, 4, 6])
def test_naive_baselines_shrink_gini(k):
    phi = dg.GiniDiversity(1.0)
    groups, chance = every_group(NU, k)
    paid = paid_by(groups, reward_table(phi, k, "u_statistic"))
    true = gradient(NU, phi.counted_form().slope(NU))
    shrunk = update(NU, groups, chance, centred(paid, "leave_one_out"))
    np.testing.assert_allclose(shrunk, (1 - 1 / (k - 1)) * true, atol=1e-12)
    shrunk = update(NU, groups, chance, centred(paid, "group_mean"))
    np.testing.assert_allclose(shrunk, (1 - 2 / k) * true, atol=1e-12)
    own = centred(paid_by(groups, reward_table(phi, k, "plug_in")), "group_mean")
    both = update(NU, groups, chance, own)
    np.testing.assert_allclose(both, (1 - 1 / k) * (1 - 2 / k) * true, atol=1e-12)


def test_two_samples_and_a_group_mean_hold_no_signal():
    groups, chance = every_group(NU, 2)
    paid = paid_by(groups, reward_table(dg.GiniDiversity(), 2, "u_statistic"))
    np.testing.assert_allclose(
        update(NU, groups, chance, centred(paid, "group_mean")), 0, atol=1e-15
    )


@pytest.mark.parametrize(("p", "factor"), [(0.55, 0.728), (0.9, 0.587), (0.97, 0.452)])
def test_the_entropy_update_shrinks_unevenly(p, factor):
    nu, phi = np.array([p, 1 - p]), dg.ShannonDiversity(1.0)
    groups, chance = every_group(nu, 8)
    paid = paid_by(groups, reward_table(phi, 8, "plug_in"))
    found = update(nu, groups, chance, centred(paid, "group_mean"))
    true = gradient(nu, phi.counted_form().slope(nu))
    assert found[0] / true[0] == pytest.approx(factor, abs=6e-4)


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
    inverse = RewardTable(1 / (1 + np.arange(k)), table.derivative, "inverse")
    assert inverse.expected(p) == pytest.approx((1 - (1 - p) ** k) / (k * p), rel=1e-9)


def test_polynomials_are_recognised():
    gini = polynomial(dg.GiniDiversity(2.0).counted_form().slope, 5)
    np.testing.assert_allclose(gini, [0, -4], atol=1e-10)
    assert polynomial(dg.ShannonDiversity().counted_form().slope, 8) is None
    assert polynomial(dg.TsallisDiversity(1.0, 2.5).counted_form().slope, 20) is None


# -- success ----------------------------------------------------------------------------------------


def successes(p, k):
    """Groups of successes (2^K, K) and their probabilities."""
    return every_group(np.array([1 - p, p]), k)


def success_update(p, k, table):
    """E of the update of the log-odds of success, per sample."""
    hits, chance = successes(p, k)
    paid = hits * table.entries[np.maximum(hits.sum(-1, keepdims=True) - 1, 0)]
    return (chance[:, None] * paid * (hits - p)).sum() / k


@pytest.mark.parametrize("p", [0.1, 0.6])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_pass_at_k_is_exact_up_to_the_group_size(p, k):
    table = reward_table(dg.PassAtK([1.0, 0.0], k), 5, "u_statistic")
    assert table.of == "success"
    true = p * (1 - p) * k * (1 - p) ** (k - 1)
    assert success_update(p, 5, table) == pytest.approx(true, abs=1e-12)
    with pytest.raises(dg.DagameError, match="no polynomial of degree <= 4"):
        reward_table(dg.PassAtK([1.0, 0.0], 6), 5, "u_statistic")


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_the_plug_in_of_log_success_is_maxrl(p):
    """Paying K/(S+1) follows -sum_{k<=K} (1-p)^k / k, the K-term maximum-likelihood objective."""
    k = 4
    table = reward_table(dg.LogSuccess([1.0, 0.0]), k, "plug_in")
    true = p * (1 - p) * sum((1 - p) ** (j - 1) for j in range(1, k + 1))
    assert success_update(p, k, table) == pytest.approx(true, abs=1e-12)


# -- programs, the frontier, the cache ---------------------------------------------------------------


def test_the_frontier_trades_bias_for_noise():
    edge = frontier(dg.ShannonDiversity(), 16, factors=(1.0, 1.1, 1.5, 3.0))
    assert (np.diff(edge.sup_bias) < 0).all()
    assert (np.diff(edge.worst_rmse) > 0).all()
    assert edge.sup_bias[0] < edge.plug_in.sup_bias
    assert edge.sup_bias[-1] >= least_sup_bias(lambda p: -np.log(p), 16) * (1 - 1e-6)
    assert edge.plot().axes[0].get_xlabel()


INVERSE = dg.classify(1 / sympy.Symbol("p"))


@pytest.mark.parametrize("k", [3, 8, 300])
@pytest.mark.parametrize("baseline", [None, "group_mean"])
@pytest.mark.parametrize(
    ("phi", "method"),
    [
        (dg.GiniDiversity(), "u_statistic"),
        (dg.ShannonDiversity(), "jackknife"),
        (dg.TsallisDiversity(1.0, 0.5), "jackknife"),
        (dg.LogSuccess([1.0, 0.0]), "plug_in"),
        (INVERSE.as_objective(), "plug_in"),
    ],
)
def test_the_automatic_method_serves_every_group_size(phi, method, k, baseline):
    assert automatic_method(phi, k, baseline) == method
    assert np.isfinite(reward_table(phi, k, method, baseline).entries).all()


@pytest.mark.parametrize("k", [8, 16])
@pytest.mark.parametrize("phi", [
    dg.LogSuccess([1.0, 0.0]), dg.TsallisDiversity(1.0, 0.5), dg.ShannonDiversity(), INVERSE.as_objective(),
    dg.TsallisDiversity(1.0, 1.5),
])  # fmt: skip
def test_the_default_is_near_the_truth_where_training_is(phi, k):
    """Mean |update's bias| over p uniform: at most 1.4 times the least of all named tables but minimax."""
    p = (np.arange(400) + 0.5) / 400
    named = [m for m in METHODS if m not in ("u_statistic", "minimax")]
    bias = {m: np.abs(reward_table(phi, k, m).bias(p)).mean() for m in named}
    chosen = bias[automatic_method(phi, k, None)]
    assert chosen <= max(1.4 * min(bias.values()), 0.0022)
    if not isinstance(phi, dg.ShannonDiversity):
        return
    assert chosen < bias["variance_optimal"]


def test_the_supremum_of_one_over_p_says_nothing():
    """It is 1 for every table, at p -> 0; the program for it is off by 0.88 at p = 0.7."""
    phi = dg.LogSuccess([1.0, 0.0])
    for method in ("plug_in", "variance_optimal", "jackknife"):
        assert reward_table(phi, 8, method).sup_bias >= 0.999
    designed, auto = (
        reward_table(phi, 8, m) for m in ("variance_optimal", automatic_method(phi, 8, None))
    )
    assert abs(designed.bias(0.7)) > 0.8
    assert abs(auto.bias(0.7)) < 0.001
    np.testing.assert_allclose(auto.effective([0.5, 0.7]), [2, 1 / 0.7], rtol=0.005)


def test_bias_factor_asks_the_other_way_round():
    phi, slope = dg.ShannonDiversity(), lambda p: -np.log(p)
    table = reward_table(phi, 16, bias_factor=4.0)
    assert table.sup_bias == pytest.approx(4 * least_sup_bias(slope, 16), rel=5e-3)
    again = reward_table(
        phi, 16, rmse_factor=table.worst_rmse / reward_table(phi, 16, "plug_in").worst_rmse
    )
    assert again.sup_bias == pytest.approx(table.sup_bias, rel=2e-2)


def test_tables_are_kept_and_rebuilt_when_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGAME_CACHE_DIR", str(tmp_path))
    first = reward_table(dg.ShannonDiversity(2.0), 6)
    (file,) = (tmp_path / "tables").iterdir()
    content = json.loads(file.read_text())
    content["entries"][0] += 1
    for damaged in (json.dumps(content), "{", ""):
        file.write_text(damaged)
        again = reward_table(dg.ShannonDiversity(2.0), 6)
        np.testing.assert_array_equal(again.entries, first.entries)
    stronger = reward_table(dg.ShannonDiversity(4.0), 6)
    np.testing.assert_allclose(stronger.entries, 2 * first.entries, rtol=1e-12)
    assert len(list((tmp_path / "tables").iterdir())) == 1
    reward_table(dg.GiniDiversity(), 6)
    assert len(list((tmp_path / "tables").iterdir())) == 2


@pytest.mark.parametrize("place", ["", "/proc/nowhere"])
def test_a_cache_that_cannot_be_written_is_done_without(place, monkeypatch):
    monkeypatch.setenv("DAGAME_CACHE_DIR", place)
    assert len(reward_table(dg.ShannonDiversity(), 5)) == 5


def test_a_table_from_the_disk_builds_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGAME_CACHE_DIR", str(tmp_path / "made" / "when needed"))
    kept = reward_table(dg.ShannonDiversity(), 7)
    monkeypatch.setattr("dagame.estimators.programs.variance_optimal", None)
    np.testing.assert_array_equal(reward_table(dg.ShannonDiversity(), 7).entries, kept.entries)


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
            lambda: reward_table(dg.ShannonDiversity(), 2, baseline="group_mean"),
            "integer >= 3 under baseline 'group_mean'",
        ),
        (lambda: reward_table(dg.ShannonDiversity(), 4, rmse_factor=0.5), "number >= 1"),
        (lambda: reward_table(dg.ShannonDiversity(), 4, bias_factor=1.0), "number > 1"),
        (lambda: reward_table(dg.ShannonDiversity(), 65, bias_factor=2.0), "give rmse_factor"),
        (lambda: reward_table(dg.ShannonDiversity(), 257), "method='jackknife'"),
        (
            lambda: reward_table(dg.ShannonDiversity(), 4, rmse_factor=2.0, bias_factor=2.0),
            "not both",
        ),
        (
            lambda: reward_table(dg.ShannonDiversity(), 4, "plug_in", rmse_factor=2.0),
            "do not apply",
        ),
    ],
)
def test_what_cannot_be_estimated(call, message):
    with pytest.raises(dg.DagameError, match=message):
        call()


# -- by definition ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("phi", [dg.ShannonDiversity(), dg.TsallisDiversity(1.0, 3.0)])
def test_the_jackknife_deletes_the_other_samples_one_by_one(phi, k):
    """K f'(share) - (K - 1) mean of f'(share without j) over j != i, deleting samples from a list."""
    slope = phi.counted_form().slope
    for n, found in enumerate(reward_table(phi, k, "jackknife").entries):
        others = [1] * n + [0] * (k - 1 - n)
        deleted = [slope((1 + sum(others) - o) / (k - 1)) for o in others]
        expected = k * slope((1 + n) / k) - (k - 1) * np.mean(deleted)
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("baseline", [None, "leave_two_out", "leave_one_out", "group_mean"])
@pytest.mark.parametrize("method", ["plug_in", "laplace", "jackknife"])
def test_variance_and_rmse_over_every_sample(method, baseline):
    """Of g(N) times what the baseline leaves, N counted among K - 1 coins."""
    k, p = 5, 0.3
    table = reward_table(dg.ShannonDiversity(), k, method, baseline)
    coins = np.array(list(itertools.product((0, 1), repeat=k - 1)))
    chance = np.where(coins == 1, p, 1 - p).prod(-1)
    g, slope = table.entries[coins.sum(-1)], table.derivative(p)
    left = 1 - 1 / k if baseline == "group_mean" else 1.0
    mean = chance @ g
    assert table.scale == pytest.approx(left)
    assert float(table.expected(p)) == pytest.approx(mean, rel=1e-12)
    assert float(table.variance(p)) == pytest.approx(chance @ (g - mean) ** 2, rel=1e-12)
    rmse = p * np.sqrt(chance @ (left * g - slope) ** 2)
    assert float(table.rmse(p)) == pytest.approx(rmse, rel=1e-12)
    if baseline in (None, "leave_two_out"):
        assert float(table.bias(p)) == pytest.approx(p * (mean - slope), rel=1e-10)


def test_the_default_frontier_starts_at_the_plug_in_and_grows():
    edge = frontier(dg.GiniDiversity(), 4)
    assert edge.factors[0] == 1
    assert (np.diff(edge.factors) > 0).all()
    assert len(edge.tables) == len(edge.factors)


def test_tables_are_immutable_and_compared_by_identity():
    one, same = (reward_table(dg.GiniDiversity(), 4, "plug_in") for _ in range(2))
    edge = frontier(dg.GiniDiversity(), 4, factors=(1.0, 2.0))
    for found, name in ((one, "entries"), (edge, "factors")):
        assert hash(found) is not None
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(found, name, None)
    assert one != same
    assert len(one) == 4
    np.testing.assert_array_equal(np.asarray(one), one.entries)


@pytest.mark.parametrize("k", [2, 7])
@pytest.mark.parametrize(("method", "c"), [("krichevsky_trofimov", 0.5), ("laplace", 1.0)])
def test_add_a_constant_is_the_slope_at_smoothed_frequencies(k, method, c):
    """Count n of the K - 1 others among two outcomes, c added to each: (n + c) / (K - 1 + 2 c)."""
    table = dg.estimators.reward_table(dg.GiniDiversity(1.0), k, method)
    smoothed = (np.arange(k) + c) / (k - 1 + 2 * c)
    np.testing.assert_allclose(np.diff(table.entries), np.diff(-2 * smoothed), atol=1e-14)


def test_variances_at_several_probabilities_are_those_at_each():
    table, p = reward_table(dg.ShannonDiversity(), 6, "plug_in"), np.array([0.1, 0.5, 0.9])
    many, single = table.variance(p), [float(table.variance(q)) for q in p]
    assert many.shape == p.shape
    np.testing.assert_allclose(many, single, rtol=1e-12)


@pytest.mark.parametrize("p", [-0.1, 1.5, [0.5, 1.1]])
def test_only_probabilities_have_a_bias(p):
    table = reward_table(dg.GiniDiversity(), 4)
    for read in (table.bias, table.rmse, table.expected, table.variance):
        with pytest.raises(InvalidDistribution, match="p must be in"):
            read(p)
