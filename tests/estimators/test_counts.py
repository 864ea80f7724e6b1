"""Sampled updates against the gradient of J: full enumeration of all K-samples of a tabular policy."""

import dataclasses
import itertools
import math
import warnings

import numpy as np
import pytest
import sympy

import dagame as dg
from dagame.estimators import count_rewards, kl_weight, reward_table
from dagame.estimators.counts import Cells
from dagame.estimators.sampled import Draw, SampledGame
from dagame.numerics.arrays import log
from tests.kinds import made, those

TRACES = np.array([0, 0, 1, 2])
REFERENCE = np.array([[0.1, 0.3, 0.4, 0.2], [0.35, 0.05, 0.2, 0.4]])
LOGITS = np.array([[0.3, -0.4, 0.1, 0.6], [-0.2, 0.5, 0.0, -0.7]])
SUCCESS = np.array([1.0, 0.0, 1.0])
CAP = dg.HardConstraint(dg.Cap([1], 0.2))
MULTIPLIERS = np.array([0.7, 0.2])


def pays_affinely(phi):
    """grad Phi at the middle of two marginals is the mean of both."""
    if phi.has_multipliers or phi.on_traces:
        return False
    nu = np.random.default_rng(0).dirichlet(np.ones(3), (2, 50, 2))
    middle, ends = phi.reward(nu.mean(0)), phi.reward(nu).mean(0)
    return bool(np.allclose(middle, ends, rtol=1e-12, atol=1e-12))


EXACT = {name: made(name, 1.7, 2, 3) for name in those(pays_affinely)}
COMPARING = those(lambda phi: phi.between_contexts and not phi.on_traces)


def softmax(logits):
    p = np.exp(logits)
    return p / p.sum(-1, keepdims=True)


def every_draw(policy, k):
    """All trace counts of K samples in each of the contexts (R, m, T) and their probabilities (R,)."""
    m, t = policy.shape
    one = [c for c in itertools.product(range(k + 1), repeat=t) if sum(c) == k]
    orders = [math.factorial(k) / math.prod(map(math.factorial, count)) for count in one]
    chance = np.array(orders) * np.prod(policy[:, None, :] ** np.array(one), axis=-1)
    picks = np.array(list(itertools.product(range(len(one)), repeat=m)))
    weights = np.prod([chance[x][picks[:, x]] for x in range(m)], axis=0)
    return np.array(one)[picks], weights


def expected_update(objective, k, *, beta=0.3, kl="reward", logits=LOGITS, multipliers=None, **how):
    """E of the sampled step on the logits, over every possible draw."""
    game = dg.AlignmentGame(REFERENCE, objective, beta=beta, answers=TRACES)
    sampled = SampledGame(game, k, kl=kl, **how)
    log_policy = np.log(softmax(logits))
    traces, chance = every_draw(np.exp(log_policy), k)
    answers = np.stack([traces[..., z == TRACES].sum(-1) for z in range(3)], -1)
    many = np.broadcast_to(log_policy, traces.shape)
    y = None if multipliers is None else np.broadcast_to(multipliers, (len(traces), 2))
    credit = sampled.rewards(Draw(many, traces, answers), y)
    step = credit - np.exp(many) * credit.sum(-1, keepdims=True)
    return (chance[:, None, None] * step).sum(0)


def gradient(value, logits=LOGITS):
    """Central differences of a function of the policy by the logits, per unit of context weight."""
    out, h = np.zeros_like(logits), 1e-5
    for at in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[at] += h
        down[at] -= h
        out[at] = (value(softmax(up)) - value(softmax(down))) / (2 * h)
    return out * logits.shape[0]


def true_gradient(objective, beta=0.3, logits=LOGITS):
    """grad J by the chain rule through the exact game: pi (u(a(y)) - beta log(pi/pi0)), centred."""
    game = dg.AlignmentGame(REFERENCE, objective, beta=beta, answers=TRACES)
    pi = softmax(logits)
    nu = game.marginals(pi)
    credit = pi * (objective.reward(nu)[:, TRACES] - beta * np.log(pi / REFERENCE))
    return credit - pi * credit.sum(-1, keepdims=True)


@pytest.mark.parametrize("name", EXACT)
def test_the_reference_gradient_is_that_of_the_value(name):
    game = dg.AlignmentGame(REFERENCE, EXACT[name], beta=0.3, answers=TRACES)
    np.testing.assert_allclose(gradient(game.value), true_gradient(EXACT[name]), atol=1e-8)


@pytest.mark.parametrize("baseline", [None, "leave_two_out", "leave_one_out", "group_mean"])
@pytest.mark.parametrize("name", EXACT)
def test_the_expected_update_is_the_gradient(name, baseline):
    """To 1e-12, without a baseline, with both exact ones, and corrected under the engines' group mean."""
    found = expected_update(EXACT[name], 4, baseline=baseline)
    np.testing.assert_allclose(found, true_gradient(EXACT[name]), atol=1e-12)


@pytest.mark.parametrize("baseline", [None, "leave_two_out", "group_mean"])
def test_constraints_are_exact_at_given_multipliers(baseline):
    """The Lagrangian's gradient: -y (G nu - h) has the rewards -G'y / w."""
    objective = CAP + dg.GiniDiversity()
    paid = dg.GiniDiversity() + dg.Reward(-2 * MULTIPLIERS[:, None] * np.array([0.0, 1.0, 0.0]))
    found = expected_update(objective, 4, baseline=baseline, multipliers=MULTIPLIERS)
    np.testing.assert_allclose(found, true_gradient(paid), atol=1e-12)


@pytest.mark.parametrize(
    ("baseline", "k", "factor"),
    [("leave_one_out", 4, 1 - 1 / 3), ("group_mean", 4, 1 - 2 / 4), ("group_mean", 3, 1 - 2 / 3)],
)
def test_naive_centring_biases_even_the_exact_rewards(baseline, k, factor):
    """Uncorrected U-statistics of Gini shrink by 1 - 1/(K-1) and 1 - 2/K."""
    phi = dg.GiniDiversity()
    game = dg.AlignmentGame(REFERENCE, phi, beta=0.3, answers=TRACES)
    policy = softmax(LOGITS)
    traces, chance = every_draw(policy, k)
    answers = np.stack([traces[..., z == TRACES].sum(-1) for z in range(3)], -1)
    paid = count_rewards(answers, phi, "u_statistic", baseline=None)
    off = np.where(answers > 0, paid.rewards - paid.mean, 0)
    if baseline == "leave_one_out":
        off = off * k / (k - 1)
    credit = traces * off[..., TRACES] / k
    step = credit - policy * credit.sum(-1, keepdims=True)
    found = (chance[:, None, None] * step).sum(0)
    credit = policy * phi.reward(game.marginals(policy))[:, TRACES]
    true = credit - policy * credit.sum(-1, keepdims=True)
    np.testing.assert_allclose(found, factor * true, atol=1e-12)


@pytest.mark.parametrize("estimator", ["plug_in", "laplace", "variance_optimal", "jackknife"])
@pytest.mark.parametrize("name", ["shannon", "coherence"])
def test_leave_two_out_changes_no_expected_update(name, estimator):
    phi = {"shannon": dg.ShannonDiversity(), "coherence": dg.Coherence()}[name]
    plain = expected_update(phi, 4, estimator=estimator, baseline=None)
    np.testing.assert_allclose(
        expected_update(phi, 4, estimator=estimator, baseline="leave_two_out"), plain, atol=1e-12
    )


@pytest.mark.parametrize("baseline", ["leave_one_out", "group_mean"])
@pytest.mark.parametrize("name", ["shannon", "coherence", "pairwise", "pass@2"])
def test_a_corrected_centring_pays_what_one_sample_less_pays_without(name, baseline):
    """The mechanism of the correction, also for rewards that no table holds."""
    phi = {
        "shannon": dg.ShannonDiversity(),
        "coherence": dg.Coherence(),
        "pairwise": dg.PairwiseCoherence(1.0, "hellinger"),
        "pass@2": dg.PassAtK(SUCCESS, 2),
    }[name]
    counts = np.array([[[3, 1, 0], [1, 1, 2]], [[2, 2, 0], [4, 0, 0]]])
    paid = count_rewards(counts, phi, baseline=baseline).rewards
    scale = 4 / 3 if baseline == "group_mean" else 1.0
    if name == "shannon":
        smaller = reward_table(phi, 3, "jackknife").entries
        expected = np.where(counts > 0, scale * smaller[np.minimum(counts - 1, 2)], 0)
        np.testing.assert_allclose(paid, expected, atol=1e-12)
    if name == "coherence":
        q = (counts / 4).sum(1, keepdims=True) - counts / 4
        q = (q + (np.minimum(counts - 1, 2) + 0.5) / 3) / 2
        own = reward_table(dg.ShannonDiversity(), 3, "jackknife").entries[np.clip(counts - 1, 0, 2)]
        expected = np.where(counts > 0, scale * (log(q) + own), 0)
        np.testing.assert_allclose(paid, expected, atol=1e-12)


@pytest.mark.parametrize("baseline", ["leave_one_out", "group_mean"])
@pytest.mark.parametrize(
    "phi", [dg.LogSuccess(SUCCESS), dg.ShannonDiversity(), dg.PassAtK(SUCCESS, 3)]
)
def test_the_update_under_a_corrected_centring_is_that_of_one_sample_less(phi, baseline):
    """By enumeration at K = 5 and K = 4, without the KL."""
    one_less = expected_update(phi, 4, baseline=None, kl="k1")
    found = expected_update(phi, 5, baseline=baseline, kl="k1")
    np.testing.assert_allclose(found, one_less, atol=1e-12)


def test_coherence_bias_falls_with_the_group_size():
    """Measured by enumeration: both leave-one-out estimators beat the plug-in and improve with K."""
    true = true_gradient(dg.Coherence())

    def error(k, estimator):
        return np.abs(expected_update(dg.Coherence(), k, estimator=estimator) - true).max()

    for estimator in ("auto", "krichevsky_trofimov"):
        assert error(6, estimator) < error(3, estimator)
        assert error(6, estimator) < error(6, "plug_in")


# -- the KL term ------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", [None, "leave_two_out", "group_mean"])
@pytest.mark.parametrize("kind", ["reward", "k1", "k2", "k3", "k3_corrected"])
def test_each_kl_term_has_the_gradient_that_it_states(kind, baseline):
    zero = dg.Reward([0.0, 0.0, 0.0])

    def reverse(pi):
        return -0.3 * (pi * np.log(pi / REFERENCE)).sum(-1).mean()

    def forward(pi):
        return -0.3 * (REFERENCE * np.log(REFERENCE / pi)).sum(-1).mean()

    stated = {"k1": lambda pi: 0.0, "k3": forward}.get(kind, reverse)
    found = expected_update(zero, 4, kl=kind, baseline=baseline)
    np.testing.assert_allclose(found, gradient(stated), atol=1e-8)


def test_the_corrected_k3_is_the_gradient_of_its_loss():
    """d/d log pi of (pi/pi_old) k3(pi0/pi) at pi = pi_old, symbolically."""
    log_pi, log_old, log_0 = sympy.symbols("a b c", real=True)
    ratio = sympy.exp(log_0 - log_pi)
    loss = sympy.exp(log_pi - log_old) * (ratio - 1 - (log_0 - log_pi))
    slope = sympy.diff(loss, log_pi).subs(log_old, log_pi)
    assert sympy.simplify(slope - (log_pi - log_0)) == 0
    with pytest.raises(dg.DagameError, match="k3_corrected"):
        kl_weight([0.0], "k4")


# -- what division by the deviation does, and what an update integrates to ----------------------------


def test_division_by_the_deviation_forgets_the_objective():
    """Any group with exactly two distinct answers gets the same advantages from three rewards."""
    counts = np.array([[[c, 5 - c, 0]] for c in range(1, 5)])
    inverse = dg.classify(1 / sympy.Symbol("p")).as_objective()
    with pytest.warns(UserWarning, match="changes the game"):
        seen = [
            count_rewards(counts, phi, "plug_in", baseline="std").advantages
            for phi in (dg.ShannonDiversity(), dg.GiniDiversity(3.0), inverse)
        ]
    assert np.abs(seen[0]).max() > 0.4
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-9)
    np.testing.assert_allclose(seen[0], seen[2], atol=1e-9)


@pytest.mark.parametrize("expression", ["1 - p", "p", "p**2 - 3*p", "1 - p**3"])
def test_the_classifier_says_what_the_update_integrates_to(expression):
    """Phi(end) - Phi(start) = integral of the expected sampled update along a path of logits."""
    phi = dg.classify(sympy.sympify(expression)).as_objective(0.8)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    start, path = LOGITS, np.array([[0.4, 0.9, -0.8, 0.2], [1.0, -0.3, 0.4, 0.5]])
    total = 0.0
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        update = expected_update(phi, 4, logits=start + node * path, kl="k1")
        total += weight * (update * path).sum() / 2
    game = dg.AlignmentGame(REFERENCE, phi, beta=1.0, answers=TRACES)
    ends = [phi.value(game.marginals(softmax(start + t * path))) for t in (0.0, 1.0)]
    assert total == pytest.approx(float(ends[1] - ends[0]), abs=1e-9)


# -- cases ------------------------------------------------------------------------------------------


def test_rows_leave_the_own_sample_out():
    """Geometric coherence: the marginal of the context without the sample, by hand."""
    counts, phi = np.array([[[2, 1, 0], [1, 0, 3]]]), dg.Coherence(1.0, "geometric")
    paid = count_rewards(counts, phi, "krichevsky_trofimov", baseline=None).rewards
    nu = counts[0] - np.array([[1, 0, 0], [0, 0, 0]]) + 0.5
    nu = nu / nu.sum(-1, keepdims=True)
    assert paid[0, 0, 0] == pytest.approx(phi.reward(nu)[0, 0], rel=1e-12)
    ways = ("plug_in", "leave_one_out", "krichevsky_trofimov", "laplace")
    seen = {e: count_rewards(counts, phi, e, baseline=None).rewards[0, 0, 0] for e in ways}
    assert len(set(np.round(list(seen.values()), 9))) == len(ways)
    assert seen["plug_in"] == pytest.approx(phi.reward(counts[0] / np.array([[3], [4]]))[0, 0])


def test_groups_of_one_are_paid_for_what_they_need_no_others_for():
    counts = np.array([[[1, 0], [2, 3]]])
    phi = dg.ShannonDiversity() + dg.Reward([0.5, 0.0])
    paid = count_rewards(counts, phi, "plug_in", baseline=None)
    assert paid.rewards[0, 0, 0] == 0.5
    coherent = count_rewards(counts, dg.Coherence(), baseline="leave_two_out")
    assert coherent.rewards[0, 0, 0] == 0


@pytest.mark.parametrize("baseline", [None, "leave_one_out", "group_mean", "auto"])
@pytest.mark.parametrize("name", [*COMPARING, "soft-parity"])
def test_one_context_has_nothing_to_agree_with(name, baseline):
    """Advantages and, over every draw, the expected update are exactly 0, by every estimator."""
    logits = LOGITS[:1]
    for estimator in ("auto", "plug_in", "krichevsky_trofimov", "laplace", "leave_one_out"):
        phi = made(name, 1.3, 1, 3)
        game = dg.AlignmentGame(REFERENCE[:1], phi, beta=0.3, answers=TRACES)
        sampled = SampledGame(game, 4, estimator=estimator, baseline=baseline, kl="k1")
        traces, chance = every_draw(softmax(logits), 4)
        answers = np.stack([traces[..., z == TRACES].sum(-1) for z in range(3)], -1)
        many = np.broadcast_to(np.log(softmax(logits)), traces.shape)
        paid = sampled.paid(Draw(many, traces, answers), None)
        off = np.abs(paid.advantages).max(), np.abs(chance @ paid.advantages[:, 0]).max()
        assert max(off) < (1e-300 if phi.between_contexts else 1e-14)


def test_an_incomplete_class_keeps_its_other_rewards():
    counts = np.array([[[2, 1, 1]]])
    alone = count_rewards(counts, dg.ShannonDiversity()).advantages
    both = count_rewards(counts, dg.ShannonDiversity() + dg.Coherence(3.0)).advantages
    np.testing.assert_array_equal(both, alone)
    assert np.abs(alone).max() > 0.01


def test_batches_equal_the_loop_and_tables_may_differ():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(6, [0.5, 0.3, 0.2], (5, 2))
    success = rng.integers(0, 2, (5, 1, 3)).astype(float)
    whole = count_rewards(counts, dg.PassAtK(success, 3)).advantages
    each = [
        count_rewards(c[None], dg.PassAtK(s, 3)).advantages[0]
        for c, s in zip(counts, success, strict=True)
    ]
    np.testing.assert_allclose(whole, each, atol=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: count_rewards(c, dg.ShannonDiversity(), "plugin"), "choose one of auto"),
        (lambda c: count_rewards(c, dg.ShannonDiversity(), baseline="mean"), "choose one of"),
        (lambda c: count_rewards(c, dg.Coherence(), "u_statistic"), "not affine"),
        (
            lambda c: count_rewards(c, dg.Coherence(1.0, "geometric"), baseline="leave_two_out"),
            "no leave-two-out baseline",
        ),
        (lambda c: count_rewards(c, dg.PairwiseCoherence(), "minimax"), "tables over counts"),
        (lambda c: count_rewards(c[0], dg.Coherence()), r"no \(B, contexts, answers\)"),
        (lambda c: count_rewards(0 * c, dg.Coherence()), "every context has a sample"),
        (lambda c: count_rewards(c / 3, dg.Coherence()), "whole numbers"),
        (lambda c: count_rewards(c, dg.Reward([1.0, 0.0])), "does not fit"),
    ],
)
def test_what_cannot_be_paid(call, message):
    with pytest.raises(dg.DagameError, match=message):
        call(np.array([[[2, 1, 1], [0, 3, 1]]]))


@pytest.mark.parametrize("name", those(lambda phi: phi.hard or phi.on_traces))
def test_what_samples_do_not_tell_is_not_paid(name):
    phi = made(name, 1.0, 2, 3)
    message = "is a hard set.*give multipliers=" if phi.hard else "acts on traces"
    with pytest.raises(dg.DagameError, match=message):
        count_rewards(np.array([[[2, 1, 1], [0, 3, 1]]]), phi)


def test_unseen_answers_of_others_are_floored_where_support_must_be_common():
    counts = np.array([[[3, 1], [4, 0]]])
    paid = count_rewards(counts, dg.PairwiseCoherence(1.0, "kl"), "plug_in", baseline=None).rewards
    floored = np.array([[1 / 4], [0.5 / 4]])
    u = dg.PairwiseCoherence(1.0, "kl").reward_log(log(floored), np.array([0.5, 0.5]))
    assert paid[0, 0, 1] == pytest.approx(u[0, 0], rel=1e-12)


@pytest.mark.parametrize("phi", [dg.ShannonDiversity(), dg.Coherence()])
def test_advantages_from_the_samples_themselves(phi):
    """Each baseline from the list of a group's rewards, deviations with K - 1; groups of 5 and 4."""
    counts = np.array([[[3, 1, 1], [0, 2, 2]], [[5, 0, 0], [1, 1, 2]]])
    ways = {
        None: lambda r: r,
        "leave_one_out": lambda r: [a - np.mean(np.delete(r, i)) for i, a in enumerate(r)],
        "group_mean": lambda r: r - np.mean(r),
        "std": lambda r: (r - np.mean(r)) / max(np.std(r, ddof=1), 1e-12),
    }
    for baseline, by_hand in ways.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            paid = count_rewards(counts, phi, "plug_in", baseline=baseline)
        for b, x in np.ndindex(2, 2):
            cells = np.repeat(np.arange(3), counts[b, x])
            expected = by_hand(paid.rewards[b, x, cells])
            np.testing.assert_allclose(paid.advantages[b, x, cells], expected, atol=1e-12)
            mean = paid.rewards[b, x, cells].mean()
            assert float(paid.mean[b, x, 0]) == pytest.approx(mean, abs=1e-12)
        assert (paid.advantages[counts == 0] == 0).all()
        assert (paid.rewards[counts == 0] == 0).all()


@pytest.mark.parametrize(
    "phi", [dg.ShannonDiversity(), dg.Coherence(), dg.PassAtK(SUCCESS, 2), dg.Reward([1.0, 0.5, 0])]
)
def test_leave_two_out_is_the_mean_of_what_the_others_are_paid_without_the_sample(phi):
    """Sample by sample: drop i from the counts, pay each j that is left, and average."""
    counts = np.array([[[3, 1, 1], [0, 2, 2]]])
    whole = count_rewards(counts, phi, "plug_in", baseline="leave_two_out")
    for x, z in zip(*np.nonzero(counts[0]), strict=True):
        fewer = counts.copy()
        fewer[0, x, z] -= 1
        paid = count_rewards(fewer, phi, "plug_in", baseline=None).rewards[0, x]
        expected = (fewer[0, x] * paid).sum() / fewer[0, x].sum()
        assert whole.expected_by_others[0, x, z] == pytest.approx(expected, abs=1e-12)


def test_counts_and_rewards_are_immutable():
    counts = np.array([[[2, 1]]])
    paid = count_rewards(counts, dg.GiniDiversity())
    for found in (paid, Cells.of(counts, np.ones((1, 1)))):
        with pytest.raises(dataclasses.FrozenInstanceError):
            found.counts = counts
        assert hash(found) != hash(dataclasses.replace(found))
