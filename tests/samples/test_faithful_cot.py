"""The comparison of prompt formats: single formats, votes and cross-fitted choices by hand."""

import numpy as np
import polars as pl
import pytest

import dagame as dg
from dagame.samples.metrics import majority_accuracy

formats = pytest.importorskip("faithful_cot")

ANSWERS = {  # of each question and format three answers, the right one "r"
    (0, "a"): "rrx", (0, "b"): "xyr",
    (1, "a"): "rry", (1, "b"): "xyx",
    (2, "a"): "rxx", (2, "b"): "xrr",
}  # fmt: skip


@pytest.fixture(scope="module")
def samples():
    rows = [
        {"id": q, "format": f, "answer": z, "correct": z == "r"}
        for (q, f), answers in ANSWERS.items()
        for z in answers
    ]
    return dg.Samples.from_answers(pl.DataFrame(rows), "id", "format", correct="correct")


def test_single_formats_and_the_mode_are_those_of_their_answers(samples):
    names, sampled, vote = formats.of_formats(samples)
    assert names == ["a", "b"]
    np.testing.assert_allclose(sampled, np.array([[2, 1], [2, 0], [1, 2]]) / 3)
    np.testing.assert_allclose(vote, [[1, 1 / 3], [1, 0], [0, 1]])  # ties share the credit
    still = samples.solve(dg.Coherence(1e-9), beta=1.0)
    before = np.concatenate([majority_accuracy(bucket) for bucket in still.buckets])
    order = np.argsort(np.concatenate([bucket.classes for bucket in still.buckets]))
    np.testing.assert_allclose(formats.mode_accuracy(still), before[order])
    columns, empty = formats.solved(samples)
    np.testing.assert_allclose(columns["before"], [1 / 2, 1 / 3, 1 / 2])
    assert set(empty.values()) == {0.0}
    strong = samples.solve(dg.Coherence(10.0), beta=1.0).classes["accuracy_equilibrium"]
    np.testing.assert_allclose(columns["equilibrium 10"], strong)


def test_a_column_is_chosen_by_the_questions_that_it_is_not_measured_on():
    """Of six questions five prefer the first column a little, the last the second by far."""
    by = np.array([[1.0, 0.9]] * 5 + [[0.0, 3.0]])
    measured = np.arange(12.0).reshape(6, 2)
    found, shares = formats.chosen_elsewhere(by, measured)
    assert shares.sum() == pytest.approx(1)
    assert found[5] == measured[5, 0]  # its half never sees the last question
    assert ((found[:5] > measured[:5, 0]) & (found[:5] < measured[:5, 1])).all()
    everywhere, shares = formats.chosen_elsewhere(by[:5], measured[:5])
    np.testing.assert_allclose(everywhere, measured[:5, 0])
    np.testing.assert_allclose(shares, [1, 0])
