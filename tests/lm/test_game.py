"""One game for every trainer: expected updates by enumeration, its state, its settings, its check."""

from itertools import product

import numpy as np
import pytest

import dagame as dg
from dagame.errors import InvalidGame, InvalidObjective, SettingsError
from dagame.games.play import pay, play
from dagame.lm.game import Completions, LMGame
from dagame.lm.spec import AnswerSection, GameSpec, ObjectiveSection, named_objective
from dagame.lm.trainers.verl.advantages import Trajectories, VerlGame

TRACES, SAMPLES, BETA = 4, 3, 0.3
ANSWER = np.array([0, 0, 1, 1])
LIVE = np.array([[True, True, True, False], [True, True, True, True]])
"""The last trace has probability 0 in the first context, of policy and reference alike."""


def log_softmax(theta):
    theta = np.where(LIVE, theta, -1e3)
    return theta - np.log(np.exp(theta).sum(1, keepdims=True))


THETA, THETA0 = np.random.default_rng(0).normal(size=(2, 2, TRACES))
LOG_PI, LOG_PI0 = log_softmax(THETA), log_softmax(THETA0)
BATCHES = np.array(list(product(range(TRACES), repeat=2 * SAMPLES))).reshape(-1, 2, SAMPLES)
CHANCE = np.exp(LOG_PI[np.arange(2)[:, None], BATCHES].sum((1, 2)))
BATCHES, CHANCE = BATCHES[CHANCE > 0], CHANCE[CHANCE > 0]


def every_batch():
    """All batches of a tabular policy as classes of one: traces, contexts and completions."""
    count = len(BATCHES)
    trace, member = BATCHES.ravel(), np.tile(np.repeat([0, 1], SAMPLES), count)
    ratio = (LOG_PI - LOG_PI0)[member, trace]
    ids = np.repeat(np.arange(count), 2 * SAMPLES)
    answers = ["ab"[z] for z in ANSWER[trace]]
    right = (ANSWER[trace] == 0).astype(float)
    return trace, member, Completions(ids, member, answers, right, ratio)


def by_trl(game, seen):
    """The trainer subtracts the mean of the group's rewards."""
    rewards = pay(game, seen).rewards.reshape(-1, SAMPLES)
    return (rewards - rewards.mean(1, keepdims=True)).ravel()


def by_verl(game, seen):
    """Tokens of one completion share its advantage."""
    n = len(seen.answers)
    rows = Trajectories(
        keys=[f"u{i // SAMPLES}_{i % SAMPLES}_0" for i in range(n)],
        class_id=seen.class_ids,
        member_id=seen.context_ids,
        class_size=np.full(n, 2),
        answers=seen.answers,
        correct=seen.correct,
        mask=np.ones((n, 2)),
        padding=np.zeros(n, dtype=bool),
        log_ratio=np.stack([seen.log_ratio - 0.5, np.full(n, 0.5)], axis=1),
    )
    tokens, _ = VerlGame(game, n // SAMPLES).advantages(rows)
    np.testing.assert_array_equal(tokens[:, 0], tokens[:, 1])
    return tokens[:, 0]


ENTRANCES = {
    "trl": (by_trl, "group_mean"),
    "verl": (by_verl, "leave_two_out"),
    "verl, group mean": (by_verl, "group_mean"),
}
OBJECTIVES = {
    "agreement": dg.Agreement(),
    "gini": dg.GiniDiversity(0.7),
    "reward": named_objective("reward", 0.8),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_expected_update_is_the_gradient_of_the_payoff(entrance, name):
    paid_by, baseline = ENTRANCES[entrance]
    trace, member, seen = every_batch()
    spec = GameSpec(
        OBJECTIVES[name],
        beta=BETA,
        kl="reward",
        group_size=SAMPLES,
        baseline=baseline,
        estimator="u_statistic",
        no_answer="keep",
    )
    advantages = paid_by(LMGame(spec), seen)
    score = np.eye(TRACES)[trace] - np.exp(LOG_PI)[member]
    pushed = (advantages[:, None] * score).reshape(-1, 2, SAMPLES, TRACES).mean(2)
    update = (CHANCE[:, None, None] * pushed).sum(0)
    phi = dg.Reward([0.8, 0.0]) if name == "reward" else OBJECTIVES[name]

    def payoff(theta):
        log_p = log_softmax(theta)
        p = np.exp(log_p)
        nu = np.stack([p[:, :2].sum(1), p[:, 2:].sum(1)], axis=1)
        kl = (p * (log_p - LOG_PI0)).sum(1).mean()
        return float(phi.value(nu)) - BETA * kl

    step = 1e-5
    numeric = np.zeros((2, TRACES))
    for x, y in np.argwhere(LIVE):
        d = np.zeros((2, TRACES))
        d[x, y] = step
        numeric[x, y] = (payoff(THETA + d) - payoff(THETA - d)) / (2 * step)
    np.testing.assert_allclose(update / 2, numeric, atol=1e-9)  # each context weighs 1/2


def spec(objective=None, **options):
    chosen = {"beta": 0.5, "group_size": 4, "no_answer": "keep"} | options
    return GameSpec(dg.GiniDiversity() if objective is None else objective, **chosen)


def seen(answers, groups=2, ratio=None, ids=None):
    n = len(answers)
    members = np.repeat(np.arange(groups), n // groups)
    return Completions(
        np.zeros(n, int) if ids is None else ids, members, answers, np.full(n, np.nan), ratio
    )


def test_dropped_completions_neither_pay_the_kl_nor_centre_that_of_others():
    ratio = np.array([1.0, 50.0, 3.0, 2.0, 2.0, 5.0])
    batch = seen(["a", None, "b", "b", "a", "b"], ratio=ratio)
    with_kl, without = (
        pay(LMGame(spec(kl=kl, no_answer="drop", group_size=3)), batch) for kl in ("reward", "loss")
    )
    kept = [0, 2, 3, 4, 5]
    cost = (without.advantages - with_kl.advantages) / 0.5
    np.testing.assert_allclose(cost, [1 - 3, 0, 3 - 1, 2 - 3.5, 2 - 3.5, 5 - 2], atol=1e-12)
    assert np.isnan(with_kl.rewards[1])
    charged = ((without.rewards - with_kl.rewards) / 0.5)[kept]
    np.testing.assert_allclose(charged, ratio[kept] * np.array([2, 2, 1.5, 1.5, 1.5]))


def test_a_game_goes_on_from_its_state():
    cap = dg.Coherence() + dg.HardConstraint(dg.Cap([0], 0.2))
    chosen = spec(cap, vocabulary=["a", "b"], multiplier_rate=1.0)
    batches = [seen(list("aabbabab")), seen(list("aaabaabb")), seen(list("abbbbbbb"))]
    whole = LMGame(chosen)
    paid = [pay(whole, batch) for batch in batches]
    assert paid[0].metrics["violation"] == pytest.approx(0.5 - 0.2)
    first, again = LMGame(chosen), LMGame(chosen)
    pay(first, batches[0])
    again.restore(first.state())
    for batch, wanted in zip(batches[1:], paid[1:], strict=True):
        found = pay(again, batch)
        np.testing.assert_array_equal(found.rewards, wanted.rewards)
        assert found.metrics == wanted.metrics
    assert again.state() == whole.state()
    assert whole.rounds == 3


def test_multipliers_pay_the_batch_after_the_one_that_moved_them():
    """What pays a batch is independent of it: zeros at first, then the first batch's slack."""
    cap = dg.HardConstraint(dg.Cap([0], 0.2))
    game = LMGame(spec(cap, vocabulary=["a", "b"], multiplier_rate=1.0, group_size=4))
    batch = seen(list("aabbaabb"))
    assert (pay(game, batch).rewards == 0).all()
    price = 4 / 3 * 0.3 * np.array([1, 1, 0, 0] * 2)  # uncentred, corrected for the group's mean
    paid = pay(game, batch).rewards
    np.testing.assert_allclose(paid - paid[2], -price / 0.5, atol=1e-12)


def test_hard_sets_need_answers_of_the_same_number_in_every_batch():
    with pytest.raises(InvalidObjective, match="vocabulary"):
        spec(dg.Coherence() + dg.HardConstraint(dg.Parity(0.1)))
    game = LMGame(spec(dg.HardConstraint(dg.Parity(0.1)), vocabulary=["a", "b"], group_size=3))
    pay(game, seen(list("aabbab")))
    with pytest.raises(InvalidGame, match="different numbers of contexts"):
        pay(game, seen(list("aabbababa"), groups=3))


def test_what_the_kl_needs_is_asked_for():
    with pytest.raises(InvalidGame, match="have none"):
        pay(LMGame(spec(kl="reward")), seen(list("aabbabab")))
    with pytest.raises(InvalidGame, match="trainer="):
        play(LMGame(spec()), seen(list("aabbabab")), 1, 0.1)


def test_played_by_a_sampling_trainer_it_ends_at_the_equilibrium():
    """`play` on language-model rows: a softmax table that samples answers and follows what is paid."""
    reference = np.array([[0.6, 0.3, 0.1, 0.0], [0.2, 0.2, 0.6, 0.0]])
    samples, beta = 48, 0.5
    rng, keys = np.random.default_rng(0), np.array(list("abcd"))
    log_p0 = np.log(np.maximum(reference, 1e-300))
    state = {"log_p": log_p0.copy()}

    def draw():
        drawn = [rng.choice(4, samples, p=np.exp(p) / np.exp(p).sum()) for p in state["log_p"]]
        state["drawn"] = np.array(drawn)
        ratio = np.take_along_axis(state["log_p"] - log_p0, state["drawn"], 1)
        return seen(keys[state["drawn"]].ravel().tolist(), ratio=ratio.ravel())

    def trainer(policy, paid, step):
        counted = np.zeros((2, 4))
        worth = paid.advantages.reshape(2, samples) / samples
        np.add.at(counted, (np.arange(2)[:, None], state["drawn"]), worth)
        moved = counted - np.exp(state["log_p"]) * counted.sum(1, keepdims=True)
        logits = state["log_p"] + step * moved
        logits = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        state["log_p"] = np.where(reference > 0, logits, log_p0)
        return draw()

    made = spec(dg.GiniDiversity(1.5), beta=beta, kl="reward", group_size=samples)
    play(LMGame(made, trainer=trainer), draw(), 250, lambda t: 1.0 / np.sqrt(1 + t / 40))
    game = dg.AlignmentGame(reference, dg.GiniDiversity(1.5), beta=beta)
    p = np.where(reference > 0, np.exp(state["log_p"]), 0.0)
    start, end = (dg.certify(game, q) for q in (reference, p / p.sum(1, keepdims=True)))
    assert end.gap < 0.05 * start.gap
    np.testing.assert_allclose(p, dg.solve(game).policy, atol=0.05)


# -- an objective of one's own ----------------------------------------------------------------------


class Own(dg.Objective):
    """sum_x w_x sum_z -nu^2, its reward right or half of it."""

    concave = True

    def __init__(self, factor=1.0):
        self.factor = factor

    def value(self, nu, weights=None):
        w = np.full(nu.shape[-2], 1 / nu.shape[-2]) if weights is None else weights
        return -(w * (nu**2).sum(-1)).sum(-1)

    def reward(self, nu, weights=None):
        return -2 * self.factor * nu


ANSWERS = {"mixed": list("aabcabab"), "unanimous": list("aaaaaaaa"), "silent": [None] * 8}


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize(
    "make", [Own, lambda f: dg.Coherence() + Own(f)], ids=["alone", "in a sum"]
)
def test_a_wrong_gradient_ends_the_run_at_its_first_batch(make, answers):
    with pytest.raises(InvalidObjective, match="not the gradient of value"):
        pay(LMGame(spec(make(0.5))), seen(answers))
    paid = pay(LMGame(spec(make(0.5)), check=False), seen(answers))
    assert np.isfinite(paid.rewards).all()
    assert np.isfinite(pay(LMGame(spec(make(1.0))), seen(answers)).rewards).all()


class OwnReward(Own):
    """sum_x w_x <r, nu_x>, r an attribute of the size of one batch's answers."""

    def __init__(self, right, factor=1.0):
        super().__init__(factor)
        self.right = right

    def value(self, nu, weights=None):
        w = np.full(nu.shape[-2], 1 / nu.shape[-2]) if weights is None else weights
        return (w * (self.right * nu).sum(-1)).sum(-1)

    def reward(self, nu, weights=None):
        return self.factor * self.right + 0 * nu


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
def test_objectives_of_the_batch_are_asked_about_its_own_answers(answers):
    def made(factor):
        return lambda bucket: OwnReward(np.arange(1.0, 1 + bucket.counts.shape[-1]), factor)

    assert np.isfinite(pay(LMGame(spec(made(1.0))), seen(answers)).rewards).all()
    with pytest.raises(InvalidObjective, match="not the gradient of value"):
        pay(LMGame(spec(made(0.5))), seen(answers))


def test_the_check_is_made_once():
    calls = []

    class Watched(Own):
        def value(self, nu, weights=None):
            calls.append(nu.shape)
            return super().value(nu, weights)

    game = LMGame(spec(Watched()))
    pay(game, seen(list("aabcabab")))
    asked = len(calls)
    pay(game, seen(list("abccbaab")))
    assert len(calls) - asked < asked / 3


# -- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"group_size": 2}, SettingsError, "of two samples the group's mean leaves no signal"),
        ({"group_size": 1, "baseline": "leave_two_out"}, SettingsError, "integer >= 2"),
        ({"group_size": 2.5}, SettingsError, "group_size is 2.5"),
        ({"kl": "both"}, SettingsError, "choose"),
        ({"beta": 0.0}, SettingsError, "finite number > 0"),
        ({"multiplier_rate": np.nan}, SettingsError, "multiplier_rate"),
        ({"estimator": "x"}, InvalidObjective, "estimator is 'x'"),
        ({"no_answer": "skip"}, InvalidObjective, "no_answer is 'skip'"),
        ({"truncated": "drop"}, dg.DagameError, "truncated is 'drop'"),
        ({"vocabulary": ["a", "a"]}, InvalidGame, "vocabulary"),
        ({"extract": "("}, dg.DagameError, "extract|pattern"),
        ({"canonical": "x"}, dg.DagameError, "canonical"),
    ],
)
def test_each_setting_has_one_rule(wrong, error, words):
    with pytest.raises(error, match=words):
        spec(**wrong)


def test_sections_of_a_file_are_the_same_settings():
    made = GameSpec.of_sections(
        ObjectiveSection("gini", 2.0),
        AnswerSection("gsm8k", no_answer="keep"),
        beta=0.2,
        kl="reward",
    )
    assert repr(made.objective) == repr(dg.GiniDiversity(2.0))
    assert (made.extract, made.no_answer, made.reader.canonical) == ("gsm8k", "keep", "number")
    assert made.keywords().keys() == set(vars(spec())) & made.keywords().keys()
