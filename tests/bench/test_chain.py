"""The chain against enumeration of all its traces; its sampled step against the gradient of J."""

import itertools

import numpy as np
import pytest

import dagame as dg
from dagame.bench.chain import ChainGame, answers_of, forward, kl, random_chain, trace_table, train
from dagame.numerics.arrays import log_normalise

M, V, T = 2, 3, 4


@pytest.fixture
def chains(rng):
    reference = random_chain(rng, M, V, T)
    return reference, log_normalise(reference + rng.normal(size=reference.shape))


def test_table_is_the_product_of_the_conditionals(chains):
    reference, _ = chains
    table, answers = trace_table(reference), answers_of(T, V)
    assert table.shape == (M, V**T)
    for at, trace in enumerate(itertools.product(range(V), repeat=T)):
        before = (0, *trace[:-1])
        want = sum(
            reference[:, t, a, b] for t, (a, b) in enumerate(zip(before, trace, strict=True))
        )
        np.testing.assert_allclose(table[:, at], want, atol=1e-12)
        assert answers[at] == V * trace[-2] + trace[-1]
    np.testing.assert_allclose(np.exp(table).sum(-1), 1)


def test_marginals_and_kl_are_those_of_the_enumerated_traces(chains):
    reference, policy = chains
    table, table0 = trace_table(policy), trace_table(reference)
    nu = np.stack([np.bincount(answers_of(T, V), row, V * V) for row in np.exp(table)])
    np.testing.assert_allclose(forward(policy)[1], nu, atol=1e-14)
    apart = (np.exp(table) * (table - table0)).sum(-1)
    np.testing.assert_allclose(kl(policy, reference), apart, rtol=1e-12)


def test_gap_is_the_certificate_of_the_enumerated_game(chains):
    reference, policy = chains
    game = ChainGame(reference, dg.Coherence(2.0), 0.7, 8, 0)
    traces = dg.AlignmentGame(
        np.exp(trace_table(reference)), dg.Coherence(2.0), beta=0.7, answers=answers_of(T, V)
    )
    want = dg.certify(traces, np.exp(trace_table(policy))).gap
    np.testing.assert_allclose(game.gap(policy[None]), [want], rtol=1e-9)


def test_expected_step_is_the_gradient_of_the_value(chains):
    """Gini's rewards are exactly unbiased; per context, without its weight w_x."""
    reference, policy = chains
    game = ChainGame(reference, dg.GiniDiversity(1.5), 0.7, 6, 0)
    many = np.repeat(policy[None], 20_000, axis=0)
    draw = game.marginals(many)
    moved = game.policy_step(many, game.rewards(draw, None), 1e-3)
    moved = moved - moved.mean(-1, keepdims=True) - (many - many.mean(-1, keepdims=True))
    step, error = moved.mean(0) / 1e-3, moved.std(0) / 1e-3 / np.sqrt(len(many))

    def value(logits):
        p = log_normalise(logits)
        phi = dg.GiniDiversity(1.5).value(forward(p)[1])
        return M * float(phi - 0.7 * kl(p, reference).mean())

    gradient, h = np.zeros_like(policy), 1e-5
    for index in np.ndindex(policy.shape):
        bump = np.zeros_like(policy)
        bump[index] = h
        gradient[index] = (value(policy + bump) - value(policy - bump)) / (2 * h)
    assert np.abs(gradient).max() > 0.05
    assert (np.abs(step - gradient) <= 5 * error + 1e-4).all()


def test_training_reaches_its_gap_and_repeats(chains):
    reference, _ = chains
    runs = []
    for _ in range(2):
        game = ChainGame(reference, dg.Coherence(2.0), 1.0, 32, 3)
        start = game.gap(reference[None])[0]
        runs.append(train(game, start / 4, steps=2000, learning_rate=0.1, replicas=3))
    first, again = runs
    assert np.isfinite(first.drawn).all()
    assert (first.gaps.min(axis=0) <= start / 4).all()
    np.testing.assert_array_equal(first.gaps, again.gaps)
