"""Split conformal prediction: its guarantee by enumeration, its referees, its weights and preferences."""

import copy
import importlib
import itertools
import json
import pickle
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import dagame as dg
from dagame import conformal
from dagame.errors import CalibrationError, InvalidDistribution, InvalidGame

ALPHAS = (0.01, 0.05, 0.1, 0.2, 0.25, 1 / 3, 0.5, 0.7, 0.9)
REASON = "the referee {} is not installed (pip install -e '.[dev]')"


def exchangeable(rng, questions, answers, contexts=1, samples=None, zeros=0.0):
    """Marginals (Q, m, n) and right answers (Q,), questions drawn alike; with `samples` from counts."""
    nu = rng.dirichlet(np.full(answers, 0.7), (questions, contexts))
    nu = np.where(rng.random(nu.shape) < zeros, 0, nu) + 1e-6 * nu
    nu /= nu.sum(-1, keepdims=True)
    mean = nu.mean(1)
    right = (rng.random((questions, 1)) > mean.cumsum(-1)[:, :-1]).sum(-1)
    if samples is not None:
        nu = rng.multinomial(samples, nu) / samples
    return nu, right


def true(scores, right):
    return conformal.true_scores(scores, np.arange(scores.shape[-1]) == right[:, None])


# -- scores ---------------------------------------------------------------------------------------


def test_scores_are_their_formulas_on_the_mean_over_contexts(rng):
    nu, _ = exchangeable(rng, 7, 5, contexts=3)
    w = np.array([1.0, 2.0, 5.0])
    mean = np.einsum("x,qxz->qz", w / 8, nu)
    np.testing.assert_allclose(conformal.pooled(nu, w), mean, rtol=1e-14)
    np.testing.assert_allclose(conformal.scores(nu, weights=w), 1 - mean, atol=1e-12)
    np.testing.assert_allclose(conformal.scores(nu, "-log nu"), -np.log(nu.mean(1)), atol=1e-12)
    h = -(mean * np.log(mean)).sum(-1, keepdims=True) / np.log(5)
    found = conformal.scores(nu, weights=w, entropy=0.3)
    np.testing.assert_allclose(found, 1 - mean + 0.3 * h, atol=1e-12)


@pytest.mark.parametrize("kind", conformal.SCORES)
def test_answers_never_sampled_score_infinity_and_a_single_answer_has_no_entropy(kind):
    nu = np.array([[[0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0]]])
    found = conformal.scores(nu, kind, entropy=1.0)
    assert np.isinf(found).tolist() == [[False, False, True], [False, True, True]]
    assert found[1, 0] == 0
    assert conformal.true_scores(found, np.array([[0, 0, 1], [0, 0, 0]], bool)).tolist() == [
        np.inf,
        np.inf,
    ]


def test_equal_frequencies_tie_whatever_the_order_of_the_contexts(rng):
    counts = rng.integers(1, 9, (200, 7, 4))
    nu = counts / counts.sum(-1, keepdims=True)
    order = rng.permutation(7)
    for kind in conformal.SCORES:
        np.testing.assert_array_equal(
            conformal.scores(nu, kind), conformal.scores(nu[:, order], kind)
        )


def test_both_kinds_give_the_same_sets_and_p_values(rng):
    nu, right = exchangeable(rng, 60, 6, contexts=2, samples=10)
    one, log = (conformal.scores(nu, kind) for kind in conformal.SCORES)
    for alpha in ALPHAS:
        sets = [
            conformal.prediction_sets(s[30:], conformal.calibrate(true(s, right)[:30], alpha))
            for s in (one, log)
        ]
        np.testing.assert_array_equal(*sets)
    np.testing.assert_array_equal(*(conformal.p_value(s, true(s, right)[:30]) for s in (one, log)))


def test_of_several_right_answers_the_most_usual_counts():
    scores = np.array([[0.2, 0.5, np.inf]])
    assert conformal.true_scores(scores, np.array([[False, True, True]])) == [0.5]
    with pytest.raises(InvalidGame, match="truth values"):
        conformal.true_scores(scores, np.array([[0, 1, 1]]))


@pytest.mark.parametrize(
    ("marginals", "options", "error", "said"),
    [
        ([0.5, 0.5], {}, InvalidGame, "contexts x answers"),
        ([[0.5, 0.6]], {}, InvalidDistribution, "sum to 1.1"),
        ([[1.5, -0.5]], {}, InvalidDistribution, "negative"),
        ([[0.5, np.nan]], {}, InvalidDistribution, "not finite"),
        ([[0.5, 0.5]], {"weights": [1, 1]}, InvalidGame, "1 positive"),
        ([[0.5, 0.5]], {"kind": "1-nu"}, InvalidGame, "did you mean '1 - nu'"),
        ([[0.5, 0.5]], {"entropy": -1}, InvalidGame, "entropy is -1"),
    ],
)
def test_what_is_no_table_of_marginals_is_said(marginals, options, error, said):
    with pytest.raises(error, match=said):
        conformal.scores(marginals, **options)


# -- the threshold and its guarantee --------------------------------------------------------------


@given(
    st.lists(st.integers(-3, 3) | st.just(np.inf), min_size=1, max_size=25),
    st.sampled_from(ALPHAS),
)
@settings(deadline=None)
def test_in_turn_every_question_tested_on_the_others_is_covered_often_enough(values, alpha):
    """The lemma of the guarantee, exactly: exchangeable scores are a random choice of the last one."""
    inside = [
        s <= conformal.calibrate(values[:j] + values[j + 1 :], alpha)
        for j, s in enumerate(map(float, values))
    ]
    share, n = np.mean(inside), len(values) - 1
    assert share >= 1 - alpha - 1e-12
    if len(set(values)) == len(values):
        assert share <= 1 - alpha + 1 / (n + 1) + 1e-12


@given(st.integers(0, 200), st.integers(1, 99))
@settings(deadline=None)
def test_the_rank_is_the_ceiling_in_exact_arithmetic(n, percent):
    t = conformal.calibrate(np.arange(n), percent / 100)
    k = -((-(n + 1) * (100 - percent)) // 100)
    assert (t.rank, t.questions) == (k, n)
    assert t == (k - 1 if k <= n else np.inf)
    assert t.whole == (k > n)


def test_too_few_questions_give_the_whole_set_and_say_so():
    t = conformal.calibrate([0.1] * 8, 0.1)
    assert t.whole
    assert "needs at least 9 calibration questions, there are 8" in t.why
    assert conformal.prediction_sets([0.3, np.inf], t).all()
    unseen = conformal.calibrate([0.1, np.inf, np.inf], 0.3)
    assert unseen.whole
    assert "never sampled" in unseen.why
    assert not conformal.calibrate([0.1] * 9, 0.1).whole
    assert conformal.calibrate([], 0.5).whole
    for alpha in ALPHAS:
        n = conformal.least_questions(alpha)
        assert n == max(0, int(np.ceil(1 / Fraction(alpha).limit_denominator(1000))) - 1)
        assert not conformal.calibrate(np.zeros(n), alpha).whole or n == 0
        assert n == 0 or conformal.calibrate(np.zeros(n - 1), alpha).whole


def test_a_threshold_is_a_number_and_survives_copies():
    t = conformal.calibrate([3, 1, 2], 0.5)
    assert t == 2.0
    assert isinstance(t, float)
    assert (np.array([1.0, 2.0, 2.5]) <= t).tolist() == [True, True, False]
    for other in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert (other, other.why) == (t, t.why)


@pytest.mark.parametrize("samples", [None, 5])
@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5])
def test_coverage_lies_within_binomial_bounds(samples, alpha):
    """Replicates are independent: the count of covered ones is binomial with a rate in the bounds."""
    rng, n, replicates = np.random.default_rng(11), 39, 2000
    nu, right = exchangeable(rng, replicates * (n + 1), 6, contexts=2, samples=samples, zeros=0.3)
    s = true(conformal.scores(nu), right).reshape(replicates, n + 1)
    covered = sum(float(row[-1]) <= conformal.calibrate(row[:-1], alpha) for row in s)
    assert covered >= binom.ppf(1e-6, replicates, 1 - alpha)
    if samples is None:
        assert covered <= binom.ppf(1 - 1e-6, replicates, 1 - alpha + 1 / (n + 1))


def test_tuning_the_score_on_the_calibration_questions_loses_coverage():
    """The negative result that docs/theory/conformal.md states."""
    rng, n, alpha, tried, replicates = np.random.default_rng(5), 20, 0.2, 50, 400
    covered = 0
    for _ in range(replicates):
        s = rng.random((tried, n + 1))  # scores that say nothing, each exchangeable
        thresholds = [conformal.calibrate(row[:-1], alpha) for row in s]
        best = int(np.argmin(thresholds))
        covered += s[best, -1] <= thresholds[best]
    assert covered < binom.ppf(1e-6, replicates, 1 - alpha)


@given(
    st.lists(st.integers(0, 6) | st.just(np.inf), max_size=20),
    st.lists(st.integers(0, 6) | st.just(np.inf), min_size=1, max_size=6),
)
@settings(deadline=None)
def test_sets_are_nested_and_are_the_answers_of_larger_p_value(calibration, scores):
    p = conformal.p_value(scores, calibration)
    last = np.zeros(len(scores), bool)
    for alpha in sorted(ALPHAS, reverse=True):
        inside = conformal.prediction_sets(scores, conformal.calibrate(calibration, alpha))
        assert (last <= inside).all()
        np.testing.assert_array_equal(inside, p > alpha + 1e-12)
        last = inside
    definition = [(1 + sum(c >= s for c in calibration)) / (len(calibration) + 1) for s in scores]
    np.testing.assert_array_equal(p, definition)


@given(st.lists(st.integers(0, 4) | st.just(np.inf), min_size=1, max_size=20))
@settings(deadline=None)
def test_p_values_are_super_uniform(values):
    """Over all choices of the tested question, exactly: P(p <= a) <= a."""
    p = np.array([conformal.p_value(s, values[:j] + values[j + 1 :]) for j, s in enumerate(values)])
    for a in np.unique(p):
        assert np.mean(p <= a) <= a + 1e-12
    if len(set(values)) == len(values):
        np.testing.assert_allclose(np.sort(p), np.arange(1, len(p) + 1) / len(p))


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 2, np.nan, np.inf, 1e-320, 1e-10, "x", None])
def test_levels_outside_zero_to_one(alpha):
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        conformal.calibrate([0.5], alpha)
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        conformal.least_questions(alpha)


def test_scores_that_are_no_scores():
    with pytest.raises(CalibrationError, match="NaN"):
        conformal.calibrate([0.1, np.nan], 0.1)
    with pytest.raises(CalibrationError, match="one score for each question"):
        conformal.p_value([0.1], [[0.1]])
    with pytest.raises(CalibrationError, match="threshold is NaN"):
        conformal.prediction_sets([0.1], np.nan)


def test_flags_abstain_at_empty_sets_and_answer_at_single_ones():
    sets = np.array([[0, 0, 0], [0, 1, 0], [1, 1, 0]], bool)
    assert conformal.flags(sets).tolist() == ["empty", "single", "several"]
    assert conformal.flags(sets, whole=[False, True, False]).tolist()[1] == "several"
    mask = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0]], bool)
    inside = conformal.prediction_sets(np.zeros((3, 3)), 0.0, mask)
    np.testing.assert_array_equal(inside, mask)


# -- referees -------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.25, 0.5])
def test_sets_are_those_of_mapie(alpha):
    """`SplitConformalClassifier` of "lac": a fitted classifier that returns its inputs as probabilities."""
    mapie = pytest.importorskip("mapie.classification", reason=REASON.format("mapie"))
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Table(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return X

        def predict(self, X):
            return self.classes_[X.argmax(-1)]

    rng = np.random.default_rng(3)
    for samples in (None, 10):
        nu, right = exchangeable(rng, 400, 5, samples=samples)
        right[:5] = np.arange(5)
        nu = (0.9 * nu + 0.02)[:, 0]  # no zeros: an answer never sampled is ours alone
        theirs = mapie.SplitConformalClassifier(
            Table().fit(nu, right), confidence_level=1 - alpha, conformity_score="lac", prefit=True
        )
        theirs.conformalize(nu[:150], right[:150])
        _, sets = theirs.predict_set(nu[150:])
        s = conformal.scores(nu[:, None])
        threshold = conformal.calibrate(true(s, right)[:150], alpha)
        ours = conformal.prediction_sets(s[150:], threshold)
        differ = ours != sets[..., 0]
        # MAPIE does not round: frequencies that tie up to rounding may fall either way there
        assert not differ[np.abs(s[150:] - threshold) > 1e-9].any()
        assert samples is not None or not differ.any()


def test_p_values_and_sets_are_those_of_crepes():
    crepes = pytest.importorskip("crepes", reason=REASON.format("crepes"))
    rng = np.random.default_rng(4)
    for samples in (None, 4):
        nu, right = exchangeable(rng, 300, 5, samples=samples, zeros=0.3)
        s = conformal.scores(nu)
        finite = np.where(
            np.isinf(s), 2.0, s
        )  # above every score, as crepes does arithmetic on them
        known = true(finite, right)[:99]
        theirs = crepes.ConformalClassifier().fit(known)
        p = theirs.predict_p(finite[99:], smoothing=False)
        np.testing.assert_allclose(conformal.p_value(finite[99:], known), p, atol=1e-12)
        sets = theirs.predict_set(finite[99:], confidence=0.85, smoothing=False)
        ours = conformal.prediction_sets(finite[99:], conformal.calibrate(known, 0.15))
        # crepes keeps p >= alpha; the two differ where p is alpha itself
        differ = ours != (np.asarray(sets) > 0)
        assert not differ[np.abs(p - 0.15) > 1e-9].any()


# -- reliability and weights ----------------------------------------------------------------------


def test_the_p_value_map_is_monotone_and_the_published_one_is_not():
    calibration = np.arange(1, 101) / 100
    scores = np.array([0.2, 0.6, 0.95])
    p = conformal.reliability(scores, calibration)
    np.testing.assert_array_equal(p, conformal.p_value(scores, calibration))
    assert (np.diff(p) < 0).all()
    published = conformal.reliability(scores, calibration, "published")
    assert published.tolist() == [(0.5 + 0.8) / 2, 0.8, 0.0]
    with pytest.raises(CalibrationError, match="did you mean 'published'"):
        conformal.reliability(scores, calibration, "publish")


def test_published_levels_and_pair_weights():
    """All sixteen pairs, from the rule as it is written down."""
    rule = {(1, 1): (0.5 + 0.8) / 2, (0, 1): 0.8, (1, 0): 0.5, (0, 0): 0.0}
    for first, second in itertools.product(rule, repeat=2):
        r = [conformal.published_reliability(*map(bool, cell)) for cell in (first, second)]
        assert conformal.pair_weights(*r) == (rule[first] + rule[second]) / 2


def test_row_weights_are_looked_up():
    table = np.array([[0.1, 0.2], [0.3, 0.4]])
    found = conformal.row_weights(table, [0, 1, 1, -1], [1, 0, -1, 0])
    assert found.tolist() == [0.2, 0.3, 0.0, 0.0]
    with pytest.raises(InvalidGame, match="index of answer is outside"):
        conformal.row_weights(table, [0], [2])


# -- preferences ----------------------------------------------------------------------------------


def test_preferences_are_the_signs_of_the_equilibriums_rewards(rng):
    nu0 = rng.dirichlet(np.ones(4), (3, 2))
    game = dg.AlignmentGame(nu0, dg.Coherence(2.0), beta=1.0)
    u = dg.solve(game).rewards
    r = conformal.p_value(conformal.scores(nu0), rng.random(30))
    pairs = conformal.preference_pairs(u, r[:, None, :])
    assert len(pairs.chosen) == 3 * 2 * 6
    for (q, x), z, other, margin, weight in zip(*pairs, strict=True):
        assert margin == u[q, x, z] - u[q, x, other] > 0
        assert weight == (r[q, z] + r[q, other]) / 2
    ends = np.sort(np.column_stack([pairs.chosen, pairs.rejected]), axis=1)
    seen = np.unique(np.column_stack([pairs.place, ends]), axis=0)
    assert len(seen) == len(pairs.chosen)


def test_preferences_leave_out_ties_masked_answers_and_the_weakest():
    u = np.array([[1.0, 1.0, 0.0, np.nan], [3.0, 2.0, 1.0, 0.0]])
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)
    pairs = conformal.preference_pairs(u, mask=mask, most=3)
    assert pairs.place.ravel().tolist() == [0, 0, 1, 1, 1]
    assert pairs.chosen.tolist() == [0, 1, 0, 0, 1]
    assert pairs.rejected.tolist() == [2, 2, 3, 2, 3]
    assert pairs.weight.tolist() == [1.0] * 5
    assert pairs.margin.tolist() == [1.0, 1.0, 3.0, 2.0, 2.0]
    with pytest.raises(InvalidGame, match="not finite"):
        conformal.preference_pairs(u)
    with pytest.raises(InvalidGame, match="broadcast"):
        conformal.preference_pairs(u, np.ones(3), mask=mask)
    assert conformal.preference_pairs(np.zeros((0, 3))).place.shape == (0, 1)
    assert len(conformal.preference_pairs(np.zeros(3)).chosen) == 0


def test_a_wrong_order_of_the_scores_is_seen_by_verify(monkeypatch):
    from dagame.theory.checks import CHECKS, coverage

    [row] = [c for c in CHECKS if c.theorem == "coverage"]
    game = dg.AlignmentGame(np.full((2, 3), 1 / 3), dg.Coherence(), beta=1.0)
    assert np.max(row.function(game, np.random.default_rng(1))) <= row.tolerance
    short = lambda s, alpha: conformal.calibrate(s, min(0.99, alpha + 0.1))  # noqa: E731
    monkeypatch.setattr(coverage, "calibrate", short)
    assert np.max(row.function(game, np.random.default_rng(1))) > row.tolerance


# -- published weights ----------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
CFA = ROOT / ".." / "shared" / "data" / "cfa"


@pytest.fixture
def weights():
    return importlib.import_module("conformal_weights")


def planted(rng, folder, name, levels):
    """A file of pairs in the published layout, of responses whose levels are drawn from `levels`."""
    rows, of = [], []
    for p in range(30):
        drawn = rng.choice(levels, int(rng.integers(3, 9)))
        of.append(drawn)
        for a, b in itertools.combinations(range(len(drawn)), 2):
            if rng.random() < 0.8:
                first, second = (a, b) if rng.random() < 0.5 else (b, a)
                pair = {"prompt": f"p{p}", "chosen": f"r{first}", "rejected": f"r{second}"}
                rows.append(pair | {"weight": (drawn[first] + drawn[second]) / 2})
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("pairs.json", "\n".join(map(json.dumps, rows)))
    return rows


def test_planted_weights_are_recovered_and_other_weights_are_not(weights, tmp_path):
    rng, table = np.random.default_rng(2), weights.partners()
    rows = planted(rng, tmp_path, "a.zip", [0.0, 0.8, (0.5 + 0.8) / 2, 0.5])
    found = weights.prompts(tmp_path / "a.zip")
    assert sum(len(p.pairs) for p in found) == len(rows)
    told = weights.reproduced(found, found, table)
    assert told["equal"] == told["recoverable"] > 0.5 * len(rows)
    assert told["contradictions"] == 0
    planted(rng, tmp_path, "b.zip", [0.0, 0.8, 0.9])
    told = weights.reproduced(*[weights.prompts(tmp_path / "b.zip")] * 2, table)
    assert told["contradictions"] > 0


@pytest.mark.skipif(not CFA.exists(), reason="the published pairs of data/cfa are not at hand")
def test_every_recoverable_published_weight_is_reproduced(weights):
    """All of them, and those of a half of the pairs from the other half."""
    found, table = weights.prompts(CFA / weights.FILE), weights.partners()
    told = weights.reproduced(found, found, table)
    assert told == {
        "pairs": 104_614,
        "recoverable": 104_554,
        "equal": 104_554,
        "contradictions": 0,
    }
    told = weights.reproduced(*weights.halves(found, 0), table)
    assert told["equal"] == told["recoverable"] > 51_000
    rates = weights.preferences(found, table, 4)
    mean = {level: np.mean(rate) for level, rate in rates["rates"].items()}
    assert {k: round(v, 3) for k, v in mean.items()} == {
        "ring": 0.502,
        "both": 0.477,
        "none": 0.498,
    }
    assert 0.13 < rates["cyclic"] / rates["triads"] < 0.14
