"""Group rewards: the rules one by one, invariances, and the same numbers as the counts give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dagame as dg
from dagame.estimators import count_rewards
from dagame.lm.rewards import ZERO_SIGNAL, group_rewards
from dagame.lm.rows import read_batch
from dagame.samples.metrics import labelled_table

CLASSES = [7, 7, 7, 7, 7, 7, 3, 3, 3, 3]
CONTEXTS = [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]
ANSWERS = ["a", "a", "b", "b", "c", "b", "x", "y", "y", "y"]


def test_rewards_are_those_of_the_counts():
    out = group_rewards(CLASSES, CONTEXTS, ANSWERS, dg.Coherence(), baseline="group_mean")
    counts = np.array([[[2, 1, 0], [0, 2, 1]]])
    paid = count_rewards(counts, dg.Coherence(), baseline="group_mean")
    by_hand = [(0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (1, 1)]
    np.testing.assert_allclose(out.rewards[:6], [paid.rewards[0, x, z] for x, z in by_hand])
    np.testing.assert_allclose(out.advantages[:6], [paid.advantages[0, x, z] for x, z in by_hand])
    np.testing.assert_allclose(out.scale[:6], 3 / 2)
    np.testing.assert_allclose(out.scale[6:], 2.0)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["leave_two_out", "group_mean", None]))
def test_order_and_labels_do_not_matter(seed, baseline):
    """Shuffled rows, renamed classes, contexts and answers: the same rewards to the last bit."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    ids = rng.integers(0, 4, n), rng.integers(0, 3, n), rng.integers(-1, 5, n)
    phi = dg.Coherence() + 0.3 * dg.ShannonDiversity()
    out = group_rewards(*ids, phi, baseline=baseline)
    assert np.isfinite(out.rewards).all()
    order = rng.permutation(n)
    shuffled = group_rewards(*(i[order] for i in ids), phi, baseline=baseline)
    np.testing.assert_array_equal(shuffled.rewards, out.rewards[order])
    np.testing.assert_array_equal(shuffled.advantages, out.advantages[order])
    names = [None if a < 0 else "pqrst"[4 - a] for a in ids[2]]
    renamed = group_rewards(
        [f"q{9 - c}" for c in ids[0]], 2 - ids[1], names, phi, baseline=baseline
    )
    np.testing.assert_allclose(renamed.rewards, out.rewards, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_classes_do_not_see_each_other(seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 3, 40), rng.integers(0, 2, 40), rng.integers(0, 4, 40)
    out = group_rewards(*ids, dg.Coherence(2.0))
    for c in np.unique(ids[0]):
        rows = ids[0] == c
        alone = group_rewards(*(i[rows] for i in ids), dg.Coherence(2.0))
        np.testing.assert_allclose(alone.rewards, out.rewards[rows], atol=1e-12)


def test_no_answer_is_never_a_consensus():
    keys = [None, None, "a", None, None, None, "b", "b"]
    ids = [0] * 8, [0, 0, 0, 1, 1, 1, 2, 2]
    kept, low, dropped = (
        group_rewards(
            *ids, keys, dg.Coherence(), "krichevsky_trofimov", no_answer=rule, baseline=None
        )
        for rule in ("keep", "lowest", "drop")
    )
    assert kept.rewards[0] > kept.rewards[2]
    assert low.rewards[0] == low.rewards[2] == kept.rewards[2]
    assert (low.rewards[3:6] == 0).all()
    assert (low.advantages[3:6] == 0).all()
    np.testing.assert_array_equal(low.rewards[6:], kept.rewards[6:])
    assert np.isnan(dropped.rewards[[0, 1, 3, 4, 5]]).all()
    assert (dropped.advantages[[0, 1, 3, 4, 5]] == 0).all()
    assert dropped.diagnostics["unscorable"] == 5 / 8
    for out in (kept, low, dropped):
        assert out.diagnostics["no_answer"] == 5 / 8


def test_why_groups_have_no_signal():
    classes = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3]
    contexts = [0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0]
    keys = ["a", "b", "a", "a", None, None, "a", "b", "a", "b", "z"]
    out = group_rewards(classes, contexts, keys, dg.Coherence(), baseline=None)
    names = {
        int(c): ["" if k == 0 else ZERO_SIGNAL[k - 1] for k in row]
        for t in out.classes
        for c, row in zip(t.bucket.classes, t.zero_signal, strict=True)
    }
    assert names == {
        0: ["", "unanimous"],
        1: ["no_answer", "equal"],
        2: ["one_context"],
        3: ["single"],
    }
    alone = group_rewards([0, 0, 1], [0, 0, 0], ["a", "b", "a"], dg.Coherence(1.0, "euclidean"))
    reasons = alone.classes[0].zero_signal.ravel().tolist()
    assert [ZERO_SIGNAL[c - 1] for c in reasons] == ["one_context", "single"]
    assert alone.diagnostics["zero_signal"] == 1.0
    equal = group_rewards([0, 0], [0, 0], ["a", "b"], dg.Reward([1.0, 1.0]), vocabulary=["a", "b"])
    assert equal.diagnostics["zero_signal_one_context"] == 1.0


def test_a_class_with_one_member_pays_coherence_nothing():
    out = group_rewards([0] * 4, [5] * 4, ["a", "a", "b", "c"], dg.Coherence(1.0, "euclidean"))
    np.testing.assert_allclose(out.rewards, 0, atol=1e-15)


def test_a_missing_member_leaves_the_class_to_the_others():
    """Two of three members: the same as a class that has but two."""
    full = [0] * 6, [0, 0, 1, 1, 2, 2], list("abbbcc")
    part = [1] * 4, [0, 0, 1, 1], list("abbb")
    out = group_rewards(*(a + b for a, b in zip(full, part, strict=True)), dg.Coherence())
    alone = group_rewards(*part, dg.Coherence())
    np.testing.assert_allclose(out.rewards[6:], alone.rewards)
    assert out.diagnostics["incomplete_classes"] == 0.5


def test_uneven_groups_use_tables_of_their_own_size():
    keys = list("aab") + list("aabcd")
    out = group_rewards([0] * 8, [0] * 3 + [1] * 5, keys, dg.GiniDiversity(), baseline=None)
    assert out.rewards[0] == pytest.approx(-2 * 1 / 2)
    assert out.rewards[3] == pytest.approx(-2 * 1 / 4)


def test_ties_of_the_mode_go_to_the_first_key():
    """Without its own sample, an answer of 4 among 4 has lost the vote; a tie of 3 and 3 is won by "a"."""
    even = group_rewards([0] * 8, [0] * 8, list("bbbbaaaa"), dg.MajorityVote(), baseline=None)
    assert even.rewards.tolist() == [0.0] * 8
    clear = group_rewards([0] * 5, [0] * 5, list("bbbba"), dg.MajorityVote(), baseline=None)
    assert clear.rewards.tolist() == [1.0] * 4 + [0.0]
    first = group_rewards([0] * 7, [0] * 7, list("aaaabbb"), dg.MajorityVote(), baseline=None)
    assert first.rewards.tolist() == [1.0] * 4 + [0.0] * 3
    second = group_rewards([0] * 7, [0] * 7, list("bbbbaaa"), dg.MajorityVote(), baseline=None)
    assert second.rewards.tolist() == [0.0] * 7


def test_labelled_objectives_read_correctness():
    correct = [1.0, 1.0, 0.0, 0.0, np.nan, 0.0, 0.0, 1.0, 1.0, 1.0]
    out = group_rewards(
        CLASSES, CONTEXTS, ANSWERS, lambda b: dg.Reward(labelled_table(b)), correct=correct,
        baseline=None,
    )  # fmt: skip
    np.testing.assert_array_equal(out.rewards, np.nan_to_num(correct))


def test_a_vocabulary_fixes_the_columns_of_tables_and_sets():
    words = ["yes", "no", None]
    ids = [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]
    keys = ["no", None, "yes", "no", "no"]
    out = group_rewards(
        *ids, keys, dg.Reward([0.25, 0.5, -1.0]), no_answer="keep", vocabulary=words, baseline=None
    )
    np.testing.assert_array_equal(out.rewards, [0.5, -1.0, 0.25, 0.5, 0.5])
    capped = group_rewards(
        *ids, keys, dg.HardConstraint(dg.Cap([1], 0.5)) + dg.GiniDiversity(),
        vocabulary=words, multipliers=[2.0], no_answer="keep", baseline="leave_two_out",
    )  # fmt: skip
    np.testing.assert_allclose(capped.violation, np.mean([0.5 - 0.5, 2 / 3 - 0.5]))
    assert capped.rewards[0] == pytest.approx(-2.0)
    assert capped.rewards[3] == pytest.approx(-2.0 - 2 * 1 / 2)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0], [0, 0], ["a", "b"]), {}, r"have lengths \[1, 2\]"),
        (([], [], []), {}, r"lengths \[0\]"),
        (([0, 0], [0, 0], ["a", "b"]), {"no_answer": "skip"}, "choose one of"),
        (([0, 0], [0, 0], ["a", "b"]), {"vocabulary": ["a"]}, "'b' is not in the vocabulary"),
        (([0, 0], [0, 1], ["a", "b"]), {"weights": [1.0]}, "each of the 2 distinct contexts"),
        (([0, 0], [0, 1], ["a", "b"]), {"weights": [1.0, 0.0]}, "one positive weight"),
    ],
)
def test_what_cannot_be_paid(arguments, options, message):
    with pytest.raises(dg.DagameError, match=message):
        group_rewards(*arguments, dg.Coherence(), **options)


def test_diagnostics_are_those_of_the_marginals():
    out = group_rewards(CLASSES, CONTEXTS, ANSWERS, dg.Coherence(1.5))
    d = out.diagnostics
    seven = np.array([[2, 1, 0], [0, 2, 1]]) / 3
    three = np.array([[1, 1], [0, 2]]) / 2
    assert d["agreement"] == pytest.approx(np.mean([seven[0] @ seven[1], three[0] @ three[1]]))
    assert d["value"] == pytest.approx(
        np.mean([dg.Coherence(1.5).value(seven), dg.Coherence(1.5).value(three)])
    )
    assert d["divergence"] == pytest.approx(-d["value"] / 1.5)
    assert d["no_answer"] == 0


def test_weights_belong_to_contexts_and_are_divided_by_their_sum_where_one_is_missing():
    """Class 1 lacks context 0, so that its weights are 1/4 and 3/4 of contexts 1 and 2."""
    full = [0] * 6, [0, 0, 1, 1, 2, 2], list("abbbcc")
    part = [1] * 4, [1, 1, 2, 2], list("abbb")
    both = (a + b for a, b in zip(full, part, strict=True))
    out = group_rewards(*both, dg.Coherence(), "krichevsky_trofimov", weights=[0.6, 0.1, 0.3])
    counts = np.array([[[1, 1], [0, 2]]])
    paid = count_rewards(counts, dg.Coherence(), "krichevsky_trofimov", weights=[0.25, 0.75])
    np.testing.assert_allclose(out.rewards[6:], [paid.rewards[0, x, z] for x, z in
                                                 ((0, 0), (0, 1), (1, 1), (1, 1))])  # fmt: skip
    even = group_rewards(*full, dg.Coherence(), weights=[2.0, 2.0, 2.0])
    np.testing.assert_allclose(even.rewards, group_rewards(*full, dg.Coherence()).rewards)


@pytest.mark.parametrize("objective", [dg.Coherence(), dg.GiniDiversity()])
def test_a_batch_without_answers_pays_nothing(objective):
    ids = [0] * 4, [0, 0, 1, 1]
    dropped = group_rewards(*ids, [None] * 4, objective, no_answer="drop")
    assert np.isnan(dropped.rewards).all()
    assert (dropped.advantages == 0).all()
    assert dropped.diagnostics["unscorable"] == 1
    lowest = group_rewards(*ids, [None] * 4, objective)
    assert (lowest.rewards == 0).all()
    assert (lowest.advantages == 0).all()


def test_equal_rewards_under_the_rule_have_no_advantage():
    """Seven silent samples capped at the one answer's reward: nothing to choose between."""
    ids, keys = ([0] * 16, [0] * 8 + [1] * 8), [None] * 7 + ["a"] + [None] * 7 + ["a"]
    for baseline in ("leave_two_out", "group_mean"):
        out = group_rewards(*ids, keys, dg.Coherence(), "plug_in", baseline=baseline)
        np.testing.assert_allclose(out.rewards, out.rewards[0], atol=1e-12)
        np.testing.assert_allclose(out.advantages, 0, atol=1e-12)
        assert out.diagnostics["zero_signal"] == 1


@pytest.mark.parametrize(
    "objective",
    [
        dg.Reward([1.0, 0.0]),
        dg.GiniDiversity() + dg.TargetMatching([0.5, 0.5]),
        dg.SoftConstraint(dg.Cap([0], 0.5), 1.0),
    ],
)
def test_tables_without_a_vocabulary_are_refused(objective):
    """Sorted answers of a class are no columns: the next batch has others."""
    with pytest.raises(dg.DagameError, match="numbers its answers"):
        group_rewards([0, 0], [0, 0], ["7", "9"], objective)


def test_the_default_baseline_serves_every_objective():
    ids = [0] * 6, [0, 0, 0, 1, 1, 1]
    for phi, resolved in (
        (dg.Coherence(), "leave_two_out"),
        (dg.Coherence(1.0, "geometric"), "leave_one_out"),
        (dg.MajorityVote(), "leave_one_out"),
        (dg.GiniDiversity() + dg.MajorityVote(), "leave_one_out"),
    ):
        out = group_rewards(*ids, list("aabbbc"), phi)
        assert out.classes[0].paid.baseline == resolved
        assert np.isfinite(out.advantages).all()


def test_silent_samples_are_centred_by_the_mean_of_the_others():
    """Groups of 5 and 4 in one class: reward less the mean reward of the other samples of the group."""
    contexts, keys = [0] * 5 + [1] * 4, [None, "a", "a", "b", "c", "a", "b", "b", "a"]
    out = group_rewards(
        [0] * 9, contexts, keys, dg.GiniDiversity(), baseline="leave_two_out", no_answer="lowest"
    )
    touched, rewards = np.arange(5), out.rewards[:5]
    assert rewards[0] == rewards[1:].min()
    for i in touched:
        others = np.delete(rewards, i).mean()
        assert out.advantages[i] == pytest.approx(rewards[i] - others, abs=1e-12)
    kept = group_rewards([0] * 9, contexts, keys, dg.GiniDiversity(), baseline="leave_two_out")
    np.testing.assert_allclose(out.advantages[5:], kept.advantages[5:])


def test_classes_of_different_sizes_share_constraints_only_where_the_rows_are_the_same():
    pair, triple = ([0] * 4, [0, 0, 1, 1]), ([1] * 6, [0, 0, 1, 1, 2, 2])
    mixed = [a + b for a, b in zip(pair, triple, strict=True)]
    batch = read_batch(*mixed, list("ab" * 5), dg.HardConstraint(dg.Cap([0], 0.5)), no_answer="drop",
                       vocabulary=["a", "b"])  # fmt: skip
    with pytest.raises(dg.DagameError, match="numbers of contexts"):
        batch.slack()
    with pytest.raises(dg.DagameError, match=r"multipliers have shape|numbers of contexts"):
        group_rewards(*mixed, list("ab" * 5), dg.HardConstraint(dg.Cap([0], 0.5)),
                      vocabulary=["a", "b"], multipliers=[0.5, 0.5])  # fmt: skip
    four = np.repeat(range(4), 4), [0, 0, 1, 1] * 4
    keys = list("aaab") + list("abab") + list("aabb") + list("acba")
    out = group_rewards(*four, keys, dg.HardConstraint(dg.Cap([0], 0.5)),
                        vocabulary=["a", "b", "c"], multipliers=[0.5, 0.5])  # fmt: skip
    shares = np.array([[1.0, 0.5], [0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(out.violation, shares.mean(0) - 0.5)


def test_diagnostics_of_a_batch_without_any_class():
    out = group_rewards([0, 0], [0, 1], [None, None], dg.Coherence(), no_answer="drop")
    assert out.diagnostics["incomplete_classes"] == 0
    assert out.diagnostics["zero_signal"] == 0
    assert all(out.diagnostics[f"zero_signal_{name}"] == 0 for name in ZERO_SIGNAL)
    assert np.isnan(out.diagnostics["value"])
    assert out.violation is None


@pytest.mark.parametrize("baseline", [None, "leave_two_out", "leave_one_out"])
def test_only_the_mean_of_all_samples_asks_for_a_scale(baseline):
    out = group_rewards(CLASSES, CONTEXTS, ANSWERS, dg.GiniDiversity(), baseline=baseline)
    assert out.scale == 1


def test_the_lowest_rule_leaves_contexts_without_a_silent_sample_as_they_are():
    contexts, keys = np.repeat([0, 1], 4), ["a", "a", "b", None, "a", "b", "b", "c"]
    made = {
        rule: group_rewards(np.zeros(8, int), contexts, keys, dg.ShannonDiversity(), no_answer=rule)
        for rule in ("keep", "lowest")
    }
    np.testing.assert_array_equal(made["lowest"].advantages[4:], made["keep"].advantages[4:])


def test_of_two_samples_a_silent_one_is_the_other_s_baseline():
    paid = group_rewards([0, 0], [0, 0], ["a", None], dg.ShannonDiversity(), no_answer="lowest",
                         estimator="krichevsky_trofimov")  # fmt: skip
    np.testing.assert_allclose(paid.advantages, paid.rewards - paid.rewards[::-1], atol=1e-15)


@pytest.mark.parametrize("estimator", ["auto", "plug_in", "krichevsky_trofimov", "leave_one_out"])
@pytest.mark.parametrize("phi", [dg.Coherence(1.0), dg.PairwiseCoherence(1.0, "hellinger")])
def test_a_class_with_one_context_present_is_paid_nothing_for_coherence(phi, estimator):
    """Also beside whole classes of the same batch, whose members it would have had."""
    keys = ["a", "a", "b", "c"]
    alone = group_rewards([0] * 4, [0] * 4, keys, phi, estimator)
    assert (alone.rewards == 0).all()
    assert (alone.advantages == 0).all()
    assert alone.diagnostics["zero_signal_one_context"] == 1
    both = group_rewards([0] * 4 + [1] * 8, [0] * 4 + [0] * 4 + [1] * 4, keys * 3, phi, estimator)
    assert (both.advantages[:4] == 0).all()
