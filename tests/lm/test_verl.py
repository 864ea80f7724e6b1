"""The game's part in verl: exact expectations, invariances, data and answers."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import dagame as dg
from dagame.errors import InvalidGame
from dagame.lm.game import LMGame
from dagame.lm.rewards import group_rewards
from dagame.lm.schedules import ScheduleError, schedule
from dagame.lm.spec import AnswerSection, ObjectiveSection
from dagame.lm.trainers.verl.advantages import (
    Trajectories,
    VerlGame,
    check_prompts,
    read_answer,
    verl_rows,
)
from dagame.lm.trainers.verl.settings import GameSection
from dagame.samples.keys.reader import AnswerReader
from dagame.samples.metrics import labelled_table


def trajectories(class_id, member_id, answers, *, size=2, samples=2, tokens=3, seed=0):
    """One row per sample, `samples` side by side for each prompt, random masks and log-ratios."""
    rng = np.random.default_rng(seed)
    n = len(answers)
    lengths = rng.integers(1, tokens + 1, n)
    return Trajectories(
        keys=[f"u{i // samples}_{i % samples}_0" for i in range(n)],
        class_id=np.array(class_id),
        member_id=np.array(member_id),
        class_size=np.full(n, size),
        answers=answers,
        correct=np.full(n, np.nan),
        mask=(np.arange(tokens) < lengths[:, None]).astype(float),
        padding=np.zeros(n, dtype=bool),
        log_ratio=rng.normal(size=(n, tokens)),
    )


def game(name="coherence", kl="loss", beta=0.1, prompts=2, **options):
    section = GameSection(ObjectiveSection(name), **options)
    return VerlGame(LMGame(section.spec(kl, beta, 8)), prompts)


# -- advantages -----------------------------------------------------------------------------------


def test_the_expected_update_is_the_gradient_of_the_payoff():
    """Every batch of a tabular policy enumerated: E sum A grad log pi = grad (Phi - beta KL)."""
    beta, samples, lengths = 0.3, 3, np.array([1, 2, 3])
    answer_of = np.array([0, 0, 1])  # traces of different lengths, two of them with one answer
    rng = np.random.default_rng(0)
    theta, reference = rng.normal(size=(2, 2, 3))
    log_pi, log_pi0 = (t - np.log(np.exp(t).sum(1, keepdims=True)) for t in (theta, reference))
    batches = np.array(list(product(range(3), repeat=2 * samples))).reshape(-1, 2, samples)
    chance = np.exp(log_pi[np.arange(2)[:, None], batches].sum((1, 2)))
    count = len(batches)  # batches are classes of one large batch: they do not see each other
    trace, member = batches.ravel(), np.tile(np.repeat([0, 1], samples), count)
    mask = (np.arange(3) < lengths[trace][:, None]).astype(float)
    ratio = (log_pi - log_pi0)[member, trace]
    split = mask * rng.dirichlet(np.ones(3), len(trace))
    rows = trajectories(
        np.repeat(np.arange(count), 2 * samples),
        member,
        ["ab"[z] for z in answer_of[trace]],
        samples=samples,
    )
    rows = replace(
        rows,
        mask=mask,
        log_ratio=split / split.sum(1, keepdims=True) * ratio[:, None] + 9 * (1 - mask),
    )
    tokens, _ = game("agreement", "reward", beta, 2 * count).advantages(rows)
    np.testing.assert_array_equal(tokens, tokens[:, :1] * mask)
    score = np.eye(3)[trace] - np.exp(log_pi)[member]
    pushed = (tokens[:, :1] * score).reshape(count, 2, samples, 3).mean(2)
    update = (chance[:, None, None] * pushed).sum(0)

    def payoff(theta):
        log_p = theta - np.log(np.exp(theta).sum(1, keepdims=True))
        p = np.exp(log_p)
        nu = np.stack([p[:, :2].sum(1), p[:, 2]], axis=1)
        return float(dg.Agreement().value(nu)) - beta * (p * (log_p - log_pi0)).sum(1).mean()

    step = 1e-5
    numeric = np.empty((2, 3))
    for x, y in np.ndindex(2, 3):
        d = np.zeros((2, 3))
        d[x, y] = step
        numeric[x, y] = (payoff(theta + d) - payoff(theta - d)) / (2 * step)
    np.testing.assert_allclose(update / 2, numeric, atol=1e-9)  # each context weighs 1/2


def test_advantages_are_those_of_the_group_rewards():
    rows = trajectories([5] * 4, [0, 0, 1, 1], ["a", "b", "b", None])
    tokens, metrics = game().advantages(rows)
    out = group_rewards([5] * 4, [0, 0, 1, 1], ["a", "b", "b", None], dg.Coherence())
    np.testing.assert_allclose(tokens, out.advantages[:, None] * rows.mask)
    assert metrics["no_answer"] == pytest.approx(0.25)
    assert "kl" not in metrics


def test_the_kl_is_less_that_of_the_other_samples():
    rows = trajectories([5] * 6, [0] * 3 + [1] * 3, list("aababa"), samples=3)
    paid = game().advantages(rows)[0].max(1, where=rows.mask > 0, initial=-np.inf)
    tokens, metrics = game(kl="reward", beta=0.5).advantages(rows)
    kl = (rows.log_ratio * rows.mask).sum(1)
    others = np.array([np.mean([kl[j] for j in (3 * (i // 3) + np.arange(3)) if j != i])
                       for i in range(6)])  # fmt: skip
    np.testing.assert_allclose(tokens[:, 0], paid - 0.5 * (kl - others))
    assert metrics["kl"] == pytest.approx(kl.mean())


def test_the_order_of_rows_does_not_matter():
    rows = trajectories([1] * 4 + [0] * 4, [0, 0, 1, 1] * 2, list("abbbcacc"), seed=3)
    tokens, _ = game(kl="reward", prompts=4).advantages(rows)
    order = np.random.default_rng(0).permutation(8)
    shuffled = replace(
        rows,
        keys=[rows.keys[i] for i in order],
        answers=[rows.answers[i] for i in order],
        **{
            name: getattr(rows, name)[order]
            for name in ("class_id", "member_id", "class_size", "correct", "mask", "padding")
        },
        log_ratio=rows.log_ratio[order],
    )
    got = game(kl="reward", prompts=4).advantages(shuffled)[0]
    np.testing.assert_allclose(got, tokens[order], atol=1e-12)


def grown(rows, at, key, answer, padding):
    """The rows and one more, a copy of row `at` under another key, in front."""
    index = np.r_[at, np.arange(len(rows.keys))]
    copied = {
        name: getattr(rows, name)[index].copy()
        for name in ("class_id", "member_id", "class_size", "correct", "mask", "padding")
    }
    copied["padding"][0] = padding
    more = {"keys": [key, *rows.keys], "answers": [answer, *rows.answers]}
    return replace(rows, **copied, **more, log_ratio=rows.log_ratio[index])


def test_padding_copies_the_first_sample_and_plays_no_part():
    rows = trajectories([5] * 4, [0, 0, 1, 1], list("abbb"))
    tokens, metrics = game(kl="reward").advantages(rows)
    padded = grown(rows, 0, "pad1_0_0", "a", True)
    padded.log_ratio[0] = np.nan
    got, same = game(kl="reward").advantages(padded)
    np.testing.assert_array_equal(got, np.vstack([np.zeros(3), tokens]))
    assert same == metrics


def test_a_sample_of_several_outputs_is_judged_by_its_last():
    rows = trajectories([5] * 4, [0, 0, 1, 1], list("abbb"))
    whole, metrics = game(kl="reward").advantages(rows)
    rows.keys[0] = "u0_0_10"  # later than output 9, though not in the alphabet
    split = grown(rows, 0, "u0_0_9", "b", False)
    split.log_ratio[:2] *= np.array([[0.25], [0.75]])
    got, same = game(kl="reward").advantages(split)
    np.testing.assert_allclose(got[1:], whole)
    np.testing.assert_allclose(got[0], whole[0])
    assert same == pytest.approx(metrics)


def test_dropped_completions_are_not_moved_at_all():
    rows = trajectories([5] * 4, [0, 0, 1, 1], ["a", None, "b", "b"])
    dropped = AnswerSection(no_answer="drop")
    tokens, _ = game(kl="reward", beta=0.5, answers=dropped).advantages(rows)
    np.testing.assert_array_equal(tokens[1], 0.0)
    assert (tokens[[0, 2, 3], 0] != 0).all()


def test_labels_reach_the_objectives_that_need_them():
    rows = replace(
        trajectories([5] * 4, [0, 0, 1, 1], list("abba")), correct=np.array([1.0, 0, 0, 1])
    )
    tokens, metrics = game("reward").advantages(rows)
    ids = [5] * 4, [0, 0, 1, 1], list("abba")
    out = group_rewards(*ids, lambda b: dg.Reward(labelled_table(b)), correct=rows.correct)
    np.testing.assert_allclose(tokens[:, 0], out.advantages)
    assert out.advantages[0] > 0 > out.advantages[1]
    assert metrics["accuracy"] == 0.5


def test_log_probabilities_must_be_there_and_finite():
    rows = trajectories([5] * 4, [0, 0, 1, 1], list("abbb"))
    with pytest.raises(InvalidGame, match="use_kl_in_reward=True"):
        game(kl="reward").advantages(replace(rows, log_ratio=None))
    rows.log_ratio[2, 0] = np.inf
    with pytest.raises(InvalidGame, match="u1_0_0"):
        game(kl="reward").advantages(rows)


def test_classes_may_lack_only_the_contexts_whose_rollouts_failed():
    whole = np.array([[0, 0, 2], [0, 1, 2], [1, 0, 2], [1, 1, 2]])
    check_prompts(whole, 4)
    check_prompts(whole[:3], 4)
    check_prompts(whole[:2], 4)
    with pytest.raises(ScheduleError, match="lack 1 contexts"):
        check_prompts(whole[:3], 3)
    with pytest.raises(ScheduleError, match="lack 4 contexts"):
        check_prompts(np.array([[c, 0, 2] for c in range(4)]), 4)
    with pytest.raises(ScheduleError, match="twice"):
        check_prompts(whole[[0, 1, 1]], 4)
    with pytest.raises(ScheduleError, match="lack"):
        game().advantages(trajectories([0, 0, 1, 1], [0] * 4, list("abbb")))


# -- data and answers -----------------------------------------------------------------------------


def test_rows_keep_the_schedule_and_survive_parquet(tmp_path):
    import datasets

    data = [{"class": c, "prompt": f"{c}{x}", "answer": str(c)} for c in range(4) for x in "pq"]
    scheduled = schedule(data, classes_per_step=2, epochs=2, seed=1)
    verl_rows(scheduled).to_parquet(tmp_path / "train.parquet")
    back = datasets.Dataset.from_parquet(
        str(tmp_path / "train.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert len(back) == len(scheduled)
    for old, new in zip(scheduled, back, strict=True):
        assert new["prompt"] == [{"role": "user", "content": old["prompt"]}]
        assert new["reward_model"]["ground_truth"] == old["answer"]
        assert all(new[k] == old[k] for k in ("class_id", "member_id", "class_size"))


def test_answers_are_read_with_aliases_and_labels():
    reader = AnswerReader("boxed")
    text = r"so \boxed{UK}"
    assert read_answer(reader, text, ["Britain", "UK"], None) == {"pred": "britain", "acc": 1.0}
    assert read_answer(reader, text, None, [["Britain", "UK"]]) == {"pred": "britain", "acc": None}
    assert read_answer(reader, "?", "UK", None) == {"pred": None, "acc": 0.0}
