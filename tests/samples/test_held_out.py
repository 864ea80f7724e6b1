"""Samples left out: the parts, the weights of answers that a fit has not seen, and what is covered."""

import numpy as np
import polars as pl
import pytest

import dagame as dg
from dagame.samples import Samples
from dagame.samples.bootstrap import bootstrap_means
from dagame.samples.held_out import (
    FOLDS,
    PRIOR,
    _measure,
    fitted,
    held_out,
    judged,
    parts,
    redrawn,
    smoothed,
)
from dagame.samples.metrics import accuracy, agreement
from dagame.samples.partition import Bucket


def counts_of(rng, questions=6, contexts=3, answers=5, samples=9):
    p = rng.dirichlet(np.full(answers, 0.6), (questions, contexts))
    return rng.multinomial(rng.integers(FOLDS, samples + 1, (questions, contexts)), p).astype(float)


def bucket_of(counts):
    seen = counts.sum(1) > 0
    right = np.broadcast_to(np.arange(counts.shape[-1]) == 0, seen.shape).astype(float)
    return Bucket(np.arange(len(counts)), counts, seen, np.zeros_like(seen), right)


def solved(bucket, objective, beta=1.0):
    return dg.solve(dg.AlignmentGame(bucket.reference, objective, beta=beta), throw=False)


def frame_of(counts, order=None):
    rows = [
        {"q": f"q{q:03}", "f": f"f{x}", "answer": str(z), "ok": z == 0}
        for q, x, z in np.argwhere(counts)
        for _ in range(int(counts[q, x, z]))
    ]
    frame = pl.DataFrame(rows)
    return frame if order is None else frame[order.permutation(len(frame))]


def test_parts_are_the_samples_dealt_evenly_and_at_random(rng):
    counts = counts_of(rng)
    dealt = list(parts(counts, np.arange(6), 1))
    assert (sum(dealt) == counts).all()
    sizes = np.stack([part.sum(-1) for part in dealt])
    assert (sizes.max(0) - sizes.min(0) <= 1).all()
    again = list(parts(counts, np.arange(6), 1))
    assert all((a == b).all() for a, b in zip(dealt, again, strict=True))
    other = list(parts(counts, np.arange(6), 2))
    assert any((a != b).any() for a, b in zip(dealt, other, strict=True))
    first = [next(parts(np.array([[[4.0, 4.0]]]), np.array([k]), 0)) for k in range(400)]
    chosen = np.mean([part[0, 0, 0] for part in first])  # of two samples in a part, one on average
    assert chosen == pytest.approx(1, abs=0.12)


def test_redrawn_samples_are_of_the_model(rng):
    model = np.array([[[0.5, 0.0, 0.3, 0.2, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]]])
    many = np.repeat(model, 1000, axis=0)
    sizes = np.tile([7, 4], (1000, 1))
    drawn = redrawn(many, sizes, np.arange(1000), 3)
    assert (drawn.sum(-1) == sizes).all()
    assert drawn.mean(0) / [[7], [4]] == pytest.approx(model[0], abs=0.025)
    assert (drawn[:, model[0] == 0] == 0).all()
    spread = drawn[:, 0, 0].var()  # independent: binomial
    assert spread == pytest.approx(7 / 4, rel=0.15)
    order = rng.permutation(1000)[:50]
    assert (redrawn(many[order], sizes[order], order, 3) == drawn[order]).all()
    assert (redrawn(many, sizes, np.arange(1000), 4) != drawn).any()


def test_the_samples_are_smoothed_by_one_sample_of_all_contexts():
    counts = np.array([[[3.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
    expected = [[3.6, 1.2, 0.2], [0.6, 0.2, 1.2]] / np.array([[5.0], [2.0]])
    assert smoothed(counts)[0] == pytest.approx(expected)


@pytest.mark.parametrize("strength", [0.5, 10.0])
def test_an_answer_that_no_context_has_seen_is_weighed_as_one_that_only_this_context_gives(
    rng, strength
):
    counts = counts_of(rng, answers=4)
    counts[..., 3] = 0  # seen nowhere
    counts[..., 0] += 1
    bucket = bucket_of(counts)
    game = dg.AlignmentGame(bucket.reference, dg.Coherence(strength), beta=0.7)
    weight, known = fitted(counts, bucket.answer_mask, game, 0.7)
    assert known.all()
    for q, table in enumerate(counts):
        m = len(table)
        pooled = table.sum(0) / table.sum()
        reference = np.zeros((m, 4 + m))
        for x in range(m):
            reference[x, :4] = table[x] + PRIOR / 2 * pooled
            reference[x, 4 + x] = PRIOR / 2
            reference[x] /= table[x].sum() + PRIOR
        alone = dg.solve(dg.AlignmentGame(reference, dg.Coherence(strength), beta=0.7))
        nu, mean = alone.marginals, alone.marginals.mean(0)
        for x in range(m):
            z = int(table[x].argmax())
            # the reward is strength * log(mean / nu), and mean / nu is 1/m where no other gives it
            ratio = (mean[z] / nu[x, z] * m) ** (strength / 0.7)
            assert weight[q, x, z] / weight[q, x, 3] == pytest.approx(ratio, rel=1e-3)
            for z in np.flatnonzero(table.sum(0)):
                assert weight[q, x, z] == pytest.approx(nu[x, z] / reference[x, z], rel=1e-3)


def test_with_a_table_of_answers_unseen_ones_are_worth_what_it_says():
    counts = np.array([[[3.0, 2.0, 0.0, 0.0]]])
    reward = dg.Reward(np.array([0.0, 1.0, 0.0, 1.0]))
    game = dg.AlignmentGame(counts / 5, reward, beta=0.5)
    weight, _ = fitted(counts, np.array([[True, True, True, True]]), game, 0.5)
    assert weight[0, 0, 3] == pytest.approx(weight[0, 0, 1])
    assert weight[0, 0, 3] / weight[0, 0, 2] == pytest.approx(np.exp(2))


def test_every_sample_is_judged_by_a_fit_without_it(rng):
    """The loop over parts, contexts and pairs, written out."""
    counts = counts_of(rng, questions=4)
    bucket, objective = bucket_of(counts), dg.Coherence(3.0)
    fit = solved(bucket, objective)
    found = judged(bucket, fit, np.arange(4), 2.0, 5)
    dealt = list(parts(counts, np.arange(4), 5))
    for q in range(4):
        right, whole = np.zeros(3), np.zeros(3)
        same, pairs = 0.0, 0.0
        for part in dealt:
            fit_of = dg.AlignmentGame(bucket.reference[[q]], objective, beta=1.0)
            weight, _ = fitted((counts - part)[[q]], bucket.answer_mask[[q]], fit_of, 0.5)
            mass = part[q] * weight[0]
            for x in range(3):
                right[x] += mass[x, 0]
                whole[x] += mass[x].sum()
                for y in range(3):
                    same += (x != y) * float(mass[x] @ mass[y])
                    pairs += (x != y) * mass[x].sum() * mass[y].sum()
        assert found[q, 0, 1] == pytest.approx((right / whole).mean(), rel=1e-5)
        assert found[q, 1, 1] == pytest.approx(same / pairs, rel=1e-5)
    assert found[:, 0, 0] == pytest.approx(accuracy(bucket.reference, bucket.correct))
    assert found[:, 1, 0] == pytest.approx(agreement(bucket.reference))


def test_the_rehearsal_is_the_same_estimate_where_the_model_is_known(rng):
    counts = counts_of(rng, questions=4)
    bucket, objective, classes = bucket_of(counts), dg.Coherence(3.0), np.arange(4)
    fit = solved(bucket, objective)
    error = judged(bucket, fit, classes, 2.0, 5)[:, :2, 2]
    model = smoothed(counts)
    drawn = redrawn(model, counts.sum(-1), classes, 5)
    again = judged(bucket_of(drawn), solved(bucket_of(drawn), objective), classes, 2.0, 5)
    given = np.zeros((4, 2))
    for part in parts(drawn, classes, 5):
        trained = model * fitted(drawn - part, bucket.answer_mask, fit.game, 0.5)[0]
        trained /= trained.sum(-1, keepdims=True)
        given[:, 0] += accuracy(trained, bucket.correct) / FOLDS
        given[:, 1] += agreement(trained) / FOLDS
    assert error == pytest.approx(again[:, :2, 1] - given, abs=1e-5)


def test_the_interval_is_wider_by_the_bias_on_both_sides_and_within_the_unit_interval(rng):
    told = rng.uniform(0.4, 0.6, (40, 3))
    told[:, 2] = rng.normal(-0.05, 0.01, 40)
    told[0, 2] = np.nan  # a rehearsal without a solution
    ends = bootstrap_means(np.column_stack([told[:, :2], told[:, 1] - told[:, 0]]))
    found = _measure(told, 0)
    bias = np.nanmean(told[:, 2])
    assert found.bias == pytest.approx(bias)
    assert found.interval == pytest.approx((ends[0][1] + bias, ends[1][1] - bias))
    assert found.gain_interval == pytest.approx((ends[0][2] + bias, ends[1][2] - bias))
    told[:, 2] = 0.7
    assert _measure(told, 0).interval == (0, 1)
    assert not _measure(told, 0).clear
    told[:31, 2] = np.nan
    assert _measure(told, 0) is None


def test_the_order_of_the_rows_changes_nothing(rng):
    counts = counts_of(rng, questions=12)
    found = [
        Samples.from_answers(frame, "q", "f", correct="ok").solve(dg.Coherence(2.0), beta=1.0)
        for frame in (frame_of(counts), frame_of(counts, rng))
    ]
    assert found[0].held_out == found[1].held_out
    assert found[0].held_out.accuracy is not None
    assert found[0].verdict == found[1].verdict
    other = held_out(found[0].buckets, found[0].solutions, seed=1)
    assert other.accuracy.after != found[0].held_out.accuracy.after
    assert other.accuracy.before == found[0].held_out.accuracy.before


def test_what_cannot_be_judged_has_a_reason(rng):
    def reason(counts):
        found = Samples.from_answers(frame_of(counts), "q", "f").solve(dg.Coherence(), beta=1.0)
        held = found.held_out
        assert held.accuracy is None
        assert held.agreement is None
        assert held.reason in held.as_dict()["how"]
        return held.reason

    assert reason(counts_of(rng, questions=9)) == "fewer than 10 questions"
    single = np.zeros((20, 2, 3))
    single[:, 0, 0] = single[:, 1, 1] = 1
    assert reason(single) == "fewer than 10 questions with 4 samples in every context"
    counts = counts_of(rng, questions=14)
    counts[:3, 0] = [1, 2, 0, 0, 0]  # three samples
    found = Samples.from_answers(frame_of(counts), "q", "f").solve(dg.Coherence(), beta=1.0)
    assert (found.held_out.questions, found.held_out.of) == (11, 14)
    assert "(11 of 14)" in found.held_out.how
    assert found.held_out.accuracy is None  # no labels
    assert found.held_out.agreement is not None


def test_its_intervals_hold_what_training_gives_and_those_of_the_plug_in_do_not(rng):
    """Known marginals: 16 samples of 3 contexts with 12 answers (see benchmarks/verdict_coverage.py)."""
    centre = rng.dirichlet(np.full(12, 0.5), 400)[:, None, :]
    p = np.maximum(rng.gamma(np.broadcast_to(3 * centre + 1e-3, (400, 3, 12))), 1e-9)
    p /= p.sum(-1, keepdims=True)
    counts = rng.multinomial(16, p).astype(float)
    bucket = bucket_of(counts)
    fit = dg.solve(dg.AlignmentGame(bucket.reference, dg.Coherence(10.0), beta=1.0), tol=1e-7)
    weight, _ = fitted(counts, bucket.answer_mask, fit.game, 1.0)
    trained = p * weight
    trained /= trained.sum(-1, keepdims=True)
    truth = np.array([accuracy(trained, bucket.correct).mean(), agreement(trained).mean()])
    held = judged(bucket, fit, np.arange(400), 1.0, 0)[:, :2, 1]
    own = np.stack([accuracy(fit.marginals, bucket.correct), agreement(fit.marginals)], -1)
    chosen = rng.integers(0, 400, (60, 100))
    low, high = (
        end.reshape(100, 4)
        for end in bootstrap_means(
            np.concatenate([held, own], -1)[chosen].reshape(60, -1), resamples=300
        )
    )
    covered = ((low <= np.tile(truth, 2)) & (np.tile(truth, 2) <= high)).mean(0)
    assert (covered[:2] >= 0.7).all()
    assert covered[3] < 0.2


def test_where_the_estimate_is_biased_its_interval_is_wide_enough(rng):
    """8 samples of 2 contexts that hardly differ: sampling noise alone is far too narrow."""
    centre = rng.dirichlet(np.full(6, 0.5), 400)[:, None, :]
    p = rng.gamma(np.broadcast_to(30 * centre + 1e-3, (400, 2, 6))) + 1e-12
    p /= p.sum(-1, keepdims=True)
    counts = rng.multinomial(8, p).astype(float)
    bucket = bucket_of(counts)
    fit = solved(bucket, dg.Coherence(10.0))
    trained = p * fitted(counts, bucket.answer_mask, fit.game, 1.0)[0]
    truth = agreement(trained / trained.sum(-1, keepdims=True)).mean()
    told = judged(bucket, fit, np.arange(400), 1.0, 0)[:, 1]
    covered = np.zeros(2)
    for chosen in rng.integers(0, 400, (40, 60)):
        found = _measure(told[chosen], 0)
        low, high = found.interval
        covered += [low <= truth <= high, low + abs(found.bias) <= truth <= high - abs(found.bias)]
    wide, noise = covered / 40
    assert noise < 0.6
    assert wide > 0.75
