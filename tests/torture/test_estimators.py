"""Reward tables under random and hostile parameters: right by enumeration, or refused in a sentence."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from budget import scale, settings
from hypothesis import given
from hypothesis import strategies as st
from referee import combined

import dagame as dg
from dagame.estimators import (
    BASELINES,
    METHODS,
    count_rewards,
    frontier,
    kl_weight,
    reward_table,
)
from dagame.estimators.tables import ANALYSIS_LIMIT, CENTRED, TABLE_LIMIT
from dagame.objectives.catalogue import CATALOGUE
from tests.games import SEEDS
from tests.kinds import BESIDES, KINDS, every_other, made


def has_a_table(name):
    """A sum over answers, or a function of a success whose labels are 0 and 1."""
    random = name in CATALOGUE and CATALOGUE[name].labels
    return made(name, 1.0, 1, 3).counted_form() is not None and not random


COUNTED = [name for name in KINDS if has_a_table(name)]


def slope_of(phi):
    """The f' of its definition, in 50 digits; Shannon's without the constant -s, which is free."""

    def slope(p):
        with mp.workdps(50):
            nu = [[mp.mpf(p), 1 - mp.mpf(p), mp.mpf(0)]]
            return float(combined(phi, nu, [mp.mpf(1)])[1][0][0])

    return slope


def pmf(p, k):
    """Bin(j; k-1, p) from integer binomial coefficients."""
    n = k - 1
    return np.array([math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k)])


@st.composite
def tables(draw, largest=9):
    """Objective, its f', strength, K, method and baseline."""
    name = draw(st.sampled_from(COUNTED))
    strength = 10 ** draw(st.floats(-9, 9))
    phi = made(name, strength, 1, 3, draw(SEEDS))
    k = draw(st.integers(1, largest))
    return (
        phi,
        slope_of(phi),
        strength,
        k,
        draw(st.sampled_from(METHODS)),
        draw(st.sampled_from(BASELINES)),
    )


def table_or_none(*how):
    """The table, None where it is refused."""
    try:
        return reward_table(*how)
    except dg.DagameError:
        return None


@settings(100)
@given(tables())
def test_a_table_does_what_it_says_or_is_refused(case):
    phi, slope, strength, k, method, baseline = case
    least = 3 if baseline in CENTRED else 2
    table = table_or_none(phi, k, method, baseline)
    if table is None:
        assert k < least or method == "u_statistic"
        return
    assert k >= least
    g = np.asarray(table)
    assert g.shape == (k,)
    assert np.isfinite(g).all()
    draws, factor = (k - 1, table.scale) if baseline in CENTRED else (k, 1.0)
    for p in (0.03, 0.4, 0.9, 1.0):
        paid = factor * float(pmf(p, draws) @ g[:draws])
        size = max(np.abs(g).max(), abs(slope(p)))
        assert table.effective(p) == pytest.approx(paid, rel=1e-9, abs=1e-12 * size)
        assert table.bias(p) == pytest.approx(p * (paid - slope(p)), abs=1e-9 * size)
        assert abs(table.bias(p)) <= table.sup_bias * 1.02 + 1e-9 * size
        squares = pmf(p, k) @ (table.scale * g - slope(p)) ** 2
        assert table.rmse(p) == pytest.approx(p * math.sqrt(squares), rel=1e-6, abs=1e-9 * size)
        if method == "u_statistic":
            assert paid == pytest.approx(float(slope(p)), abs=1e-8 * size)
    plain = reward_table(phi, k, "plug_in", baseline)
    if method == "minimax":
        assert table.sup_bias <= plain.sup_bias * 1.01 + 1e-7 * strength
    if method == "variance_optimal":
        assert table.sup_bias <= plain.sup_bias * 1.01 + 1e-6 * strength
        alone = [reward_table(phi, draws, m) if draws > 1 else None for m in (method, "plug_in")]
        if draws > 1:
            assert alone[0].worst_rmse <= 1.1 * alone[1].worst_rmse * 1.01 + 1e-6 * strength


@settings(25)
@given(tables(6), SEEDS)
def test_the_expected_update_of_every_draw_is_the_effective_reward(case, seed):
    phi, _, strength, k, method, baseline = case
    table = table_or_none(phi, k, method, baseline)
    if table is None or (method in ("minimax", "variance_optimal") and len(phi.terms()) > 1):
        return  # refused, or: counts are paid the sum of the terms' tables, not the table of the sum
    nu = np.random.default_rng(seed).dirichlet(np.ones(3)) * 0.97 + 0.01
    update, size = np.zeros(3), strength
    factorials = np.array([math.factorial(j) for j in range(k + 1)])
    for counts in itertools.product(range(k + 1), repeat=3):
        if sum(counts) != k:
            continue
        chance = factorials[k] * np.prod(nu ** np.array(counts) / factorials[list(counts)])
        paid = count_rewards(np.array(counts)[None, None], phi, method, baseline=baseline)
        size = max(size, np.abs(paid.rewards).max())
        worth = (paid.advantages[0, 0] * counts / k) @ (np.eye(3) - nu)
        update += chance * worth
    right = every_other(3)
    worth = right * table.effective(right @ nu) if table.of == "success" else table.effective(nu)
    np.testing.assert_allclose(update, nu * (worth - nu @ worth), atol=1e-9 * size)


@pytest.mark.parametrize("k", [16, 64])
@pytest.mark.parametrize("name", ["gini", "pass-at-1", "pass-at-2"])
def test_an_exact_table_that_keeps_the_noise_bound_is_the_variance_optimal_one(name, k):
    phi = made(name, 2.0, 1, 3)
    optimal, exact = reward_table(phi, k), reward_table(phi, k, "u_statistic")
    np.testing.assert_allclose(optimal, exact, atol=1e-14)
    assert optimal.sup_bias < 1e-12
    assert optimal.worst_rmse <= 1.1 * reward_table(phi, k, "plug_in").worst_rmse + 1e-12


BY_GROWTH = ["shannon", "gini", "log-success, labels", "pass-at-5"]
"""Like log(1/p), p, 1/p and (1 - p)^4: one of each growth, for the groups that take longest."""


@pytest.mark.parametrize(
    ("name", "k"),
    [
        *((name, k) for name in COUNTED if name not in BESIDES for k in (64, 256)),
        *((name, k) for name in BY_GROWTH for k in (1000, ANALYSIS_LIMIT)),
        *(("pass-at-5", k) for k in (64, 256)),
    ],
)
def test_large_groups(name, k):
    """The bias p (paid - f') is O(1/K), or what f' itself is at 1/K where it grows like a power there."""
    phi = made(name, 1.0, 1, 3)
    slope = slope_of(phi)
    steep = slope(1 / k / 16) > 2 * abs(slope(1 / k))
    bound = 2 * slope(1 / k) / k if steep else 8 / k
    direct = [m for m in METHODS if m not in ("minimax", "variance_optimal")]
    for method in direct if k <= 64 * scale(1) else ["jackknife"]:
        table = table_or_none(phi, k, method)
        if table is None:
            assert method == "u_statistic"
            ninth = np.diff([slope(p) for p in np.linspace(0.1, 0.9, 10)], 9)
            assert abs(ninth[0]) > 1e-6, "a polynomial of degree 8 or less"
            continue
        assert table.sup_bias <= bound
        assert table.rmse(0.5) <= 8 / math.sqrt(k)
        if method == "u_statistic":
            assert table.sup_bias < 1e-10
    if k > 256:
        with pytest.raises(dg.DagameError, match="take method='jackknife'"):
            reward_table(phi, k)
    if k > 32:
        with pytest.raises(dg.DagameError, match="take method='variance_optimal'"):
            reward_table(phi, k, "minimax")


def test_u_statistics_of_a_million_samples_take_no_time_and_are_exact():
    k = TABLE_LIMIT
    g = np.asarray(reward_table(dg.PassAtK([1.0, 0.0, 0.0], 5), k, "u_statistic"))
    share = np.arange(k) / (k - 1)
    np.testing.assert_allclose(g, 5 * (1 - share) ** 4, atol=2e-5)
    left = np.arange(5)
    exact = [math.comb(k - 1 - j, 4) / math.comb(k - 1, 4) * 5 for j in left]
    np.testing.assert_allclose(g[left], exact, rtol=1e-9)
    with pytest.raises(dg.DagameError, match="read the entries"):
        reward_table(dg.ShannonDiversity(), k, "plug_in").sup_bias  # noqa: B018


@settings(10)
@given(st.floats(-9, 9), st.sampled_from(COUNTED), st.integers(2, 12))
def test_tables_scale_with_the_strength(power, name, k):
    small, large = (made(name, s, 1, 3) for s in (1.0, 10**power))
    for method in METHODS:
        one, other = (table_or_none(phi, k, method) for phi in (small, large))
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            exact = np.asarray(one) * 10**power
            np.testing.assert_allclose(other, exact, rtol=1e-6, atol=1e-9 * np.abs(exact).max())


SHANNON = dg.ShannonDiversity()
COUNTS = np.array([[[3, 1, 0], [2, 2, 0]]])
TABLE = reward_table(SHANNON, 4, "plug_in")
CAP = dg.HardConstraint(dg.Cap([0], 0.5))

HOSTILE = {
    **{f"K={k!r}": lambda k=k: reward_table(SHANNON, k) for k in
       (0, -1, 1, True, 2.0, math.nan, "3", None, [3], 2**31, 10**30, 257)},
    **{f"objective {o!r}": lambda o=o: reward_table(o, 4) for o in (None, 1, "x", dg.Coherence())},
    "method": lambda: reward_table(SHANNON, 4, None),  # type: ignore[arg-type]
    "baseline": lambda: reward_table(SHANNON, 4, baseline="mean"),
    **{f"rmse_factor {f!r}": lambda f=f: reward_table(SHANNON, 4, rmse_factor=f)
       for f in (0, 0.5, math.nan, math.inf, -1, "a", [1])},
    **{f"bias_factor {f!r}": lambda f=f: reward_table(SHANNON, 4, bias_factor=f)
       for f in (0, 1, True, math.nan, math.inf, -1, "a")},
    "bias_factor K": lambda: reward_table(SHANNON, 65, bias_factor=2.0),
    "frontier": lambda: frontier(SHANNON, 1000),
    "strength": lambda: reward_table(dg.GiniDiversity(1e90) + 1e15 * dg.GiniDiversity(1e90), 4),
    **{f"p={p!r} {f}": lambda p=p, f=f: getattr(TABLE, f)(p)
       for p in (-0.1, 1.1, math.nan, "a", None) for f in ("expected", "bias", "rmse", "variance")},
    "p=0 bias": lambda: TABLE.bias(0.0),
    **{f"log ratio {v}": lambda v=v: kl_weight([v], "k3") for v in (math.nan, math.inf, -1e4)},
    "kl kind": lambda: kl_weight([0.0], None),  # type: ignore[arg-type]
    **{f"counts {name}": lambda c=c: count_rewards(c, dg.Coherence()) for name, c in {
        "negative": -COUNTS, "nan": COUNTS + math.nan, "inf": COUNTS + math.inf, "half": COUNTS / 2,
        "none": None, "ragged": [[[1], [1, 2]]], "text": [[["a"]]], "2d": COUNTS[0],
        "no sample": 0 * COUNTS, "beyond a table": COUNTS * 10**15, "beyond floats": COUNTS * 2.0**60,
    }.items()},
    **{f"weights {w!r}": lambda w=w: count_rewards(COUNTS, dg.Coherence(), weights=w)
       for w in ([1, 0], [-1, 2], [math.nan, 1], [1], [1, 1, 1], "ab", [3, 5], [math.inf, 1])},
    **{f"multipliers {y!r}": lambda y=y: count_rewards(COUNTS, CAP, multipliers=y)
       for y in ([math.nan, 0], [1.0] * 5, "ab", None, [[[1.0]]])},
    "no objective": lambda: count_rewards(COUNTS, None),  # type: ignore[arg-type]
    "estimator": lambda: count_rewards(COUNTS, SHANNON, None),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_parameters_end_in_one_sentence(name):
    with pytest.raises(dg.DagameError) as caught:
        HOSTILE[name]()
    assert str(caught.value).strip().endswith((".", "?"))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int8, bool, float])
def test_counts_of_every_width_are_counts(dtype):
    counts = np.array([[[1, 0, 0], [1, 1, 0]], [[1, 1, 1], [0, 1, 0]]])
    for phi in (SHANNON, dg.Coherence(), dg.Coherence(consensus="geometric")):
        wide, narrow = (count_rewards(c, phi) for c in (counts, counts.astype(dtype)))
        np.testing.assert_array_equal(wide.advantages, narrow.advantages)
