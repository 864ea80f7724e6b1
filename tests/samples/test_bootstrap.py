"""The bootstrap against a direct loop, and its coverage where the truth is known."""

import numpy as np
import pytest

from dagame.samples import bootstrap
from dagame.samples.bootstrap import bootstrap_means, bootstrap_tables


def directly(values, weights, resamples, seed):
    """Question by question, with the same draws."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        total, mass = np.zeros(values.shape[1]), 0.0
        for i in rng.integers(0, len(values), len(values)):
            total += weights[i] * values[i]
            mass += weights[i]
        found.append(total / mass)
    return np.quantile(found, [0.025, 0.975], axis=0)


@pytest.mark.parametrize("cells", [4_000_000, 200])
def test_it_is_the_loop_however_it_is_cut(cells, monkeypatch):
    monkeypatch.setattr(bootstrap, "_CELLS", cells)
    rng = np.random.default_rng(3)
    values, weights = rng.normal(size=(17, 3)), rng.integers(1, 9, 17).astype(float)
    found = bootstrap_means(values, weights, resamples=300, seed=5)
    assert np.allclose(found, directly(values, weights, 300, 5), atol=1e-12)


def test_of_a_column_of_differences_it_is_the_paired_interval():
    """Questions differ much and the two models little: the pairing takes the questions' spread away."""
    rng = np.random.default_rng(0)
    before = rng.random(50)
    after = before + 0.1 + 0.01 * rng.normal(size=50)
    low, high = bootstrap_means(np.column_stack([before, after, after - before]))
    assert (high - low)[2] < 0.01 < 0.1 < (high - low)[0]
    assert low[2] < 0.1 < high[2]


def test_unknown_questions_are_left_out_and_one_has_no_interval():
    values = np.array([[0.0], [np.nan], [1.0], [0.5]])
    weights = np.array([1.0, 9.0, 2.0, 3.0])
    kept = bootstrap_means(values[[0, 2, 3]], weights[[0, 2, 3]], seed=1)
    assert np.array_equal(bootstrap_means(values, weights, seed=1), kept)
    assert bootstrap_means(values[:2]) is None
    assert bootstrap_means(np.empty((0, 1))) is None


@pytest.mark.parametrize(("questions", "least", "most"), [(100, 0.92, 0.97), (10, 0.82, 0.95)])
def test_coverage_on_questions_that_are_right_with_a_known_probability(questions, least, most):
    """Accuracies of questions with 8 samples each, p uniform in [0.2, 1]: the mean is 0.6."""
    rng, runs, covered = np.random.default_rng(11), 600, 0
    for k in range(runs):
        p = rng.uniform(0.2, 1, questions)
        accuracy = rng.binomial(8, p) / 8
        low, high = bootstrap_means(accuracy[:, None], resamples=400, seed=k)
        covered += low[0] <= 0.6 <= high[0]
    assert least <= covered / runs <= most


def test_tables_together_are_each_as_alone(rng):
    whole, short = rng.random((30, 3)), rng.random((30, 3))
    short[4, 1] = np.nan
    tables = [whole, short, whole[:, :2], whole[:1]]
    for found, table in zip(bootstrap_tables(tables, seed=2), tables, strict=True):
        alone = bootstrap_means(table, seed=2)
        assert (found is None) == (alone is None)
        assert alone is None or np.array_equal(found, alone)
